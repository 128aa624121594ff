"""Who is slow, or many, must not keep others from being served: limits in time and number; on both event loops."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from support.loops import EVERY_LOOP
from support.oracle import ANSWERED, StrictOrigin
from support.origin import Origin, Recorded
from support.rig import GOOD, converse
from support.stack import direct_options, running_proxy, timeouts
from support.wire import PATIENCE, Peer, answer, caller, request, upstream

from proxy.app import App

loop_factories = EVERY_LOOP

SHORT = 0.6
"""Seconds that stand for the limit on a head, or on a body that does not move."""
MANY = 300
HALVES = (b"", b"\r\n", b"GET /v1/x HT", b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n", request()[:-2])
"""Heads without an end."""


@pytest.fixture
async def origin() -> AsyncIterator[StrictOrigin]:
    async with StrictOrigin().running() as origin:
        yield origin


@asynccontextmanager
async def proxy(origin: StrictOrigin | Origin, limit: int | None = None, **times: float) -> AsyncIterator[App]:
    """A proxy with these timeouts, and at most `limit` connections."""
    more = {} if limit is None else {"max_connections": limit}
    async with running_proxy(direct_options(origin.url, timeouts=timeouts(drain=0.2, **times), **more)) as app:
        yield app


async def dropped(peer: Peer) -> bytes:
    """What a caller is told before the connection ends, which it does at the limit that it has exceeded."""
    heard = b""
    with suppress(ConnectionError):
        heard = await asyncio.wait_for(peer.reader.read(-1), PATIENCE)
    assert heard == b"" or heard.startswith(b"HTTP/1.1 408 "), heard
    return heard


# Heads.


@asynccontextmanager
async def half_sent(app: App) -> AsyncIterator[list["asyncio.Task[float]"]]:
    """MANY callers who never end their heads; each task is done once one is dropped, after so many seconds."""
    async with AsyncExitStack() as stack:
        tasks = []
        for number in range(MANY):
            began = asyncio.get_running_loop().time()
            peer = await stack.enter_async_context(caller(app.urls[0]))
            await peer.send(HALVES[number % len(HALVES)])
            tasks.append(asyncio.create_task(lasts(peer, began)))
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def lasts(peer: Peer, began: float) -> float:
    """Seconds after which a caller is dropped."""
    await dropped(peer)
    return asyncio.get_running_loop().time() - began


async def test_half_sent_heads() -> None:
    """300 heads that never end are all dropped at their limit, and a good request amid them is not."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message()
        asked.set()
        await asyncio.wait_for(go_on.wait(), PATIENCE)
        await peer.send(answer())

    async with (
        upstream(script) as slow,
        running_proxy(direct_options(slow.url, timeouts=timeouts(head=SHORT))) as app,
    ):
        good = asyncio.create_task(converse(app.urls[0], GOOD))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        async with half_sent(app) as callers:
            assert min(await asyncio.gather(*callers)) > SHORT
        assert not good.done()
        go_on.set()
        assert (await good).statuses == [200]


async def test_good_requests_amid_half_sent_heads(origin: StrictOrigin) -> None:
    """300 heads that never end keep nobody from being served: while they last, request after request is answered."""
    async with proxy(origin) as app, half_sent(app) as callers:
        for _ in range(20):
            assert (await converse(app.urls[0], GOOD)).statuses == [ANSWERED]
        assert not any(task.done() for task in callers)
    assert len(origin.requests) == 20


