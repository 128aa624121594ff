"""Upstreams that go away for a moment, and names that nobody answers for: no request is lost; on both event loops."""

import asyncio
import socket
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.connect_proxy import ConnectProxy
from support.environment import guarded_environment
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy
from support.wire import PATIENCE, Message, Peer, answer, answering, caller, request, upstream

from proxy.http.address import Upstream
from proxy.http.client.connect import Connector
from proxy.http.client.outbound import parse_proxy
from proxy.http.options import OutboundProxies

loop_factories = EVERY_LOOP

OK = answer()
CLOSING = answer(200, b"Connection: close")
CALLERS = 10
DOWN = 0.5
"""Seconds."""


async def ask(url: str, data: bytes) -> Message:
    async with caller(url) as peer:
        await peer.send(data)
        return await peer.message()


@asynccontextmanager
async def crowd(url: str, *, method: str = "GET") -> AsyncIterator[list[int]]:
    """Callers who ask again and again; the statuses that they have got. At the end each has been answered."""
    statuses: list[int] = []
    enough = asyncio.Event()

    async def call() -> None:
        async with caller(url) as peer:
            while not enough.is_set():
                await peer.send(request(method, body=b"abc"))
                statuses.append((await peer.message()).status)
                await asyncio.sleep(0.005)

    callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
    try:
        yield statuses
    finally:
        enough.set()
        await asyncio.gather(*callers)


async def more(statuses: list[int]) -> None:
    """Wait until the callers have had some more answers."""
    wanted = len(statuses) + 5 * CALLERS
    async with asyncio.timeout(PATIENCE):
        while len(statuses) < wanted:  # noqa: ASYNC110 - a list tells nobody
            await asyncio.sleep(0.01)


SERVER = """
import asyncio, sys

async def serve(reader, writer):
    while await reader.readline():
        while await reader.readline() != b"\\r\\n":
            pass
        await reader.readexactly(3)
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    writer.close()

async def main():
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class Process:
    """An upstream in a process of its own, which listens when it is told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def ready(cls, port: int = 0) -> "Process":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVER, str(port), stdin=PIPE, stdout=PIPE, env=guarded_environment()
        )
        made = cls(process)
        assert await made._line() == "ready"
        return made

    async def listen(self) -> int:
        """Its port."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return int(await self._line())

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self._process.stdout.readline()).decode().strip()


async def test_an_upstream_that_is_killed_and_started_again() -> None:
    """Of ten callers who go on asking meanwhile, none hears of it."""
    before = await Process.ready()
    port = await before.listen()
    after = await Process.ready(port)
    try:
        async with (
            running_proxy(direct_options(f"http://127.0.0.1:{port}")) as app,
            crowd(app.urls[0]) as statuses,
        ):
            await more(statuses)
            await before.kill()
            await asyncio.sleep(DOWN)
            await after.listen()
            await more(statuses)
    finally:
        await before.kill()
        await after.kill()
    assert set(statuses) == {200}


async def test_an_upstream_that_lets_go_and_is_started_again() -> None:
    """Requests that must not be sent twice come through as well, where it answers those that it has taken."""
    going = asyncio.Event()
    busy: set[Peer] = set()

    async def script(peer: Peer) -> None:
        busy.add(peer)
        try:
            while not going.is_set():
                await peer.message()
                await peer.send(CLOSING if going.is_set() else OK)
        finally:
            busy.discard(peer)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Peer(reader, writer))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        running_proxy(direct_options(f"http://127.0.0.1:{port}")) as app,
        crowd(app.urls[0], method="POST") as statuses,
    ):
        await more(statuses)
        server.close()
        going.set()
        async with asyncio.timeout(PATIENCE):
            while busy:  # noqa: ASYNC110 - a set tells nobody
                await asyncio.sleep(0.01)
        await asyncio.sleep(DOWN)
        going.clear()
        again = await asyncio.start_server(serve, "127.0.0.1", port)
        await more(statuses)
    again.close()
    assert set(statuses) == {200}


# Names, whose servers are only pretended.


class Names:
    """`getaddrinfo`: what names mean, or why nobody can tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *means: int | OSError) -> None:
        """Ports of 127.0.0.1, in turn, the last one for good."""
        self.means = list(means)
        self.asked = 0
        monkeypatch.setattr("proxy.http.client.dns.getaddrinfo", self)

    def __call__(self, *args: Any, **options: Any) -> list[Any]:
        self.asked += 1
        meaning = self.means.pop(0) if len(self.means) > 1 else self.means[0]
        if isinstance(meaning, OSError):
            raise meaning
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", meaning))]


