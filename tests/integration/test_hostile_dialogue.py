"""A Cognito that answers in a way that Cognito never does, in the middle of a sign-in: told, and never a defect."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from support.account import Account, account
from support.people import Person

from proxy.errors import CredentialError, LoginRequired, SignInFailed
from proxy.identity.cognito.failures import Refused
from proxy.identity.issued import Device
from proxy.identity.profile import AuthFlow

SESSION = "s" * 24
DEVICE = Device("ap-southeast-2_0", "-group", SecretStr("its own"))


def posed(name: str, **parameters: Any) -> dict[str, Any]:
    return {"ChallengeName": name, "ChallengeParameters": parameters, "Session": SESSION}


@pytest.fixture
async def pilot() -> AsyncIterator[Account]:
    async with account() as made:
        yield made


class Script:
    """Answers in place of Cognito, in turn, the last one for good."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.operations: list[str] = []

    async def call(self, _endpoint: object, operation: str, _parameters: object) -> dict[str, Any]:
        self.operations.append(operation)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """There is nothing to close."""


SRP: dict[str, Any] = {"SRP_B": "abc", "SALT": "abc", "SECRET_BLOCK": "AAAA", "USER_ID_FOR_SRP": "x"}


@pytest.mark.parametrize(
    ("flow", "answers", "kind", "words"),
    [
        (AuthFlow.PASSWORD, [posed("PASSWORD_VERIFIER", **SRP)], SignInFailed, "out of turn"),
        (AuthFlow.SRP, [posed("PASSWORD_VERIFIER", **SRP)], SignInFailed, "one challenge after the other"),
        (AuthFlow.SRP, [posed("PASSWORD_VERIFIER", **{**SRP, "SRP_B": "0"})], SignInFailed, "unusable"),
        (AuthFlow.SRP, [posed("PASSWORD_VERIFIER", **{**SRP, "SECRET_BLOCK": "!"})], SignInFailed, "unusable"),
        (AuthFlow.SRP, [posed("PASSWORD_VERIFIER", SRP_B="abc")], SignInFailed, "lacks SALT"),
        (AuthFlow.SRP, [{"ChallengeName": "PASSWORD_VERIFIER"}], SignInFailed, "lacks SRP_B"),
        (AuthFlow.SRP, [{"ChallengeName": "X", "Session": 7}], SignInFailed, "lacks Session"),
        (AuthFlow.SRP, [posed("DEVICE_PASSWORD_VERIFIER", **SRP)], LoginRequired, "DEVICE_PASSWORD_VERIFIER"),
        (AuthFlow.SRP, [posed("SELECT_MFA_TYPE")], SignInFailed, "no second factor"),
        (AuthFlow.SRP, [posed("MFA_SETUP", MFAS_CAN_SETUP="nonsense")], LoginRequired, "administrator"),
        (
            AuthFlow.SRP,
            [posed("MFA_SETUP", MFAS_CAN_SETUP='["SOFTWARE_TOKEN_MFA"]'), {"Session": SESSION}],
            SignInFailed,
            "lacks SecretCode",
        ),
        (
            AuthFlow.SRP,
            [
                posed("MFA_SETUP", MFAS_CAN_SETUP='["SOFTWARE_TOKEN_MFA"]'),
                {"SecretCode": "GEZDGNBVGY3TQOJQ", "Session": SESSION},
                {"Status": "ERROR"},
            ],
            LoginRequired,
            "too many wrong tries at MFA_SETUP",
        ),
        (
            AuthFlow.SRP,
            [
                posed("NEW_PASSWORD_REQUIRED"),
                Refused("RespondToAuthChallenge", 400, "AliasExistsException", "canary"),
            ],
            LoginRequired,
            "AliasExistsException",
        ),
        (
            AuthFlow.SRP,
            [
                posed("NEW_PASSWORD_REQUIRED"),
                Refused("RespondToAuthChallenge", 400, "InvalidPasswordException", "canary"),
            ],
            LoginRequired,
            "too many wrong tries at NEW_PASSWORD_REQUIRED",
        ),
        (
            AuthFlow.SRP,
            [posed("SMS_MFA"), Refused("RespondToAuthChallenge", 400, "AliasExistsException", "canary")],
            LoginRequired,
            "AliasExistsException",
        ),
        (
            AuthFlow.SRP,
            [posed("SMS_MFA"), Refused("RespondToAuthChallenge", 400, "ExpiredCodeException", "canary")],
            LoginRequired,
            "ExpiredCodeException",
        ),
        (
            AuthFlow.SRP,
            [
                Refused("InitiateAuth", 400, "UserNotConfirmedException", "canary"),
                Refused("ResendConfirmationCode", 400, "CodeDeliveryFailureException", "canary"),
            ],
            LoginRequired,
            "deliver",
        ),
        (
            AuthFlow.SRP,
            [
                Refused("InitiateAuth", 400, "PasswordResetRequiredException", "canary"),
                {"CodeDeliveryDetails": "nonsense"},
                Refused("ConfirmForgotPassword", 400, "NotAuthorizedException", "Invalid session canary"),
            ],
            SignInFailed,
            "anew time and again",
        ),
        (AuthFlow.SRP, [{"AuthenticationResult": []}], SignInFailed, "lacks AuthenticationResult"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_nonsense_ends_in_words(
    flow: AuthFlow, answers: list[Any], kind: type[CredentialError], words: str, pilot: Account
) -> None:
    """Whatever comes in whatever order, the sign-in ends after a bounded number of calls, and says why."""
    script = Script(*answers)
    pilot.client._calls = script  # type: ignore[assignment]
    person = Person.who_says(code="123456", new_password="Another-Horse-7", choose="SMS_MFA")
    with pytest.raises(kind) as caught:
        await pilot.finish(pilot.client.sign_in(pilot.profile(auth_flow=flow), person))
    assert words in caught.value.detail
    assert "canary" not in caught.value.detail + caught.value.hint
    assert len(script.operations) <= 30


async def test_a_device_that_was_not_named_is_not_proven(pilot: Account) -> None:
    """A challenge for a device of which nobody spoke is answered with nothing."""
    pilot.client._calls = Script(posed("DEVICE_SRP_AUTH"))  # type: ignore[assignment]
    with pytest.raises(SignInFailed, match="not named"):
        await pilot.client.sign_in(pilot.profile())


async def test_a_device_challenge_may_be_followed_by_another_one(pilot: Account) -> None:
    """Where DEVICE_SRP_AUTH leads elsewhere than to a proof, that is answered."""
    script = Script(posed("DEVICE_SRP_AUTH"), posed("SMS_MFA"))
    pilot.client._calls = script  # type: ignore[assignment]
    with pytest.raises(LoginRequired, match="SMS_MFA"):
        await pilot.client.sign_in(pilot.profile(), device=DEVICE)


async def test_trouble_with_a_device_is_trouble(pilot: Account) -> None:
    """A device whose proof meets a throttling Cognito is not given up for that."""
    busy = Refused("RespondToAuthChallenge", 400, "TooManyRequestsException", "")
    pilot.client._calls = Script(posed("DEVICE_SRP_AUTH"), busy)  # type: ignore[assignment]
    with pytest.raises(SignInFailed, match="throttling"):
        await pilot.client.sign_in(pilot.profile(), device=DEVICE)
