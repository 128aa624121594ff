"""What Cognito's errors mean, as a table of what AWS documents and what is seen in the field."""

import socket
import ssl

import pytest

from proxy.errors import CredentialError, CredentialMissing, LoginRequired, RefreshRejected, SignInFailed
from proxy.identity.cognito import failures
from proxy.identity.cognito.asking import Retry
from proxy.identity.cognito.failures import Refused

NOT_AUTHORIZED = "NotAuthorizedException"
SIGN_IN, RENEWAL = "InitiateAuth", "GetTokensFromRefreshToken"


@pytest.mark.parametrize(
    ("operation", "code", "message", "kind", "words"),
    [
        (SIGN_IN, NOT_AUTHORIZED, "Incorrect username or password.", LoginRequired, "UL_PROXY_PASSWORD"),
        (SIGN_IN, NOT_AUTHORIZED, "Password attempts exceeded", SignInFailed, "UL_PROXY_PASSWORD"),
        (SIGN_IN, NOT_AUTHORIZED, "User is disabled.", LoginRequired, "administrator"),
        (SIGN_IN, NOT_AUTHORIZED, "Invalid Refresh Token", RefreshRejected, ""),
        (SIGN_IN, NOT_AUTHORIZED, "Refresh Token has been revoked", RefreshRejected, ""),
        (SIGN_IN, NOT_AUTHORIZED, "Unable to verify secret hash for client x", LoginRequired, "CLIENT_SECRET"),
        (SIGN_IN, NOT_AUTHORIZED, "SecretHash does not match for the client: x", LoginRequired, "CLIENT_SECRET"),
        (
            SIGN_IN,
            NOT_AUTHORIZED,
            "Client x is configured with secret but SECRET_HASH was not received",
            LoginRequired,
            "CLIENT_SECRET",
        ),
        (SIGN_IN, NOT_AUTHORIZED, "Invalid session for the user, session is expired.", SignInFailed, ""),
        (SIGN_IN, "UserNotConfirmedException", "", LoginRequired, "ul-proxy login"),
        (SIGN_IN, "PasswordResetRequiredException", "", LoginRequired, "ul-proxy login"),
        (SIGN_IN, "ResourceNotFoundException", "", LoginRequired, "cognito.client_id"),
        (SIGN_IN, "InvalidParameterException", "", LoginRequired, "cognito.auth_flow"),
        (SIGN_IN, "ForbiddenException", "Request not allowed due to WAF block.", SignInFailed, "tries again"),
        (RENEWAL, "Throttling", "", SignInFailed, "tries again"),
        (RENEWAL, "RequestLimitExceeded", "", SignInFailed, "tries again"),
        (RENEWAL, "RequestTimeoutException", "", SignInFailed, "tries again"),
        (SIGN_IN, "InvalidLambdaResponseException", "", SignInFailed, "tries again"),
        (SIGN_IN, "WhateverException", "", LoginRequired, ""),
        ("ForgotPassword", "CodeDeliveryFailureException", "", LoginRequired, "administrator"),
        ("ForgotPassword", "LimitExceededException", "", SignInFailed, ""),
        ("ConfirmSignUp", "TooManyFailedAttemptsException", "", SignInFailed, ""),
        (RENEWAL, NOT_AUTHORIZED, "anything", RefreshRejected, ""),
        (RENEWAL, "RefreshTokenReuseException", "", RefreshRejected, ""),
        (RENEWAL, "TooManyRequestsException", "", SignInFailed, ""),
        ("RevokeToken", "UnauthorizedException", "", LoginRequired, "CLIENT_SECRET"),
        ("GetId", NOT_AUTHORIZED, "Invalid login token. Token expired: 1 >= 0", SignInFailed, ""),
        ("GetId", NOT_AUTHORIZED, "Logins don't match.", CredentialMissing, "cognito.identity_pool_id"),
        ("GetId", "ResourceNotFoundException", "", CredentialMissing, "cognito.identity_pool_id"),
        ("GetId", "TooManyRequestsException", "", SignInFailed, ""),
        ("GetCredentialsForIdentity", "ExternalServiceException", "", SignInFailed, ""),
        ("GetCredentialsForIdentity", "ResourceConflictException", "", CredentialMissing, "identity_pool_id"),
        (SIGN_IN, "403", "<html>", SignInFailed, ""),
        ("GetId", "", "", SignInFailed, ""),
    ],
)
def test_meaning(operation: str, code: str, message: str, kind: type[CredentialError], words: str) -> None:
    """Each error is transient, terminal or the end of a session, and the hint names what mends it."""
    meaning = Refused(operation, 400, code, message).meaning
    assert type(meaning) is kind
    assert words in meaning.hint
    assert not message or message not in str(meaning)


