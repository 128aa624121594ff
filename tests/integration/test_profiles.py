"""Several logins in one proxy, on real sockets."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from support.kinds import Auth
from support.loops import EVERY_LOOP
from support.origin import OK, Origin, Recorded
from support.stack import PASSWORD, SIGNER, closing, options_for, running_proxy, talk
from support.wire import PATIENCE

from proxy.app import App
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.forward.route import Route
from proxy.http.address import Upstream
from proxy.identity.profile import AuthFlow, Profile
from proxy.settings.options import ServeOptions

loop_factories = EVERY_LOOP

NAMES = ("default", "north", "south")


@pytest.fixture
def cognito() -> EmbeddedCognito:
    return EmbeddedCognito(PoolConfig(), [User(name, PASSWORD) for name in NAMES], signer=SIGNER)


@pytest.fixture
def options(cognito_url: str, origin: Origin) -> ServeOptions:
    made = options_for(cognito_url, origin.url)
    pool = replace(made.profile.pool, auth_flow=AuthFlow.PASSWORD)
    profiles = {name: Profile(name, pool, name, SecretStr(PASSWORD)) for name in NAMES}
    profiles["key"] = Profile("key", pool, api_key=SecretStr("key-1"), personal_access_token=SecretStr("pat-1"))
    return replace(made, profiles=profiles)


@pytest.fixture
async def proxy(options: ServeOptions) -> AsyncIterator[App]:
    async with running_proxy(options) as app:
        yield app


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def code_of(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["code"])


def user_of(request: Recorded) -> str:
    """Whose token a request carries."""
    (token,) = request.values(b"X-Amz-Cognito-Security-Token")
    payload = token.split(b".")[1]
    claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    return str(claims["cognito:username"])


async def ask(app: App, target: str, *headers: str) -> bytes:
    return await talk(app.urls[0], closing("GET", target, *headers))


@pytest.mark.parametrize(
    ("target", "headers", "user", "arrives"),
    [
        ("/v1/job?a=/@b", (), "default", b"/v1/job?a=/@b"),
        ("/@north/v1/job?a=1", (), "north", b"/v1/job?a=1"),
        ("/v1/job", ("X-UL-Proxy-Profile: south",), "south", b"/v1/job"),
        ("/@south/v1/job", ("x-ul-proxy-profile: south",), "south", b"/v1/job"),
        ("/@default/v1/job", (), "default", b"/v1/job"),
        ("/@north", (), "north", b"/"),
    ],
)
async def test_a_request_chooses_its_login(
    *, target: str, headers: tuple[str, ...], user: str, arrives: bytes, proxy: App, origin: Origin
) -> None:
    """By the header or by the beginning of the path, neither of which goes upstream."""
    assert status_of(await ask(proxy, target, *headers)) == 200
    (request,) = origin.requests
    assert (user_of(request), request.target) == (user, arrives)
    assert not request.values(b"X-UL-Proxy-Profile")


async def test_each_has_credentials_of_its_own(proxy: App, origin: Origin) -> None:
    """A profile with a personal access token and an API key sends those, and asks Cognito for nothing."""
    await ask(proxy, "/@key/v1/job")
    await ask(proxy, "/@key/v1/analytics/version")
    first, second = origin.requests
    assert first.values(b"Authorization") == [b"Bearer pat-1"]
    assert second.values(b"x-api-key") == [b"key-1"]
    assert not first.values(b"X-Amz-Cognito-Security-Token")


@pytest.mark.parametrize(
    ("target", "headers", "status", "code"),
    [
        ("/@nobody/v1/job", (), 404, "unknown_profile"),
        ("/@/v1/job", (), 404, "unknown_profile"),
        ("/v1/job", ("X-UL-Proxy-Profile: nobody",), 404, "unknown_profile"),
        ("/v1/job", ("X-UL-Proxy-Profile:",), 404, "unknown_profile"),
        ("/@north/v1/job", ("X-UL-Proxy-Profile: south",), 400, "bad_request"),
        ("/v1/job", ("X-UL-Proxy-Profile: north", "X-UL-Proxy-Profile: south"), 400, "bad_request"),
        ("/@north/v1/../x", (), 400, "bad_request"),
        ("/@north/@south/x", (), 200, ""),
        ("/@north/-/nothing", (), 404, "no_route"),
    ],
)
async def test_what_is_no_choice_is_refused(
    *, target: str, headers: tuple[str, ...], status: int, code: str, proxy: App, origin: Origin
) -> None:
    """An unknown profile, and a contradiction, never end up with somebody else's login; the rest is judged as ever."""
    answer = await ask(proxy, target, *headers)
    assert status_of(answer) == status
    if code:
        assert code_of(answer) == code
        assert not origin.requests


