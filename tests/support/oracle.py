"""An upstream that reads strictly (h11 and a grammar of our own), and what h11 makes of the bytes that callers send.

Whatever a proxy lets through, a second parser must read in the same way. This one refuses to guess: bytes that leave
any room for another reading are a violation.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, cast

import h11

ANSWERED = 204
"""The status of every answer of a StrictOrigin: it has no content, whatever the method."""
_ANSWER = b"HTTP/1.1 204 No Content\r\nX-From: origin\r\n\r\n"
_CONTINUE = h11.InformationalResponse(status_code=100, reason=b"Continue", headers=[])
_CREDENTIALS = (b"authorization", b"x-amz-cognito-security-token", b"x-api-key")
_FRAMING = (b"content-length", b"transfer-encoding", b"host")
_LONGEST_HEAD = 1 << 20

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)"
_HEAD = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])\r\n(" + _LINE + rb"*)\r\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILERS = re.compile(_LINE + rb"*\r\n")
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")

Line: TypeAlias = tuple[bytes, bytes]


class Read(NamedTuple):
    """One request as h11 reads it."""

    method: bytes
    target: bytes
    lines: list[Line]
    body: bytes
    trailers: list[Line]
    raw: bytes
    """The bytes that it was read from."""

    def values(self, *names: bytes) -> list[bytes]:
        """Of all fields of these names, in the trailer section as well, and in whatever spelling a server may know."""
        lines = [*self.lines, *self.trailers]
        return [value for name, value in lines if name.lower().replace(b"_", b"-") in names]

    @property
    def credentials(self) -> list[bytes]:
        """The values of whatever an upstream might take for a credential."""
        return self.values(*_CREDENTIALS)


class Reader:
    """h11 as a server, which reads request after request whatever `Connection` says; one for each connection.

    Empty lines before a request line are ignored, as RFC 9112 section 2.2 asks of servers and h11 does not.
    """

    def __init__(self) -> None:
        self._begin(b"")

    def _begin(self, data: bytes) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)
        self._raw = bytearray()
        self._head: h11.Request | None = None
        self._body = bytearray()
        self.receive(data)

    def receive(self, data: bytes) -> None:
        """Take in what came, without reading it."""
        if not self._raw:
            data = data[_EMPTY_LINES.match(data).end() :]  # type: ignore[union-attr]  # it always matches
        if data:
            self._raw += data
            self._h11.receive_data(data)

    def feed(self, data: bytes) -> list[Read]:
        """The requests that end in `data`; raises h11.RemoteProtocolError."""
        self.receive(data)
        return list(self.reads())

    def reads(self) -> Iterator[Read]:
        """The requests that end in what has been received; raises h11.RemoteProtocolError."""
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self._head = event
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                yield self._finish(event)
            else:
                return

    def _finish(self, end: h11.EndOfMessage) -> Read:
        head, body, raw = self._head, bytes(self._body), bytes(self._raw)
        assert head is not None
        rest = bytes(self._h11.trailing_data[0])
        self._begin(rest)
        return Read(
            head.method,
            head.target,
            list(head.headers.raw_items()),
            body,
            list(end.headers.raw_items()),
            raw[: len(raw) - len(rest)],
        )

    @property
    def unread(self) -> bytes:
        """What came behind the last request that ended."""
        return bytes(self._raw)

    def go_on(self) -> bytes:
        """`100 Continue` if the sender waits for it."""
        return self._h11.send(_CONTINUE) or b"" if self._h11.they_are_waiting_for_100_continue else b""


def readings(data: bytes) -> tuple[list[Read], bytes]:
    """The requests that h11 reads in a caller's bytes, and what is left: unfinished, or malformed."""
    reader = Reader()
    found: list[Read] = []
    with suppress(h11.RemoteProtocolError):
        reader.receive(data)
        # One by one: those before the first that is malformed count.
        for read in reader.reads():
            found.append(read)  # noqa: PERF402
    return found, reader.unread


def ambiguity(raw: bytes) -> str | None:
    """Why the bytes of one request could be read in two ways; None where there is one reading alone."""
    return head_fault(raw) or _content_fault(raw)


def head_fault(raw: bytes) -> str | None:
    """As `ambiguity`, of the head alone, whatever comes behind it."""
    head = _HEAD.match(raw)
    if head is None:
        return "a malformed head"
    if not head[2].lower().startswith((b"/", b"http://", b"https://", b"*")) or b"#" in head[2]:
        return "a target that no server reads alike"
    lengths, codings = _framing(head)
    if len(lengths) + len(codings) > 1:
        return "several fields that frame the content"
    if codings and (head[3] == b"0" or codings[0].lower() != b"chunked"):
        return "a coding that not every server knows"
    return "a length that is no number" if lengths and not re.fullmatch(rb"[0-9]+", lengths[0]) else None