@pytest.mark.parametrize("code", ["", "InternalErrorException", "WhateverException"])
def test_five_hundreds_are_transient(code: str) -> None:
    """Whatever a server's own error is called, it is worth another try."""
    assert isinstance(Refused("GetId", 503, code, "").meaning, SignInFailed)


@pytest.mark.parametrize("status", [408, 425, 429])
def test_statuses_that_pass(status: int) -> None:
    """A status that asks for another try is transient, whatever name comes with it."""
    assert isinstance(Refused(RENEWAL, status, "WhateverException", "").meaning, SignInFailed)


@pytest.mark.parametrize(
    ("code", "message", "complaint"),
    [
        ("InvalidPasswordException", "Password did not conform with policy: Password not long enough", "too short"),
        ("InvalidPasswordException", "Password must have uppercase characters", "upper-case"),
        ("InvalidPasswordException", "Password must have lowercase characters", "lower-case"),
        ("InvalidPasswordException", "Password must have numeric characters", "digit"),
        ("InvalidPasswordException", "Password must have symbol characters", "symbol"),
        ("InvalidPasswordException", "Provided password cannot be used for security reasons.", "known to others"),
        ("InvalidPasswordException", "something new", "does not allow"),
        ("PasswordHistoryPolicyViolationException", "", "does not allow"),
        ("PasswordHistoryPolicyViolationException", "Password has previously been used", "used before"),
        ("InvalidParameterException", "Password must have symbol characters", None),
    ],
)
def test_complaints(code: str, message: str, complaint: str | None) -> None:
    """What a policy has against a password is said in our words."""
    said = Refused("RespondToAuthChallenge", 400, code, message).password_complaint
    assert said is None if complaint is None else complaint in (said or "")


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("CodeMismatchException", Retry.WRONG),
        ("EnableSoftwareTokenMFAException", Retry.WRONG),
        ("ExpiredCodeException", Retry.EXPIRED),
        (NOT_AUTHORIZED, None),
        ("InvalidParameterException", None),
    ],
)
def test_code_faults(code: str, fault: Retry | None) -> None:
    """A code is wrong or ended, or it is not the code."""
    assert Refused("RespondToAuthChallenge", 400, code, "").code_fault is fault


@pytest.mark.parametrize("name", ["SOFTWARE_TOKEN_MFA", "SMS_MFA", "EMAIL_OTP", "MFA_SETUP", "NEW_PASSWORD_REQUIRED"])
def test_challenges_name_the_command(name: str) -> None:
    """A challenge for a person names itself and the command that answers it."""
    error = failures.from_challenge(name)
    assert name in error.detail
    assert "ul-proxy login" in error.hint


class LibraryError(Exception):
    """What a library makes of a failure."""


@pytest.mark.parametrize(
    ("cause", "reason", "hint"),
    [
        (ssl.SSLCertVerificationError(1, "self-signed"), "its certificate is not trusted", "upstreams.ca_file"),
        (ssl.SSLError(1, "wrong version number"), "TLS with it failed", "cognito.endpoint_url"),
        (socket.gaierror(-2, "Name or service not known"), "its name does not resolve", "tries again"),
        (ConnectionRefusedError(111, "Connection refused"), "the connection is refused", "tries again"),
        (TimeoutError(), "it does not answer in time", "tries again"),
        (OSError(101, "Network is unreachable"), "Network is unreachable", "tries again"),
        (ConnectionResetError(), "the connection broke off", "tries again"),
        (LibraryError(), "the connection broke off", "tries again"),
    ],
)
@pytest.mark.parametrize("explicit", [True, False])
def test_why_nobody_answers(cause: Exception, reason: str, hint: str, explicit: bool) -> None:
    """The reason, and what mends it, is said in words, however deep a library wraps it: no class is named."""
    try:
        try:
            raise cause
        except Exception as error:
            if explicit:
                raise LibraryError from error
            raise LibraryError  # noqa: B904 - as libraries do, too
    except LibraryError as error:
        found = failures.unreachable(error)
    assert (found.detail, found.transient) == (f"Cognito cannot be reached: {reason}", True)
    assert hint in found.hint
