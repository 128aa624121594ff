"""The whole proxy against the embedded Cognito: what callers see of sign-ins, renewals and outages."""

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from support.clock import FakeClock, settle
from support.origin import Origin
from support.stack import PASSWORD, USERNAME, closing, new_cognito, options_for, pool_of, running_proxy, talk

from proxy.app import App
from proxy.clock import SystemClock
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.identity.cognito.sdk import _session
from proxy.identity.profile import AuthFlow
from proxy.model import Instant


class ShiftedClock(SystemClock):
    """A machine whose wall clock is off by so many seconds."""

    def __init__(self, offset: float) -> None:
        self.offset = offset

    def now(self) -> Instant:
        monotonic, wall = super().now()
        return Instant(monotonic, wall + self.offset)


async def get(app: App, path: str = "/v1/job") -> tuple[int, dict[str, str], Any]:
    async with aiohttp.ClientSession() as session, session.get(app.urls[0] + path) as response:
        text = await response.text()
        return response.status, dict(response.headers), json.loads(text) if text.startswith("{") else text


async def test_two_hundred_callers_on_a_cold_start_share_one_sign_in(
    cognito: EmbeddedCognito, cognito_url: str, origin: Origin
) -> None:
    """Exactly one sign-in, however many requests come before there is a token."""
    held = cognito.faults.hold("RespondToAuthChallenge")
    async with running_proxy(options_for(cognito_url, origin.url)) as app, asyncio.TaskGroup() as group:
        callers = [group.create_task(talk(app.urls[0], closing("GET", f"/v1/{n}"))) for n in range(200)]
        # The answer is held until all two hundred have been accepted and wait for it.
        while cognito.counts["RespondToAuthChallenge"] == 0 or app.in_flight < 200:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        held.set()
    assert all(caller.result().startswith(b"HTTP/1.1 200 OK") for caller in callers)
    assert cognito.counts["InitiateAuth"] == cognito.counts["RespondToAuthChallenge"] == 1
    assert len({tuple(request.values(b"X-Amz-Cognito-Security-Token")) for request in origin.requests}) == 1


async def test_the_password_stays_on_the_machine(cognito: EmbeddedCognito, cognito_url: str, origin: Origin) -> None:
    """SRP sends neither the password nor an AWS signature."""
    async with running_proxy(options_for(cognito_url, origin.url)) as app:
        assert (await get(app))[0] == 200
    calls = [call for call in cognito.calls if call.operation != "JWKS"]
    assert [call.operation for call in calls] == ["InitiateAuth", "RespondToAuthChallenge"]
    assert all(PASSWORD.encode() not in call.body for call in calls)
    assert all(call.authorization is None for call in cognito.calls)


async def test_the_password_flow_signs_in_where_it_is_chosen(
    cognito: EmbeddedCognito, cognito_url: str, origin: Origin
) -> None:
    """`cognito.auth_flow = password` sends USER_PASSWORD_AUTH and needs one call."""
    pool = pool_of(cognito.pool.config, cognito_url, auth_flow=AuthFlow.PASSWORD)
    async with running_proxy(options_for(cognito_url, origin.url, pool=pool)) as app:
        assert (await get(app))[0] == 200
    assert cognito.calls[0].parameters["AuthFlow"] == "USER_PASSWORD_AUTH"


async def test_an_alias_signs_in_as_the_real_user(cognito: EmbeddedCognito, cognito_url: str, origin: Origin) -> None:
    """Who signs in by e-mail address proves the password with the name that Cognito keeps."""
    cognito.pool.accounts.users[:] = [User("7f3c-real-name", PASSWORD, email=USERNAME)]
    async with running_proxy(options_for(cognito_url, origin.url)) as app:
        assert (await get(app))[0] == 200


