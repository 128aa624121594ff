"""Every challenge, answered by a person or by the settings: the real client against the embedded pool."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from support.account import ALIAS, REAL_NAME, TOTP_SECRET, Account, account
from support.people import Person, newest_code, shown
from support.stack import PASSWORD

from proxy.demo.faults import Fault
from proxy.errors import CredentialMissing, LoginRequired, SignInFailed
from proxy.identity.cognito.asking import CONFIRM_SIGN_UP, PASSWORD_RESET, CodeRequest, Medium, Retry
from proxy.identity.profile import AuthFlow

NEW_PASSWORD = "Another-Horse-7"


@pytest.fixture
async def pilot() -> AsyncIterator[Account]:
    async with account() as made:
        yield made


every_flow = pytest.mark.parametrize("flow", list(AuthFlow))


@every_flow
@pytest.mark.parametrize("factor", ["SOFTWARE_TOKEN_MFA", "SMS_MFA", "EMAIL_OTP"])
async def test_a_code_is_asked_for(factor: str, flow: AuthFlow, pilot: Account) -> None:
    """A second factor is asked for with where its code went, and the right code signs in, with either password flow."""
    pilot.user.challenge = factor
    pilot.user.totp_secret = TOTP_SECRET
    code = pilot.authenticator if factor == "SOFTWARE_TOKEN_MFA" else newest_code(pilot.cognito)
    person = Person.who_says(code=code)
    token = await pilot.client.sign_in(pilot.profile(auth_flow=flow), person)
    medium, destination = {
        "SOFTWARE_TOKEN_MFA": (Medium.AUTHENTICATOR, None),
        "SMS_MFA": (Medium.SMS, "+*******0156"),
        "EMAIL_OTP": (Medium.EMAIL, "p***@e***"),
    }[factor]
    (request,) = person.questions("code")
    assert (request.challenge, request.medium, request.destination) == (factor, medium, destination)
    assert (request.retry, request.attempt) == (None, 1)
    assert (token.username, token.claims["cognito:username"]) == (REAL_NAME, REAL_NAME)


async def test_spaces_in_a_code_are_no_part_of_it(pilot: Account) -> None:
    """A code that was typed in groups is the same code."""
    pilot.user.sms_mfa = True

    def spaced() -> str:
        code = pilot.cognito.outbox[-1].code
        return f" {code[:3]} {code[3:]}\n"

    assert await pilot.client.sign_in(pilot.profile(), Person.who_says(code=spaced))


@pytest.mark.parametrize("chosen", ["SMS_MFA", "EMAIL_OTP", "SOFTWARE_TOKEN_MFA"])
async def test_a_second_factor_is_chosen(chosen: str, pilot: Account) -> None:
    """A person with several second factors says which, and is asked for that one's code."""
    pilot.user.totp_secret, pilot.user.sms_mfa, pilot.user.email_mfa = TOTP_SECRET, True, True
    code = pilot.authenticator if chosen == "SOFTWARE_TOKEN_MFA" else newest_code(pilot.cognito)
    person = Person.who_says(choose=chosen, code=code)
    await pilot.client.sign_in(pilot.profile(), person)
    assert person.questions("choose") == [("SELECT_MFA_TYPE", ("SOFTWARE_TOKEN_MFA", "SMS_MFA", "EMAIL_OTP"))]
    assert [request.challenge for request in person.questions("code")] == [chosen]


async def test_an_authenticator_is_set_up(pilot: Account) -> None:
    """Where a second factor is demanded, the secret is shown, its first code taken, and it works from then on."""
    pilot.configure(mfa_required=True)
    person = Person()
    person.replies["code"] = Person.who_says(code=shown(lambda: person.totp_secret, lambda: pilot.clock.wall)).replies[
        "code"
    ]
    await pilot.client.sign_in(pilot.profile(), person)
    assert pilot.user.totp_secret == person.totp_secret
    assert person.otpauth_uri == (
        f"otpauth://totp/Unleash%20Live:{ALIAS}?secret={person.totp_secret}&issuer=Unleash%20Live"
    )
    assert [kind for kind, _ in person.asked] == ["show_totp_secret", "code"]
    await pilot.clock.advance(30)
    assert await pilot.client.sign_in(pilot.profile(totp_secret=SecretStr(person.totp_secret)))


