"""What stands before a sign-in: a password that must be reset, an account that was never confirmed."""

from typing import TYPE_CHECKING, Any

from proxy.identity.cognito import results
from proxy.identity.cognito.asking import CONFIRM_SIGN_UP, PASSWORD_RESET, Medium
from proxy.identity.cognito.conversation import Conversation
from proxy.identity.cognito.failures import Refused
from proxy.identity.cognito.results import Delivery

if TYPE_CHECKING:
    from pydantic import SecretStr


async def reset_password(conversation: Conversation) -> None:
    """ForgotPassword, ConfirmForgotPassword: a code proves who resets the password."""
    chosen: SecretStr | None = None

    async def send_code() -> Delivery:
        return results.delivery(await conversation.for_account("ForgotPassword"))

    async def send(code: str) -> dict[str, Any]:
        # Kept while a code is asked for again.
        nonlocal chosen
        complaint: str | None = None
        while True:
            if chosen is None:
                conversation.once_more("a new password")
                chosen = await conversation.answerer.new_password(PASSWORD_RESET, complaint)
            try:
                return await conversation.for_account(
                    "ConfirmForgotPassword", ConfirmationCode=code, Password=chosen.get_secret_value()
                )
            except Refused as refused:
                complaint = refused.password_complaint
                if complaint is None:
                    raise
                chosen = None

    delivery = await send_code()
    await conversation.with_code(
        PASSWORD_RESET, _medium(delivery), send, destination=delivery.destination, anew=send_code
    )
    if chosen is not None:
        conversation.password = chosen


async def confirm_sign_up(conversation: Conversation) -> None:
    """ResendConfirmationCode, ConfirmSignUp: a code proves the user's address."""

    async def send_code() -> Delivery:
        return results.delivery(await conversation.for_account("ResendConfirmationCode"))

    async def send(code: str) -> dict[str, Any]:
        return await conversation.for_account("ConfirmSignUp", ConfirmationCode=code)

    delivery = await send_code()
    await conversation.with_code(
        CONFIRM_SIGN_UP, _medium(delivery), send, destination=delivery.destination, anew=send_code
    )


def _medium(delivery: Delivery) -> Medium:
    return Medium.SMS if delivery.medium.upper() == "SMS" else Medium.EMAIL
