"""An upstream that records every byte it is sent and answers with whatever bytes a test decides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Recorded:
    """One request as it came over the wire; `body` without chunk framing."""

    head: bytes
    body: bytes = b""
    connection: int = 0

    @property
    def request_line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def target(self) -> bytes:
        return self.request_line.split(b" ")[1]

    @property
    def lines(self) -> list[tuple[bytes, bytes]]:
        rows = self.head.rstrip(b"\r\n").split(b"\r\n")[1:]
        return [(name, value.strip(b" ")) for name, _, value in (row.partition(b":") for row in rows)]

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.lines if key.lower() == name.lower()]


Responder = Callable[[Recorded, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Origin:
    """`answers` are sent in turn, the last one for good; a `responder` does as it likes."""

    answers: list[bytes] = field(default_factory=lambda: [OK])
    responder: Responder | None = None
    read_body: bool = True
    requests: list[Recorded] = field(default_factory=list)
    url: str = ""
    connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """A peer closed its connection."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request = Recorded(head, connection=number)
                self.requests.append(request)
                if request.values(b"expect") == [b"100-continue"]:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if self.read_body:
                    request.body = await _read_body(request, reader)
                if self.responder is not None:
                    await self.responder(request, reader, writer)
                else:
                    writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up.set()
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Origin"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()


class Slow:
    """A responder that answers when it is let."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def __call__(self, _request: Recorded, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await self.let.wait()
        writer.write(OK)


async def _read_body(request: Recorded, reader: asyncio.StreamReader) -> bytes:
    if lengths := request.values(b"content-length"):
        return await reader.readexactly(int(lengths[0]))
    if request.values(b"transfer-encoding") != [b"chunked"]:
        return b""
    body = b""
    while size := int((await reader.readuntil(b"\n")).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\n") != b"\r\n":
        pass
    return body


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin().running() as origin:
        yield origin
