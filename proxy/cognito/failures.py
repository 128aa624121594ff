"""What an error of Cognito means: whether it is transient, whose doing it is and what mends it.

AWS: "Common error types" and the Errors sections of InitiateAuth, RespondToAuthChallenge and
GetTokensFromRefreshToken (Amazon Cognito user pools API reference). Cognito's own texts are never handed on.
"""

import re

from proxy.errors import CredentialError, LoginRequired, RefreshRejected, SignInFailed

LOCKOUT_PAUSE = 60.0
"""Seconds; Cognito locks a user out for up to 15 minutes after wrong passwords, and every try prolongs it."""

_CHECK_LOGIN = "Correct UL_PROXY_USERNAME and UL_PROXY_PASSWORD, then restart the proxy."
_CHECK_POOL = "Check cognito.region, cognito.user_pool_id and cognito.client_id with `ul-proxy config`."

_TERMINAL = {
    "UserNotFoundException": ("Cognito knows no such user", _CHECK_LOGIN),
    "UserNotConfirmedException": (
        "the account has not been confirmed",
        "Confirm it with the code that Unleash Live sent, then restart the proxy.",
    ),
    "PasswordResetRequiredException": (
        "Cognito demands that the password be reset",
        "Reset it on Unleash Live's sign-in page, set UL_PROXY_PASSWORD, then restart the proxy.",
    ),
    "ResourceNotFoundException": ("Cognito knows no such user pool or app client", _CHECK_POOL),
    "InvalidUserPoolConfigurationException": ("the user pool's configuration does not allow this sign-in", _CHECK_POOL),
    "InvalidParameterException": (
        "Cognito does not accept this kind of sign-in from this app client",
        "Try the other value of cognito.auth_flow (srp, password), and check cognito.client_id.",
    ),
    "UserLambdaValidationException": ("the user pool's own rules refused the sign-in", _CHECK_LOGIN),
}

_TRANSIENT = {
    "TooManyRequestsException": "Cognito is throttling",
    "LimitExceededException": "Cognito is throttling",
    "ThrottlingException": "Cognito is throttling",
    "InternalErrorException": "Cognito has an internal error",
    "InternalFailure": "Cognito has an internal error",
    "ServiceUnavailable": "Cognito is unavailable",
    "UnexpectedLambdaException": "the user pool's own rules failed to run",
}

_UNKNOWN_OPERATION = frozenset(
    ("UnknownOperationException", "InvalidAction", "NotImplemented", "UnsupportedOperationException")
)


class Refused(Exception):
    """An error answer of Cognito, before it is known what it means to the sequence of calls it came in."""

    def __init__(self, operation: str, status: int, code: str, message: str) -> None:
        super().__init__(operation, status, code)
        self.status = status
        self.code = code
        self.meaning = from_answer(operation, status, code, message)


def from_answer(operation: str, status: int, code: str, message: str) -> CredentialError:
    """The failure that an error answer of `operation` stands for."""
    if code == "RefreshTokenReuseException":
        return RefreshRejected("the refresh token had been used before")
    if code == "NotAuthorizedException":
        return _not_authorized(operation, message)
    if code in _TERMINAL:
        detail, hint = _TERMINAL[code]
        return LoginRequired(detail, hint=hint)
    if code in _TRANSIENT or status >= 500:  # noqa: PLR2004
        return SignInFailed(_TRANSIENT.get(code, f"Cognito answered {status}"))
    if not re.fullmatch(r"[A-Za-z]\w{0,99}", code, re.ASCII):
        # Cognito's own errors have names. A captive portal or a proxy on the way answers without.
        return SignInFailed(f"something on the way to Cognito answered {status}")
    return LoginRequired(f"Cognito answered {operation} with {code}", hint=_CHECK_POOL)


def _not_authorized(operation: str, message: str) -> CredentialError:
    lowered = message.lower()
    if "attempts exceeded" in lowered:
        return SignInFailed(
            "Cognito has locked the user out for a while after wrong passwords",
            hint="Wait, and check UL_PROXY_PASSWORD meanwhile.",
            retry_after=LOCKOUT_PAUSE,
        )
    if operation == "GetTokensFromRefreshToken" or "refresh token" in lowered:
        return RefreshRejected("Cognito does not accept the refresh token any more")
    if "disabled" in lowered:
        return LoginRequired("the user is disabled", hint="Ask your Unleash Live administrator to enable it.")
    if "secret hash" in lowered:
        return LoginRequired("the app client has a secret, and requests need its hash", hint=_CHECK_POOL)
    return LoginRequired("Cognito refused the user name or password", hint=_CHECK_LOGIN)


def from_challenge(name: str) -> CredentialError:
    """A challenge that nobody can answer."""
    known = {
        "SOFTWARE_TOKEN_MFA": "a code from the user's authenticator app",
        "SMS_MFA": "a code sent by SMS",
        "EMAIL_OTP": "a code sent by e-mail",
        "NEW_PASSWORD_REQUIRED": "a new password",
        "MFA_SETUP": "a second factor to be set up",
        "SELECT_MFA_TYPE": "a choice between second factors",
        "DEVICE_SRP_AUTH": "a remembered device",
    }
    asked = known.get(name, "something that this version does not know")
    return LoginRequired(
        f"Cognito answers the sign-in with the challenge {name}, which asks for {asked}",
        hint="This version answers passwords alone: use a login without this challenge, or personal_access_token.",
    )


def unknown_operation(status: int, code: str, *, emulator: bool) -> bool:
    """Whether an endpoint's error says that it has no such operation.

    Emulators also fail with a bare 404 or 500 there; on the way to the real service that would be an outage.
    """
    bare = (status == 404 or status >= 500) and code not in _TRANSIENT  # noqa: PLR2004
    return code in _UNKNOWN_OPERATION or (emulator and bare)
