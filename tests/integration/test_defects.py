"""Requests that meet a defect of the proxy's own: counted, and in a row they make it unready."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.commands import settings_for, ul_proxy
from support.loops import EVERY_LOOP
from support.origin import Origin
from support.stack import closing, direct_options, new_cognito, options_for, running_proxy, talk
from support.wire import PATIENCE

from proxy.app import App
from proxy.errors.defects import Where
from proxy.forward.forwarder import Forwarder
from proxy.forward.replay import HeldBody
from proxy.http.client.transport import PooledTransport
from proxy.http.server.request import ServerRequest
from proxy.identity.cognito.flows import Cognito
from proxy.observe.endpoints import OwnEndpoints

loop_factories = EVERY_LOOP

ODD, GOOD = "/v1/odd", "/v1/job"


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport that fails with what nobody expects for requests that ask for ODD."""
    send = PooledTransport.send

    async def with_a_bug(self: PooledTransport, request: Any) -> Any:
        if ODD.encode() in request.head:
            raise ZeroDivisionError("a bug")
        return await send(self, request)

    monkeypatch.setattr(PooledTransport, "send", with_a_bug)


@pytest.fixture
async def proxy(origin: Origin, bug: None) -> AsyncIterator[App]:
    async with running_proxy(direct_options(origin.url)) as app:
        yield app


async def ask(app: App, path: str, *headers: str, method: str = "GET", body: bytes = b"") -> int:
    """The status of an answer."""
    answer = await talk(app.urls[0], closing(method, path, *headers, body=body))
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def told(app: App, path: str) -> dict[str, Any]:
    answer = await talk(app.urls[0], closing("GET", path))
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document


