"""What an error of Cognito means: whether it is transient, whose doing it is and what mends it.

AWS: "Common error types" and the Errors sections of the operations (Amazon Cognito user pools and identity pools API
references). Cognito's own texts are never handed on. Hints speak of the default profile, until `flows` addresses them.
"""

import re
import socket
import ssl
from collections.abc import Iterator

from proxy.errors import CredentialError, CredentialMissing, LoginRequired, RefreshRejected, SignInFailed
from proxy.identity.cognito.asking import Retry

LOCKOUT_PAUSE = 60.0
"""Seconds; Cognito locks a user out for up to 15 minutes after wrong passwords, and every try prolongs it."""

_CHECK_LOGIN = "Correct UL_PROXY_USERNAME and UL_PROXY_PASSWORD, or run `ul-proxy login`."
_CHECK_POOL = "Check cognito.region, cognito.user_pool_id and cognito.client_id with `ul-proxy config`."
_CHECK_SECRET = "Set UL_PROXY_COGNITO__CLIENT_SECRET to the app client's secret, or unset it where the client has none."
_CHECK_IDENTITY_POOL = "Check cognito.identity_pool_id with `ul-proxy config`."
_LOGIN = "Run `ul-proxy login`, which asks for it"

_TERMINAL = {
    "UserNotFoundException": ("Cognito knows no such user", _CHECK_LOGIN),
    "UserNotConfirmedException": ("the account has not been confirmed", f"{_LOGIN}: Unleash Live sends a code."),
    "PasswordResetRequiredException": ("Cognito demands that the password be reset", f"{_LOGIN}."),
    "ResourceNotFoundException": ("Cognito knows no such user pool or app client", _CHECK_POOL),
    "InvalidUserPoolConfigurationException": ("the user pool's configuration does not allow this sign-in", _CHECK_POOL),
    "InvalidParameterException": (
        "Cognito does not accept this kind of sign-in from this app client",
        "Try the other value of cognito.auth_flow (srp, password), and check cognito.client_id.",
    ),
    "UserLambdaValidationException": ("the user pool's own rules refused the sign-in", _CHECK_LOGIN),
    "UnauthorizedException": ("Cognito does not take the app client's secret", _CHECK_SECRET),
    "CodeDeliveryFailureException": (
        "Cognito could not deliver the code",
        "Ask your Unleash Live administrator to check the account's e-mail address and phone number.",
    ),
}

_THROTTLING = (
    "TooManyRequestsException",
    "LimitExceededException",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
)
"""The names that AWS's services have for it."""
_TRANSIENT = dict.fromkeys(_THROTTLING, "Cognito is throttling") | {
    "RequestTimeout": "Cognito did not get the request in time",
    "RequestTimeoutException": "Cognito did not get the request in time",
    "ForbiddenException": "a firewall in front of Cognito does not let this machine through for now",
    "ConcurrentModificationException": "Cognito was busy with this user",
    "InvalidLambdaResponseException": "the user pool's own rules failed to run",
    "TooManyFailedAttemptsException": "Cognito takes no more codes for a while",
    "InternalErrorException": "Cognito has an internal error",
    "InternalFailure": "Cognito has an internal error",
    "ServiceUnavailable": "Cognito is unavailable",
    "ExternalServiceException": "Cognito is unavailable",
    "UnexpectedLambdaException": "the user pool's own rules failed to run",
}

_CHECK_TRUST = (
    "Check this machine's clock. Where a proxy of your company's inspects TLS, put its authority's certificate into a "
    "PEM file and set upstreams.ca_file."
)
_CHECK_WAY = "Check cognito.endpoint_url where it is set, else what this network has on the way to Cognito."

_UNREACHABLE = (
    (ssl.SSLCertVerificationError, "its certificate is not trusted", _CHECK_TRUST),
    (ssl.SSLError, "TLS with it failed", _CHECK_WAY),
    (socket.gaierror, "its name does not resolve", None),
    (ConnectionRefusedError, "the connection is refused", None),
    (TimeoutError, "it does not answer in time", None),
)

_TRANSIENT_STATUSES = frozenset((408, 425, 429))
_UNKNOWN_OPERATION = frozenset(
    ("UnknownOperationException", "InvalidAction", "NotImplemented", "UnsupportedOperationException")
)
_IDENTITY_OPERATIONS = frozenset(("GetId", "GetCredentialsForIdentity"))

_COMPLAINTS = {
    "long enough": "it is too short",
    "uppercase": "it needs an upper-case letter",
    "lowercase": "it needs a lower-case letter",
    "numeric": "it needs a digit",
    "symbol": "it needs a symbol",
    "previously": "it has been used before",
    "history": "it has been used before",
    "security reasons": "it is known to others",
}