async def test_a_wrong_first_code_of_a_new_authenticator_is_asked_for_again(pilot: Account) -> None:
    """The secret stays the same while its first code is wrong."""
    pilot.configure(mfa_required=True)
    person = Person()
    right = shown(lambda: person.totp_secret, lambda: pilot.clock.wall)
    person.replies = Person.who_says(code=["000000", right]).replies
    await pilot.client.sign_in(pilot.profile(), person)
    assert len(person.questions("show_totp_secret")) == 1
    assert [request.retry for request in person.questions("code")] == [None, Retry.WRONG]


async def test_a_second_factor_that_nobody_can_set_up_here(pilot: Account) -> None:
    """Where the pool offers no authenticator, that is told, and no code is asked for."""
    pilot.user.challenge = "MFA_SETUP"
    pilot.user.challenge_parameters = {"MFAS_CAN_SETUP": '["SMS_MFA"]'}
    with pytest.raises(LoginRequired, match="administrator"):
        await pilot.client.sign_in(pilot.profile(), Person())


@every_flow
async def test_a_new_password_is_chosen(flow: AuthFlow, pilot: Account) -> None:
    """A temporary password is replaced; complaints of the policy are handed on, and required attributes asked for."""
    pilot.user.new_password_required = True
    pilot.configure(required_attributes=("given_name", "family_name"))
    replies = ["NO-SMALL-ONE-1", "No-Digit-Here", "NoSymbol1", NEW_PASSWORD]
    pilot.configure(code_tries=10)
    person = Person.who_says(new_password=replies, attribute=["Ada", "Lovelace"])
    await pilot.client.sign_in(pilot.profile(auth_flow=flow), person)
    assert person.questions("attribute") == [("given_name", False), ("family_name", False)]
    assert person.questions("new_password") == [
        ("NEW_PASSWORD_REQUIRED", None),
        ("NEW_PASSWORD_REQUIRED", "it needs a lower-case letter"),
        ("NEW_PASSWORD_REQUIRED", "it needs a digit"),
        ("NEW_PASSWORD_REQUIRED", "it needs a symbol"),
    ]
    assert pilot.user.password == NEW_PASSWORD
    assert (pilot.user.attributes["given_name"], pilot.user.attributes["family_name"]) == ("Ada", "Lovelace")


async def test_an_attribute_that_is_refused_is_asked_for_again(pilot: Account) -> None:
    """What Cognito does not take for an attribute is asked again, and the password is not."""
    pilot.user.new_password_required = True
    pilot.configure(required_attributes=("given_name",))
    person = Person.who_says(new_password=NEW_PASSWORD, attribute=["", "Ada"])
    await pilot.client.sign_in(pilot.profile(), person)
    assert person.questions("attribute") == [("given_name", False), ("given_name", True)]
    assert len(person.questions("new_password")) == 1


async def test_a_session_lost_after_the_new_password_goes_on_with_it(pilot: Account) -> None:
    """A sign-in that begins anew after a new password was taken proves the new one."""
    pilot.user.new_password_required = True
    pilot.user.sms_mfa = True

    async def too_late() -> str:
        await pilot.clock.advance(180)
        return pilot.cognito.outbox[-1].code

    person = Person.who_says(new_password=NEW_PASSWORD, code=[too_late, newest_code(pilot.cognito)])
    await pilot.client.sign_in(pilot.profile(), person)
    assert [request.retry for request in person.questions("code")] == [None, Retry.LOST]
    assert len(person.questions("new_password")) == 1


@every_flow
async def test_a_password_is_reset(flow: AuthFlow, pilot: Account) -> None:
    """A password that must be reset is, with a code by e-mail, and the sign-in goes on with the new one."""
    pilot.user.reset_required = True
    person = Person.who_says(code=["000000", newest_code(pilot.cognito)], new_password=["weak", NEW_PASSWORD])
    await pilot.client.sign_in(pilot.profile(auth_flow=flow), person)
    assert pilot.user.password == NEW_PASSWORD
    assert [(r.challenge, r.medium, r.destination, r.retry) for r in person.questions("code")] == [
        (PASSWORD_RESET, Medium.EMAIL, "p***@e***", None),
        (PASSWORD_RESET, Medium.EMAIL, "p***@e***", Retry.WRONG),
    ]
    assert person.questions("new_password") == [(PASSWORD_RESET, None), (PASSWORD_RESET, "it is too short")]


