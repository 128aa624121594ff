"""The challenges of a sign-in, each with the function that answers it.

A function takes the conversation and the challenge, and returns Cognito's next answer: another challenge, or tokens.
AWS: RespondToAuthChallenge (Amazon Cognito user pools API reference).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from pydantic import SecretStr

from proxy.errors import LoginRequired, SignInFailed
from proxy.identity.cognito import payloads, results, srp, totp
from proxy.identity.cognito.asking import Medium
from proxy.identity.cognito.conversation import Conversation, StartAgain
from proxy.identity.cognito.failures import Refused
from proxy.identity.cognito.results import Challenge

Answer: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Conversation, Challenge], Awaitable[Answer]]

ISSUER = "Unleash Live"
"""What an authenticator app calls the entry."""

_MEDIA = {
    "SOFTWARE_TOKEN_MFA": Medium.AUTHENTICATOR,
    "SMS_MFA": Medium.SMS,
    "SMS_OTP": Medium.SMS,
    "EMAIL_OTP": Medium.EMAIL,
    "EMAIL_MFA": Medium.EMAIL,
}
_ATTRIBUTE = "userAttributes."


async def prove_password(conversation: Conversation, posed: Challenge) -> Answer:
    """PASSWORD_VERIFIER: the proof of the password."""
    exchange, user = conversation.exchange, posed.text("USER_ID_FOR_SRP") or conversation.name
    if exchange is None:
        raise SignInFailed("Cognito poses PASSWORD_VERIFIER out of turn")
    pool = conversation.pool.user_pool_id.partition("_")[2]
    return await conversation.respond(
        posed, _proof(conversation, posed, exchange, conversation.password, pool=pool, user=user)
    )


async def prove_device(conversation: Conversation, posed: Challenge) -> Answer:
    """DEVICE_SRP_AUTH and DEVICE_PASSWORD_VERIFIER: the proof of the device's own password."""
    device = conversation.device
    if device is None:
        raise SignInFailed("Cognito asks for a device that was not named")
    exchange = conversation.new_exchange()
    try:
        begun = await conversation.respond(posed, {"SRP_A": exchange.srp_a})
        verifier = results.challenge(begun)
        if verifier is None or verifier.name != "DEVICE_PASSWORD_VERIFIER":
            return begun
        proof = _proof(conversation, verifier, exchange, device.password, pool=device.group_key, user=device.key)
        return await conversation.respond(verifier, proof)
    except Refused as refused:
        if not refused.wrong_password:
            raise
        # The pool knows another password for it. As a stranger one can still sign in.
        conversation.device = None
        raise StartAgain from refused


def _proof(
    conversation: Conversation,
    posed: Challenge,
    exchange: srp.SrpExchange,
    password: SecretStr,
    *,
    pool: str,
    user: str,
) -> dict[str, str]:
    given, now = results.srp_challenge(posed), conversation.server_time(posed)
    try:
        return payloads.proof(exchange, given, password, pool=pool, user=user, now=now)
    except srp.SrpError as error:
        raise results.unusable(error) from None


async def give_code(conversation: Conversation, posed: Challenge) -> Answer:
    """The challenges that want a one-time code."""

    async def send(code: str) -> Answer:
        return await conversation.respond(posed, {f"{posed.name}_CODE": code})

    destination = posed.text("CODE_DELIVERY_DESTINATION")
    answer = await conversation.with_code(posed.name, _MEDIA[posed.name], send, destination=destination, posed=posed)
    conversation.second_factor = True
    return answer


async def select_mfa(conversation: Conversation, posed: Challenge) -> Answer:
    """SELECT_MFA_TYPE: which second factor is to be asked for."""
    options = posed.names("MFAS_CAN_CHOOSE")
    if not options:
        raise SignInFailed("Cognito offers no second factor to choose from")
    return await conversation.respond(posed, {"ANSWER": await conversation.answerer.choose(posed.name, options)})


async def set_up_mfa(conversation: Conversation, posed: Challenge) -> Answer:
    """MFA_SETUP: a new authenticator app. Cognito wants the first code of it before it goes on."""
    conversation.answerer.person(posed.name)
    if "SOFTWARE_TOKEN_MFA" not in posed.names("MFAS_CAN_SETUP"):
        raise LoginRequired(
            "Cognito demands a second factor that only an administrator can set up",
            hint="Ask your Unleash Live administrator to add a phone number or e-mail address to the account.",
        )
    associated = await conversation.call("AssociateSoftwareToken", {"Session": posed.session})
    secret, session = SecretStr(results.text(associated, "SecretCode")), results.session(associated)
    uri = totp.otpauth_uri(secret, issuer=ISSUER, account=conversation.given)
    await conversation.answerer.show_totp_secret(secret, uri)

    async def send(code: str) -> Answer:
        verify = {"Session": session, "UserCode": code, "FriendlyDeviceName": "ul-proxy"}
        verified = await conversation.call("VerifySoftwareToken", verify)
        if verified.get("Status") != "SUCCESS":
            raise Refused("VerifySoftwareToken", 400, "CodeMismatchException", "")
        return await conversation.respond(posed, {}, session=results.session(verified))

    answer = await conversation.with_code(posed.name, Medium.AUTHENTICATOR, send, posed=posed)
    conversation.second_factor = True
    return answer


async def renew_password(conversation: Conversation, posed: Challenge) -> Answer:
    """NEW_PASSWORD_REQUIRED: a password of the user's own choice, and the attributes that the pool requires."""
    person = conversation.answerer.person(posed.name)
    required = [name.removeprefix(_ATTRIBUTE) for name in posed.names("requiredAttributes")]
    values: Mapping[str, str] | None = None
    password: SecretStr | None = None
    complaint: str | None = None
    again = False
    while True:
        conversation.once_more(posed.name)
        if values is None:
            values = {_ATTRIBUTE + name: await person.attribute(name, again=again) for name in required}
        if password is None:
            password = await person.new_password(posed.name, complaint)
        try:
            answer = await conversation.respond(posed, {"NEW_PASSWORD": password.get_secret_value(), **values})
        except Refused as refused:
            complaint, again = refused.password_complaint, refused.code == "InvalidParameterException"
            if complaint is not None:
                password = None
            elif again and required:
                values = None
            else:
                raise
        else:
            conversation.password = password
            return answer


HANDLERS: Mapping[str, Handler] = {
    "PASSWORD_VERIFIER": prove_password,
    "DEVICE_SRP_AUTH": prove_device,
    **dict.fromkeys(_MEDIA, give_code),
    "SELECT_MFA_TYPE": select_mfa,
    "MFA_SETUP": set_up_mfa,
    "NEW_PASSWORD_REQUIRED": renew_password,
}
