"""Whoever answers in Cognito's place must not get a password, a token believed, or the proxy stopped for good."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.origin import Origin, Recorded
from support.stack import PASSWORD, SIGNER, closing, new_cognito, options_for, pool_of, running_proxy, talk
from support.wire import PATIENCE

from proxy.app import App
from proxy.demo.signer import Signer
from proxy.identity.cognito.endpoints import Endpoint, user_pool
from proxy.identity.cognito.sdk import _session
from proxy.identity.profile import AuthFlow


async def first_answer(app: App, clock: FakeClock) -> bytes:
    caller = asyncio.create_task(talk(app.urls[0], closing("GET", "/v1/job")))
    while not caller.done():
        await clock.advance(1)
        await asyncio.sleep(0.001)
    return caller.result()


def plain(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", b""]) + body


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_redirect_is_not_followed_with_the_password(status: str, origin: Origin) -> None:
    """A redirect in Cognito's place takes the password nowhere, and is tried again like an outage."""
    async with Origin().running() as elsewhere, Origin().running() as portal:
        portal.answers = [plain(status.encode(), b"", b"Location: " + elsewhere.url.encode() + b"/")]
        pool = pool_of(new_cognito().pool.config, portal.url, auth_flow=AuthFlow.PASSWORD)
        clock = FakeClock()
        async with running_proxy(options_for("", origin.url, pool=pool), clock=clock) as app:
            assert b'"sign_in_failed"' in await first_answer(app, clock)
        assert any(PASSWORD.encode() in request.body for request in portal.requests)
        assert elsewhere.requests == []


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "407 Proxy Authentication Required", "429 Slow"])
async def test_a_captive_portal_ends_nothing_for_good(status: str) -> None:
    """An answer that is not Cognito's is an outage: the session lives on, and the next renewal uses it."""
    clock = FakeClock()
    cognito = new_cognito()
    async with Origin().running() as origin, cognito.running() as url, Origin().running() as portal:
        portal.answers = [plain(status.encode(), b"<html>sign in to the wifi</html>", b"Content-Type: text/html")]
        options = options_for(url, origin.url)
        async with running_proxy(options, clock=clock) as app:
            await app.tokens.get("default")
            sdk = app._cognito._calls._sdk
            assert sdk is not None
            endpoint = user_pool(options.profile.pool)
            honest = sdk._clients[endpoint]
            sdk._clients[endpoint] = await sdk._client(endpoint._replace(url=portal.url))
            clock.suspend(3600)
            assert b'"sign_in_failed"' in await first_answer(app, clock)
            sdk._clients[endpoint] = honest
            await clock.advance(60)
            assert b" 200 OK" in await first_answer(app, clock)
            assert app.tokens.snapshot("default").sign_ins == 1