@pytest.mark.parametrize(
    "start", [b"", b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX: "], ids=["empty lines", "a value"]
)
async def test_a_head_in_drops(start: bytes, origin: StrictOrigin) -> None:
    """The limit is on the whole head: a byte now and then does not help."""
    async with proxy(origin, head=SHORT) as app, caller(app.urls[0]) as peer:
        await peer.send(start)
        gone = asyncio.create_task(dropped(peer))
        while not gone.done():
            with suppress(ConnectionError):
                await peer.send(b"y" if start else b"\r\n")
            await asyncio.wait((gone,), timeout=SHORT / 10)
        await gone
    assert origin.received == 0


async def test_the_second_head_of_a_connection(origin: StrictOrigin) -> None:
    """A request that was answered is no excuse for the next one."""
    async with proxy(origin, head=SHORT) as app, caller(app.urls[0]) as peer:
        await peer.send(request())
        assert (await peer.head()).status == ANSWERED
        await peer.send(HALVES[3])
        await dropped(peer)
    assert len(origin.requests) == 1


async def test_a_head_in_pieces(origin: StrictOrigin) -> None:
    """A head that comes in pieces, but within the limit, is a head like any other."""
    async with proxy(origin) as app, caller(app.urls[0]) as peer:
        for piece in (request()[:5], request()[5:20], request()[20:]):
            await asyncio.sleep(SHORT / 10)
            await peer.send(piece)
        assert (await peer.head()).status == ANSWERED


async def test_an_empty_line_behind_a_request() -> None:
    """Some old clients end a content with an empty line: it is no head, and cuts no answer that takes its time."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await asyncio.sleep(2 * SHORT)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    async with (
        upstream(script) as slow,
        running_proxy(direct_options(slow.url, timeouts=timeouts(head=SHORT))) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", "/v1/x", "Content-Length: 2"), b"hi\r\n")
        assert (await peer.message()).body == b"done"


async def test_answers_that_nobody_reads(origin: StrictOrigin) -> None:
    """A caller who sends request after request and reads no answer is soon read no more, and may leave like that."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    sent = 0
    piece = request("GET", "/-/status") * 64
    async with proxy(origin) as app, caller(app.urls[0]) as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with suppress(TimeoutError):
            while sent < 64 << 20:
                peer.writer.write(piece)
                await asyncio.wait_for(peer.writer.drain(), 1.0)
                sent += len(piece)
        assert sent < 16 << 20
        peer.reset()
    assert told == []


async def test_a_connection_at_rest(origin: StrictOrigin) -> None:
    """Between requests there is no head to wait for: a connection may rest longer than a head may take."""
    async with proxy(origin, head=SHORT) as app, caller(app.urls[0]) as peer:
        await peer.send(request())
        assert (await peer.head()).status == ANSWERED
        await asyncio.sleep(2 * SHORT)
        await peer.send(request())
        assert (await peer.head()).status == ANSWERED


# Bodies.


@pytest.mark.parametrize(
    "head",
    [request("POST", "/v1/x", "Content-Length: 100"), request("POST", "/v1/x", "Transfer-Encoding: chunked")],
    ids=["Content-Length", "chunked"],
)
async def test_a_body_that_stops_moving(head: bytes, origin: StrictOrigin) -> None:
    """Nothing for `timeouts.idle`: the caller is told 408, and the upstream's request is broken off."""
    async with proxy(origin, idle=SHORT) as app, caller(app.urls[0]) as peer:
        await peer.send(head, b"5\r\nhello\r\n" if b"chunked" in head else b"hello")
        heard = await asyncio.wait_for(peer.reader.read(-1), PATIENCE)
        if origin.received:
            await asyncio.wait_for(origin.cut_off.wait(), PATIENCE)
    assert heard.startswith(b"HTTP/1.1 408 ")
    assert b"Proxy-Status: ul-proxy; error=" in heard
    assert json.loads(heard.partition(b"\r\n\r\n")[2])["source"] == "client"
    assert origin.requests == []


async def test_a_slow_body_that_moves(origin: StrictOrigin) -> None:
    """There is no limit on a whole transfer: what moves may take longer than `timeouts.idle`."""
    async with proxy(origin, idle=SHORT) as app, caller(app.urls[0]) as peer:
        await peer.send(request("POST", "/v1/x", "Content-Length: 10"))
        for n in range(10):
            await asyncio.sleep(SHORT / 7)
            await peer.send(b"%d" % n)
        assert (await peer.head()).status == ANSWERED
    assert origin.requests[0].body == b"0123456789"


async def test_a_reader_who_stops_reading() -> None:
    """A caller who takes nothing for `timeouts.idle` is given up, and so is the upstream's answer."""

    async def endless(request: Recorded, reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()

    async with Origin(responder=endless).running() as origin, proxy(origin, idle=SHORT) as app:
        host, _, port = app.urls[0].removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(request())
            await asyncio.wait_for(origin.hung_up.wait(), PATIENCE)


# Numbers.


async def test_the_connection_beyond_the_limit(origin: StrictOrigin) -> None:
    """One too many gets 503 `overloaded` with Retry-After and is closed; a place that somebody left can be used."""
    async with proxy(origin, limit=3) as app, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(caller(app.urls[0])) for _ in range(3)]
        for peer in peers:
            await peer.send(request())
            assert (await peer.head()).status == ANSWERED
        heard = await converse(app.urls[0], request())
        assert (heard.statuses, heard.closed) == ([503], True)
        head, _, body = heard.data.partition(b"\r\n\r\n")
        assert b"\r\nRetry-After: " in head
        assert b"Proxy-Status: ul-proxy; error=" in head
        assert json.loads(body)["code"] == "overloaded"
        await peers[1].send(request())
        assert (await peers[1].head()).status == ANSWERED
        peers[0].close()
        await until_served(app)
    assert len(origin.requests) == 5


async def until_served(app: App) -> None:
    """Ask until there is a place: the proxy may hear a moment later that one was left."""
    async with asyncio.timeout(PATIENCE):
        while (await converse(app.urls[0], GOOD)).statuses != [ANSWERED]:
            pass


async def test_refused_connections_take_no_place(origin: StrictOrigin) -> None:
    """However many were turned away, as many are served at a time as the limit says."""
    async with proxy(origin, limit=1) as app:
        async with caller(app.urls[0]) as peer:
            await peer.send(request())
            assert (await peer.head()).status == ANSWERED
            refused = await asyncio.gather(*[converse(app.urls[0], request()) for _ in range(50)])
            assert [heard.statuses for heard in refused] == [[503]] * 50
        await until_served(app)
