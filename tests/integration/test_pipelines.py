"""Requests that come one behind the other on a connection: none is forgotten, and what waits is bounded."""

import asyncio
import socket
import threading
from contextlib import suppress

import pytest
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy, timeouts
from support.wire import PATIENCE, Peer, answer, caller, request, upstream

from proxy.app import App
from proxy.http.server import deadlines
from proxy.http.server.connection import CallerConnection
from proxy.http.server.server import Server
from proxy.http.server.turns import RequestQueue

loop_factories = EVERY_LOOP


async def echo(peer: Peer) -> None:
    while True:
        message = await peer.message()
        await peer.send(answer(200, body=message.start_line))


def address(app: App) -> tuple[str, int]:
    host, _, port = app.urls[0].removeprefix("http://").rpartition(":")
    return host, int(port)


async def test_requests_that_come_between_two_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """More requests than may wait, read just between the end of one and the turn of the next, are all answered."""
    between, sent = threading.Event(), threading.Event()
    ended = RequestQueue._ended

    def hold_up(turns: RequestQueue, task: "asyncio.Task[None]") -> None:
        ended(turns, task)
        if not between.is_set():
            between.set()
            sent.wait(PATIENCE)

    monkeypatch.setattr(RequestQueue, "_ended", hold_up)

    def talk(app: App) -> int:
        with socket.create_connection(address(app), timeout=PATIENCE) as sock:
            sock.sendall(request() * 2)
            between.wait(PATIENCE)
            sock.sendall(request() * 40)
            sent.set()
            heard = b""
            while heard.count(b"HTTP/1.1 200") < 42 and (data := sock.recv(1 << 16)):
                heard += data
            return heard.count(b"HTTP/1.1 200")

    async with upstream(echo) as origin, running_proxy(direct_options(origin.url)) as app:
        assert await asyncio.to_thread(talk, app) == 42


async def test_a_content_behind_another_is_bounded() -> None:
    """Of a second content, which came with the first, no more is read than is due while the first has its turn."""
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(answer(200))
        await peer.message()
        await go_on.wait()

    limit = 1 << 20
    async with upstream(script) as origin, running_proxy(direct_options(origin.url, buffer_limit=limit)) as app:
        async with caller(app.urls[0]) as peer:
            await peer.send(request())
            await peer.message()
            # As others would have it who are slow, and came after this one.
            app._buffers.waiting += limit // 8
            await peer.send(
                request("POST", "/v1/a", "Content-Length: 20000") + bytes(20000),
                request("POST", "/v1/b", "Content-Length: 100000000") + bytes(20000),
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    while True:
                        peer.writer.write(bytes(1 << 16))
                        await peer.writer.drain()
            assert app._buffers.waiting - limit // 8 < limit // 2
            peer.reset()
        go_on.set()


async def test_who_is_refused_and_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who is not let in and takes no answers keeps its connection no longer than `timeouts.idle`."""
    monkeypatch.setattr(deadlines, "_KEPT_REFUSED", 0.2)
    ended = asyncio.Event()
    closed = Server.closed

    def note(server: Server, lost: CallerConnection) -> None:
        closed(server, lost)
        ended.set()

    monkeypatch.setattr(Server, "closed", note)
    loop = asyncio.get_running_loop()
    async with upstream(echo) as origin, running_proxy(direct_options(origin.url, timeouts=timeouts(idle=1.0))) as app:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, address(app))
            foreign = b"GET /v1/x HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n" * 50
            try:
                async with asyncio.timeout(PATIENCE):
                    while not ended.is_set():
                        await asyncio.wait_for(loop.sock_sendall(sock, foreign), 0.3)
            except (TimeoutError, ConnectionError):
                pass
            await asyncio.wait_for(ended.wait(), PATIENCE)
        assert app._buffers.waiting == 0