SERVFAIL = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
NOBODY = 9
"""A port at which nobody listens."""


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_name_that_leads_elsewhere_by_now(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody takes connections its name is asked for anew, and the request goes there."""
    async with upstream(answering(OK)) as origin, running_proxy(direct_options("http://api.example")) as app:
        names = Names(monkeypatch, NOBODY, origin.port)
        assert (await ask(app.urls[0], request(method, body=b"abc"))).status == 200
        assert names.asked == 2


async def test_an_upstream_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried several times, and given up in good time."""
    monkeypatch.setattr("proxy.http.client.connect.TRYING", 0.4)
    async with running_proxy(direct_options("http://api.example")) as app:
        names = Names(monkeypatch, NOBODY)
        began = time.monotonic()
        message = await ask(app.urls[0], request())
        assert time.monotonic() - began < PATIENCE
    assert message.status == 502
    assert b"refuses connections" in message.body
    assert names.asked > 2


async def test_a_caller_who_leaves_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes on trying for them."""
    monkeypatch.setattr("proxy.http.client.connect.TRYING", PATIENCE)
    async with running_proxy(direct_options("http://api.example")) as app:
        names = Names(monkeypatch, NOBODY)
        async with caller(app.urls[0]) as peer:
            await peer.send(request())
            while not names.asked:  # noqa: ASYNC110 - an integer tells nobody
                await asyncio.sleep(0.01)
        while app.in_flight:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
        asked = names.asked
        await asyncio.sleep(0.5)
        assert names.asked == asked


async def test_names_that_cannot_be_looked_up_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were known are served, however often they have to be connected to."""
    monkeypatch.setattr("proxy.http.client.dns._FRESH", -1.0)

    async def once(peer: Peer) -> None:
        await peer.message()
        await peer.send(CLOSING)

    async with upstream(once) as origin, running_proxy(direct_options("http://api.example")) as app:
        names = Names(monkeypatch, origin.port)
        async with crowd(app.urls[0], method="POST") as statuses:
            await more(statuses)
            names.means = [SERVFAIL]
            await asyncio.sleep(FAILING)
            await more(statuses)
            asked = names.asked
            await more(statuses)
            assert names.asked > asked
            names.means = [origin.port]
            await more(statuses)
    assert set(statuses) == {200}


FAILING = 0.5
"""Seconds."""


async def test_a_name_that_is_unknown_and_cannot_be_looked_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again for a moment, as is connected again."""
    async with upstream(answering(OK)) as origin, running_proxy(direct_options("http://api.example")) as app:
        Names(monkeypatch, SERVFAIL, SERVFAIL, origin.port)
        assert (await ask(app.urls[0], request("POST", body=b"abc"))).status == 200


@pytest.mark.parametrize(("status", "tries"), [(502, 2), (503, 2), (504, 2), (403, 1), (407, 1)])
async def test_an_outbound_proxy_that_does_not_get_through(status: int, tries: int) -> None:
    """It is asked again where the upstream seems to be away, and not where it does not let us."""
    refused = b"HTTP/1.1 %d No\r\n\r\n" % status

    class Restarting(ConnectProxy):
        async def _serve(self, peer: Peer) -> None:
            self.refusal = None if self.requests else refused
            await super()._serve(peer)

    async with upstream(answering(OK)) as origin, Restarting(ports={"api.example": origin.port}).running() as via:
        outbound = OutboundProxies(http=parse_proxy(via.url))
        async with running_proxy(direct_options("http://api.example", outbound=outbound)) as app:
            message = await ask(app.urls[0], request("POST", body=b"abc"))
    assert message.status == (200 if tries > 1 else 502)
    assert len(via.requests) == tries


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other options")
async def test_the_kernel_looks_after_every_connection() -> None:
    """Also those through outbound proxies end where the other end falls silent."""
    async with upstream(answering(OK)) as origin, ConnectProxy(ports={"api.example": origin.port}).running() as via:
        for outbound in (OutboundProxies(), OutboundProxies(http=parse_proxy(via.url))):
            connector = Connector(timeout=PATIENCE, ca_file=None, outbound=outbound)
            with await connector.open_socket(Upstream.parse(origin.url)) as sock:
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert len(via.requests) == 1
