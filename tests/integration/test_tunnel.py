"""WebSockets: an upgrade that the upstream grants becomes a tunnel for bytes; on both event loops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.certificates import authority
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy, timeouts
from support.wire import PATIENCE, Message, Peer, Script, answer, answering, caller, request, upstream

from proxy.app import App
from proxy.demo.server import running

loop_factories = EVERY_LOOP

ASK = request("GET", "/v1/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
GRANTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n"
)
BULK = bytes(range(256)) * 8192
"""2 MB: more than all buffers on the way hold."""


@asynccontextmanager
async def tunnel(script: Script, **options: object) -> AsyncIterator[tuple[Peer, App]]:
    """A caller whose upgrade was granted, and `script` at the other end of the tunnel."""

    async def granting(peer: Peer) -> None:
        message = await peer.message()
        assert message.values(b"upgrade") == [b"websocket"]
        await peer.send(GRANTED)
        await script(peer)

    async with (
        upstream(granting) as origin,
        running_proxy(direct_options(origin.url, **options)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ASK)
        assert (await peer.head()).status == 101
        yield peer, app


async def echo(peer: Peer) -> None:
    while data := await peer.some():
        await peer.send(data)


async def test_outlives_the_deadline_of_its_head() -> None:
    """The time within which an answer must begin is over once a tunnel is open: it may be silent for longer."""
    async with tunnel(echo, timeouts=timeouts(headers=0.1, idle=0.1)) as (peer, _):
        await peer.silent(0.5)
        await peer.send(b"ping")
        assert await peer.exactly(4) == b"ping"


# A real client and server.


def websocket_app(closed: list[int | None]) -> web.Application:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 24, protocols=("chat",), autoping=True)
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                if message.data.startswith("close"):
                    await socket.close(code=int(message.data.split()[1]), message=b"as you wish")
                else:
                    await socket.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        closed.append(socket.close_code)
        return socket

    app = web.Application()
    app.router.add_get("/v1/ws", handle)
    return app


async def test_a_websocket() -> None:
    """Text, bytes, a megabyte, pings and close codes cross between a real client and a real server."""
    async with (
        running(websocket_app([])) as url,
        running_proxy(direct_options(url)) as app,
        aiohttp.ClientSession() as session,
        session.ws_connect(app.urls[0] + "/v1/ws", max_msg_size=1 << 24, protocols=("chat",)) as socket,
    ):
        assert socket.protocol == "chat"
        await socket.send_str("grüße")
        assert await socket.receive_str(timeout=PATIENCE) == "grüße"
        for size in (0, 1, 125, 126, 65_535, 65_536, 1 << 20):
            await socket.send_bytes(BULK[:size])
            assert await socket.receive_bytes(timeout=PATIENCE) == BULK[:size]
        await socket.ping(b"ping")
        await socket.send_str("still there")
        assert await socket.receive_str(timeout=PATIENCE) == "still there"
        await socket.send_str("close 4321")
        message = await socket.receive(timeout=PATIENCE)
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4321, "as you wish")


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_a_callers_close_code(code: int) -> None:
    """The code with which a client closes arrives, and its answer comes back."""
    closed: list[int | None] = []
    async with (
        running(websocket_app(closed)) as url,
        running_proxy(direct_options(url)) as app,
        aiohttp.ClientSession() as session,
        session.ws_connect(app.urls[0] + "/v1/ws") as socket,
    ):
        assert await socket.close(code=code)
    assert closed == [code]


# The upgrade.


async def test_the_upgrade_carries_the_credential() -> None:
    """The upgrade request is a request like any other: with the credential, without the caller's, Via and all."""
    received: list[Message] = []

    async def script(peer: Peer) -> None:
        received.append(await peer.message())
        await peer.send(GRANTED)

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ASK.replace(b"\r\n\r\n", b"\r\nAuthorization: mine\r\nX-A: b\r\n\r\n"))
        head = await peer.head()
    *lines, (name, _) = received[0].lines
    assert name == b"X-Request-Id"
    assert lines == [
        (b"Host", origin.url.removeprefix("http://").encode()),
        (b"Sec-WebSocket-Key", b"x"),
        (b"X-A", b"b"),
        (b"Via", b"1.1 ul-proxy"),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Authorization", b"Bearer pat-1"),
    ]
    assert head.values(b"connection") == [b"Upgrade"]
    assert head.values(b"upgrade") == [b"websocket"]
    assert head.values(b"sec-websocket-accept") == [b"y"]


@pytest.mark.parametrize("status", [200, 400, 403, 426])
async def test_an_upgrade_that_is_not_granted(status: int) -> None:
    """Another answer than 101 is an answer like any other, and the last one of its connection."""
    received: list[Message] = []
    script = answering(answer(status), requests=received)
    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ASK)
        message = await peer.message()
        assert (message.status, message.body) == (status, b"ok")
        assert message.values(b"connection") == [b"close"]
        await peer.ends()