@pytest.mark.parametrize("target", ["/@north/v1/secret", "/@north/v1//secret", "/@north/v1/%73ecret"])
async def test_the_guards_judge_what_is_behind_the_name(target: str, options: ServeOptions, origin: Origin) -> None:
    """A path that is denied is denied under every profile."""
    options = replace(options, policy=replace(options.policy, deny=("* /v1/secret",)))
    async with running_proxy(options) as app:
        assert code_of(await ask(app, target)) == "not_permitted"
    assert not origin.requests


async def test_the_proxys_own_endpoints_behind_a_name(proxy: App) -> None:
    """They answer there as well."""
    assert status_of(await ask(proxy, "/@north/-/live")) == 200


@pytest.mark.parametrize(
    ("location", "target", "expected"),
    [
        ("{origin}/v1/job/7", "/@north/v1/job", "http://localhost/@north/v1/job/7"),
        ("/v1/job/7?x#y", "/@north/v1/job", "/@north/v1/job/7?x#y"),
        ("7", "/@north/v1/job", "7"),
        ("https://elsewhere.example/", "/@north/v1/job", "https://elsewhere.example/"),
        ("/v1/job/7", "/v1/job", "/v1/job/7"),
        ("{origin}//x", "/@north/v1/job", "http://localhost/@north//x"),
    ],
)
async def test_redirects_keep_the_profile(
    location: str, target: str, expected: str, options: ServeOptions, origin: Origin
) -> None:
    """Who follows a redirect stays who they were."""
    options = replace(options, built_in_routes=(Route("", Upstream.parse(origin.url), Auth.REST),))
    where = location.format(origin=origin.url)
    origin.answers = [f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()]
    async with running_proxy(options) as app:
        answer = await ask(app, target)
    assert f"Location: {expected}\r\n".encode() in answer


async def test_none_waits_for_another(cognito: EmbeddedCognito, proxy: App, origin: Origin) -> None:
    """While one login hangs at Cognito, another's requests go through."""
    await ask(proxy, "/v1/job")
    held = cognito.faults.hold("InitiateAuth")
    slow = asyncio.create_task(ask(proxy, "/@north/v1/job"))
    while cognito.counts["InitiateAuth"] < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert status_of(await ask(proxy, "/v1/job")) == 200
    assert status_of(await ask(proxy, "/@key/v1/job")) == 200
    assert not slow.done()
    held.set()
    assert status_of(await slow) == 200


async def test_a_refused_token_is_renewed_for_its_own_profile(
    cognito: EmbeddedCognito, proxy: App, origin: Origin
) -> None:
    """A 401 costs the profile of the request its token, and nobody else."""
    for name in ("default", "north"):
        await ask(proxy, f"/@{name}/v1/job")
    kept = proxy.tokens.at_hand("default")
    origin.answers = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", OK]
    assert status_of(await ask(proxy, "/@north/v1/job")) == 200
    assert proxy.tokens.at_hand("default") is kept
    assert proxy.tokens.snapshot("north").renewals == 1
    assert [user_of(request) for request in origin.requests[-2:]] == ["north", "north"]


async def test_a_wrong_login_harms_no_other(cognito: EmbeddedCognito, proxy: App, origin: Origin) -> None:
    """One profile's login_required is nobody else's."""
    cognito.pool.accounts.users[1].password = "another"
    for _ in range(3):
        answer = await ask(proxy, "/@north/v1/job")
        assert code_of(answer) == "login_required"
    assert b"Correct UL_PROXY_PROFILES__NORTH__USERNAME and UL_PROXY_PROFILES__NORTH__PASSWORD" in answer
    assert b"`ul-proxy login --profile north`" in answer
    assert status_of(await ask(proxy, "/@south/v1/job")) == 200
    assert cognito.refusals == {"NotAuthorizedException": 1}


