"""The two sides of a soak: an upstream that breaks in every way, and callers who do."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

PATIENCE = 5.0
_WEB_SOCKET = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
_GRANTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n"
)
_FAULTS = ("fail", "reset", "cut", "cut chunked", "stall", "stall amid", "nonsense", "hang up")
_FAULTY, _REFUSED = 0.2, 0.002
"""Shares of the requests that something is done wrong to, and whose token is refused."""
_GOOD = ("sized", "chunked", "until the end", "informed", "large")

_DOWNLOAD = 50 << 20
_PIECE = bytes(1 << 18)
_LARGE = "/v1/large"
"""The path of downloads that nobody reads to their end."""

Action: TypeAlias = Callable[[], Awaitable[None]]


class Upstream:
    """Reads requests, and does with each what its path or chance says."""

    def __init__(self, draw: random.Random) -> None:
        self.url = ""
        self.faults = False
        self._draw = draw
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Upstream"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.hang_up()

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False where no other may follow."""
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1]
        if b"\r\nupgrade: websocket" in head.lower():
            writer.write(_GRANTED)
            while data := await reader.read(1 << 16):
                writer.write(data)
            return False
        await _read_content(head, reader)
        kind = self._kind()
        if target.startswith(_LARGE.encode()) and kind in _GOOD:
            return await _pour(writer)
        return await self._answer(kind, target, writer)

    def _kind(self) -> str:
        """How to answer the next request."""
        chance = self._draw.random()
        if not self.faults or chance > _FAULTY:
            return self._draw.choice(_GOOD)
        # Each of these costs the proxy its token.
        return "refuse" if chance < _REFUSED else self._draw.choice(_FAULTS)

    async def _answer(self, kind: str, target: bytes, writer: asyncio.StreamWriter) -> bool:  # noqa: C901, PLR0912
        body = target * 4
        sized = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"%x\r\n%b\r\n" % (len(body), body)
        match kind:
            case "sized":
                writer.write(sized % len(body) + body)
            case "informed":
                writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + sized % len(body) + body)
            case "chunked":
                writer.write(chunked + chunk + b"0\r\n\r\n")
            case "large":
                repeated = body * 2000
                writer.write(sized % len(repeated) + repeated)
            case "until the end":
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
                return False
            case "refuse":
                writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 26\r\n\r\n" + b'{"message":"Unauthorized"}')
            case "fail":
                writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno")
            case "reset":
                writer.transport.abort()
            case "cut":
                writer.write(sized % (len(body) + 1) + body)
                return False
            case "cut chunked":
                writer.write(chunked + chunk)
                return False
            case "stall":
                await asyncio.sleep(2.0)
            case "stall amid":
                writer.write(sized % (len(body) + 1) + body)
                await asyncio.sleep(2.0)
            case "nonsense":
                writer.write(b"HTTP/9 yes\r\n\r\n")
            case _:
                return False
        return True


