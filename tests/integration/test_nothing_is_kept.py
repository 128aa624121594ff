"""What broke off leaves nothing in memory, without the garbage collector: the running proxy's looks for it seldom."""

import asyncio
import gc
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.certificates import Authority, authority
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy, timeouts
from support.wire import PATIENCE, Peer, answer, caller, request, upstream

from proxy.app import App
from proxy.errors import ProxyError
from proxy.forward.replay import HeldBody
from proxy.http.client.connection import UpstreamConnection
from proxy.http.client.exchange import Exchange
from proxy.http.client.tls import TlsTransport
from proxy.http.server.body import IncomingBody
from proxy.http.server.connection import CallerConnection
from proxy.http.server.request import ServerRequest

loop_factories = EVERY_LOOP

KINDS = (ServerRequest, CallerConnection, IncomingBody, HeldBody, Exchange, UpstreamConnection, TlsTransport)
LARGE = 8 << 20


def kept(kinds: tuple[type, ...] = KINDS) -> Counter[str]:
    """How many of the objects of a request there are, reachable or not."""
    return Counter(
        f"{type(found).__module__}.{type(found).__name__}" for found in gc.get_objects() if isinstance(found, kinds)
    )


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


async def download(peer: Peer) -> None:
    await peer.message()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE, bytes(1 << 20))
    await peer.ends()


async def silence(peer: Peer) -> None:
    await peer.head()
    await peer.ends()


async def swallow(peer: Peer) -> None:
    with suppress(ConnectionError):
        while await peer.some():
            pass


async def read_nothing(peer: Peer) -> None:
    await peer.head()
    await asyncio.sleep(0.4)


async def break_off(peer: Peer) -> None:
    await peer.message()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    await asyncio.sleep(0.05)
    peer.reset()


async def nonsense(peer: Peer) -> None:
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
    await peer.ends()


async def leave_at_once(peer: Peer) -> None:
    await peer.head()
    peer.reset()


async def refuse_early(peer: Peer) -> None:
    await peer.head()
    await peer.send(answer(413, b"Connection: close", body=b"too large"))
    await asyncio.sleep(0.05)
    peer.reset()


async def tunnel(peer: Peer) -> None:
    await peer.head()
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
    await peer.ends()


async def tunnel_and_read_nothing(peer: Peer) -> None:
    await peer.head()
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    await peer.send(bytes(4 << 20))
    await asyncio.sleep(0.4)


Leave = Callable[[Peer], Awaitable[None]]


async def take_a_little_and_reset(peer: Peer) -> None:
    await peer.exactly(100)
    peer.reset()


async def take_a_little_and_close(peer: Peer) -> None:
    await peer.exactly(100)
    peer.close()


async def reset_soon(peer: Peer) -> None:
    await asyncio.sleep(0.05)
    peer.reset()


async def hear_all(peer: Peer) -> None:
    await peer.rest()


GET = request("GET", "/v1/x", "Connection: close")
UPLOAD = request("POST", "/v1/x", "Connection: close", f"Content-Length: {LARGE}") + bytes(1 << 18)
WEBSOCKET = request("GET", "/v1/x", "Connection: upgrade", "Upgrade: websocket")

FLOOD = request("POST", "/v1/x", "Connection: close", f"Content-Length: {LARGE}") + bytes(LARGE)
FLOOD_OF_A_TUNNEL = WEBSOCKET + bytes(LARGE)
NAMES = {GET: "GET", UPLOAD: "POST", WEBSOCKET: "WebSocket", FLOOD: "much", FLOOD_OF_A_TUNNEL: "much in a WebSocket"}


@pytest.mark.parametrize(
    ("sent", "script", "leave"),
    [
        (GET, download, take_a_little_and_reset),
        (GET, download, take_a_little_and_close),
        (GET, silence, reset_soon),
        (GET, silence, hear_all),
        (GET, break_off, hear_all),
        (GET, nonsense, hear_all),
        (GET, leave_at_once, hear_all),
        (UPLOAD, swallow, reset_soon),
        (UPLOAD, leave_at_once, hear_all),
        (UPLOAD, refuse_early, reset_soon),
        (UPLOAD, swallow, hear_all),
        (WEBSOCKET, tunnel, take_a_little_and_reset),
        (WEBSOCKET, tunnel, reset_soon),
        (FLOOD, read_nothing, reset_soon),
        (FLOOD_OF_A_TUNNEL, tunnel_and_read_nothing, reset_soon),
    ],
    ids=lambda value: getattr(value, "__name__", None) or NAMES[value],
)
@pytest.mark.parametrize("secure", [False, True], ids=["", "TLS"])
@pytest.mark.usefixtures("no_collector")
async def test_what_broke_off(
    sent: bytes, script: Callable[[Peer], Awaitable[None]], leave: Leave, secure: bool, ca: Authority
) -> None:
    """Neither the answer that was on its way, nor the request, nor either connection is kept by anything."""
    limits = timeouts(headers=0.3, idle=0.3)
    async with (
        upstream(script, tls=ca.server("127.0.0.1") if secure else None) as origin,
        running_proxy(direct_options(origin.url, timeouts=limits, ca_file=ca.file)) as app,
    ):
        before = kept()
        for _ in range(3):
            async with caller(app.urls[0]) as peer:
                peer.writer.write(sent)
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    await asyncio.wait_for(leave(peer), PATIENCE)
        await settled(app)
        assert dict(kept() - before) == {}
        assert app._buffers.waiting == app._buffers.kept == 0


@pytest.mark.parametrize(
    "why", ["nobody there", "no such name", "name servers fail", "known, and they fail", "too slow"]
)
@pytest.mark.usefixtures("no_collector")
async def test_what_could_not_be_connected(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the request is kept by anything, nor the error."""
    monkeypatch.setattr("proxy.http.client.connect.TRYING", 0.1)
    monkeypatch.setattr("proxy.http.client.dns._FRESH", -1.0)
    asked = 0

    def getaddrinfo(*args: Any, **options: Any) -> list[Any]:
        nonlocal asked
        asked += 1
        if why == "too slow":
            time.sleep(0.3)
        if why in ("no such name", "name servers fail") or (why != "nobody there" and asked > 1):
            raise socket.gaierror(socket.EAI_NONAME if why == "no such name" else socket.EAI_AGAIN, why)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))]

    monkeypatch.setattr("proxy.http.client.dns.getaddrinfo", getaddrinfo)
    kinds = (*KINDS, OSError, ProxyError, asyncio.Task, asyncio.Future)
    limits = timeouts(connect=0.2 if why == "too slow" else 60.0)
    async with running_proxy(direct_options("http://api.example", timeouts=limits)) as app:
        for _ in range(3):
            before = kept(kinds)
            async with caller(app.urls[0]) as peer:
                await peer.send(GET)
                assert (await peer.message()).status == (504 if why == "too slow" else 502)
                await peer.ends()
            await settled(app)
            await asyncio.sleep(0.3 if why == "too slow" else 0)
        # The first leave what all share.
        assert dict(kept(kinds) - before) == {}
    assert asked >= 3


async def settled(app: App) -> None:
    """Wait until neither side has a connection."""
    async with asyncio.timeout(PATIENCE):
        while app._listeners.connections or app._transport._pool.connections:  # noqa: ASYNC110 - neither tells when it ends
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