class TestReload:
    async def test_a_mended_login_works_at_once_and_no_connection_is_dropped(
        self, cognito: EmbeddedCognito, options: ServeOptions, origin: Origin
    ) -> None:
        """A caller keeps the connection on which it was refused, and the others keep their tokens."""
        cognito.pool.accounts.users[1].password = "another"
        async with running_proxy(options) as app:
            await ask(app, "/v1/job")
            host, _, port = app.urls[0].removeprefix("http://").rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            request = b"GET /@north/v1/job HTTP/1.1\r\nHost: localhost\r\n\r\n"
            writer.write(request)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503")
            kept = app.tokens.at_hand("default")
            mended = replace(options.profiles["north"], password=SecretStr("another"))
            app.reload(replace(options, profiles={**options.profiles, "north": mended}))
            while app.tokens.snapshot("north").state != "fresh":  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            writer.write(request)
            await reader.readuntil(b"HTTP/1.1 ")
            assert (await reader.readuntil(b" ")) == b"200 "
            assert app.tokens.at_hand("default") is kept
            writer.close()
        assert cognito.refusals == {"NotAuthorizedException": 1}

    async def test_a_request_under_way_ends_as_it_began(self, options: ServeOptions, origin: Origin) -> None:
        """New settings are for those who come after."""
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: Recorded, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.set()
            await go_on.wait()
            writer.write(OK)

        origin.responder = slow
        async with running_proxy(options) as app:
            caller = asyncio.create_task(ask(app, "/@key/v1/job"))
            await arrived.wait()
            policy = replace(options.policy, deny=("* /**",))
            app.reload(replace(options, profiles={"default": options.profile}, policy=policy))
            assert code_of(await ask(app, "/v1/job")) == "not_permitted"
            go_on.set()
            assert status_of(await caller) == 200

    async def test_other_credentials_count_from_then_on(self, options: ServeOptions, origin: Origin) -> None:
        """Another personal access token and another API key are sent by the next request."""
        async with running_proxy(options) as app:
            await ask(app, "/@key/v1/job")
            other = replace(options.profiles["key"], personal_access_token=SecretStr("pat-2"))
            app.reload(replace(options, profiles={**options.profiles, "key": other}))
            await ask(app, "/@key/v1/job")
        assert [request.values(b"Authorization") for request in origin.requests] == [
            [b"Bearer pat-1"],
            [b"Bearer pat-2"],
        ]

    async def test_what_needs_a_restart_is_told(
        self, options: ServeOptions, origin: Origin, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What cannot change while the proxy runs is named, and stays."""
        async with running_proxy(options) as app:
            longer = replace(options.timeouts, drain=9.0)
            app.reload(replace(options, max_connections=1, timeouts=longer, drain_delay=1.0))
            assert "restart the proxy: what changed in timeouts, max_connections, drain_delay has no" in caplog.text
            assert status_of(await ask(app, "/v1/job")) == 200

    async def test_settings_that_cannot_be_used_change_nothing(self, options: ServeOptions, origin: Origin) -> None:
        """A store that is none is refused before anything has changed."""
        broken = replace(options.profile, token_store="nonsense", username="another")
        async with running_proxy(options) as app:
            with pytest.raises(Exception, match="token_store"):
                app.reload(replace(options, profiles={"default": broken}))
            assert status_of(await ask(app, "/@north/v1/job")) == 200


async def test_who_reads_the_files_is_told_at_once(cognito: EmbeddedCognito, options: ServeOptions) -> None:
    """A terminal failure calls for whoever looks after the credentials' files, and what it finds is used."""
    cognito.pool.accounts.users[0].password = "another"

    def read_again(name: str) -> None:
        app.reload(replace(options, profiles={name: replace(options.profile, password=SecretStr("another"))}))

    async with App(options, on_login_required=read_again) as app, asyncio.timeout(PATIENCE):
        while app.tokens.snapshot("default").state != "fresh":  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert cognito.refusals == {"NotAuthorizedException": 1}
