"""How the proxy comes to its end: every request that it was sent is answered, and callers are told to move on."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from support.loops import EVERY_LOOP
from support.origin import Origin, Recorded
from support.served import PATIENCE, Served, isolated_settings, serving, this_loop, url_of
from support.stack import direct_options

from proxy.app import App
from proxy.http.server import draining

CONNECTIONS, EACH = 50, 20
GET = b"GET /cdn/flights/%d/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
loop_factories = EVERY_LOOP


class Echo(Origin):
    """Answers with the target, once it is let go."""

    def __init__(self) -> None:
        super().__init__(responder=self._echo)
        self.released = asyncio.Event()

    async def _echo(self, request: Recorded, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.released.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request.target), request.target))

    async def reached(self, count: int) -> None:
        """Return once `count` requests wait here."""
        async with asyncio.timeout(PATIENCE):
            while len(self.requests) < count:  # noqa: ASYNC110 - what has been recorded tells nobody
                await asyncio.sleep(0.01)


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    async with echo.running():
        yield echo
        echo.released.set()


@pytest.fixture
def settings(echo: Echo, tmp_path: Path) -> dict[str, str]:
    return isolated_settings(tmp_path, "http://127.0.0.1:9") | {
        "UL_PROXY_UPSTREAMS__FLIGHTS_CDN": echo.url,
        "UL_PROXY_TIMEOUTS__DRAIN": "60s",
        # A thousand lines would fill the pipe, which is read when the process has ended.
        "UL_PROXY_ACCESS_LOG": "false",
    }


class Line:
    """A caller's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[bytes, bytes]:
        """The head and the content of the next answer; EOFError or ConnectionError where there is none."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            match = re.search(rb"\r\nContent-Length: (\d+)\r\n", head, re.IGNORECASE)
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert match is not None, head
            return head, await self.reader.readexactly(int(match[1]))

    async def ends(self) -> None:
        """Wait for an orderly end, before which nothing may come."""
        async with asyncio.timeout(PATIENCE):
            assert await self.reader.read() == b""


@asynccontextmanager
async def lines_to(port: int, count: int = 1) -> AsyncIterator[list[Line]]:
    lines = [Line(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(count)]
    try:
        yield lines
    finally:
        for line in lines:
            line.writer.close()


async def port_of(served: Served) -> int:
    return int((await url_of(served)).rpartition(":")[2])


def closes(head: bytes) -> bool:
    return b"\r\nconnection: close\r\n" in head.lower()


async def ended_well(served: Served) -> None:
    assert await served.ended() == (0, "")
    assert json.loads(served.printed[-1])["message"] == "stopped"
    assert not [line for line in served.printed if "cut off" in line]


async def test_a_thousand_pipelined(settings: dict[str, str], echo: Echo) -> None:
    """Of 1,000 requests that wait on 50 connections each is answered in its order as SIGTERM comes."""
    async with serving(settings, loop=this_loop()) as served, lines_to(await port_of(served), CONNECTIONS) as lines:
        for number, line in enumerate(lines):
            line.writer.write(b"".join(GET % (number, item) for item in range(EACH)))
        await echo.reached(CONNECTIONS)
        served.process.terminate()
        await served.message("draining")
        echo.released.set()

        async def collect(number: int, line: Line) -> None:
            for item in range(EACH):
                head, content = await line.answer()
                assert content == b"/%d/%d" % (number, item)
                assert closes(head) == (item == EACH - 1)
            await line.ends()
            line.writer.close()

        await asyncio.gather(*(collect(number, line) for number, line in enumerate(lines)))
        await ended_well(served)
    assert len(echo.requests) == CONNECTIONS * EACH


async def test_a_thousand_in_turn(settings: dict[str, str], echo: Echo) -> None:
    """Of callers who send request after request none is cut: an answer tells each to move on, until none is let in."""
    echo.released.set()
    answered, told, refused = 0, 0, 0
    async with serving(settings, loop=this_loop()) as served:
        port = await port_of(served)

        async def call(number: int) -> None:
            nonlocal answered, told, refused
            for round_ in range(EACH):
                try:
                    opened = lines_to(port)
                    (line,) = await opened.__aenter__()
                except ConnectionRefusedError:
                    refused += 1
                    return
                async with _closing(opened):
                    closing = False
                    while not closing:
                        line.writer.write(GET % (number, round_))
                        head, content = await line.answer()
                        assert content == b"/%d/%d" % (number, round_)
                        closing = closes(head)
                        answered += 1
                        if answered == CONNECTIONS * EACH:
                            served.process.terminate()
                    told += 1
                    await line.ends()

        await asyncio.gather(*map(call, range(CONNECTIONS)))
        await ended_well(served)
    assert answered >= CONNECTIONS * EACH
    assert refused == CONNECTIONS
    assert told >= CONNECTIONS


@asynccontextmanager
async def _closing(opened: AbstractAsyncContextManager[list[Line]]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await opened.__aexit__(None, None, None)


async def test_callers_in_the_queue(settings: dict[str, str], echo: Echo) -> None:
    """Callers whom the system has let in, and the proxy has not noticed yet as SIGTERM comes, are answered."""
    echo.released.set()
    async with serving(settings, loop=this_loop()) as served:
        port = await port_of(served)
        served.process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, served.process.pid, os.WSTOPPED | os.WNOWAIT)
        async with lines_to(port, CONNECTIONS) as lines:
            for number, line in enumerate(lines):
                line.writer.write(GET % (number, 0))
            served.process.terminate()
            served.process.send_signal(signal.SIGCONT)
            for number, line in enumerate(lines):
                _, content = await line.answer()
                assert content == b"/%d/0" % number
                await line.ends()
            await ended_well(served)


async def test_listens_on_for_a_while(settings: dict[str, str], echo: Echo) -> None:
    """During `drain_delay` the proxy is not ready but answers old and new callers as ever; a second signal ends it."""
    echo.released.set()
    async with serving(settings, "--drain-delay", "1h", loop=this_loop()) as served:
        port = await port_of(served)
        async with lines_to(port) as (kept,):
            kept.writer.write(GET % (1, 1))
            assert not closes((await kept.answer())[0])
            served.process.terminate()
            await served.message("draining")
            async with lines_to(port) as (probe,):
                probe.writer.write(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b'"draining"' in await probe.reader.read()
            for line, number in ((kept, 2), (None, 3)):
                async with lines_to(port) as (new,):
                    used = line or new
                    used.writer.write(GET % (number, number))
                    head, content = await used.answer()
                    assert (content, closes(head)) == (b"/%d/%d" % (number, number), True)
                    await used.ends()
        served.process.terminate()
        await ended_well(served)


async def test_stops_listening_after_the_delay(settings: dict[str, str]) -> None:
    """Once `drain_delay` is over nobody new is let in."""
    async with serving(settings, "--drain-delay", "10ms") as served:
        port = await port_of(served)
        served.process.terminate()
        await ended_well(served)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_request_on_an_idle_connection(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was on its way on an idle connection as the draining began is answered, not lost."""
    monkeypatch.setattr(draining, "GRACE", PATIENCE)
    echo.released.set()
    app = App(direct_options(echo.url))
    await app.__aenter__()
    port = int(app.urls[0].rpartition(":")[2])
    async with lines_to(port, 2) as (used, unused):
        used.writer.write(GET % (1, 1))
        await used.answer()
        ending = asyncio.create_task(app.__aexit__(None, None, None))
        await refuses(port)
        for line in (used, unused):
            line.writer.write(GET % (2, 2))
            head, content = await line.answer()
            assert (content, closes(head)) == (b"/2/2", True)
            await line.ends()
            line.writer.close()
        await asyncio.wait_for(ending, PATIENCE)