async def test_an_upgrade_to_one_of_two_protocols() -> None:
    """Only the one protocol that can be tunnelled is asked for; any other wish is a request like any other."""
    received: list[Message] = []
    async with (
        upstream(answering(answer(200), requests=received)) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ASK[:-2] + b"Upgrade: foo\r\n\r\n")
        assert (await peer.message()).status == 200
    assert received[0].values(b"upgrade") == []


async def test_a_refused_upgrade_with_a_request_behind_it() -> None:
    """A request that was sent behind an upgrade that failed is not left waiting: the connection ends."""
    async with (
        upstream(answering(answer(403))) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ASK, request("GET", "/v1/x", "Connection: close"))
        assert (await peer.message()).status == 403
        assert await peer.rest() == b""


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(request(), id="no upgrade"),
        pytest.param(request("GET", "/v1/x", "Connection: Upgrade", "Upgrade: h2c"), id="another protocol"),
        pytest.param(request("GET", "/v1/x", "Upgrade: websocket"), id="not of this connection"),
        pytest.param(request("GET", "/v1/x", "Connection: Upgrade"), id="without a protocol"),
    ],
)
async def test_a_switch_that_nobody_asked_for(ask: bytes) -> None:
    """101 without an upgrade request is 502: no tunnel opens, and no byte of what follows gets through."""
    received: list[Message] = []

    async def script(peer: Peer) -> None:
        received.append(await peer.message())
        await peer.send(GRANTED + answer(body=b"poison"))
        await peer.rest()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ask)
        message = await peer.message()
    assert message.status == 502
    assert b"poison" not in message.body
    assert received[0].values(b"upgrade") == []


@pytest.mark.parametrize("more", ["", "Connection: foo\r\n"])
@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_an_upgrade_with_content(framing: str, more: str) -> None:
    """An upgrade that announces content is 400: nobody could tell where the tunnel begins."""
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        received.append((await peer.head()).head)
        await peer.send(GRANTED)
        await echo(peer)

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        body = b"5\r\nhello\r\n0\r\n\r\n" if "chunked" in framing else b"hello"
        await peer.send(ASK[:-2] + f"{more}{framing}\r\n\r\n".encode(), body)
        message = await peer.head()
        assert message.status == 400
        await peer.rest()
    assert received == []


# The tunnel.


async def test_first_bytes_right_behind_the_heads() -> None:
    """What follows the request or the 101 in the same packet is the beginning of the tunnel."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(GRANTED + b"from upstream")
        assert await peer.exactly(11) == b"from caller"
        await peer.send(b"seen")

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ASK + b"from caller")
        assert (await peer.head()).status == 101
        assert await peer.exactly(13) == b"from upstream"
        assert await peer.exactly(4) == b"seen"


async def test_first_bytes_before_the_switch() -> None:
    """What a caller sends while the upstream has yet to grant the upgrade is the beginning of the tunnel, too."""
    asked = asyncio.Event()
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message()
        asked.set()
        await sent.wait()
        await peer.send(GRANTED)
        assert await peer.exactly(11) == b"from caller"
        await peer.send(b"seen")

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ASK)
        await asyncio.wait_for(asked.wait(), PATIENCE)
        for piece in (b"from ", b"caller"):
            await peer.send(piece)
            for _ in range(5):  # rounds of the loop that all ends share: the proxy has read it then
                await asyncio.sleep(0)
        sent.set()
        assert (await peer.head()).status == 101
        assert await peer.exactly(4) == b"seen"


async def test_bytes_cross_as_they_are() -> None:
    """Anything may cross, also what looks like HTTP, in both directions at once."""
    noise = b"GET / HTTP/1.1\r\n\r\n\x00\xff0\r\n\r\n" * 1000
    async with tunnel(echo) as (peer, _):
        sending = asyncio.create_task(peer.send(BULK + noise))
        assert await peer.exactly(len(BULK + noise)) == BULK + noise
        await sending


async def test_a_caller_may_end_its_direction_first() -> None:
    """After the caller's half-close the upstream still has its say, all of it."""

    async def script(peer: Peer) -> None:
        assert await peer.rest() == BULK
        await peer.send(BULK[::-1])

    async with tunnel(script) as (peer, _):
        await peer.send(BULK)
        peer.end()
        assert await peer.rest() == BULK[::-1]


async def test_an_upstream_may_end_its_direction_first() -> None:
    """After the upstream's half-close the caller still has its say, all of it, however slowly it is taken."""
    said: list[bytes] = []
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(b"bye")
        peer.end()
        await asyncio.sleep(0.3)
        said.append(await peer.rest())
        done.set()

    async with tunnel(script) as (peer, _):
        assert await peer.rest() == b"bye"
        await peer.send(BULK)
        peer.end()
        await asyncio.wait_for(done.wait(), PATIENCE)
    assert said == [BULK]


@pytest.mark.parametrize("end", [Peer.close, Peer.reset], ids=["closes", "resets"])
async def test_an_upstream_that_leaves(end: object) -> None:
    """When the upstream goes, the caller hears of it."""
    assert callable(end)

    async def script(peer: Peer) -> None:
        assert await peer.exactly(1) == b"x"
        end(peer)

    async with tunnel(script) as (peer, _):
        await peer.send(b"x")
        await peer.ends()


