"""A whole sign-in: the first factor, then whatever challenges follow, until there are tokens."""

from typing import Any

from proxy.errors import SignInFailed
from proxy.identity.cognito import failures, results
from proxy.identity.cognito.challenges import HANDLERS
from proxy.identity.cognito.conversation import Conversation, StartAgain
from proxy.identity.cognito.failures import Refused
from proxy.identity.cognito.recovery import confirm_sign_up, reset_password
from proxy.identity.profile import AuthFlow

_STARTS = 8
_STARTS_ALONE = 3
"""Without a person nothing new can be learnt, but that a device or a session is gone."""
_CHALLENGES = 12
_PASSWORDS = 3
"""Cognito locks a user out after five wrong ones."""


async def sign_in(conversation: Conversation) -> dict[str, Any]:
    """The answer that holds the tokens. Raises a CredentialError, and whatever a person's answerer raises."""
    for _ in range(_STARTS if conversation.answerer.attended else _STARTS_ALONE):
        try:
            try:
                return await _once(conversation)
            except Refused as refused:
                await _mend(conversation, refused)
        except StartAgain:
            continue
    raise SignInFailed("Cognito has the sign-in begin anew time and again")


async def _once(conversation: Conversation) -> dict[str, Any]:
    answer = await _first_factor(conversation)
    for _ in range(_CHALLENGES):
        posed = results.challenge(answer)
        if posed is None:
            return answer
        handler = HANDLERS.get(posed.name)
        if handler is None:
            raise failures.from_challenge(posed.name)
        conversation.name = posed.text("USERNAME") or posed.text("USER_ID_FOR_SRP") or conversation.name
        answer = await handler(conversation, posed)
    raise SignInFailed("Cognito poses one challenge after the other")


async def _first_factor(conversation: Conversation) -> dict[str, Any]:
    if conversation.pool.auth_flow is AuthFlow.PASSWORD:
        password = conversation.password.get_secret_value()
        return await conversation.initiate("USER_PASSWORD_AUTH", {"PASSWORD": password})
    conversation.exchange = conversation.new_exchange()
    return await conversation.initiate("USER_SRP_AUTH", {"SRP_A": conversation.exchange.srp_a})


async def _mend(conversation: Conversation, refused: Refused) -> None:
    """Remove what made Cognito refuse the sign-in; raises what that means where nothing can be done."""
    if refused.session_lost:
        return
    if refused.device_unknown and conversation.device is not None:
        conversation.device = None
        return
    if not conversation.answerer.attended:
        raise refused.meaning from None
    try:
        if refused.code == "UserNotConfirmedException":
            await confirm_sign_up(conversation)
        elif refused.code == "PasswordResetRequiredException":
            await reset_password(conversation)
        elif refused.wrong_password:
            conversation.once_more("the password", tries=_PASSWORDS - 1)
            conversation.password = await conversation.answerer.password(conversation.given, again=True)
        else:
            raise refused.meaning from None
    except Refused as again:
        raise again.meaning from None