class Refused(Exception):
    """An error answer of Cognito, before it is known what it means to the sequence of calls it came in."""

    def __init__(self, operation: str, status: int, code: str, message: str) -> None:
        super().__init__(operation, status, code)
        self.status = status
        self.code = code
        self.words = message.lower()
        """Cognito's text, to be looked into and never to be shown."""
        self.meaning = from_answer(operation, status, code, message)

    @property
    def wrong_password(self) -> bool:
        """Whether a user name, or a proof of a password, was wrong."""
        by_name = self.code == "NotAuthorizedException" and "incorrect username or password" in self.words
        return by_name or self.code == "UserNotFoundException"

    @property
    def session_lost(self) -> bool:
        """Whether Cognito has forgotten what was answered so far: the sign-in has to begin anew."""
        return self.code == "NotAuthorizedException" and "session" in self.words

    @property
    def device_unknown(self) -> bool:
        return self.code == "ResourceNotFoundException" and "device" in self.words

    @property
    def code_fault(self) -> Retry | None:
        """What was wrong with a one-time code, None where something else was."""
        if self.code in ("CodeMismatchException", "EnableSoftwareTokenMFAException"):
            return Retry.WRONG
        return Retry.EXPIRED if self.code == "ExpiredCodeException" else None

    @property
    def password_complaint(self) -> str | None:
        """What the user pool's policy has against a new password, in our words; None where it has nothing."""
        if self.code not in ("InvalidPasswordException", "PasswordHistoryPolicyViolationException"):
            return None
        found = (complaint for word, complaint in _COMPLAINTS.items() if word in self.words)
        return next(found, "the user pool's policy does not allow it")


def unreachable(error: BaseException) -> SignInFailed:
    """The failure of a call that had no answer, of which a library's `error` tells."""
    causes = tuple(_causes(error))
    for kind, words, hint in _UNREACHABLE:
        if any(isinstance(cause, kind) for cause in causes):
            return SignInFailed(f"Cognito cannot be reached: {words}", hint=hint)
    reasons = (text for cause in causes if isinstance(cause, OSError) and (text := cause.strerror))
    return SignInFailed(f"Cognito cannot be reached: {next(reasons, 'the connection broke off')}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def from_answer(operation: str, status: int, code: str, message: str) -> CredentialError:
    """The failure that an error answer of `operation` stands for."""
    if code in _TRANSIENT or status >= 500 or status in _TRANSIENT_STATUSES:  # noqa: PLR2004
        return SignInFailed(_TRANSIENT.get(code, f"Cognito answered {status}"))
    if not re.fullmatch(r"[A-Za-z]\w{0,99}", code, re.ASCII):
        # Cognito's own errors have names. A captive portal or a proxy on the way answers without.
        return SignInFailed(f"something on the way to Cognito answered {status}")
    if operation in _IDENTITY_OPERATIONS:
        return _from_identity_pool(operation, code, message)
    if code == "NotAuthorizedException":
        return _not_authorized(operation, message)
    if code == "RefreshTokenReuseException":
        return RefreshRejected("the refresh token had been used before")
    detail, hint = _TERMINAL.get(code, (f"Cognito answered {operation} with {code}", _CHECK_POOL))
    return LoginRequired(detail, hint=hint)


def _not_authorized(operation: str, message: str) -> CredentialError:
    lowered = message.lower()
    if "attempts exceeded" in lowered:
        return SignInFailed(
            "Cognito has locked the user out for a while after wrong passwords",
            hint="Wait, and check UL_PROXY_PASSWORD meanwhile.",
            retry_after=LOCKOUT_PAUSE,
        )
    if "secret" in lowered:
        return LoginRequired("the app client's secret is wrong or missing", hint=_CHECK_SECRET)
    if operation == "GetTokensFromRefreshToken" or "refresh token" in lowered:
        return RefreshRejected("Cognito does not accept the refresh token any more")
    if "disabled" in lowered:
        return LoginRequired("the user is disabled", hint="Ask your Unleash Live administrator to enable it.")
    if "session" in lowered:
        return SignInFailed("Cognito forgot the sign-in before it was complete")
    return LoginRequired("Cognito refused the user name or password", hint=_CHECK_LOGIN)


def _from_identity_pool(operation: str, code: str, message: str) -> CredentialError:
    if code == "NotAuthorizedException" and "expired" in message.lower():
        return SignInFailed("the identity pool was shown an ID token that has ended")
    known = {
        "NotAuthorizedException": "the identity pool does not take the user pool's tokens",
        "ResourceNotFoundException": "there is no such identity pool",
        "InvalidIdentityPoolConfigurationException": "the identity pool has no role to give",
    }
    return CredentialMissing(known.get(code, f"Cognito answered {operation} with {code}"), hint=_CHECK_IDENTITY_POOL)


def from_challenge(name: str) -> CredentialError:
    """A challenge that nobody is there to answer, or that nobody can."""
    known = {
        "SOFTWARE_TOKEN_MFA": "a code from the user's authenticator app",
        "SMS_MFA": "a code sent by SMS",
        "SMS_OTP": "a code sent by SMS",
        "EMAIL_OTP": "a code sent by e-mail",
        "EMAIL_MFA": "a code sent by e-mail",
        "NEW_PASSWORD_REQUIRED": "a new password",
        "MFA_SETUP": "a second factor to be set up",
        "SELECT_MFA_TYPE": "a choice between second factors",
    }
    if name in known:
        hint = f"{_LOGIN}." if name != "SOFTWARE_TOKEN_MFA" else f"Set UL_PROXY_TOTP_SECRET, or run {_LOGIN[4:]}."
    else:
        hint = "This version cannot answer it: use a login without this challenge, or personal_access_token."
    return LoginRequired(
        f"Cognito answers the sign-in with the challenge {name}, which asks for "
        f"{known.get(name, 'something that this version does not know')}",
        hint=hint,
    )


def unknown_operation(status: int, code: str, *, emulator: bool) -> bool:
    """Whether an endpoint's error says that it has no such operation.

    Emulators also fail with a bare 404 or 500 there; on the way to the real service that would be an outage.
    """
    bare = (status == 404 or status >= 500) and code not in _TRANSIENT  # noqa: PLR2004
    return code in _UNKNOWN_OPERATION or (emulator and bare)
