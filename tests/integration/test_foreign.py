"""Sign-in and renewal against Cognitos that others wrote: moto (password flow) and MiniStack (SRP verified)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr
from support.account import new_client
from support.clock import FakeClock
from support.origin import Origin
from support.people import Person
from support.servers import ForeignCognito
from support.stack import closing, options_for, running_proxy, talk

from proxy.clock import SystemClock
from proxy.errors import RefreshRejected
from proxy.identity.cognito import totp
from proxy.identity.cognito.flows import Cognito
from proxy.identity.profile import AuthFlow, CognitoPool, Profile


@pytest.fixture
async def client() -> AsyncIterator[Cognito]:
    made = new_client(SystemClock())
    yield made
    await made.close()


def profile_of(cognito: ForeignCognito, auth_flow: AuthFlow, **changes: Any) -> Profile:
    pool = CognitoPool(cognito.region, cognito.user_pool_id, cognito.client_id, auth_flow, cognito.endpoint_url)
    login = {"username": cognito.username, "password": SecretStr(cognito.password), **changes}
    return Profile("default", pool, **login)


async def test_a_day_on_one_sign_in(foreign_cognito: ForeignCognito) -> None:
    """The password flow signs in once, and the refresh token renews, whichever operation the server knows for it."""
    clock = FakeClock()
    async with Origin().running() as origin:
        options = options_for("", origin.url, profile=profile_of(foreign_cognito, AuthFlow.PASSWORD))
        async with running_proxy(options, clock=clock) as app:
            for _ in range(3):
                assert b" 200 OK" in await talk(app.urls[0], closing("GET", "/v1/job"))
                # Past its end whatever its lifetime: the next request waits for a new one.
                clock.suspend(24 * 3600)
            snapshot = app.tokens.snapshot("default")
    assert (snapshot.sign_ins, snapshot.renewals) == (1, 2)
    assert all(request.values(b"X-Amz-Cognito-Security-Token") for request in origin.requests)


async def test_srp_is_verified_by_a_server_of_others(ministack_cognito: ForeignCognito) -> None:
    """MiniStack, which checks the proof, lets the right password in."""
    async with Origin().running() as origin:
        options = options_for("", origin.url, profile=profile_of(ministack_cognito, AuthFlow.SRP))
        async with running_proxy(options) as app:
            assert b" 200 OK" in await talk(app.urls[0], closing("GET", "/v1/job"))


async def test_a_wrong_password_is_refused_by_a_server_of_others(ministack_cognito: ForeignCognito) -> None:
    """MiniStack refuses a wrong password, and that is `login_required`."""
    async with Origin().running() as origin:
        profile = profile_of(ministack_cognito, AuthFlow.SRP, password=SecretStr("Wr0ng-password!"))
        async with running_proxy(options_for("", origin.url, profile=profile)) as app:
            answer = await talk(app.urls[0], closing("GET", "/v1/job"))
    assert b" 503 " in answer
    assert b'"login_required"' in answer
    assert origin.requests == []


async def test_a_session_ended_elsewhere_leads_to_a_new_sign_in(ministack_cognito: ForeignCognito) -> None:
    """After the refresh token was revoked by somebody else, the password signs in anew."""
    clock = FakeClock()
    async with Origin().running() as origin:
        options = options_for("", origin.url, profile=profile_of(ministack_cognito, AuthFlow.SRP))
        async with running_proxy(options, clock=clock) as app:
            token = await app.tokens.get("default")
            assert token.refresh_token is not None
            ministack_cognito.admin().revoke_token(
                Token=token.refresh_token.get_secret_value(), ClientId=ministack_cognito.client_id
            )
            clock.suspend(24 * 3600)
            assert b" 200 OK" in await talk(app.urls[0], closing("GET", "/v1/job"))
            assert app.tokens.snapshot("default").sign_ins == 2


@pytest.mark.parametrize("setting", ["client_id", "user_pool_id"])
async def test_a_wrong_pool_or_client_is_told(setting: str, ministack_cognito: ForeignCognito) -> None:
    """A pool or client that does not exist is terminal, and the hint names the settings."""
    wrong = {"client_id": "0" * 26, "user_pool_id": f"{ministack_cognito.region}_Nowhere00"}
    changed: Any = {setting: wrong[setting]}
    profile = profile_of(ministack_cognito, AuthFlow.SRP)
    profile = replace(profile, pool=replace(profile.pool, **changed))
    async with Origin().running() as origin, running_proxy(options_for("", origin.url, profile=profile)) as app:
        answer = await talk(app.urls[0], closing("GET", "/v1/job"))
    assert b" 503 " in answer
    assert b"cognito.client_id" in answer or b"UL_PROXY_USERNAME" in answer


async def test_aws_credentials_from_identity_pools_of_others(foreign_cognito: ForeignCognito, client: Cognito) -> None:
    """Both emulators' identity pools trade the ID token for credentials that last for a while."""
    profile = profile_of(foreign_cognito, AuthFlow.PASSWORD)
    identity_pool_id = foreign_cognito.create_identity_pool()
    profile = replace(profile, pool=replace(profile.pool, identity_pool_id=identity_pool_id))
    token = await client.sign_in(profile)
    given = await client.aws_credentials(profile, token.id_token)
    assert ":" in given.identity_id
    assert given.access_key_id
    assert given.secret_access_key.get_secret_value()
    assert given.expiration > datetime.now(UTC)
    assert 0 < given.lifetime <= 12 * 3600


