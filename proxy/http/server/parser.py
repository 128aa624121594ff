"""Cut what a caller sends into requests."""

from collections.abc import Callable
from typing import TypeAlias

from proxy.errors import BadRequest, ProxyError, RequestError
from proxy.http.grammar import (
    END_OF_HEAD,
    MANY_CHUNKS,
    ChunkedDecoder,
    FramingError,
    RequestHead,
    check_beginning,
    parse_request,
)
from proxy.http.server.body import NO_BODY, IncomingBody

Message: TypeAlias = tuple[RequestHead | ProxyError, IncomingBody]
"""A request's head, or why what came is none, and the content."""

_CR = 13
_MAX_EMPTY_LINES = 32
"""In bytes."""
_SLICE = 16 << 10
"""Bytes of small chunks that are read before other connections have their turn."""


class RequestParser:
    """Cuts bytes into requests and their contents.

    One grammar judges what comes in and what goes out again: the two cannot differ.
    """

    def __init__(self, new_body: Callable[[], IncomingBody], *, queue_limit: int) -> None:
        """`new_body` makes what takes the content of a request; `queue_limit` is how many requests may wait."""
        self._new_body = new_body
        self._queue_limit = queue_limit
        self._queued = 0
        self._buffer = b""
        self.body: IncomingBody | None = None
        """The content that is arriving."""
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._closed = False
        self.costly = False
        """What came last took long to read. The rest of it is kept for the next `feed_data`."""

    @property
    def amid_head(self) -> bool:
        """Whether some of a head has come, and its end has not."""
        return bool(self._buffer) and self.body is None and not self.full

    @property
    def full(self) -> bool:
        """Whether as many requests wait as may."""
        return self._queued >= self._queue_limit

    @property
    def blank(self) -> bool:
        """Whether nothing but empty lines has come."""
        return not self._buffer.strip()

    def give_up(self, error: RequestError) -> Message:
        """Read no more; return the message that says why."""
        self._closed = True
        self._buffer = b""
        return error, NO_BODY

    def fail_body(self, error: RequestError) -> None:
        """Read no more of the content that is arriving, nor anything behind it."""
        body, self.body = self.body, None
        self._closed = True
        if body is not None:
            body.fail(error)

    def lose_body(self) -> None:
        """Note that the caller has gone, perhaps amid a content."""
        if self.body is not None:
            self.body.fail(ConnectionResetError("the caller has gone"))

    def feed_data(self, data: bytes) -> tuple[list[Message], bool, bytes]:
        """Return the requests that begin in `data`, whether the last asks to leave HTTP, and what came behind it."""
        messages: list[Message] = []
        self.costly = False
        if self._closed:
            return messages, False, b""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while data and not self._closed:
            if self.body is not None and not self.costly:
                data = self._feed_body(data)
            elif self.costly or self.full:
                self._buffer = data
                break
            else:
                try:
                    start = _first_line(data) if data[0] == _CR else 0
                    end = data.find(END_OF_HEAD, start) + 4
                    if end < 4:  # noqa: PLR2004 - not found
                        if data[start:] != b"\r":  # which may be half an empty line
                            check_beginning(data, start)
                        self._buffer = data
                        break
                    head = parse_request(data, start, end)
                except RequestError as error:
                    self._closed = True
                    messages.append((error, NO_BODY))
                    break
                messages.append((head, self._begin_body(head)))
                self._queued += 1
                data = data[end:]
                if head.fields.upgrade:
                    self._closed = True
                    return messages, True, data
        return messages, False, b""

    def message_consumed(self) -> None:
        """Note that one request less waits."""
        self._queued -= 1

    def _begin_body(self, head: RequestHead) -> IncomingBody:
        fields = head.fields
        if not fields.chunked and not fields.length:
            return NO_BODY
        body = self.body = self._new_body()
        if fields.chunked:
            self._decoder = ChunkedDecoder()
        else:
            self._left = fields.length or 0
        return body

    def _feed_body(self, data: bytes) -> bytes:
        """Pass on content; return what comes behind it."""
        body = self.body
        assert body is not None  # noqa: S101 - see feed_data
        if self._decoder is None:
            left = self._left = self._left - len(data)
            if left > 0:
                body.feed(data)
                return b""
            body.feed(data[:left] if left else data)
            rest = data[left:] if left else b""
            body.end()
        else:
            behind = b""
            if len(data) > _SLICE and data.count(b"\r\n") > MANY_CHUNKS:
                data, behind = data[:_SLICE], data[_SLICE:]
            try:
                for piece in self._decoder.feed(data):
                    body.feed(piece)
            except FramingError as error:
                self.fail_body(BadRequest(f"the request's content is malformed: {error}", hint="Check its chunks."))
                return b""
            self.costly = self._decoder.costly
            if not self._decoder.done:
                return behind
            rest = self._decoder.rest + behind
            body.end(self._decoder.trailers)
            self._decoder = None
        self.body = None
        return rest


def _first_line(data: bytes) -> int:
    """Find the first line that is not empty: some clients end a content with an empty one (RFC 9112 section 2.2).

    Raises BadRequest where there are too many.
    """
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
        if start > _MAX_EMPTY_LINES:
            raise BadRequest("empty lines without end", hint="Send a request.")
    return start