@pytest.mark.parametrize(("state", "challenge"), [("reset_required", PASSWORD_RESET), ("unconfirmed", CONFIRM_SIGN_UP)])
async def test_an_expired_code_by_email_is_sent_anew(state: str, challenge: str, pilot: Account) -> None:
    """Whoever takes longer than a code lives gets a new one."""
    pilot.user.reset_required, pilot.user.confirmed = state == "reset_required", state != "unconfirmed"

    async def after_two_hours() -> str:
        code = pilot.cognito.outbox[-1].code
        await pilot.clock.advance(7200)
        return code

    person = Person.who_says(code=[after_two_hours, newest_code(pilot.cognito)], new_password=NEW_PASSWORD)
    await pilot.client.sign_in(pilot.profile(), person)
    assert [(r.challenge, r.retry) for r in person.questions("code")] == [(challenge, None), (challenge, Retry.EXPIRED)]
    assert len(pilot.cognito.outbox) == 2


@every_flow
async def test_an_account_is_confirmed(flow: AuthFlow, pilot: Account) -> None:
    """An account that was never confirmed is, with the code that is sent."""
    pilot.user.confirmed = False
    person = Person.who_says(code=["000000", newest_code(pilot.cognito)])
    await pilot.client.sign_in(pilot.profile(auth_flow=flow), person)
    assert pilot.user.confirmed
    assert [(r.challenge, r.medium, r.retry) for r in person.questions("code")] == [
        (CONFIRM_SIGN_UP, Medium.EMAIL, None),
        (CONFIRM_SIGN_UP, Medium.EMAIL, Retry.WRONG),
    ]


async def test_all_of_it_in_one_sign_in(pilot: Account) -> None:
    """An account that needs everything at once is walked through everything, on a pool that remembers devices."""
    pilot.configure(mfa_required=True, remembers_devices=True, client_secret="s" * 32, required_attributes=("name",))
    pilot.user.confirmed, pilot.user.reset_required, pilot.user.new_password_required = False, True, True
    person = Person()
    app = shown(lambda: person.totp_secret, lambda: pilot.clock.wall)
    code = newest_code(pilot.cognito)
    person.replies = Person.who_says(code=[code, code, app], new_password=NEW_PASSWORD, attribute="Ada").replies
    # ConfirmForgotPassword takes the place of a temporary password, so that one is demanded afterwards.
    pilot.user.challenge = "NEW_PASSWORD_REQUIRED"
    token = await pilot.client.sign_in(pilot.profile(), person)
    asked = [kind for kind, _ in person.asked]
    assert asked == ["code", "code", "new_password", "attribute", "new_password", "show_totp_secret", "code"]
    assert token.device is not None
    assert await pilot.client.renew(pilot.profile(), token)


async def test_login_and_password_are_asked_for(pilot: Account) -> None:
    """With neither in the settings, a person is asked for both, and again for a password that was wrong."""
    person = Person.who_says(username=ALIAS, password=["wrong", PASSWORD])
    await pilot.client.sign_in(pilot.profile(username=None, password=None), person)
    assert person.asked == [("username", None), ("password", (ALIAS, False)), ("password", (ALIAS, True))]


async def test_a_wrong_password_is_not_tried_until_the_lockout(pilot: Account) -> None:
    """Three wrong passwords end the sign-in, two before Cognito locks the user out."""
    person = Person.who_says(password="wrong")
    with pytest.raises(LoginRequired, match="password"):
        await pilot.client.sign_in(pilot.profile(password=None), person)
    assert len(person.questions("password")) == 3
    assert await pilot.client.sign_in(pilot.profile())


async def test_without_a_login_and_a_person_it_is_told_what_lacks(pilot: Account) -> None:
    """Nobody to ask: the error names the settings, and Cognito is not called."""
    with pytest.raises(CredentialMissing) as caught:
        await pilot.client.sign_in(pilot.profile(password=None))
    assert "UL_PROXY_PASSWORD" in caught.value.hint
    assert not pilot.cognito.calls