async def test_an_answer_without_end_is_given_up(origin: Origin) -> None:
    """A Cognito whose answer goes on and on fills no memory: the answer is given up after 1 MiB, like an outage."""
    sent = 0

    async def pour(request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n\r\n")
        with suppress(ConnectionError):
            while sent < 64 << 20:
                writer.write(bytes(1 << 16))
                sent += 1 << 16
                await writer.drain()

    async with Origin(responder=pour).running() as flood:
        pool = pool_of(new_cognito().pool.config, flood.url)
        clock = FakeClock()
        async with running_proxy(options_for("", origin.url, pool=pool), clock=clock) as app:
            answer = await first_answer(app, clock)
    assert b'"sign_in_failed"' in answer
    assert b"longer than 1 MiB" in answer
    assert sent < 64 << 20


@pytest.mark.parametrize(
    "body",
    [
        b"[1]",
        b"{}",
        b'{"ChallengeName":"PASSWORD_VERIFIER"}',
        b'{"AuthenticationResult":{"IdToken":7}}',
        b"\xff",
        b"[" * 5000,
    ],
    ids=["list", "empty", "challenge without parameters", "number for a token", "no text", "deeply nested"],
)
async def test_nonsense_is_no_defect(body: bytes, origin: Origin, caplog: pytest.LogCaptureFixture) -> None:
    """An answer of a shape that Cognito's never have is told as such, without a traceback."""
    async with Origin().running() as fake:
        fake.answers = [plain(b"200 OK", body, b"Content-Type: application/x-amz-json-1.1")]
        clock = FakeClock()
        async with running_proxy(options_for(fake.url, origin.url), clock=clock) as app:
            assert b'"sign_in_failed"' in await first_answer(app, clock)
    assert not [record for record in caplog.records if record.exc_info and record.levelname != "DEBUG"]


async def test_an_answer_that_trickles_ends_nothing_for_good(origin: Origin) -> None:
    """A Cognito that sends a byte now and then, for ever, is given up like one that is silent, and asked again."""
    cognito = new_cognito()
    timeouts = type(options_for("", origin.url).timeouts)(connect=1, headers=1, idle=1, auth=1, drain=1)

    async def trickle(request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with cognito.running() as url, Origin(responder=trickle).running() as slow:
        options = options_for(url, origin.url, timeouts=timeouts)
        async with running_proxy(options) as app:
            calls = app._cognito._calls
            honest = calls.call
            asked = asyncio.Event()

            async def first_to_the_slow_one(endpoint: Endpoint, *operation: Any) -> dict[str, Any]:
                first = not asked.is_set()
                asked.set()
                return await honest(endpoint._replace(url=slow.url) if first else endpoint, *operation)

            calls.call = first_to_the_slow_one  # type: ignore[assignment,method-assign]
            async with asyncio.timeout(PATIENCE):
                while b" 200 OK" not in await talk(app.urls[0], closing("GET", "/v1/job")):
                    pass
    assert slow.requests


async def test_a_key_set_in_pieces_is_read_whole(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forged token is refused also when the pool's keys arrive bit by bit."""
    cognito = new_cognito()
    body = json.dumps(
        Signer().jwks()
        | {
            "keys": [
                {**key, "kid": real["kid"]}
                for key, real in zip(Signer().jwks()["keys"], SIGNER.jwks()["keys"], strict=True)
            ]
        }
    ).encode()

    async def piecemeal(request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 400):
            writer.write(body[start : start + 400])
            await writer.drain()
            await asyncio.sleep(0.001)

    clock = FakeClock()
    async with cognito.running() as url, Origin(responder=piecemeal).running() as keys:
        options = options_for(url, origin.url)
        async with running_proxy(options, clock=clock) as app:
            get = app._cognito._keys._get
            monkeypatch.setattr(app._cognito._keys, "_get", lambda _: get(keys.url))
            assert b'"sign_in_failed"' in await first_answer(app, clock)
    assert keys.requests
    assert origin.requests == []


async def test_netrc_and_models_at_home_are_not_read(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ~/.netrc, ~/.aws/models and botocore's plugin variable say reaches neither Cognito nor its key server."""
    (tmp_path / ".netrc").write_text("default login canary password canary\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name in ("endpoints.json", "cognito-idp/2016-04-18/service-2.json"):
        path = tmp_path / ".aws" / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BOTOCORE_EXPERIMENTAL__PLUGINS", "canary=antigravity")
    # As in a new process: nothing has been read by an earlier test.
    _session.cache_clear()
    cognito = new_cognito()
    async with cognito.running() as url, running_proxy(options_for(url, origin.url)) as app:
        assert b" 200 OK" in await talk(app.urls[0], closing("GET", "/v1/job"))
    assert all(call.authorization is None for call in cognito.calls)


async def test_keys_that_hang_do_not_hold_up_the_callers(origin: Origin) -> None:
    """A key server that never answers costs a part of the callers' patience, once a minute, and a warning."""
    cognito = new_cognito()
    timeouts = type(options_for("", origin.url).timeouts)(connect=1, headers=1, idle=1, auth=3, drain=1)
    async with cognito.running() as url:
        cognito.faults.hold("JWKS")
        async with running_proxy(options_for(url, origin.url, timeouts=timeouts)) as app:
            assert b" 200 OK" in await talk(app.urls[0], closing("GET", "/v1/job"))


async def test_a_token_refused_without_a_replay_is_replaced_at_once() -> None:
    """After a 401 that could not be replayed the proxy renews by itself and is ready again."""
    cognito = new_cognito()
    async with Origin().running() as origin, cognito.running() as url:
        origin.answers = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"]
        async with running_proxy(options_for(url, origin.url, replay_limit=4)) as app:
            assert b" 401 " in await talk(app.urls[0], closing("POST", "/v1/job", body=b"12345"))
            await asyncio.wait_for(app.tokens.get("default"), PATIENCE)
            assert b" 200 OK" in await talk(app.urls[0], closing("GET", "/-/ready"))
    assert cognito.counts["GetTokensFromRefreshToken"] == 1
