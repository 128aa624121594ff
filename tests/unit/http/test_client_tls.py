"""TLS between an event loop and a protocol: as much as that wants, in order, and an end only where it is said."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from support.certificates import Authority, authority
from support.loops import EVERY_LOOP
from support.pretended import PretendedTransport, settled
from support.states import Recorder, promised
from support.wire import PATIENCE

from proxy.http.client import tls
from proxy.http.client.tls import TlsTransport

loop_factories = EVERY_LOOP
ROOM = 5000
CONTENT = bytes(range(256)) * 2000


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


class Reader(asyncio.BufferedProtocol):
    """Notes what the transport calls, and can pause after each piece."""

    def __init__(self, *, slow: bool = False) -> None:
        self.slow = slow
        self.space = memoryview(bytearray(ROOM))
        self.pieces: list[bytes] = []
        self.calls: list[str] = []
        self.changed = asyncio.Event()
        self.transport: TlsTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.space

    def buffer_updated(self, nbytes: int) -> None:
        self.pieces.append(bytes(self.space[:nbytes]))
        if self.slow:
            self.transport.pause_reading()
        self.changed.set()

    def eof_received(self) -> None:
        self.calls.append("end")

    def pause_writing(self) -> None:
        self.calls.append("pause")
        self.changed.set()

    def resume_writing(self) -> None:
        self.calls.append("resume")
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost" if exc is None else type(exc).__name__)
        self.changed.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not reached():
                self.changed.clear()
                await self.changed.wait()

    def has_come(self) -> bool:
        return sum(map(len, self.pieces)) == len(CONTENT)

    def is_lost(self) -> bool:
        return "lost" in self.calls[-1:]


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(serve: Serve, context: ssl.SSLContext | None) -> AsyncIterator[socket.socket]:
    """A socket that is connected to a server; it has ended in the end."""
    ended = asyncio.Event()
    failures: list[BaseException] = []

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=context)
    with socket.create_connection(server.sockets[0].getsockname()) as sock:
        sock.setblocking(False)
        yield sock
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    server.close()
    assert not failures


async def connect(sock: socket.socket, ca: Authority, reader: Reader) -> TlsTransport:
    """Speak TLS on a socket that the test has as well."""
    loop = asyncio.get_running_loop()
    shaken = loop.create_future()
    tls = TlsTransport(reader, ssl.create_default_context(cafile=ca.file), "localhost", shaken)
    await loop.create_connection(lambda: tls, sock=sock.dup())
    async with asyncio.timeout(PATIENCE):
        await shaken
    return tls


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the content, say farewell, and wait for the other side's."""
    writer.write(CONTENT)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("slow", [False, True])
async def test_content_arrives_in_order(slow: bool, ca: Authority) -> None:
    """What comes fills the protocol's buffer again and again, also where it makes the upstream wait each time."""
    reader = Reader(slow=slow)
    async with served(send, ca.server("localhost")) as sock:
        tls = await connect(sock, ca, reader)
        while slow and not reader.has_come():
            count = len(reader.pieces)
            await reader.until(lambda count=count: len(reader.pieces) > count)  # type: ignore[misc]  # of mypy's
            # Nothing more comes of itself.
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(reader.pieces) == count + 1
            tls.resume_reading()
        await reader.until(reader.is_lost)
    assert b"".join(reader.pieces) == CONTENT
    assert max(map(len, reader.pieces)) == ROOM
    assert reader.calls == ["end", "lost"]


