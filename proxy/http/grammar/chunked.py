"""Read and write chunked content (RFC 9112 section 7.1)."""

import re

from proxy.http.grammar.fields import MAX_HEAD, FramingError, Header, Headers, checked_lines, field_lines

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[\t ]*+(?:;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_MAX_CHUNK_LINE = 4096
MANY_CHUNKS = 256
"""Chunks at once that are costly: each takes a while to read and to pass on, however small it is."""


def chunk(data: bytes) -> bytes:
    """Write one chunk. It must not be empty: that would be the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Headers = ()) -> bytes:
    """Write the end of a chunked content, with its trailer section."""
    return b"0\r\n%b\r\n" % field_lines(trailers)


def chunked_content(data: bytes, trailers: Headers = ()) -> bytes:
    """Write a whole content, perhaps empty, in one chunk."""
    return (chunk(data) if data else b"") + last_chunk(trailers)


class ChunkedDecoder:
    """Takes chunk framing off a content, whatever pieces it comes in."""

    __slots__ = ("_buffer", "_left", "_reading_trailers", "costly", "done", "rest", "trailers")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        """Bytes of the current chunk still to come, its CRLF included."""
        self._reading_trailers = False
        self.done = False
        self.costly = False
        """The data of the last `feed` had many chunks."""
        self.trailers: list[Header] = []
        self.rest = b""
        """What came behind the end."""

    def feed(self, data: bytes, *, all_of_it: bool = True) -> list[bytes]:
        """Return the content in `data`, that of many chunks in one piece; raises FramingError. Its end sets `done`.

        Without `all_of_it` it stops after many chunks: when it is `costly` then, more may be left, with which the next
        call begins.
        """
        data = self._buffer + data if self._buffer else data
        pieces: list[bytes] = []
        position = 0
        while not self.done and (all_of_it or len(pieces) <= MANY_CHUNKS):
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
        self.costly = len(pieces) > MANY_CHUNKS
        return [b"".join(pieces)] if self.costly else pieces

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
        """Take what is there of the current chunk; return whether it is complete, CRLF included."""
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
        self.trailers = checked_lines(data[position : end + 2])
        self.done = True
        return end + 4