@pytest.mark.parametrize("end", [Peer.close, Peer.reset], ids=["closes", "resets"])
async def test_a_caller_who_leaves(end: object) -> None:
    """When the caller goes, the upstream hears of it."""
    assert callable(end)
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        try:
            await peer.ends()
        finally:
            heard.set()

    async with tunnel(script) as (peer, _):
        end(peer)
        await asyncio.wait_for(heard.wait(), PATIENCE)


async def keep_talking(peer: Peer) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await peer.send(b"hello?")
            await asyncio.sleep(0.01)


async def test_an_upstream_that_is_gone_after_its_half_close() -> None:
    """A caller who goes on speaking to an upstream that is gone is cut off rather than left to talk to nobody."""

    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        peer.end()
        await asyncio.wait_for(heard.wait(), PATIENCE)
        peer.reset()

    async with tunnel(script) as (peer, _):
        assert await peer.some() == b""
        heard.set()
        with pytest.raises(ConnectionError):
            await keep_talking(peer)


async def test_a_silent_tunnel_stays_open() -> None:
    """No timeout ends a tunnel, also not after it was held up by a slow end."""
    limit = 0.6

    async def script(peer: Peer) -> None:
        await peer.send(BULK * 4)
        await echo(peer)

    async with tunnel(script, timeouts=timeouts(idle=limit, headers=limit)) as (peer, _):
        await asyncio.sleep(1.5 * limit)
        assert await peer.exactly(len(BULK) * 4) == BULK * 4
        await asyncio.sleep(1.5 * limit)
        await peer.send(b"still there?")
        assert await peer.exactly(12) == b"still there?"


@pytest.mark.parametrize("slow", ["caller", "upstream"])
async def test_a_slow_end_makes_the_other_wait(slow: str) -> None:
    """Of 64 MB that one end does not read, the other can send but a small part."""
    sent = 0
    size = 64 << 20
    go_on = asyncio.Event()

    async def pour(peer: Peer) -> None:
        nonlocal sent
        while sent < size:
            peer.writer.write(bytes(1 << 16))
            await peer.writer.drain()
            sent += 1 << 16

    async def drink(peer: Peer) -> None:
        await asyncio.wait_for(go_on.wait(), PATIENCE)
        left = size
        while left:
            left -= len(await peer.some())

    async def script(peer: Peer) -> None:
        await (pour if slow == "caller" else drink)(peer)

    async with tunnel(script) as (peer, _):
        work = asyncio.create_task((drink if slow == "caller" else pour)(peer))
        stalled = -1
        while sent != stalled:
            stalled = sent
            await asyncio.sleep(0.3)
        assert stalled < size // 2
        go_on.set()
        await work


async def test_a_proxy_that_ends_waits_for_its_tunnels(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open tunnel is a request in flight: it has `timeouts.drain` to come to its end, and works meanwhile.

    Once both ends have closed their direction nothing is waited for.
    """
    monkeypatch.setattr("proxy.http.server.answering.LINGER", 3600.0)
    async with upstream(granting_echo) as origin:
        app = App(direct_options(origin.url, timeouts=timeouts(drain=3600.0)))
        await app.__aenter__()
        async with caller(app.urls[0]) as peer:
            await peer.send(ASK)
            assert (await peer.head()).status == 101
            ending = asyncio.create_task(app.__aexit__(None, None, None))
            await asyncio.sleep(0.1)
            await peer.send(b"still there?")
            assert await peer.exactly(12) == b"still there?"
            assert not ending.done()
            peer.end()
            assert await peer.rest() == b""
            await asyncio.wait_for(ending, PATIENCE)


async def test_a_tunnel_that_outlasts_the_drain_is_cut() -> None:
    """After `timeouts.drain` both ends of an open tunnel are broken off."""
    async with upstream(granting_echo) as origin:
        app = App(direct_options(origin.url, timeouts=timeouts(drain=0.1)))
        await app.__aenter__()
        async with caller(app.urls[0]) as peer:
            await peer.send(ASK)
            assert (await peer.head()).status == 101
            await asyncio.wait_for(app.__aexit__(None, None, None), PATIENCE)
            await peer.ends()


async def granting_echo(peer: Peer) -> None:
    await peer.message()
    await peer.send(GRANTED)
    await echo(peer)


async def test_a_tunnel_over_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A tunnel to a TLS upstream carries bytes both ways, and its end is the end, without complaints in the log."""
    ca = authority(tmp_path)

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(GRANTED)
        await peer.send(await peer.exactly(len(BULK)))

    async with (
        upstream(script, tls=ca.server("127.0.0.1")) as origin,
        running_proxy(direct_options(origin.url, ca_file=ca.file)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(ASK)
        assert (await peer.head()).status == 101
        peer.writer.write(BULK)
        assert await peer.exactly(len(BULK)) == BULK
        await peer.ends()
    assert not [record for record in caplog.records if record.name.startswith(("asyncio", "proxy.forward"))]
