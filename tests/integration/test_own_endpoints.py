"""The proxy's own endpoints on real sockets: where they are, who may have them, and what refresh and stop do."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.clock import FakeClock
from support.loops import EVERY_LOOP
from support.origin import Origin, Slow
from support.stack import (
    PASSWORD,
    SIGNER,
    USERNAME,
    closing,
    direct_options,
    options_for,
    running_proxy,
    talk,
    timeouts,
)

from proxy.app import App
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.http.address import Bind
from proxy.settings.options import ServeOptions

loop_factories = EVERY_LOOP

RENEWAL = "GetTokensFromRefreshToken"
PATIENCE = 20.0
ANYWHERE = Bind("0.0.0.0", 0)  # noqa: S104
HERE = Bind("127.0.0.1", 0)
CLIENT_TOKEN = "0123456789abcdef"
BY_TOKEN = f"X-UL-Proxy-Token: {CLIENT_TOKEN}"
ENDPOINTS = [
    ("GET", "/-/live"),
    ("GET", "/-/ready"),
    ("GET", "/-/metrics"),
    ("GET", "/-/status"),
    ("GET", "/-/aws-credentials"),
    ("GET", "/-/"),
    ("POST", "/-/refresh"),
    ("POST", "/-/stop"),
]
PUBLIC = ENDPOINTS[:3]


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def document_of(answer: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document


async def ask(url: str, method: str, path: str, *headers: str) -> bytes:
    return await talk(url.replace("0.0.0.0", "127.0.0.1"), closing(method, path, *headers))  # noqa: S104


# ---- admin_listen


@pytest.fixture
def apart(origin: Origin) -> ServeOptions:
    """The own endpoints are on loopback and beyond it, and callers need a token."""
    return direct_options(
        origin.url,
        admin_listen=(HERE, ANYWHERE),
        client_token=SecretStr(CLIENT_TOKEN),
        aws_credentials_token=SecretStr(CLIENT_TOKEN),
        enable_stop=True,
    )


@pytest.mark.parametrize(("method", "path"), [*ENDPOINTS, ("GET", "/@default/-/status")])
async def test_not_where_requests_are_forwarded(method: str, path: str, apart: ServeOptions, origin: Origin) -> None:
    """With an address of their own, the endpoints are nowhere else, and nothing under /-/ goes upstream."""
    async with running_proxy(apart) as app:
        answer = await ask(app.urls[0], method, path, BY_TOKEN)
        assert (status_of(answer), document_of(answer)["code"]) == (404, "no_route")
        assert "admin_listen" in document_of(answer)["hint"]
        assert not app.stopping.is_set()
        assert status_of(await ask(app.urls[0], "GET", "/v1/job", BY_TOKEN)) == 200
    assert [request.target for request in origin.requests] == [b"/v1/job"]


@pytest.mark.parametrize("which", [0, 1], ids=["loopback", "beyond"])
@pytest.mark.parametrize("path", ["/v1/job", "/graphql", "/@default/v1/job", "/-", "/%2d/live"])
async def test_nothing_is_forwarded_from_there(which: int, path: str, apart: ServeOptions, origin: Origin) -> None:
    """Where the endpoints have an address of their own, there is nothing besides, token or not."""
    async with running_proxy(apart) as app:
        answer = await ask(app.admin_urls[which], "GET", path, BY_TOKEN)
        assert (status_of(answer), document_of(answer)["code"]) == (404, "no_route")
    assert not origin.requests


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_beyond_loopback(method: str, path: str, apart: ServeOptions) -> None:
    """A probe or a scraper, with any Host and without a token, gets what it needs, and nobody gets more."""
    async with running_proxy(apart) as app:
        for headers in ([], [BY_TOKEN], [f"Authorization: {CLIENT_TOKEN}"]):
            request = closing(method, path, *headers).replace(b"Host: localhost", b"Host: pod.example:9090")
            answer = await talk(app.admin_urls[1].replace("0.0.0.0", "127.0.0.1"), request)  # noqa: S104
            assert status_of(answer) == (200 if (method, path) in PUBLIC else 404)
        assert not app.stopping.is_set()


@pytest.mark.parametrize(("method", "path"), PUBLIC)
async def test_pages_beyond_loopback(method: str, path: str, apart: ServeOptions) -> None:
    """No web page of another origin reads even that."""
    async with running_proxy(apart) as app:
        assert status_of(await ask(app.admin_urls[1], method, path, "Origin: https://evil.example")) == 403


async def test_on_loopback(apart: ServeOptions) -> None:
    """An address of this machine has all of them, behind the same guards."""
    async with running_proxy(apart) as app:
        url = app.admin_urls[0]
        assert status_of(await ask(url, "GET", "/-/status")) == 401
        assert status_of(await ask(url, "GET", "/-/status", BY_TOKEN)) == 200
        assert status_of(await ask(url, "GET", "/-/status", BY_TOKEN, "Origin: https://evil.example")) == 403
        rebound = closing("GET", "/-/status", BY_TOKEN).replace(b"Host: localhost", b"Host: evil.example")
        assert status_of(await talk(url, rebound)) == 403


async def test_a_socket_of_their_own(origin: Origin, tmp_path: Path) -> None:
    """The endpoints may be on a Unix socket, which goes with the proxy."""
    path = tmp_path / "admin"
    async with running_proxy(direct_options(origin.url, admin_listen=(Bind(path=str(path)),))) as app:
        assert app.admin_urls == [f"unix:{path}"]
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(closing("GET", "/-/status"))
        assert status_of(await reader.read()) == 200
        writer.close()
    assert not path.exists()


async def test_probes_of_a_proxy_that_is_full(origin: Origin) -> None:
    """Callers who take all the connections take none from the probes."""
    options = direct_options(origin.url, admin_listen=(HERE,), max_connections=1)
    async with running_proxy(options) as app:
        host, _, port = app.urls[0].removeprefix("http://").rpartition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        assert status_of(await ask(app.admin_urls[0], "GET", "/-/ready")) == 200
        for _, writer in held:
            writer.close()


# ---- a proxy that drains


@asynccontextmanager
async def draining(
    options: ServeOptions,
) -> AsyncIterator[tuple[App, Slow, "asyncio.Task[bytes]", "asyncio.Task[None]"]]:
    """A proxy that was told to end while it answers a request, the request, and the task that lets it end."""
    slow = Slow()
    async with Origin(responder=slow).running() as origin:
        routes = direct_options(origin.url).built_in_routes
        app = App(replace(options, built_in_routes=routes, timeouts=timeouts(drain=PATIENCE)))
        await app.__aenter__()

        async def end() -> None:
            await app.stopping.wait()
            await app.__aexit__(None, None, None)

        ending = asyncio.create_task(end())
        try:
            request = asyncio.create_task(ask(app.urls[0], "GET", "/v1/slow"))
            await asyncio.wait_for(slow.asked.wait(), PATIENCE)
            yield app, slow, request, ending
        finally:
            slow.let.set()
            app.stop()
            with suppress(ConnectionError):
                await asyncio.wait_for(ending, PATIENCE)


async def test_ready_while_it_drains(origin: Origin) -> None:
    """At admin_listen, probes are told that the proxy drains, for as long as it does."""
    options = direct_options(origin.url, admin_listen=(HERE,))
    async with draining(options) as (app, slow, request, ending):
        app.stop()
        async with asyncio.timeout(PATIENCE):
            while status_of(answer := await ask(app.admin_urls[0], "GET", "/-/ready")) == 200:
                pass
        assert (status_of(answer), document_of(answer)["code"]) == (503, "draining")
        assert status_of(await ask(app.admin_urls[0], "GET", "/-/live")) == 200
        slow.let.set()
        assert status_of(await request) == 200
        await asyncio.wait_for(ending, PATIENCE)
        with pytest.raises(ConnectionRefusedError):
            await ask(app.admin_urls[0], "GET", "/-/live")


@pytest.mark.parametrize("admin_listen", [(), (HERE,)], ids=["beside the rest", "apart"])
async def test_stop(admin_listen: tuple[Bind, ...], origin: Origin) -> None:
    """Whoever has the proxy stop is answered at once; its connection ends when every request has come to its end."""
    options = direct_options(origin.url, admin_listen=admin_listen, enable_stop=True)
    async with draining(options) as (app, slow, request, ending):
        host, _, port = (app.admin_urls or app.urls)[0].removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /-/stop HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            told = json.loads(await reader.readuntil(b"\n"))
            assert status_of(head) == 202
            assert told == {"stopping": True, "requests_in_flight": 1}
            end = asyncio.create_task(reader.read())
            await app.stopping.wait()
            done, _ = await asyncio.wait((end, request), timeout=0.2)
            assert not done
            slow.let.set()
            assert status_of(await request) == 200
            assert await end == b""
            await ending
        writer.close()


async def test_no_stop_without_the_setting(origin: Origin) -> None:
    """By default nobody ends the proxy by a request."""
    async with running_proxy(direct_options(origin.url)) as app:
        answer = await ask(app.urls[0], "POST", "/-/stop")
        assert (status_of(answer), document_of(answer)["code"]) == (404, "no_route")
        assert "enable_stop" in document_of(answer)["hint"]
        assert not app.stopping.is_set()


async def test_stop_by_new_settings(origin: Origin) -> None:
    """Settings that are read again turn it on."""
    options = direct_options(origin.url)
    async with running_proxy(options) as app:
        app.reload(replace(options, enable_stop=True))
        assert status_of(await ask(app.urls[0], "POST", "/-/stop")) == 202
        assert app.stopping.is_set()


# ---- what a web page may do


MARKS = [
    ["Origin: https://evil.example"],
    ["Origin: null"],
    ["Origin: http://localhost:1"],
    ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"],
    ["Origin: https://evil.example", "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Mode: navigate"],
    ["Sec-Fetch-Site: cross-site"],
    ["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1"],
    ["Sec-Fetch-Site: none", "Sec-Fetch-Mode: cors"],
]


@pytest.mark.parametrize("admin_listen", [(), (HERE,), (ANYWHERE,)], ids=["beside the rest", "apart", "beyond"])
async def test_a_hostile_page(
    admin_listen: tuple[Bind, ...], cognito_url: str, cognito: EmbeddedCognito, origin: Origin
) -> None:
    """No page of another origin has the proxy renew its token, or end, whatever it sends and wherever it sends it."""
    clock = FakeClock()
    options = options_for(cognito_url, origin.url, admin_listen=admin_listen, enable_stop=True)
    async with running_proxy(options, clock) as app:
        await app.tokens.get("default")
        before = cognito.counts.total()
        await clock.advance(60)
        for url, path, marks in itertools.product(app.urls + app.admin_urls, ["/-/refresh", "/-/stop"], MARKS):
            assert status_of(await ask(url, "POST", path, *marks)) == 403
            answer = await ask(url, "OPTIONS", path, marks[0], "Access-Control-Request-Method: POST")
            assert status_of(answer) in (400, 403, 404)
            assert b"access-control-allow-origin" not in answer.lower()
        assert cognito.counts.total() == before
        assert not app.stopping.is_set()


@pytest.mark.parametrize("path", ["/-/refresh", "/-/stop"])
async def test_what_a_page_can_have_loaded(
    path: str, cognito_url: str, cognito: EmbeddedCognito, origin: Origin
) -> None:
    """What an old browser sends for a picture or a link, without a word on whence, does nothing."""
    async with running_proxy(options_for(cognito_url, origin.url, enable_stop=True), FakeClock()) as app:
        await app.tokens.get("default")
        before = cognito.counts.total()
        for method in ("GET", "HEAD"):
            assert status_of(await ask(app.urls[0], method, path)) == 400
        assert cognito.counts.total() == before
        assert not app.stopping.is_set()


# ---- refresh


@pytest.fixture
def rotating() -> EmbeddedCognito:
    """A pool that takes every refresh token once, to the second."""
    return EmbeddedCognito(PoolConfig(rotation=True, rotation_grace=0), [User(USERNAME, PASSWORD)], signer=SIGNER)


async def test_a_crowd(rotating: EmbeddedCognito, origin: Origin) -> None:
    """However many ask for a new token, at once and again, there is one renewal, and the session lives on."""
    clock = FakeClock()
    async with rotating.running() as url, running_proxy(options_for(url, origin.url), clock) as app:
        first = await app.tokens.get("default")
        await clock.advance(60)
        for _ in range(3):
            answers = await asyncio.gather(*(ask(app.urls[0], "POST", "/-/refresh") for _ in range(60)))
            assert {status_of(answer) for answer in answers} == {200}
        assert rotating.counts[RENEWAL] == 1
        assert await app.tokens.get("default") is not first
        await clock.advance(60)
        answer = await ask(app.urls[0], "POST", "/-/refresh")
        assert document_of(answer) | {"expires_in": 0, "next_refresh_in": 0} == {
            "profile": "default",
            "renewed": True,
            "outcome": "renewed",
            "expires_in": 0,
            "next_refresh_in": 0,
        }
        assert rotating.counts[RENEWAL] == 2
        assert rotating.counts["InitiateAuth"] == 1
        assert status_of(await ask(app.urls[0], "GET", "/v1/job")) == 200


async def test_a_caller_who_leaves(rotating: EmbeddedCognito, origin: Origin) -> None:
    """Whoever asked for a new token and left has not broken off the renewal, which would cost the session."""
    clock = FakeClock()
    async with rotating.running() as url, running_proxy(options_for(url, origin.url), clock) as app:
        await app.tokens.get("default")
        await clock.advance(60)
        answered = rotating.faults.hold(RENEWAL)
        host, _, port = app.urls[0].removeprefix("http://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(closing("POST", "/-/refresh"))
        async with asyncio.timeout(PATIENCE):
            while not rotating.counts[RENEWAL]:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            writer.close()
            await writer.wait_closed()
            answered.set()
            while app.tokens.snapshot("default").renewals != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert status_of(await ask(app.urls[0], "GET", "/v1/job")) == 200


async def test_a_refresh_that_fails(rotating: EmbeddedCognito, origin: Origin) -> None:
    """Whoever asks is told why, as of any other failure; requests go on with the token that there is."""
    clock = FakeClock()
    async with rotating.running() as url, running_proxy(options_for(url, origin.url), clock) as app:
        await app.tokens.get("default")
        await clock.advance(60)
        rotating.faults.throttle(None, RENEWAL)
        answer = await ask(app.urls[0], "POST", "/-/refresh")
        assert (status_of(answer), document_of(answer)["code"]) == (503, "sign_in_failed")
        assert b"\r\nretry-after: " in answer.lower()
        assert status_of(await ask(app.urls[0], "GET", "/v1/job")) == 200


async def test_a_refresh_in_read_only_mode(rotating: EmbeddedCognito, origin: Origin) -> None:
    """What limits requests to the upstream is not about the proxy's own token; content that came along is no matter."""
    clock = FakeClock()
    options_of: dict[str, Any] = {"read_only": True, "deny": ("* /**",)}
    async with rotating.running() as url, running_proxy(options_for(url, origin.url, **options_of), clock) as app:
        await app.tokens.get("default")
        await clock.advance(60)
        answer = await talk(app.urls[0], closing("POST", "/-/refresh", body=b"{}"))
        assert (status_of(answer), document_of(answer)["renewed"]) == (200, True)


async def test_a_refresh_without_a_login(origin: Origin) -> None:
    """Where nobody can sign in, the answer says what is missing."""
    async with running_proxy(options_for("http://127.0.0.1:9", origin.url, username=None, password=None)) as app:
        answer = await ask(app.urls[0], "POST", "/-/refresh")
        assert (status_of(answer), document_of(answer)["code"]) == (503, "credential_missing")
        assert "UL_PROXY_PASSWORD" in document_of(answer)["hint"]