def _content_fault(raw: bytes) -> str | None:
    head = _HEAD.match(raw)
    assert head is not None
    lengths, codings = _framing(head)
    content = raw[head.end() :]
    if codings:
        return _chunks_fault(content)
    return None if len(content) == int(lengths[0] if lengths else b"0") else "a content of another length"


def _framing(head: re.Match[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The values of Content-Length and of Transfer-Encoding."""
    lines = [(name.lower(), value.strip(b" \t")) for name, value in _split(head[4])]
    lengths = [value for name, value in lines if name == b"content-length"]
    return lengths, [value for name, value in lines if name == b"transfer-encoding"]


def _split(section: bytes) -> list[Line]:
    return [(name, value) for name, _, value in (line.partition(b":") for line in section.split(b"\r\n")[:-1])]


def _chunks_fault(content: bytes) -> str | None:
    position = 0
    while (match := _CHUNK.match(content, position)) is not None:
        size = int(match[1], 16)
        position = match.end() + size
        if not size:
            return None if _TRAILERS.fullmatch(content, position) else "malformed trailers"
        if content[position : position + 2] != b"\r\n":
            return "a chunk of another size"
        position += 2
    return "a malformed chunk"


def _is_imposter(name: bytes) -> bool:
    """A server that makes variables of field names would take it for one that frames or routes the message."""
    return b"_" in name and name.lower().replace(b"_", b"-") in _FRAMING


@dataclass
class StrictOrigin:
    """An upstream that answers 204 to every request that h11 reads, and notes what has more than one reading."""

    url: str = ""
    requests: list[Read] = field(default_factory=list)
    """Those that came whole."""
    received: int = 0
    """Bytes, of whatever came."""
    violations: list[str] = field(default_factory=list)
    cut_off: asyncio.Event = field(default_factory=asyncio.Event)
    """A connection ended amid a request."""

    @property
    def authority(self) -> bytes:
        return self.url.removeprefix("http://").encode()

    @property
    def stray(self) -> int:
        """Bytes that belong to no whole request."""
        return self.received - sum(len(read.raw) for read in self.requests)

    def forget(self) -> None:
        """What came so far is of no interest any more."""
        self.requests.clear()
        self.received = 0

    def take(self, data: bytes, reader: Reader) -> bool:
        """Read on; whether a request came to its end. Raises h11.RemoteProtocolError."""
        self.received += len(data)
        try:
            reads = reader.feed(data)
        except h11.RemoteProtocolError as error:
            self.violations.append(f"{error}: {data!r}")
            raise
        if len(reads) > 1:
            self.violations.append(f"several requests at once: {data!r}")
        for read in reads:
            self._judge(read)
        return bool(reads)

    def _judge(self, read: Read) -> None:
        self.requests.append(read)
        faults = (
            ambiguity(read.raw),
            None if read.values(b"host") == [self.authority] else "not exactly the upstream's own Host",
            None if read.target.startswith(b"/") else "not in origin form",
            next((f"{name!r} looks like framing" for name, _ in read.lines if _is_imposter(name)), None),
        )
        self.violations += [f"{fault}: {read.raw!r}" for fault in faults if fault is not None]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["StrictOrigin"]:
        loop = asyncio.get_running_loop()
        protocols: set[_OriginProtocol] = set()
        server = await loop.create_server(lambda: _OriginProtocol(self, protocols), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            lost = [protocol.lost for protocol in protocols]
            for protocol in tuple(protocols):
                protocol.transport.abort()
            await asyncio.gather(*lost)


class _OriginProtocol(asyncio.Protocol):
    def __init__(self, origin: StrictOrigin, protocols: set["_OriginProtocol"]) -> None:
        self._origin = origin
        self._protocols = protocols
        self._reader = Reader()
        self._amid = False
        self.transport: asyncio.Transport
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are of a class of their own.
        self.transport = cast("asyncio.Transport", transport)
        self._protocols.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._amid = not self._origin.take(data, self._reader)
        except h11.RemoteProtocolError:
            self.transport.abort()
            return
        self.transport.write(self._reader.go_on() if self._amid else _ANSWER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocols.discard(self)
        self.lost.set_result(None)
        if self._amid:
            self._origin.cut_off.set()
