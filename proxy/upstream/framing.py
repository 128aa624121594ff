"""Message framing of HTTP/1.1 (RFC 9112) as pure functions: what is one head, where a body ends, how one is written.

Strict on purpose: whatever two parsers could read differently is an error, never a guess.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from proxy.model import Header, Headers

MAX_HEAD = 64 * 1024
"""Bytes of a head, and of a trailer section."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_WORDS = rb"(?:[\t ]*+[\x21-\x7e\x80-\xff]++)*+"
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n")
# Anchored to the beginning of a line: nothing can be found in the middle of a malformed one.
_FIELD = re.compile(rb"(?<=\n)(" + _TOKEN + rb"):[\t ]*+(" + _WORDS + rb")[\t ]*+\r\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[\t ]*+(?:;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_MAX_CHUNK_LINE = 4096


class FramingError(ValueError):
    """What the peer sent is no message, or one that can be read in two ways."""


class Head(NamedTuple):
    """The head of an answer; `headers` as written, without the white space around values."""

    minor: int
    """Of the version: 1 for HTTP/1.1, 0 for HTTP/1.0."""
    status: int
    reason: bytes
    headers: list[Header]


Inform: TypeAlias = Callable[[int, bytes, Headers], None]
"""Told of the status, the reason and the field lines of an interim (1xx) answer."""


class Delimiter(Enum):
    """How the end of a content is known, where it is not by its length."""

    CHUNKED = auto()
    CLOSE = auto()


class Content(NamedTuple):
    """How an answer's content is delimited, and whether its connection can be used again afterwards."""

    delimiter: int | Delimiter
    """The length in bytes, or what ends the content."""
    keeps_alive: bool


def parse_head(data: bytes) -> Head:
    """A status line and header section, up to and including the empty line; raises FramingError."""
    match = _STATUS_LINE.match(data)
    if match is None:
        raise FramingError("not the status line of an HTTP/1.1 answer")
    minor, status, reason = match.groups()
    return Head(int(minor), int(status), reason or b"", _fields(data, match.end() - 1))


def _fields(data: bytes, start: int) -> list[Header]:
    """The field lines between the line feed at `start` and the empty line at the end of `data`."""
    fields: list[Header] = _FIELD.findall(data, start)
    # One line feed for each field, one before them and one for the empty line: else some line is malformed.
    if data.count(b"\n", start) != len(fields) + 2 or not data.endswith(b"\r\n"):
        raise FramingError("a malformed field line")
    return fields


def content_of(method: str, head: Head) -> Content:
    """How the content of the answer to a `method` request ends (RFC 9112 sections 6.3, 9.3); raises FramingError."""
    names = [name.lower() for name, _ in head.headers]
    lengths = _values(b"content-length", names, head.headers)
    codings = _values(b"transfer-encoding", names, head.headers)
    alive = _keeps_alive(head.minor, b",".join(_values(b"connection", names, head.headers)))
    # Judged before HEAD, 204 and 304, which have no content but whose fields are passed on.
    if codings and (lengths or head.minor == 0 or len(codings) > 1 or codings[0].lower() != b"chunked"):
        raise FramingError("a Transfer-Encoding other than chunked, or a Content-Length beside it")
    if lengths and (len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0])):
        raise FramingError("not exactly one Content-Length, or one that is no number")
    if method == "HEAD" or head.status in (204, 304):
        return Content(0, alive)
    if codings:
        return Content(Delimiter.CHUNKED, alive)
    if lengths:
        return Content(int(lengths[0]), alive)
    return Content(Delimiter.CLOSE, False)


def _values(wanted: bytes, names: list[bytes], headers: list[Header]) -> Sequence[bytes]:
    if wanted not in names:
        return ()
    return [line[1] for name, line in zip(names, headers, strict=True) if name == wanted]


def _keeps_alive(minor: int, connection: bytes) -> bool:
    if not connection:
        return minor == 1
    options = [option.strip(b" \t") for option in connection.lower().split(b",")]
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)


def request_head(method: str, target: str, fields: bytes) -> bytes:
    """A request line and a header section, whose `fields` are lines as they stand on the wire."""
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode(), target.encode(), fields)


def chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 section 7.1). Must not be empty: that would be the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Iterable[Header] = ()) -> bytes:
    """The end of a chunked content, with its trailer section."""
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % line for line in trailers])


def chunked_content(data: bytes, trailers: Iterable[Header] = ()) -> bytes:
    """A whole content, perhaps empty, in one chunk."""
    return (chunk(data) if data else b"") + last_chunk(trailers)


class ChunkedDecoder:
    """Takes chunk framing off a content, whatever pieces it comes in."""

    __slots__ = ("_buffer", "_left", "_reading_trailers", "done", "rest", "trailers")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        """Bytes of the current chunk still to come, its CRLF included."""
        self._reading_trailers = False
        self.done = False
        self.trailers: list[Header] = []
        self.rest = b""
        """What came behind the end."""

    def feed(self, data: bytes) -> list[bytes]:
        """The content in `data`; raises FramingError. After the end, `done` is set."""
        data = self._buffer + data if self._buffer else data
        pieces: list[bytes] = []
        position = 0
        while not self.done:
            if self._left:
                position, complete = self._take(data, position, pieces)
                if not complete:
                    break
            elif self._reading_trailers:
                position = self._end(data, position)
                if not self.done:
                    break
            else:
                end = data.find(b"\n", position, position + _MAX_CHUNK_LINE) + 1
                if not end:
                    if len(data) - position >= _MAX_CHUNK_LINE:
                        raise FramingError("a chunk size line without an end")
                    break
                self._begin_chunk(data, position, end)
                position = end
        self._buffer = b"" if self.done else data[position:]
        if self.done:
            self.rest = data[position:]
        return pieces

    def _begin_chunk(self, data: bytes, start: int, end: int) -> None:
        match = _CHUNK_SIZE.fullmatch(data, start, end)
        if match is None:
            raise FramingError("not a chunk size")
        length = int(match[1], 16)
        if length:
            self._left = length + 2
        else:
            self._reading_trailers = True

    def _take(self, data: bytes, position: int, pieces: list[bytes]) -> tuple[int, bool]:
        """Take what is there of the current chunk; whether it is complete, CRLF included."""
        content = self._left - 2
        if content > 0:
            piece = data[position : position + content]
            if piece:
                pieces.append(piece)
            position += len(piece)
            self._left -= len(piece)
            if len(piece) < content:
                return position, False
        end = data[position : position + self._left]
        if not b"\r\n".endswith(end) if len(end) == self._left else not b"\r\n".startswith(end):
            raise FramingError("a chunk that is longer than its size")
        if len(end) < self._left:
            return position, False
        position += len(end)
        self._left = 0
        return position, True

    def _end(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            self.done = True
            return position + 2
        end = data.find(b"\r\n\r\n", position, position + MAX_HEAD)
        if end < 0:
            if len(data) - position >= MAX_HEAD:
                raise FramingError("a trailer section without an end")
            return position
        self.trailers = _fields(b"\n" + data[position : end + 4], 0)
        self.done = True
        return end + 4
