"""What holds a session together: client secrets, devices, rotation, revocation and the identity pool's credentials.

The real client against the embedded pool.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.account import ALIAS, CLIENT_SECRET, REAL_NAME, TOTP_SECRET, Account, account, new_client
from support.certificates import authority
from support.loops import EVERY_LOOP
from support.people import Person, newest_code, shown
from support.stack import PASSWORD, USERNAME, new_cognito, pool_of

from proxy.clock import SystemClock
from proxy.demo.faults import Fault
from proxy.demo.protocol import Refusal
from proxy.errors import CredentialMissing, LoginRequired, RefreshRejected, SignInFailed
from proxy.identity.cognito import payloads
from proxy.identity.issued import Session, Token
from proxy.identity.profile import AuthFlow, Profile

loop_factories = EVERY_LOOP

RENEWAL = "GetTokensFromRefreshToken"

every_flow = pytest.mark.parametrize("flow", list(AuthFlow))


@pytest.fixture
async def pilot() -> AsyncIterator[Account]:
    async with account() as made:
        yield made


def refresh_token(token: Token) -> str:
    assert token.refresh_token is not None
    return token.refresh_token.get_secret_value()


class TestClientSecret:
    @every_flow
    async def test_everything_carries_its_proof(self, flow: AuthFlow, pilot: Account) -> None:
        """After an alias login, with a challenge, both renewals and the revocation, nothing is refused for its hash."""
        pilot.configure(client_secret=CLIENT_SECRET)
        pilot.user.sms_mfa = True
        profile = pilot.profile(auth_flow=flow)
        token = await pilot.client.sign_in(profile, Person.who_says(code=newest_code(pilot.cognito)))
        token = await pilot.client.renew(profile, token)
        assert token.username == REAL_NAME
        pilot.cognito.unknown_operations.add(RENEWAL)
        token = await pilot.client.renew(profile, token)
        assert token.refresh_token is not None
        await pilot.client.revoke(profile, token.refresh_token)
        assert pilot.cognito.refusals == {"UnknownOperationException": 1}
        begun, *_, renewed = pilot.parameters("InitiateAuth")
        # The alias is what is sent at first, the real name from then on.
        secret, client = SecretStr(CLIENT_SECRET), profile.pool.client_id
        assert begun["AuthParameters"]["SECRET_HASH"] == payloads.secret_hash(secret, ALIAS, client)
        assert renewed["AuthParameters"]["SECRET_HASH"] == payloads.secret_hash(secret, REAL_NAME, client)
        responses = [call["ChallengeResponses"] for call in pilot.parameters("RespondToAuthChallenge")]
        assert {response["SECRET_HASH"] for response in responses} == {payloads.secret_hash(secret, REAL_NAME, client)}

    @pytest.mark.parametrize(
        ("of_pool", "of_profile"),
        [(CLIENT_SECRET, None), (CLIENT_SECRET, CLIENT_SECRET[::-1]), (None, CLIENT_SECRET)],
        ids=["missing", "wrong", "needless"],
    )
    async def test_a_mistake_in_it_is_told(self, of_pool: str | None, of_profile: str | None, pilot: Account) -> None:
        """A client secret that is missing, wrong or needless is terminal, and the setting is named."""
        pilot.configure(client_secret=of_pool)
        secret = SecretStr(of_profile) if of_profile else None
        for flow in AuthFlow:
            with pytest.raises(LoginRequired) as caught:
                await pilot.client.sign_in(pilot.profile(client_secret=secret, auth_flow=flow))
            assert "UL_PROXY_COGNITO__CLIENT_SECRET" in caught.value.hint
            assert CLIENT_SECRET not in str(caught.value) + caught.value.hint
        with pytest.raises(LoginRequired):
            await pilot.client.revoke(pilot.profile(client_secret=secret), SecretStr("a.b.c.d.e"))
        with pytest.raises(RefreshRejected):
            await pilot.client.renew(pilot.profile(client_secret=secret), Session(SecretStr("a.b.c.d.e")))


class TestDevices:
    @pytest.fixture
    async def pilot(self) -> AsyncIterator[Account]:
        async with account(remembers_devices=True) as made:
            yield made

    @every_flow
    async def test_are_registered_and_renewed_with(self, flow: AuthFlow, pilot: Account) -> None:
        """A pool that remembers devices is told a verifier, and both renewals name the device."""
        profile = pilot.profile(auth_flow=flow)
        token = await pilot.client.sign_in(profile)
        assert token.device is not None
        (device,) = pilot.cognito.pool.devices.of(pilot.user)
        assert (device.key, device.confirmed, device.remembered) == (token.device.key, True, True)
        assert token.device.password.get_secret_value() not in repr(pilot.parameters("ConfirmDevice")) + repr(token)
        renewed = await pilot.client.renew(profile, token)
        assert (renewed.device, renewed.username) == (token.device, token.username)
        pilot.cognito.unknown_operations.add(RENEWAL)
        assert await pilot.client.renew(profile, renewed.session)

    async def test_a_renewal_without_it_is_refused(self, pilot: Account) -> None:
        """A session whose device was lost needs a sign-in."""
        token = await pilot.client.sign_in(pilot.profile())
        with pytest.raises(RefreshRejected):
            await pilot.client.renew(pilot.profile(), Session(token.refresh_token, token.username))

    @every_flow
    async def test_take_the_place_of_a_second_factor(self, flow: AuthFlow, pilot: Account) -> None:
        """A second sign-in from the same device proves the device, and nobody is asked for a code."""
        pilot.user.sms_mfa = True
        profile = pilot.profile(auth_flow=flow)
        first = await pilot.client.sign_in(profile, Person.who_says(code=newest_code(pilot.cognito)))
        second = await pilot.client.sign_in(profile, device=first.device)
        assert second.device == first.device
        challenges = [call["ChallengeName"] for call in pilot.parameters("RespondToAuthChallenge")]
        assert challenges[-2:] == ["DEVICE_SRP_AUTH", "DEVICE_PASSWORD_VERIFIER"]
        assert len(pilot.cognito.outbox) == len(pilot.cognito.pool.devices.of(pilot.user)) == 1
        assert await pilot.client.renew(profile, second)

    async def test_with_a_client_secret(self, pilot: Account) -> None:
        """The proof of a device carries the client secret's hash, too."""
        pilot.configure(client_secret=CLIENT_SECRET)
        first = await pilot.client.sign_in(pilot.profile())
        assert await pilot.client.sign_in(pilot.profile(), device=first.device)
        assert not pilot.cognito.refusals

    async def test_beside_a_second_factor(self, pilot: Account) -> None:
        """Where a device spares no second factor, both are shown."""
        pilot.configure(device_spares_mfa=False)
        pilot.user.totp_secret = TOTP_SECRET
        profile = pilot.profile(totp_secret=SecretStr(TOTP_SECRET))
        first = await pilot.client.sign_in(profile)
        assert await pilot.finish(pilot.client.sign_in(profile, device=first.device))
        challenges = [call["ChallengeName"] for call in pilot.parameters("RespondToAuthChallenge")]
        assert challenges[-3:] == ["SOFTWARE_TOKEN_MFA", "DEVICE_SRP_AUTH", "DEVICE_PASSWORD_VERIFIER"]

    async def test_that_wait_for_consent_renew_all_the_same(self, pilot: Account) -> None:
        """A device that the user has not agreed to remember is known, and its session renewed."""
        pilot.configure(devices_on_prompt=True)
        token = await pilot.client.sign_in(pilot.profile())
        assert await pilot.client.renew(pilot.profile(), token)
        again = await pilot.client.sign_in(pilot.profile(), device=token.device)
        assert again.device == token.device
        assert await pilot.client.renew(pilot.profile(), again)

    @pytest.mark.parametrize("factor", ["SMS_MFA", "MFA_SETUP"])
    async def test_are_remembered_where_the_user_agrees(self, factor: str, pilot: Account) -> None:
        """Where it is the user's choice they are asked once, after a second factor, and "yes" spares the next one."""
        pilot.configure(devices_on_prompt=True, mfa_required=True)
        pilot.user.sms_mfa = factor == "SMS_MFA"
        person = Person.who_says(remember_device="yes")
        code = shown(lambda: person.totp_secret, lambda: pilot.clock.wall)
        person.replies["code"] = deque([newest_code(pilot.cognito) if pilot.user.sms_mfa else code])
        first = await pilot.client.sign_in(pilot.profile(), person)
        (told,) = pilot.parameters("UpdateDeviceStatus")
        assert first.device is not None
        assert (told["DeviceKey"], told["DeviceRememberedStatus"]) == (first.device.key, "remembered")
        sent = len(pilot.cognito.outbox)
        again = await pilot.client.sign_in(pilot.profile(), Person.who_says(), device=first.device)
        assert (again.device, len(pilot.cognito.outbox)) == (first.device, sent)
        assert await pilot.client.renew(pilot.profile(), again)

    async def test_are_not_remembered_where_the_user_does_not_agree(self, pilot: Account) -> None:
        """After "no" the device is known, its session renewed, and the next sign-in asks for a code again."""
        pilot.configure(devices_on_prompt=True)
        pilot.user.sms_mfa = True
        person = Person.who_says(code=newest_code(pilot.cognito), remember_device="no")
        first = await pilot.client.sign_in(pilot.profile(), person)
        assert await pilot.client.renew(pilot.profile(), first)
        again = await pilot.client.sign_in(pilot.profile(), person, device=first.device)
        assert again.device == first.device
        assert [kind for kind, _ in person.asked] == ["code", "remember_device", "code"]
        assert pilot.cognito.counts["UpdateDeviceStatus"] == 0

    async def test_nobody_is_asked_without_need(self, pilot: Account) -> None:
        """Without a second factor there is nothing to be spared, and without a person nobody to agree."""
        pilot.configure(devices_on_prompt=True)
        person = Person.who_says()
        assert (await pilot.client.sign_in(pilot.profile(), person)).device is not None
        pilot.user.totp_secret = TOTP_SECRET
        alone = await pilot.client.sign_in(pilot.profile(totp_secret=SecretStr(TOTP_SECRET)))
        assert alone.device is not None
        assert person.asked == []
        assert pilot.cognito.counts["UpdateDeviceStatus"] == 0

    @pytest.mark.parametrize("trouble", ["refused", "down"])
    async def test_a_device_that_cannot_be_remembered(
        self, trouble: str, pilot: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The sign-in is good all the same, and the log says what that means."""
        pilot.configure(devices_on_prompt=True)
        pilot.user.sms_mfa = True
        if trouble == "refused":
            pilot.cognito.unknown_operations.add("UpdateDeviceStatus")
        else:
            pilot.cognito.faults.drop(operation="UpdateDeviceStatus")
        person = Person.who_says(code=newest_code(pilot.cognito), remember_device="yes")
        token = await pilot.finish(pilot.client.sign_in(pilot.profile(), person))
        assert await pilot.client.renew(pilot.profile(), token)
        assert "asks for a code again next time" in caplog.text

    @pytest.mark.parametrize("way", ["cancelled", "gave up"])
    async def test_who_leaves_before_the_end_leaves_no_session(self, way: str, pilot: Account) -> None:
        """Cognito has issued tokens that nobody will ever have: they are revoked."""
        pilot.configure(devices_on_prompt=True)
        pilot.user.sms_mfa = True
        asked, for_ever = asyncio.Event(), asyncio.Event()

        async def leave() -> str:
            asked.set()
            if way == "cancelled":
                await for_ever.wait()
            raise KeyError("gave up")

        person = Person.who_says(code=newest_code(pilot.cognito), remember_device=leave)
        signing_in = asyncio.create_task(pilot.client.sign_in(pilot.profile(), person))
        await asked.wait()
        if way == "cancelled":
            signing_in.cancel()
        with pytest.raises(asyncio.CancelledError if way == "cancelled" else KeyError):
            await signing_in
        ((revoked,), (device,)) = pilot.parameters("RevokeToken"), pilot.parameters("ConfirmDevice")
        with pytest.raises(Refusal, match="revoked"):
            pilot.cognito.pool.grants.redeem(revoked["Token"], pilot.clock.wall, 0, device["DeviceKey"])

    @every_flow
    @pytest.mark.parametrize("lost", ["forgotten", "another password"])
    async def test_that_the_pool_knows_no_more(self, lost: str, flow: AuthFlow, pilot: Account) -> None:
        """A device that was forgotten, or whose password is wrong, gives way to a new one, with the second factor."""
        profile = pilot.profile(auth_flow=flow)
        first = await pilot.client.sign_in(profile)
        assert first.device is not None
        if lost == "forgotten":
            pilot.cognito.pool.devices.forget(first.device.key)
        else:
            pilot.cognito.pool.devices.of(pilot.user)[0].verifier += 1
        pilot.user.sms_mfa = True
        second = await pilot.client.sign_in(
            profile, Person.who_says(code=newest_code(pilot.cognito)), device=first.device
        )
        assert second.device not in (None, first.device)
        assert await pilot.client.renew(profile, second)

    async def test_a_lost_confirmation_is_sent_again(self, pilot: Account) -> None:
        """A device whose confirmation was done but not heard of is not registered twice."""
        pilot.cognito.faults.drop_answer(operation="ConfirmDevice")
        token = await pilot.finish(pilot.client.sign_in(pilot.profile()))
        assert pilot.cognito.refusals == {"DeviceKeyExistsException": 1}
        assert await pilot.client.renew(pilot.profile(), token)

    async def test_a_confirmation_that_fails_costs_no_token(
        self, pilot: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A pool that takes no device still signs in, and the log says what that means."""
        pilot.cognito.faults.fail(None, "ConfirmDevice")
        token = await pilot.finish(pilot.client.sign_in(pilot.profile()))
        assert token.device is None
        assert "cannot be renewed" in caplog.text
        assert pilot.cognito.counts["ConfirmDevice"] == 3
        pilot.cognito.faults.clear()
        pilot.cognito.unknown_operations.add("ConfirmDevice")
        assert (await pilot.client.sign_in(pilot.profile())).device is None
        assert pilot.cognito.counts["ConfirmDevice"] == 4


class TestRotation:
    @pytest.fixture
    async def pilot(self) -> AsyncIterator[Account]:
        async with account(rotation=True, rotation_grace=20) as made:
            yield made

    async def test_replaces_the_refresh_token(self, pilot: Account) -> None:
        """Each renewal brings another refresh token, and the old one dies after its grace."""
        first = await pilot.client.sign_in(pilot.profile())
        second = await pilot.client.renew(pilot.profile(), first)
        assert refresh_token(second) != refresh_token(first)
        await pilot.clock.advance(20)
        with pytest.raises(RefreshRejected, match="used before"):
            await pilot.client.renew(pilot.profile(), first)
        assert pilot.cognito.refusals == {"RefreshTokenReuseException": 1}
        assert await pilot.client.renew(pilot.profile(), second)

    @pytest.mark.parametrize("fault", [Fault.DROP_ANSWER, Fault.DROP])
    async def test_a_lost_answer_is_asked_for_again(self, fault: Fault, pilot: Account) -> None:
        """Whether or not the first call was carried out, the old token renews again at once, inside its grace."""
        token = await pilot.client.sign_in(pilot.profile())
        draws = iter([0.0])
        pilot.cognito.faults.sometimes(fault, 0.5, lambda: next(draws, 1.0), RENEWAL)
        renewed = await pilot.client.renew(pilot.profile(), token)
        assert pilot.cognito.counts[RENEWAL] == 2
        await pilot.clock.advance(60)
        assert await pilot.client.renew(pilot.profile(), renewed)
        assert not pilot.cognito.refusals

    @pytest.mark.parametrize("fault", [Fault.DROP_ANSWER, Fault.DROP, Fault.THROTTLE, Fault.FAIL])
    async def test_lasting_trouble_is_left_to_the_caller(self, fault: Fault, pilot: Account) -> None:
        """What goes on, and what Cognito answers itself, is transient; inside the grace the old token still renews."""
        token = await pilot.client.sign_in(pilot.profile())
        draws = iter([0.0] * (1 if fault in (Fault.THROTTLE, Fault.FAIL) else 2))
        pilot.cognito.faults.sometimes(fault, 0.5, lambda: next(draws, 1.0), RENEWAL)
        with pytest.raises(SignInFailed):
            await pilot.client.renew(pilot.profile(), token)
        await pilot.clock.advance(19)
        assert await pilot.client.renew(pilot.profile(), token)
        assert not pilot.cognito.refusals

    async def test_without_rotation_the_refresh_token_stays(self, pilot: Account) -> None:
        """A pool without rotation hands none out, and the old one is kept."""
        pilot.configure(rotation=False)
        token = await pilot.client.sign_in(pilot.profile())
        for _ in range(2):
            renewed = await pilot.client.renew(pilot.profile(), token)
            assert refresh_token(renewed) == refresh_token(token)

    async def test_a_session_renews_without_its_token(self, pilot: Account) -> None:
        """What a token leaves behind is enough to renew: nothing else need be kept between runs."""
        token = await pilot.client.sign_in(pilot.profile())
        other = new_client(pilot.clock)
        renewed = await other.renew(pilot.profile(username=None, password=None), token.session)
        assert renewed.username == REAL_NAME
        await other.close()

    async def test_without_a_refresh_token(self, pilot: Account) -> None:
        """Where there is none, only a sign-in helps, and Cognito is not asked."""
        with pytest.raises(RefreshRejected):
            await pilot.client.renew(pilot.profile(), Session(None))
        assert not pilot.cognito.calls

    async def test_revoking_ends_every_successor(self, pilot: Account) -> None:
        """After a revocation neither the revoked token nor what replaced it renews, and again is no error."""
        first = await pilot.client.sign_in(pilot.profile())
        second = await pilot.client.renew(pilot.profile(), first)
        assert first.refresh_token is not None
        for _ in range(2):
            await pilot.client.revoke(pilot.profile(), first.refresh_token)
        for token in (first, second):
            with pytest.raises(RefreshRejected):
                await pilot.client.renew(pilot.profile(), token)

    async def test_revoking_where_cognito_is_gone_is_transient(self, pilot: Account) -> None:
        """A revocation that did not arrive is told as such."""
        token = await pilot.client.sign_in(pilot.profile())
        assert token.refresh_token is not None
        pilot.cognito.faults.drop(operation="RevokeToken")
        with pytest.raises(SignInFailed):
            await pilot.client.revoke(pilot.profile(), token.refresh_token)

    async def test_a_flaky_cognito_costs_tries_and_no_session(self, pilot: Account) -> None:
        """With one call in ten throttled and one in twenty cut off, whoever tries again keeps the session."""
        drawn = random.Random(7).random  # noqa: S311 - the same faults in every run
        token = await pilot.client.sign_in(pilot.profile())
        pilot.cognito.faults.sometimes(Fault.THROTTLE, 0.1, drawn)
        pilot.cognito.faults.sometimes(Fault.DROP_ANSWER, 0.05, drawn, RENEWAL)
        failures = 0
        for _ in range(100):
            try:
                token = await pilot.client.renew(pilot.profile(), token)
            except SignInFailed:
                failures += 1
            await pilot.clock.advance(5)
        assert failures
        assert "RefreshTokenReuseException" not in pilot.cognito.refusals


class TestIdentityPool:
    IDENTITY_POOL = "ap-southeast-2:359c9d8b-02e4-457f-b185-4f3ff3f639d7"

    async def test_trades_the_id_token(self, pilot: Account) -> None:
        """The ID token buys AWS credentials of the user's own identity, with their end by Cognito's clock."""
        profile = pilot.profile(identity_pool_id=self.IDENTITY_POOL)
        token = await pilot.client.sign_in(profile)
        given = await pilot.client.aws_credentials(profile, token.id_token)
        assert given.identity_id == token.claims["custom:identityId"]
        assert given.access_key_id.startswith("ASIA")
        assert given.expiration == datetime.fromtimestamp(pilot.clock.wall + 3600, UTC)
        assert (given.lifetime, given.arrived) == (3600, pilot.clock.now())
        for secret in (given.secret_access_key, given.session_token, token.id_token):
            assert secret.get_secret_value() not in repr(given)
        assert all(call.authorization is None for call in pilot.cognito.calls)

    async def test_their_life_is_counted_by_cognitos_clock(self, pilot: Account) -> None:
        """A local clock that is two hours fast makes credentials no shorter."""
        profile = pilot.profile(identity_pool_id=self.IDENTITY_POOL)
        token = await pilot.client.sign_in(profile)
        pilot.clock.wall += 7200
        pilot.cognito.pool.now = lambda: pilot.clock.wall - 7200
        assert (await pilot.client.aws_credentials(profile, token.id_token)).lifetime == 3600

    async def test_an_address_of_its_own(self, pilot: Account) -> None:
        """The identity pool is asked where its own setting says, if it says so."""
        token = await pilot.client.sign_in(pilot.profile())
        profile = pilot.profile(
            identity_pool_id=self.IDENTITY_POOL, endpoint_url="http://127.0.0.1:9", identity_endpoint_url=pilot.url
        )
        assert await pilot.client.aws_credentials(profile, token.id_token)

    async def test_what_is_wrong_is_told(self, pilot: Account) -> None:
        """No identity pool, another one, and one that does not know the user pool: each names the setting."""
        token = await pilot.client.sign_in(pilot.profile())
        wrong = {
            "Set cognito.identity_pool_id": pilot.profile(),
            "Check cognito.identity_pool_id": pilot.profile(identity_pool_id="ap-southeast-2:0000"),
            "cognito.identity_pool_id": pilot.profile(
                identity_pool_id=self.IDENTITY_POOL, user_pool_id="ap-southeast-2_Other"
            ),
        }
        for hint, profile in wrong.items():
            with pytest.raises(CredentialMissing) as caught:
                await pilot.client.aws_credentials(profile, token.id_token)
            assert hint in caught.value.hint

    async def test_a_token_that_has_ended_is_transient(self, pilot: Account) -> None:
        """An ID token that ended on its way is worth another try with the next one; a forged one is not."""
        profile = pilot.profile(identity_pool_id=self.IDENTITY_POOL)
        token = await pilot.client.sign_in(profile)
        await pilot.clock.advance(3600)
        with pytest.raises(SignInFailed):
            await pilot.client.aws_credentials(profile, token.id_token)
        with pytest.raises(CredentialMissing):
            await pilot.client.aws_credentials(profile, SecretStr("a.b.c"))

    async def test_throttling_is_transient(self, pilot: Account) -> None:
        """An identity pool that throttles, or is gone, is asked again later."""
        profile = pilot.profile(identity_pool_id=self.IDENTITY_POOL)
        token = await pilot.client.sign_in(profile)
        for order in (pilot.cognito.faults.throttle, pilot.cognito.faults.fail, pilot.cognito.faults.drop):
            order(1, "GetCredentialsForIdentity")
            with pytest.raises(SignInFailed):
                await pilot.client.aws_credentials(profile, token.id_token)


@pytest.mark.parametrize("trust", ["ca_file", "system", "none"])
async def test_cognito_behind_an_authority_of_ones_own(
    trust: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cognito is trusted by `ca_file`, which counts for its keys as well, or by the machine; else not at all."""
    ca = authority(tmp_path)
    cognito = new_cognito()
    if trust == "system":
        monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    client = new_client(SystemClock(), ca_file=ca.file if trust == "ca_file" else None)
    async with cognito.running(tls=ca.server("127.0.0.1")) as url:
        profile = Profile("default", pool_of(cognito.pool.config, url), USERNAME, SecretStr(PASSWORD))
        try:
            if trust == "none":
                with pytest.raises(SignInFailed):
                    await client.sign_in(profile)
            else:
                await client.sign_in(profile)
        finally:
            await client.close()
    if trust != "system":  # aiohttp, which fetches the keys, asked the machine when it was imported
        assert cognito.counts["JWKS"] == int(trust == "ca_file")


async def test_profiles_do_not_wait_for_each_other(pilot: Account) -> None:
    """While one sign-in hangs, another one goes through."""
    held = pilot.cognito.faults.hold("RespondToAuthChallenge")
    slow = asyncio.create_task(pilot.client.sign_in(pilot.profile()))
    fast = await pilot.client.sign_in(pilot.profile(auth_flow=AuthFlow.PASSWORD))
    assert fast.username == REAL_NAME
    assert not slow.done()
    held.set()
    assert (await slow).username == REAL_NAME