async def _pour(writer: asyncio.StreamWriter) -> bool:
    """Send a large answer as fast as it is taken."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _DOWNLOAD)
    for _ in range(_DOWNLOAD // len(_PIECE)):
        writer.write(_PIECE)
        await writer.drain()
    return True


async def _read_content(head: bytes, reader: asyncio.StreamReader) -> None:
    fields = head.lower()
    if b"\r\ntransfer-encoding: chunked" in fields:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    elif b"\r\ncontent-length:" in fields:
        await reader.readexactly(int(fields.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0]))


class Callers:
    """Tools of every kind, some of which are rude."""

    def __init__(
        self,
        url: str,
        upstream: Upstream,
        draw: random.Random,
        profiles: list[str],
        *,
        seen: Counter[str],
        wrong: list[str],
    ) -> None:
        """What comes of requests is counted in `seen`; `wrong` hears of answers that cannot be."""
        self._port = int(url.rpartition(":")[2])
        self._upstream = upstream
        self._draw = draw
        self._seen = seen
        self._wrong = wrong
        self._profiles = profiles
        self._number = 0

    async def run(self, callers: int, seconds: float, *, faults: bool) -> None:
        """Let so many call at a time for a while, politely without `faults`."""
        self._upstream.faults = faults
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        polite: list[Action] = [self._in_turn, self._pipelined, self._uploads, self._tunnels]
        rude: list[Action] = [
            self._leaves,
            self._leaves_amid,
            self._aborts_download,
            self._never_finishes,
            self._waits,
            self._talks_nonsense,
            self._own,
        ]

        async def call() -> None:
            while loop.time() < end:
                action = self._draw.choice(polite + rude if faults else polite)
                try:
                    await action()
                except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                    self._seen[f"{action.__name__.strip('_')}: {type(error).__name__}"] += 1
                await asyncio.sleep(self._draw.uniform(0.0, 0.1))

        await asyncio.gather(*(call() for _ in range(callers)))
        self._upstream.faults = False

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.timeout(PATIENCE):
                yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _request(self, *, method: str = "GET", more: str = "", path: str | None = None) -> tuple[bytes, bytes]:
        """A request, and what an answer to it must be made of."""
        self._number += 1
        path = f"{path or self._draw.choice(('/v1/x', '/graphql', '/cdn/flights/y'))}/{self._number}"
        profile = self._draw.choice(self._profiles)
        chosen = "" if profile == "default" else f"X-UL-Proxy-Profile: {profile}\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{chosen}{more}\r\n"
        return head.encode(), f"/{self._number}".encode()

    async def _read(self, reader: asyncio.StreamReader, mark: bytes) -> bool:
        """Read one answer; whether another may follow."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 1"):
                break
        fields = head.lower()
        content = b""
        if b"\r\ntransfer-encoding: chunked" in fields:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                content += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        else:
            content = await reader.readexactly(int(fields.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0]))
        status = head[9:12].decode()
        self._seen[status] += 1
        if status == "200" and not content.endswith(mark):
            self._wrong.append(f"an answer of {len(content)} bytes is not for {mark.decode()}")
        if status == "500" and b"proxy-status" in fields:
            self._wrong.append(f"the proxy met a defect: {content.decode(errors='replace')}")
        return b"\r\nconnection: close" not in fields

    async def _in_turn(self) -> None:
        async with self._line() as (reader, writer):
            for _ in range(self._draw.randint(1, 10)):
                head, mark = self._request()
                writer.write(head)
                if not await self._read(reader, mark):
                    break

    async def _pipelined(self) -> None:
        requests = [self._request() for _ in range(self._draw.randint(2, 12))]
        async with self._line() as (reader, writer):
            writer.write(b"".join(head for head, _ in requests))
            for _, mark in requests:
                if not await self._read(reader, mark):
                    break

    async def _uploads(self) -> None:
        pieces = self._draw.randint(1, 20)
        head, mark = self._request(method="POST", more="Transfer-Encoding: chunked\r\n")
        async with self._line() as (reader, writer):
            writer.write(head)
            for _ in range(pieces):
                writer.write(b"2000\r\n" + bytes(0x2000) + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await self._read(reader, mark)

    async def _tunnels(self) -> None:
        head, _ = self._request(more=_WEB_SOCKET)
        async with self._line() as (reader, writer):
            writer.write(head)
            if (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101"):
                self._seen["101"] += 1
                writer.write(b"ping")
                if await reader.readexactly(4) != b"ping":
                    self._wrong.append("a tunnel changed what it carried")
                writer.write_eof()
                await reader.read()

    async def _leaves(self) -> None:
        """Does not wait for the answer."""
        async with self._line() as (_, writer):
            writer.write(self._request()[0])
            await asyncio.sleep(self._draw.uniform(0.0, 0.02))
            writer.transport.abort()
        self._seen["left"] += 1

    async def _leaves_amid(self) -> None:
        """Does not wait for the end of the answer, or of the own content."""
        more = self._draw.choice(("", "Content-Length: 100000\r\n"))
        async with self._line() as (reader, writer):
            writer.write(self._request(method="POST" if more else "GET", more=more)[0] + (b"x" * 5000 if more else b""))
            if not more:
                await reader.read(100)
            writer.transport.abort()
        self._seen["left amid"] += 1

    async def _aborts_download(self) -> None:
        """Reads the beginning of something large, at once or after a while, as `curl … | head` does."""
        head, _ = self._request(path=_LARGE)
        async with self._line() as (reader, writer):
            writer.write(head)
            await reader.readexactly(1000)
            await asyncio.sleep(self._draw.choice((0.0, 0.2)))
            if self._draw.random() < 0.5:
                writer.transport.abort()
        self._seen["aborted download"] += 1

    async def _never_finishes(self) -> None:
        """Begins a head, and waits for nothing."""
        async with self._line() as (reader, writer):
            writer.write(self._request()[0][:-7])
            await reader.read()
        self._seen["never finished"] += 1

    async def _waits(self) -> None:
        """Opens a connection, and keeps it."""
        async with self._line():
            await asyncio.sleep(self._draw.uniform(0.0, 1.0))
        self._seen["waited"] += 1

    async def _talks_nonsense(self) -> None:
        async with self._line() as (reader, writer):
            writer.write(self._draw.randbytes(200) + b"\r\n\r\n")
            await reader.read()
        self._seen["nonsense"] += 1

    async def _own(self) -> None:
        """Asks the proxy about itself, and for what it does not have."""
        target = self._draw.choice(("/-/live", "/-/ready", "/-/status", "/-/nothing", "/v1/%2e%2e/x", "/@nobody/v1/x"))
        async with self._line() as (reader, writer):
            writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            await reader.read()
        self._seen["own"] += 1
