"""Sign-in and renewal against Cognitos that others wrote: moto (password flow) and MiniStack (SRP verified)."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from support.clock import FakeClock
from support.origin import Origin
from support.servers import ForeignCognito
from support.stack import closing, options_for, running_proxy, talk

from proxy.model import AuthFlow, Pool, Profile


def profile_of(cognito: ForeignCognito, auth_flow: AuthFlow, **changes: Any) -> Profile:
    pool = Pool(cognito.region, cognito.user_pool_id, cognito.client_id, auth_flow, cognito.endpoint_url)
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
            snapshot = app.keeper.snapshot("default")
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
            token = await app.keeper.get("default")
            assert token.refresh_token is not None
            ministack_cognito.admin().revoke_token(
                Token=token.refresh_token.get_secret_value(), ClientId=ministack_cognito.client_id
            )
            clock.suspend(24 * 3600)
            assert b" 200 OK" in await talk(app.urls[0], closing("GET", "/v1/job"))
            assert app.keeper.snapshot("default").sign_ins == 2


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