async def test_three_in_a_row(proxy: App, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The third turns readiness to 503, `ul-proxy wait` fails and status says why; one that goes well turns it back."""
    for ready in (200, 200, 503, 503):
        assert await ask(proxy, ODD) == 500
        assert await ask(proxy, "/-/ready") == ready
    reason = await told(proxy, "/-/ready")
    assert (reason["code"], reason["source"]) == ("defective", "proxy")
    env = settings_for(tmp_path, "http://127.0.0.1:9")
    waited = await ul_proxy("wait", "--max", "200ms", "--url", proxy.urls[0], env=env, cwd=tmp_path)
    assert waited.status == 1
    assert "the last 4 requests met a defect" in waited.err
    assert "The log has the tracebacks" in waited.err
    status = await told(proxy, "/-/status")
    assert (status["ready"], status["reason"]["code"], status["defects_in_a_row"]) == (False, "defective", 4)
    assert await ask(proxy, "/-/live") == 200
    assert await ask(proxy, GOOD) == 200
    assert await ask(proxy, "/-/ready") == 200
    status = await told(proxy, "/-/status")
    assert (status["ready"], status["reason"], status["defects"]["answering"]) == (True, None, 4)
    metrics = await talk(proxy.urls[0], closing("GET", "/-/metrics"))
    assert b'ul_proxy_defects_total{where="answering"} 4.0' in metrics
    assert b'ul_proxy_defects_total{where="renewing"} 0.0' in metrics
    assert sum("requests in a row met a defect" in record.message for record in caplog.records) == 1


async def test_one_callers_odd_request(proxy: App) -> None:
    """A request that meets a defect each time, between those of others that go well, leaves the proxy ready."""
    for _ in range(3):
        assert [await ask(proxy, ODD), await ask(proxy, ODD), await ask(proxy, GOOD)] == [500, 500, 200]
        assert await ask(proxy, "/-/ready") == 200
    assert proxy.defects.counts[Where.ANSWERING] == 6


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/-/ready", (), 200),
        ("/-/metrics", (), 200),
        (GOOD, ("Host: rebound.example",), 403),
        (GOOD, ("Origin: https://evil.example",), 403),
        (GOOD, ("X-UL-Proxy-Profile: nobody",), 404),
        ("/v1/../job", (), 400),
    ],
)
async def test_what_says_nothing(path: str, headers: tuple[str, ...], status: int, proxy: App) -> None:
    """Probes and requests that are refused neither break the row nor are part of it."""
    for ready in (200, 200, 503):
        answer = closing("GET", path, *headers)
        if headers and headers[0].startswith("Host"):
            answer = answer.replace(b"Host: localhost\r\n", b"")
        assert (await talk(proxy.urls[0], answer)).split(b" ")[1] == b"%d" % status
        assert await ask(proxy, ODD) == 500
        assert await ask(proxy, "/-/ready") == ready


async def test_an_upstream_that_is_down(bug: None) -> None:
    """That the upstream fails is no defect, however often; but nor has a request gone well then."""
    async with running_proxy(direct_options("http://127.0.0.1:9")) as app:
        for _ in range(4):
            assert await ask(app, GOOD) == 502
        assert await ask(app, "/-/ready") == 200
        for ready in (200, 200, 503):
            assert [await ask(app, ODD), await ask(app, GOOD)] == [500, 502]
            assert await ask(app, "/-/ready") == ready


async def test_own_endpoints(proxy: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of the proxy's own endpoints is counted, and does not make it unready to forward."""

    async def with_a_bug(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(OwnEndpoints, "_answer", with_a_bug)
    for _ in range(4):
        assert await ask(proxy, "/-/status") == 500
    monkeypatch.undo()
    assert await ask(proxy, "/-/ready") == 200
    assert proxy.defects.counts[Where.OWN_ENDPOINTS] == 4


async def test_requests_that_die_without_an_answer(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody catches on a request's way reaches the event loop alone, and makes the proxy unready as well."""
    handle = Forwarder.handle

    async def with_a_bug(self: Forwarder, caller: ServerRequest) -> None:
        if caller.head.target == ODD:
            raise TypeError("a coroutine was expected")
        await handle(self, caller)

    monkeypatch.setattr(Forwarder, "handle", with_a_bug)
    async with running_proxy(direct_options(origin.url)) as app:
        for ready in (200, 200, 503):
            assert await ask(app, ODD) == 0
            assert await ask(app, "/-/ready") == ready
        assert await ask(app, GOOD) == 200
        assert await ask(app, "/-/ready") == 200
        assert app.defects.counts[Where.EVENT_LOOP] == 3


async def test_callbacks(origin: Origin) -> None:
    """A callback that raises is counted, and whoever listened to the event loop before still hears of it."""
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: heard.set())
    try:
        before = loop.get_exception_handler()
        async with running_proxy(direct_options(origin.url)) as app:
            loop.call_soon(_raise)
            await asyncio.wait_for(heard.wait(), PATIENCE)
            assert app.defects.counts[Where.EVENT_LOOP] == 1
        assert loop.get_exception_handler() is before
    finally:
        loop.set_exception_handler(None)


def _raise() -> None:
    raise ZeroDivisionError("a bug")


async def test_an_upload(proxy: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in the task that sends a content is the request's."""

    async def with_a_bug(_: HeldBody) -> AsyncIterator[bytes]:
        yield b"{"
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(HeldBody, "at_hand", lambda _: None)
    monkeypatch.setattr(HeldBody, "stream", with_a_bug)
    assert await ask(proxy, GOOD, method="POST", body=b"{}") == 500
    assert (proxy.defects.counts[Where.ANSWERING], proxy.defects.in_a_row) == (1, 1)


async def test_a_renewal(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in renewing is counted; while the token is good, requests go well and the proxy is ready."""

    async def with_a_bug(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    clock = FakeClock()
    async with (
        new_cognito().running() as cognito_url,
        running_proxy(options_for(cognito_url, origin.url), clock=clock) as app,
    ):
        assert await ask(app, GOOD) == 200
        monkeypatch.setattr(Cognito, "renew", with_a_bug)
        for _ in range(4):
            await clock.advance(60)
            assert await ask(app, "/-/refresh", method="POST") == 503
        assert [await ask(app, GOOD), await ask(app, "/-/ready")] == [200, 200]
        assert (app.defects.counts[Where.RENEWING], app.defects.in_a_row) == (4, 0)