class TestWrongCodes:
    async def test_are_asked_again_under_the_same_sign_in(self, pilot: Account) -> None:
        """A wrong code is asked for again without another password proof or another message."""
        pilot.user.sms_mfa = True
        person = Person.who_says(code=["000000", newest_code(pilot.cognito)])
        await pilot.client.sign_in(pilot.profile(), person)
        assert [(r.retry, r.attempt) for r in person.questions("code")] == [(None, 1), (Retry.WRONG, 2)]
        assert len(pilot.cognito.outbox) == 1
        assert pilot.cognito.counts["InitiateAuth"] == 1

    async def test_begin_anew_when_the_session_is_lost(self, pilot: Account) -> None:
        """After too many wrong codes Cognito forgets the sign-in: it begins anew, with a new code."""
        pilot.user.sms_mfa = True
        person = Person.who_says(code=["000000", "000001", "000002", "000003", newest_code(pilot.cognito)])
        await pilot.client.sign_in(pilot.profile(), person)
        retries = [request.retry for request in person.questions("code")]
        assert retries == [None, Retry.WRONG, Retry.WRONG, Retry.WRONG, Retry.LOST]
        assert len(pilot.cognito.outbox) == 2

    async def test_end_at_last(self, pilot: Account) -> None:
        """After five wrong codes it is over, and the challenge is named."""
        pilot.user.email_mfa = True
        person = Person.who_says(code="000000")
        with pytest.raises(LoginRequired, match="EMAIL_OTP"):
            await pilot.client.sign_in(pilot.profile(), person)
        assert len(person.questions("code")) == 5

    @pytest.mark.parametrize(
        "nonsense", ["", "  ", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666"]
    )
    async def test_that_are_none_are_not_even_sent(self, nonsense: str, pilot: Account) -> None:
        """What cannot be an authenticator's code is asked for again at once."""
        pilot.user.totp_secret = TOTP_SECRET
        person = Person.who_says(code=[nonsense, pilot.authenticator])
        await pilot.client.sign_in(pilot.profile(), person)
        assert [request.retry for request in person.questions("code")] == [None, Retry.WRONG]
        # The password's proof, and one code.
        assert pilot.cognito.counts["RespondToAuthChallenge"] == 2

    async def test_an_authenticators_code_works_once(self, pilot: Account) -> None:
        """A code that was used before is asked for again as expired, and the next one is taken."""
        pilot.user.totp_secret = TOTP_SECRET
        await pilot.client.sign_in(pilot.profile(), Person.who_says(code=pilot.authenticator))

        async def next_code() -> str:
            await pilot.clock.advance(30)
            return pilot.authenticator()

        person = Person.who_says(code=[pilot.authenticator, next_code])
        await pilot.client.sign_in(pilot.profile(), person)
        assert [request.retry for request in person.questions("code")] == [None, Retry.EXPIRED]

    async def test_a_person_who_gives_up_ends_it(self, pilot: Account) -> None:
        """Whatever the asking raises reaches whoever began the sign-in."""
        pilot.user.sms_mfa = True

        class GaveUp(Exception):
            pass

        def give_up() -> str:
            raise GaveUp

        with pytest.raises(GaveUp):
            await pilot.client.sign_in(pilot.profile(), Person.who_says(code=give_up))


class TestTrouble:
    """A Cognito in trouble while a person answers."""

    @pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.FAIL, Fault.DROP])
    async def test_is_sat_out(self, fault: Fault, pilot: Account) -> None:
        """Whoever has typed a code need not type another because Cognito was busy."""
        pilot.user.sms_mfa = True
        draws = iter([1.0, 0.0, 0.0])
        pilot.cognito.faults.sometimes(fault, 0.5, lambda: next(draws, 1.0), "RespondToAuthChallenge")
        person = Person.who_says(code=newest_code(pilot.cognito))
        assert await pilot.finish(pilot.client.sign_in(pilot.profile(), person))
        assert len(person.questions("code")) == len(pilot.cognito.outbox) == 1
        assert pilot.cognito.counts["RespondToAuthChallenge"] == 4

    async def test_that_lasts_is_told(self, pilot: Account) -> None:
        """Three calls, no more, then the person hears of it."""
        pilot.cognito.faults.drop(operation="InitiateAuth")
        with pytest.raises(SignInFailed):
            await pilot.finish(pilot.client.sign_in(pilot.profile(), Person()))
        assert pilot.cognito.counts["InitiateAuth"] == 3

    async def test_a_lost_answer_begins_anew(self, pilot: Account) -> None:
        """A code that was taken without an answer is not asked for in the same session again."""
        pilot.user.sms_mfa = True
        draws = iter([1.0, 0.0])
        pilot.cognito.faults.sometimes(Fault.DROP_ANSWER, 0.5, lambda: next(draws, 1.0), "RespondToAuthChallenge")
        person = Person.who_says(code=newest_code(pilot.cognito))
        assert await pilot.finish(pilot.client.sign_in(pilot.profile(), person))
        assert [request.retry for request in person.questions("code")] == [None, Retry.LOST]

    async def test_a_lockout_is_not_sat_out(self, pilot: Account) -> None:
        """A user who is locked out hears so at once: each try would prolong it."""
        for _ in range(5):
            with pytest.raises(LoginRequired):
                await pilot.client.sign_in(pilot.profile(password=SecretStr("wrong")))
        tries = pilot.cognito.counts["RespondToAuthChallenge"]
        with pytest.raises(SignInFailed, match="locked"):
            await pilot.client.sign_in(pilot.profile(), Person())
        assert pilot.cognito.counts["RespondToAuthChallenge"] == tries + 1