async def test_head_that_has_begun(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which a head has begun to arrive is not closed for being quiet."""
    monkeypatch.setattr(draining, "GRACE", 0.0)
    echo.released.set()
    app = App(direct_options(echo.url))
    await app.__aenter__()
    port = int(app.urls[0].rpartition(":")[2])
    async with lines_to(port, 2) as (slow, quiet):
        slow.writer.write((GET % (1, 1))[:20])
        # Whoever is answered behind it was read behind it.
        quiet.writer.write(GET % (3, 3))
        await quiet.answer()
        ending = asyncio.create_task(app.__aexit__(None, None, None))
        await quiet.ends()
        slow.writer.write((GET % (1, 1))[20:])
        head, content = await slow.answer()
        assert (content, closes(head)) == (b"/1/1", True)
        await slow.ends()
        slow.writer.close()
        await asyncio.wait_for(ending, PATIENCE)


async def refuses(port: int) -> None:
    """Returns once nobody is let in any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            writer.transport.abort()
            await asyncio.sleep(0)


@pytest.fixture
def narrow() -> Iterator[socket.socket]:
    """A caller's socket that takes in little at a time."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        yield sock


async def test_slow_reader_gets_everything(settings: dict[str, str], echo: Echo, narrow: socket.socket) -> None:
    """An answer that its caller has yet to take is not cut short when the proxy has nothing else to do."""
    size = 8 << 20
    echo.responder, echo.answers = None, [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, bytes(size))]
    async with serving(settings, loop=this_loop()) as served:
        running = asyncio.get_running_loop()
        await running.sock_connect(narrow, ("127.0.0.1", await port_of(served)))
        await running.sock_sendall(narrow, GET % (1, 1))
        await echo.reached(1)
        served.process.terminate()
        await served.message("draining")
        received = 0
        async with asyncio.timeout(PATIENCE):
            while data := await running.sock_recv(narrow, 1 << 20):
                received += len(data)
        assert received > size
        narrow.close()
        await ended_well(served)
