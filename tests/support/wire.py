"""Both ends of the wire, byte by byte: a peer that reads and writes what a test says, and an upstream made of them."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

PATIENCE = 30.0
"""Seconds after which a test gives up waiting for what must come, on a machine that has other things to do."""


@dataclass
class Message:
    """One request or answer as it came over the wire; `body` without chunk framing."""

    head: bytes
    body: bytes = b""
    trailers: bytes = b""

    @property
    def start_line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    @property
    def lines(self) -> list[tuple[bytes, bytes]]:
        rows = self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]
        return [(name, value.strip(b" ")) for name, _, value in (row.partition(b":") for row in rows)]

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.lines if key.lower() == name.lower()]


class Peer:
    """One end of a connection. Reading waits PATIENCE seconds at most; EOFError is an orderly end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.number = 0
        """Among the connections of an upstream."""

    async def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))
        await asyncio.wait_for(self.writer.drain(), PATIENCE)

    async def exactly(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), PATIENCE)

    async def some(self) -> bytes:
        """Whatever comes next, empty at the end."""
        return await asyncio.wait_for(self.reader.read(1 << 18), PATIENCE)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(-1), PATIENCE)

    async def ends(self) -> None:
        """Wait until the other end has closed or broken the connection; nothing may come before."""
        with suppress(ConnectionError):
            data = await self.some()
            assert not data, data

    async def silent(self, seconds: float = 0.1) -> None:
        """Hear nothing for a while, not even the end."""
        with suppress(TimeoutError):
            data = await asyncio.wait_for(self.reader.read(1 << 16), seconds)
            raise AssertionError(f"heard {data!r}")

    async def head(self) -> Message:
        return Message(await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE))

    async def chunk(self) -> bytes:
        """The next chunk, empty for the last one, whose trailers are still to be read."""
        line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), PATIENCE)
        size = int(line.partition(b";")[0], 16)
        return (await self.exactly(size + 2))[:-2] if size else b""

    async def message(self, head: Message | None = None, *, bodiless: bool = False) -> Message:
        """A whole request or answer, or the rest of the one whose `head` has been read."""
        message = head or await self.head()
        if bodiless or (message.head.startswith(b"HTTP/") and message.status in (204, 304)):
            return message
        if lengths := message.values(b"content-length"):
            message.body = await self.exactly(int(lengths[0]))
        elif message.values(b"transfer-encoding") == [b"chunked"]:
            while piece := await self.chunk():
                message.body += piece
            while (line := await asyncio.wait_for(self.reader.readuntil(b"\r\n"), PATIENCE)) != b"\r\n":
                message.trailers += line
        elif message.head.startswith(b"HTTP/"):
            message.body = await self.rest()
        return message

    def end(self) -> None:
        """Nothing more will be sent."""
        self.writer.write_eof()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Break the connection off."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:  # else it has ended already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Scripted:
    """An upstream whose every connection follows a script; what scripts raise comes out at the end."""

    url: str = ""
    port: int = 0
    connections: int = 0
    requests: list[Message] = field(default_factory=list)
    """For scripts to keep what they read."""
    server_names: list[str | None] = field(default_factory=list)


@asynccontextmanager
async def upstream(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", **options: Any
) -> AsyncIterator[Scripted]:
    """A server that runs `script` for every connection and closes it afterwards."""
    scripted = Scripted()
    tasks: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        scripted.connections += 1
        peer = Peer(reader, writer)
        peer.number = scripted.connections
        try:
            await script(peer)
        except (ConnectionError, EOFError, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001 - a failed assertion, for the test
            failures.append(error)
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, host, 0, ssl=tls, **options)
    scripted.port = server.sockets[0].getsockname()[1]
    scripted.url = f"{'http' if tls is None else 'https'}://{host}:{scripted.port}"
    try:
        yield scripted
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]


def answering(*answers: bytes, requests: list[Message] | None = None) -> Script:
    """A script that reads whole requests and sends these answers in turn, the last one for good."""
    left = list(answers)

    async def script(peer: Peer) -> None:
        while True:
            message = await peer.message()
            if requests is not None:
                requests.append(message)
            await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script


@asynccontextmanager
async def caller(url: str) -> AsyncIterator[Peer]:
    """A connection to the proxy."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    peer = Peer(reader, writer)
    try:
        yield peer
    finally:
        writer.close()


Version = Literal["1.0", "1.1"]


def request(
    method: str = "GET", target: str = "/v1/x", *lines: str, body: bytes | None = None, version: Version = "1.1"
) -> bytes:
    """A raw request, with a Content-Length where there is a body."""
    rows = [f"{method} {target} HTTP/{version}", "Host: localhost", *lines]
    if body is not None:
        rows.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*rows, "", ""]).encode("latin-1") + (body or b"")


def answer(status: int = 200, *lines: bytes, body: bytes = b"ok", reason: bytes = b"OK") -> bytes:
    """A raw answer with a Content-Length."""
    rows = [b"HTTP/1.1 %d %b" % (status, reason), *lines, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(rows)