class TestAlone:
    """With nobody at hand: what `serve` does."""

    @every_flow
    async def test_totp_secret_answers(self, flow: AuthFlow, pilot: Account) -> None:
        """A `totp_secret` answers for an authenticator, in whatever way it was copied."""
        pilot.user.totp_secret = TOTP_SECRET
        spelled = SecretStr("gezd gnbv gy3t qojq gezd gnbv gy3t qojq")
        assert await pilot.client.sign_in(pilot.profile(auth_flow=flow, totp_secret=spelled))

    async def test_totp_secret_chooses(self, pilot: Account) -> None:
        """Of several second factors the settings choose the one that they can answer."""
        pilot.user.totp_secret, pilot.user.sms_mfa = TOTP_SECRET, True
        assert await pilot.client.sign_in(pilot.profile(totp_secret=SecretStr(TOTP_SECRET)))
        assert not pilot.cognito.outbox

    async def test_no_code_is_sent_twice(self, pilot: Account) -> None:
        """Sign-ins in quick succession wait for the next code each, and Cognito has nothing to refuse."""
        pilot.user.totp_secret = TOTP_SECRET
        profile = pilot.profile(totp_secret=SecretStr(TOTP_SECRET))
        began = pilot.clock.wall
        for _ in range(3):
            await pilot.finish(pilot.client.sign_in(profile))
        codes = [
            call["ChallengeResponses"]["SOFTWARE_TOKEN_MFA_CODE"]
            for call in pilot.parameters("RespondToAuthChallenge")
            if call["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
        ]
        assert len(set(codes)) == len(codes) == 3
        assert not pilot.cognito.refusals
        assert 60 <= pilot.clock.wall - began <= 62

    async def test_a_code_used_elsewhere_costs_one_more(self, pilot: Account) -> None:
        """A code that somebody else has used is followed by the next one, once."""
        pilot.user.totp_secret = TOTP_SECRET
        await pilot.client.sign_in(pilot.profile(), Person.who_says(code=pilot.authenticator))
        profile = pilot.profile(totp_secret=SecretStr(TOTP_SECRET))
        assert await pilot.finish(pilot.client.sign_in(profile))
        assert pilot.cognito.refusals == {"ExpiredCodeException": 1}

    async def test_a_wrong_secret_is_terminal_after_one_fresh_code(self, pilot: Account) -> None:
        """Two codes are tried, no more, and the setting is named."""
        pilot.user.totp_secret = TOTP_SECRET
        profile = pilot.profile(totp_secret=SecretStr("MFRGGZDFMZTWQ2LK"))
        with pytest.raises(LoginRequired) as caught:
            await pilot.finish(pilot.client.sign_in(profile))
        assert pilot.cognito.refusals == {"CodeMismatchException": 2}
        assert "UL_PROXY_TOTP_SECRET" in caught.value.hint
        assert "MFRGGZDFMZTWQ2LK" not in str(caught.value) + caught.value.hint

    async def test_a_secret_that_is_none_is_told(self, pilot: Account) -> None:
        """A `totp_secret` that is no base32 is an error in the settings' words."""
        pilot.user.totp_secret = TOTP_SECRET
        with pytest.raises(LoginRequired, match="base32") as caught:
            await pilot.client.sign_in(pilot.profile(totp_secret=SecretStr("canary-0189")))
        assert "canary" not in str(caught.value) + caught.value.hint

    @pytest.mark.parametrize("offset", [7200.0, -7200.0], ids=["ahead", "behind"])
    async def test_a_wrong_local_clock_does_no_harm(self, offset: float, pilot: Account) -> None:
        """Codes are made for Cognito's time, not for the machine's."""
        pilot.user.totp_secret = TOTP_SECRET
        pilot.cognito.pool.now = lambda: pilot.clock.wall - offset
        assert await pilot.client.sign_in(pilot.profile(totp_secret=SecretStr(TOTP_SECRET)))
        assert not pilot.cognito.refusals

    async def test_a_person_is_asked_where_the_secret_fails(self, pilot: Account) -> None:
        """At a terminal a wrong `totp_secret` is no dead end."""
        pilot.user.totp_secret = TOTP_SECRET
        person = Person.who_says(code=pilot.authenticator)
        profile = pilot.profile(totp_secret=SecretStr("MFRGGZDFMZTWQ2LK"))
        assert await pilot.finish(pilot.client.sign_in(profile, person))
        assert [(r.retry, r.attempt) for r in person.questions("code")] == [(Retry.WRONG, 3)]

    @pytest.mark.parametrize(
        ("prepare", "named"),
        [
            ({"totp_secret": TOTP_SECRET}, "SOFTWARE_TOKEN_MFA"),
            ({"sms_mfa": True}, "SMS_MFA"),
            ({"email_mfa": True}, "EMAIL_OTP"),
            ({"sms_mfa": True, "email_mfa": True}, "SELECT_MFA_TYPE"),
            ({"new_password_required": True}, "NEW_PASSWORD_REQUIRED"),
            ({"challenge": "MFA_SETUP"}, "MFA_SETUP"),
            ({"challenge": "CUSTOM_CHALLENGE"}, "CUSTOM_CHALLENGE"),
            ({"confirmed": False}, "confirmed"),
            ({"reset_required": True}, "reset"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_what_needs_a_person_is_told(self, prepare: dict[str, Any], named: str, pilot: Account) -> None:
        """Everything else is `login_required`, which names what is in the way and the command, and sends no message."""
        for name, value in prepare.items():
            setattr(pilot.user, name, value)
        with pytest.raises(LoginRequired) as caught:
            await pilot.client.sign_in(pilot.profile())
        assert named in caught.value.detail
        command = "ul-proxy login" if named != "CUSTOM_CHALLENGE" else "personal_access_token"
        assert command in caught.value.hint
        needless = {"ForgotPassword", "ResendConfirmationCode", "AssociateSoftwareToken"}
        assert not needless & set(pilot.cognito.counts)

    async def test_a_session_that_is_always_lost_is_transient(self, pilot: Account) -> None:
        """A Cognito that forgets every sign-in is asked a few times, then left alone for a while."""
        pilot.configure(session_lifetime=0)
        with pytest.raises(SignInFailed):
            await pilot.client.sign_in(pilot.profile())
        assert pilot.cognito.counts["InitiateAuth"] == 3


async def test_secrets_stay_out_of_requests_for_codes(pilot: Account) -> None:
    """What a person is asked holds no secret in its representation."""
    pilot.user.sms_mfa = True
    person = Person.who_says(code=newest_code(pilot.cognito))
    token = await pilot.client.sign_in(pilot.profile(), person)
    (request,) = person.questions("code")
    assert isinstance(request, CodeRequest)
    for secret in (PASSWORD, token.id_token.get_secret_value(), pilot.cognito.outbox[-1].code):
        assert secret not in repr(request)