async def test_what_is_written_arrives(ca: Authority) -> None:
    """The protocol learns when the upstream takes nothing, and when it does again; `close_notify` comes behind all."""
    go_on = asyncio.Event()
    come: list[bytes] = []

    async def take(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await go_on.wait()
        come.append(await reader.read())

    reader = Reader()
    async with served(take, ca.server("localhost")) as sock:
        tls = await connect(sock, ca, reader)
        tls.set_write_buffer_limits(high=1)
        tls.write(CONTENT * 20)
        assert reader.calls == ["pause"]
        go_on.set()
        await reader.until(lambda: "resume" in reader.calls)
        tls.close()
        assert tls.is_closing()
        tls.write(b"too late")
        await reader.until(reader.is_lost)
    assert come == [CONTENT * 20]
    assert reader.calls == ["pause", "resume", "lost"]


async def test_to_close_is_no_reset_for_what_still_comes(ca: Authority) -> None:
    """What the upstream sends behind the farewell is read and dropped."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b"x"
        writer.write(CONTENT)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    reader = Reader(slow=True)
    async with served(answer, ca.server("localhost")) as sock:
        tls = await connect(sock, ca, reader)
        tls.write(b"x")
        tls.close()
        await reader.until(reader.is_lost)
    assert (reader.pieces, reader.calls) == ([], ["lost"])


@pytest.mark.parametrize("orderly", [True, False])
async def test_an_end_without_a_farewell_does_not_look_like_one(orderly: bool, ca: Authority) -> None:
    """Reading on tells the protocol, when it hears of the end, whether it was said."""
    said: list[bool] = []

    class Listener(Reader):
        def eof_received(self) -> None:
            tls: ssl.SSLObject = self.transport.get_extra_info("ssl_object")
            try:
                said.append(not tls.read(1))
            except ssl.SSLError:
                said.append(False)

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONTENT)
        await writer.drain()
        if not orderly:
            with socket.socket(fileno=socket.dup(writer.get_extra_info("socket").fileno())) as raw:
                raw.shutdown(socket.SHUT_WR)
        else:
            writer.close()
        assert not await reader.read()

    reader = Listener()
    async with served(cut, ca.server("localhost")) as sock:
        await connect(sock, ca, reader)
        await reader.until(reader.is_lost)
    assert reader.has_come()
    assert said == [orderly]


async def test_nonsense_amid_content(ca: Authority) -> None:
    """What cannot be decrypted ends the connection, with the reason."""

    async def spoil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with socket.socket(fileno=socket.dup(writer.get_extra_info("socket").fileno())) as raw:
            raw.setblocking(True)
            raw.sendall(b"nonsense" * 10)
        with pytest.raises(ssl.SSLError):
            await reader.read()

    reader = Reader()
    async with served(spoil, ca.server("localhost")) as sock:
        await connect(sock, ca, reader)
        await reader.until(lambda: bool(reader.calls))
    assert reader.calls == ["SSLError"]


async def test_handshakes_that_fail(ca: Authority) -> None:
    """A handshake that fails raises its reason where it is awaited; the protocol does not learn of it."""

    async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(100)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com\r\n")
        await reader.read()

    for serve, expected in ((hang_up, ConnectionResetError), (talk, ssl.SSLError)):
        reader = Reader()
        async with served(serve, None) as sock:
            with pytest.raises(expected):
                await connect(sock, ca, reader)
        assert (reader.calls, hasattr(reader, "transport")) == ([], False)


async def test_a_certificate_for_somebody_else(ca: Authority) -> None:
    """It is refused by its reason."""

    async def never(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise AssertionError("this is not reached")

    server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=ca.server("example.com"))
    with socket.create_connection(server.sockets[0].getsockname()) as sock:
        sock.setblocking(False)
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await connect(sock, ca, Reader())
    server.close()


async def test_nobody_waits_for_the_handshake_any_more(ca: Authority) -> None:
    """Giving up during a handshake aborts it, and nothing more happens."""
    reader = Reader()

    async def listen(stream: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with pytest.raises(ConnectionResetError):
            await stream.read(1 << 20) and await stream.read()

    loop = asyncio.get_running_loop()
    async with served(listen, None) as sock:
        shaken = loop.create_future()
        tls = TlsTransport(reader, ssl.create_default_context(cafile=ca.file), "localhost", shaken)
        await loop.create_connection(lambda: tls, sock=sock.dup())
        shaken.cancel()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.close()
        tls.abort()
    assert reader.calls == []


class Upstream:
    """The other end in memory: what it writes is what the transport below has read."""

    def __init__(self, ca: Authority) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = ca.server("localhost").wrap_bio(self._incoming, self._outgoing, server_side=True)
        shaken = asyncio.get_running_loop().create_future()
        self.tls = TlsTransport(Reader(), ssl.create_default_context(cafile=ca.file), "localhost", shaken)
        self.shaken = shaken
        self._raw = PretendedTransport(self.tls)

    def send(self, data: bytes) -> None:
        self.tls.get_buffer(-1)[: len(data)] = data
        self.tls.buffer_updated(len(data))

    def shake(self) -> "Upstream":
        done = False
        while not done:
            self._incoming.write(self._raw.written)
            self._raw.written = b""
            done = self.shaken.done()
            with suppress(ssl.SSLWantReadError):
                self._ssl.do_handshake()
            self.send(self._outgoing.read())
        return self

    def say_farewell(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self._ssl.unwrap()
        self.send(self._outgoing.read())


async def test_the_table_is_true(monkeypatch: pytest.MonkeyPatch, ca: Authority) -> None:
    """Every change of state that the table has happens, and no other."""
    recorder = Recorder(monkeypatch, TlsTransport, "_state")
    Upstream(ca).shake().say_farewell()
    Upstream(ca).shake().tls.close()
    Upstream(ca).tls.abort()
    await settled()
    for end in (Upstream(ca).shake(), Upstream(ca)):
        end.tls.connection_lost(ConnectionResetError())
        assert end.shaken.done()
        end.shaken.exception()
    assert recorder.changes == promised(tls)