async def test_ambient_aws_settings_change_nothing(
    cognito_url: str, origin: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither AWS_* variables nor AWS files reach the sign-in."""
    (tmp_path / "config").write_text("[profile broken]\nregion = nowhere\nendpoint_url = http://127.0.0.1:9\n")
    for name, value in {
        "AWS_PROFILE": "missing",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": "http://127.0.0.1:9",
        "AWS_REGION": "mars-north-1",
        "AWS_DEFAULT_REGION": "mars-north-1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_ACCESS_KEY_ID": "canary",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_MAX_ATTEMPTS": "nonsense",
        "AWS_RETRY_MODE": "nonsense",
        "AWS_DEFAULTS_MODE": "nonsense",
    }.items():
        monkeypatch.setenv(name, value)
    # As in a new process: nothing has been read by an earlier test.
    _session.cache_clear()
    async with running_proxy(options_for(cognito_url, origin.url)) as app:
        assert (await get(app))[0] == 200


@pytest.mark.parametrize("offset", [7200, -7200], ids=["two hours ahead", "two hours behind"])
async def test_a_wrong_local_clock_does_no_harm(
    offset: float, cognito: EmbeddedCognito, cognito_url: str, origin: Origin
) -> None:
    """With the wall clock two hours off, one sign-in serves every request, and the skew is shown."""
    async with running_proxy(options_for(cognito_url, origin.url), clock=ShiftedClock(offset)) as app:
        for _ in range(5):
            assert (await get(app))[0] == 200
        _, _, status = await get(app, "/-/status")
    assert cognito.counts["InitiateAuth"] == 1
    assert cognito.counts["GetTokensFromRefreshToken"] == 0
    assert abs(status["profiles"]["default"]["clock_skew"] - offset) < 5


async def test_a_wrong_password_is_tried_once_and_told_to_everybody(
    cognito: EmbeddedCognito, cognito_url: str, origin: Origin
) -> None:
    """One attempt, then 503 `login_required` for every request, and nothing goes upstream."""
    options = options_for(cognito_url, origin.url, password=SecretStr("wrong-canary"))
    async with running_proxy(options) as app:
        for _ in range(20):
            status, headers, problem = await get(app)
            assert (status, problem["code"], problem["source"]) == (503, "login_required", "cognito")
            assert "UL_PROXY_PASSWORD" in problem["hint"]
            assert "Retry-After" not in headers
        _, _, state = await get(app, "/-/status")
    assert state["profiles"]["default"]["state"] == "login_required"
    assert "canary" not in json.dumps(state)
    assert cognito.counts["RespondToAuthChallenge"] == 1
    assert origin.requests == []


@pytest.mark.parametrize(
    "challenge", ["SOFTWARE_TOKEN_MFA", "SMS_MFA", "NEW_PASSWORD_REQUIRED", "MFA_SETUP", "EMAIL_OTP", "SOMETHING_NEW"]
)
async def test_a_challenge_that_nobody_can_answer_is_named(
    challenge: str, cognito: EmbeddedCognito, cognito_url: str, origin: Origin
) -> None:
    """A challenge after the right password becomes `login_required` that says which one and what to do."""
    cognito.pool.accounts.users[0].challenge = challenge
    async with running_proxy(options_for(cognito_url, origin.url)) as app:
        status, _, problem = await get(app)
    assert (status, problem["code"]) == (503, "login_required")
    assert challenge in problem["detail"]
    assert problem["hint"]
    assert cognito.counts["InitiateAuth"] == 1


@pytest.mark.parametrize(
    ("change", "word"),
    [({"disabled": True}, "disabled"), ({"confirmed": False}, "confirmed"), ({"reset_required": True}, "reset")],
    ids=["disabled", "unconfirmed", "reset required"],
)
async def test_users_who_must_act_are_told_so(
    change: dict[str, bool], word: str, cognito: EmbeddedCognito, cognito_url: str, origin: Origin
) -> None:
    """A user who is disabled, unconfirmed or must reset the password is told so, once and for all."""
    for name, value in change.items():
        setattr(cognito.pool.accounts.users[0], name, value)
    async with running_proxy(options_for(cognito_url, origin.url)) as app:
        _, _, problem = await get(app)
    assert problem["code"] == "login_required"
    assert word in problem["detail"]


async def test_without_a_login_the_caller_learns_what_to_set(origin: Origin, cognito_url: str) -> None:
    """No user name: 503 `credential_missing`, the hint names the setting, and routes without a login work."""
    async with running_proxy(options_for(cognito_url, origin.url, username=None, password=None)) as app:
        status, _, problem = await get(app)
        assert (status, problem["code"]) == (503, "credential_missing")
        assert "UL_PROXY_USERNAME and UL_PROXY_PASSWORD" in problem["hint"]
        assert "username and password" in problem["detail"]
        assert (await get(app, "/cdn/flights/x"))[0] == 200
        assert (await get(app, "/-/live"))[0] == 200
        status, headers, _ = await get(app, "/-/ready")
        assert status == 503
        assert headers["Proxy-Status"].startswith("ul-proxy; error=")


@pytest.mark.parametrize(
    ("credentials", "status"),
    [
        ({"personal_access_token": SecretStr("ul_pat_x")}, 200),
        ({"personal_access_token": SecretStr("ul_pat_x"), "username": None, "password": None}, 200),
        ({"password": None}, 503),
    ],
    ids=["personal access token and login", "personal access token", "no password"],
)
async def test_nobody_signs_in_without_need(
    credentials: dict[str, Any], status: int, cognito: EmbeddedCognito, cognito_url: str, origin: Origin
) -> None:
    """With a personal access token, or without a whole login, no sign-in is even begun."""
    async with running_proxy(options_for(cognito_url, origin.url, **credentials)) as app:
        assert "renewal" not in {task.get_name() for task in asyncio.all_tasks()}
        assert app.tokens.snapshot("default").last_outcome == "no sign-in yet"
        assert (await get(app))[0] == status
    assert not cognito.calls


async def test_a_cognito_gone_at_the_start_is_waited_for(
    cognito: EmbeddedCognito, cognito_url: str, origin: Origin
) -> None:
    """503 `sign_in_failed` with Retry-After while Cognito is down, and recovery without a restart or a request."""
    clock = FakeClock()
    cognito.faults.drop()
    async with running_proxy(options_for(cognito_url, origin.url), clock=clock) as app:
        asked = asyncio.create_task(get(app))
        while not asked.done():
            await clock.advance(0.1)
            await asyncio.sleep(0.001)
        status, headers, problem = asked.result()
        assert (status, problem["code"]) == (503, "sign_in_failed")
        assert int(headers["Retry-After"]) >= 1
        assert (await get(app, "/-/ready"))[0] == 503
        assert (await get(app, "/-/live"))[0] == 200
        cognito.faults.clear()
        while app.tokens.snapshot("default").state != "fresh":
            await clock.advance(1)
            await asyncio.sleep(0.001)
        assert (await get(app, "/-/ready"))[0] == 200
        assert (await get(app))[0] == 200


async def test_a_cognito_gone_during_a_renewal_fails_no_request(origin: Origin) -> None:
    """While the old token is good, not one request fails, however often the renewal does."""
    clock = FakeClock()
    cognito = new_cognito(id_lifetime=3600)
    async with (
        cognito.running() as cognito_url,
        running_proxy(options_for(cognito_url, origin.url), clock=clock) as app,
    ):
        assert (await get(app))[0] == 200
        cognito.faults.drop()
        calls = cognito.counts["GetTokensFromRefreshToken"]
        for _ in range(59):
            await clock.advance(60)
            assert (await get(app))[0] == 200
        assert cognito.counts["GetTokensFromRefreshToken"] > calls
        tokens = {request.values(b"X-Amz-Cognito-Security-Token")[0] for request in origin.requests}
        assert len(tokens) == 1
        sent = len(origin.requests)
        await clock.advance(60)
        caller = asyncio.create_task(get(app))
        while not caller.done():
            await clock.advance(1)
            await asyncio.sleep(0.001)
        assert caller.result()[0] == 503
        assert len(origin.requests) == sent


@pytest.mark.parametrize("rotation", [True, False], ids=["rotation", "no rotation"])
async def test_renewal_uses_the_refresh_token(rotation: bool, origin: Origin) -> None:
    """A day passes on one sign-in, with rotation of refresh tokens on or off."""
    clock = FakeClock()
    cognito = new_cognito(rotation=rotation)
    async with (
        cognito.running() as cognito_url,
        running_proxy(options_for(cognito_url, origin.url), clock=clock) as app,
    ):
        for _ in range(24):
            assert (await get(app))[0] == 200
            await clock.advance(3599)
            await settle()
    assert cognito.counts["InitiateAuth"] == 1
    assert cognito.counts["GetTokensFromRefreshToken"] >= 20


async def test_an_endpoint_without_the_new_operation_is_renewed_the_old_way(origin: Origin) -> None:
    """Where GetTokensFromRefreshToken is unknown, REFRESH_TOKEN_AUTH renews, and is remembered."""
    clock = FakeClock()
    cognito = new_cognito()
    cognito.unknown_operations.add("GetTokensFromRefreshToken")
    async with (
        cognito.running() as cognito_url,
        running_proxy(options_for(cognito_url, origin.url), clock=clock) as app,
    ):
        for _ in range(3):
            assert (await get(app))[0] == 200
            await clock.advance(3599)
    assert cognito.counts["GetTokensFromRefreshToken"] == 1
    flows = [call.parameters.get("AuthFlow") for call in cognito.calls if call.operation == "InitiateAuth"]
    assert flows[0] == "USER_SRP_AUTH"
    assert set(flows[1:]) == {"REFRESH_TOKEN_AUTH"}


async def test_a_revoked_session_signs_in_anew(cognito: EmbeddedCognito, cognito_url: str, origin: Origin) -> None:
    """When the refresh token is dead and the password at hand, callers notice nothing."""
    clock = FakeClock()
    async with running_proxy(options_for(cognito_url, origin.url), clock=clock) as app:
        first = await app.tokens.get("default")
        assert first.refresh_token is not None
        cognito.revoke(first.refresh_token.get_secret_value())
        clock.suspend(3600)
        assert (await get(app))[0] == 200
    flows = [call.parameters.get("AuthFlow") for call in cognito.calls if call.operation == "InitiateAuth"]
    assert flows == ["USER_SRP_AUTH", "USER_SRP_AUTH"]


async def test_new_keys_of_the_pool_are_fetched(cognito: EmbeddedCognito, cognito_url: str, origin: Origin) -> None:
    """A token signed with a key that was published since is believed."""
    clock = FakeClock()
    cognito = EmbeddedCognito(cognito.pool.config, [User(USERNAME, PASSWORD)])
    async with cognito.running() as url, running_proxy(options_for(url, origin.url), clock=clock) as app:
        assert (await get(app))[0] == 200
        cognito.pool.signer.rotate()
        clock.suspend(3600)
        assert (await get(app))[0] == 200
    assert cognito.counts["JWKS"] == 2


async def test_keys_that_cannot_be_fetched_are_a_warning(
    cognito: EmbeddedCognito, cognito_url: str, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the key set tokens are used, and the log says that signatures go unchecked."""
    cognito.faults.drop(operation="JWKS")
    async with running_proxy(options_for(cognito_url, origin.url)) as app:
        assert (await get(app))[0] == 200
    assert "signatures go unchecked" in caplog.text


async def test_a_forged_token_is_refused(
    cognito: EmbeddedCognito, cognito_url: str, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token whose claims were changed after it was signed is never sent."""
    honest = cognito.pool.signer.sign

    def tampered(claims: Mapping[str, Any]) -> str:
        header, _, signature = honest(claims).split(".")
        payload = base64.urlsafe_b64encode(json.dumps({**claims, "email": "somebody@else"}).encode()).decode()
        return f"{header}.{payload.rstrip('=')}.{signature}"

    monkeypatch.setattr(cognito.pool.signer, "sign", tampered)
    clock = FakeClock()
    async with running_proxy(options_for(cognito_url, origin.url), clock=clock) as app:
        caller = asyncio.create_task(get(app))
        while not caller.done():
            await clock.advance(1)
            await asyncio.sleep(0.001)
        assert caller.result()[2]["code"] == "sign_in_failed"
    assert origin.requests == []


async def test_throttling_is_waited_out(cognito: EmbeddedCognito, cognito_url: str, origin: Origin) -> None:
    """One throttled call delays the first request and fails nobody."""
    clock = FakeClock()
    cognito.faults.throttle(1)
    async with running_proxy(options_for(cognito_url, origin.url), clock=clock) as app:
        caller = asyncio.create_task(get(app))
        while not caller.done():
            await clock.advance(0.2)
            await asyncio.sleep(0.001)
        assert caller.result()[0] == 200