async def test_an_authenticator_on_a_server_of_others(ministack_cognito: ForeignCognito, client: Cognito) -> None:
    """MiniStack, which checks authenticator codes, takes those that `totp_secret` makes."""
    username, admin = "grace.hopper", ministack_cognito.admin()
    ministack_cognito.create_user(username)
    profile = replace(profile_of(ministack_cognito, AuthFlow.SRP), username=username)
    token = (await client.sign_in(profile)).access_token.get_secret_value()
    secret = SecretStr(admin.associate_software_token(AccessToken=token)["SecretCode"])
    step = totp.step_at(SystemClock().now().wall)
    # Of the time step before, so that this one's code is still to be had.
    code = totp.code(totp.parse_secret(secret), step - 1)
    assert admin.verify_software_token(AccessToken=token, UserCode=code)["Status"] == "SUCCESS"
    admin.set_user_mfa_preference(AccessToken=token, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True})
    signed_in = await client.sign_in(replace(profile, totp_secret=secret))
    assert signed_in.username == username


async def test_a_temporary_password_on_a_server_of_others(foreign_cognito: ForeignCognito, client: Cognito) -> None:
    """Both emulators demand a new password in place of a temporary one, and take it."""
    username = "new.one"
    foreign_cognito.admin().admin_create_user(
        UserPoolId=foreign_cognito.user_pool_id,
        Username=username,
        TemporaryPassword="Temporary-1",
        MessageAction="SUPPRESS",
    )
    profile = profile_of(foreign_cognito, AuthFlow.PASSWORD)
    profile = replace(profile, username=username, password=SecretStr("Temporary-1"))
    person = Person.who_says(new_password="Permanent-2")
    assert await client.sign_in(profile, person)
    assert await client.sign_in(replace(profile, password=SecretStr("Permanent-2")))


async def test_a_session_is_revoked_on_a_server_of_others(ministack_cognito: ForeignCognito, client: Cognito) -> None:
    """MiniStack takes the revocation, and renews no more."""
    profile = profile_of(ministack_cognito, AuthFlow.SRP)
    token = await client.sign_in(profile)
    assert token.refresh_token is not None
    await client.revoke(profile, token.refresh_token)
    with pytest.raises(RefreshRejected):
        await client.renew(profile, token)
