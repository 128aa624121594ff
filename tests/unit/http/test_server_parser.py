"""Cutting what a caller sends into requests: where a packet ends makes no difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.pieces import byte_by_byte, cut_up, every_cut

from proxy.errors import BadRequest, HeadTooLarge, ProxyError, RequestError, UnsupportedCoding, UnsupportedVersion
from proxy.http.buffers import LARGE, Buffers
from proxy.http.grammar import MAX_HEAD, RequestHead, chunk, last_chunk
from proxy.http.grammar.fields import Header
from proxy.http.server.body import NO_BODY, IncomingBody
from proxy.http.server.parser import Message, RequestParser

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
SIZED = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_HEAD = b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = CHUNKED_HEAD + b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\nC:\r\n\r\n"
EMPTY_CHUNKED = CHUNKED_HEAD + b"0\r\n\r\n"
EMPTY_SIZED = b"POST /d HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
OLD = b"GET /e HTTP/1.0\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@dataclass(frozen=True)
class Content:
    """What came of a request's content; `error` where it ended before its end."""

    data: bytes = b""
    trailers: tuple[Header, ...] = ()
    complete: bool = True
    error: type[BaseException] | None = None


Request: TypeAlias = tuple[str, str, Content]
"""Method, target and content."""

A_GET: Request = ("GET", "/a", Content())
A_SIZED: Request = ("POST", "/b", Content(b"hello"))
A_CHUNKED: Request = ("PUT", "/c", Content(b"hello!", ((b"A", b"b"), (b"C", b""))))
AN_EMPTY_CHUNKED: Request = ("PUT", "/c", Content())
AN_EMPTY_SIZED: Request = ("POST", "/d", Content())
AN_OLD: Request = ("GET", "/e", Content())
AN_UPGRADE: Request = ("GET", "/ws", Content())


def state_of(incoming: IncomingBody) -> Content:
    """Take what there is."""
    data = b"".join(incoming._pieces)
    error = incoming._error
    return Content(data, tuple(incoming.trailers), incoming.ended, None if error is None else type(error))


class Connection:
    """A parser, and what came out of it."""

    def __init__(self, queue_limit: int = 1000) -> None:
        self.calls: list[str] = []
        self.messages: list[Message] = []
        self.tail: bytes | None = None
        """What came behind the request for an upgrade, once there is one."""
        self.parser = RequestParser(self._new_body, queue_limit=queue_limit)

    def _new_body(self) -> IncomingBody:
        return IncomingBody(lambda: self.calls.append("pause"), lambda: self.calls.append("resume"), Buffers(64 << 20))

    def send(self, *pieces: bytes) -> "Connection":
        for piece in pieces:
            if self.tail is not None:
                # The parser has no part in what follows an upgrade.
                self.tail += piece
                continue
            messages, upgraded, tail = self.parser.feed_data(piece)
            self.messages += messages
            assert upgraded or not tail
            if upgraded:
                self.tail = tail
        return self

    @property
    def contents(self) -> list[IncomingBody]:
        return [content for _, content in self.messages]

    @property
    def requests(self) -> list[Request]:
        """The requests that have come."""
        return [
            (head.method, head.target, state_of(content))
            for head, content in self.messages
            if isinstance(head, RequestHead)
        ]

    @property
    def refusal(self) -> type[ProxyError] | None:
        """What followed them that was none."""
        refused = [(type(head), content) for head, content in self.messages if isinstance(head, ProxyError)]
        if not refused:
            return None
        [(refusal, content)] = refused
        assert content is NO_BODY
        assert isinstance(self.messages[-1][0], ProxyError)
        return refusal

    @property
    def under_way(self) -> str:
        """What has begun and not ended."""
        head, content = self.parser.amid_head, self.parser.body is not None
        assert not (head and content)
        return "head" if head else "content" if content else ""


ALL: dict[str, tuple[bytes, list[Request]]] = {
    "one": (GET, [A_GET]),
    "a length": (SIZED, [A_SIZED]),
    "a length of 0": (EMPTY_SIZED, [AN_EMPTY_SIZED]),
    "chunks and trailers": (CHUNKED, [A_CHUNKED]),
    "no chunks": (EMPTY_CHUNKED, [AN_EMPTY_CHUNKED]),
    "HTTP/1.0": (OLD, [AN_OLD]),
    "an empty line first": (b"\r\n" + GET, [A_GET]),
    "many empty lines": (
        b"\r\n\r\n\r\n" + GET + b"\r\n\r\n" + SIZED + b"\r\n" + CHUNKED,
        [A_GET, A_SIZED, A_CHUNKED],
    ),
    "pipelined": (
        GET + SIZED + OLD + CHUNKED + EMPTY_SIZED + EMPTY_CHUNKED + GET,
        [A_GET, A_SIZED, AN_OLD, A_CHUNKED, AN_EMPTY_SIZED, AN_EMPTY_CHUNKED, A_GET],
    ),
}


@pytest.mark.parametrize(("data", "expected"), ALL.values(), ids=ALL)
def test_requests_in_pieces(data: bytes, expected: list[Request]) -> None:
    """Requests are the same however they are cut, and nothing is left over."""
    for pieces in every_cut(data):
        connection = Connection().send(*pieces)
        assert connection.requests == expected, pieces
        assert connection.refusal is None
        assert connection.tail is None
        assert connection.under_way == ""


def test_a_request_without_content_costs_no_content() -> None:
    """Requests that have none share one."""
    assert Connection().send(GET, OLD, EMPTY_SIZED).contents == [NO_BODY] * 3


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST", "x"]),
            st.text("/ab?%", min_size=1, max_size=5),
            st.none() | st.binary(max_size=40) | st.lists(st.binary(min_size=1, max_size=20), max_size=4),
            st.lists(st.sampled_from([(b"A", b"b"), (b"C", b"")]), max_size=2),
            st.integers(0, 2),
        ),
        max_size=8,
    ),
    st.lists(st.integers(1, 60), max_size=40),
)
def test_a_sequence_of_requests_is_that_sequence(
    sent: list[tuple[str, str, bytes | list[bytes] | None, list[Header], int]], sizes: list[int]
) -> None:
    """Whatever requests follow each other, in whatever pieces: those come out, and in their order."""
    data, expected = b"", list[Request]()
    for method, target, content, trailers, empty_lines in sent:
        data += b"\r\n" * empty_lines + f"{method} {target} HTTP/1.1\r\nHost: h\r\n".encode()
        if content is None:
            data += b"\r\n"
            expected.append((method, target, Content()))
        elif isinstance(content, bytes):
            data += b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
            expected.append((method, target, Content(content)))
        else:
            data += b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(map(chunk, content)) + last_chunk(trailers)
            expected.append((method, target, Content(b"".join(content), tuple(trailers))))
    connection = Connection().send(*cut_up(data, sizes))
    assert connection.requests == expected
    assert connection.refusal is None


# What has come so far.


def test_content_is_handed_on_as_it_comes() -> None:
    """A request is there with its head, and each piece of its content with its packet."""
    connection = Connection()
    head = SIZED[: -len(b"hello")]
    for piece, content in (
        (head, Content(b"", complete=False)),
        (b"he", Content(b"he", complete=False)),
        (b"ll", Content(b"hell", complete=False)),
        (b"oGET", Content(b"hello")),
    ):
        assert connection.send(piece).requests == [("POST", "/b", content)]
    connection = Connection()
    for piece, content in (
        (CHUNKED_HEAD + b"5\r\nhe", Content(b"he", complete=False)),
        (b"llo\r\n", Content(b"hello", complete=False)),
        (b"0\r\nA: b\r\n", Content(b"hello", complete=False)),
        (b"\r\nGET", Content(b"hello", ((b"A", b"b"),))),
    ):
        assert connection.send(piece).requests == [("PUT", "/c", content)]


def test_what_is_under_way() -> None:
    """Whether a head or a content has begun and not ended is known after every byte."""
    connection = Connection()
    under_way = [connection.send(piece).under_way for piece in byte_by_byte(SIZED)]
    assert under_way == ["head"] * (len(SIZED) - 6) + ["content"] * 5 + [""]


def test_what_is_under_way_behind_a_content() -> None:
    """The beginning of the next request is a head under way, and so is an empty line, which must not buy time."""
    connection = Connection().send(SIZED + b"\r\n")
    assert connection.under_way == "head"
    assert connection.parser.blank
    assert connection.send(b"G").under_way == "head"
    assert not connection.parser.blank


def test_empty_lines_without_end() -> None:
    """Some empty lines before a request are forgiven, any number of them is not."""
    assert Connection().send(b"\r\n" * 16 + GET).requests == [A_GET]
    assert Connection().send(b"\r\n" * 17 + GET).refusal is not None


def test_a_content_that_nobody_takes_makes_the_caller_wait() -> None:
    """Content beyond the limit pauses the caller, and its being taken lets the caller go on."""
    size = LARGE
    connection = Connection().send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size)
    assert connection.calls == ["pause"]
    assert connection.contents[0].at_hand() == b"x" * size
    assert connection.calls == ["pause", "resume"]


@pytest.mark.parametrize("behind", [b"", GET])
def test_a_flood_of_tiny_chunks(behind: bytes) -> None:
    """Of chunks of a byte only so many are read at a time; the rest, and what follows, needs no further bytes."""
    head, tiny = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"
    connection = Connection().send(head + tiny * 20_000 + b"0\r\n\r\n" + behind)
    turns = 0
    while connection.parser.costly:
        turns += 1
        connection.send(b"")
    assert turns > 5
    assert connection.contents[0].at_hand() == b"x" * 20_000
    assert connection.requests[1:] == ([A_GET] if behind else [])
    assert not connection.parser.amid_head


def test_large_chunks_are_read_at_once() -> None:
    """Content that is full of line ends is no flood."""
    head, text = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", b"a line\r\n" * 10_000
    connection = Connection().send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text))
    assert not connection.parser.costly
    assert connection.contents[0].at_hand() == text


# Requests that wait.


def test_no_more_requests_are_read_than_may_wait() -> None:
    """The parser stops at its limit, and goes on, without further bytes, for each request that was taken."""
    connection = Connection(queue_limit=2).send(GET + SIZED + CHUNKED + OLD + GET[:5])
    expected = [A_GET, A_SIZED]
    assert connection.requests == expected
    for taken in (A_CHUNKED, AN_OLD):
        assert connection.send(b"").requests == expected
        connection.parser.message_consumed()
        expected.append(taken)
        assert connection.send(b"").requests == expected
    connection.parser.message_consumed()
    assert connection.send(b"").requests == expected
    assert connection.parser.amid_head
    assert connection.send(GET[5:]).requests == [*expected, A_GET]


def test_whole_requests_that_wait_are_no_head_under_way() -> None:
    """A caller is not late with a head that has not been looked at."""
    connection = Connection(queue_limit=1).send(GET + GET[:5])
    assert connection.under_way == ""
    connection.parser.message_consumed()
    assert connection.under_way == "head"


@pytest.mark.parametrize("data", [SIZED, CHUNKED])
def test_the_last_request_that_may_wait_gets_its_content(data: bytes) -> None:
    """The limit is on requests: the content of the last one goes on coming, and what is behind it waits."""
    for pieces in every_cut(data + GET):
        connection = Connection(queue_limit=1).send(*pieces)
        [(_, _, content)] = connection.requests
        assert content.complete
        connection.parser.message_consumed()
        assert connection.send(b"").requests[1:] == [A_GET]


@given(
    st.lists(st.sampled_from([(GET, A_GET), (SIZED, A_SIZED), (CHUNKED, A_CHUNKED), (b"\r\n" + OLD, AN_OLD)])),
    st.lists(st.integers(0, 50), max_size=20),
    st.integers(1, 3),
)
def test_waiting_changes_nothing(sent: list[tuple[bytes, Request]], sizes: list[int], limit: int) -> None:
    """However few may wait, all requests come out in the end, and never more than may."""
    connection, taken = Connection(queue_limit=limit), 0
    for piece in cut_up(b"".join(data for data, _ in sent), sizes):
        connection.send(piece)
        assert len(connection.messages) - taken <= limit
        if piece[:1] < b"a" and taken < len(connection.messages):
            taken += 1
            connection.parser.message_consumed()
            connection.send(b"")
    while taken < len(connection.messages):
        taken += 1
        connection.parser.message_consumed()
        connection.send(b"")
        assert len(connection.messages) - taken <= limit
    assert connection.requests == [request for _, request in sent]


# What is none.

REFUSED: dict[str, tuple[bytes, type[RequestError]]] = {
    "no request line": (b"hello\r\n\r\n", BadRequest),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BadRequest),
    "LF for CR LF": (b"GET / HTTP/1.1\nHost: h\n\n", BadRequest),
    "LF for the last CR LF": (b"GET / HTTP/1.1\r\nHost: h\r\n\n", BadRequest),
    "an empty line of LF": (b"\n" + GET, BadRequest),
    "CR LF CR before": (b"\r\n\r" + GET, BadRequest),
    "a space before": (b" " + GET, BadRequest),
    "a line of a space": (b" \r\n" + GET, BadRequest),
    "a malformed field": (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", BadRequest),
    "obs-fold": (b"GET / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n", BadRequest),
    "both framings": (CHUNKED_HEAD[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n", BadRequest),
    "another version": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UnsupportedVersion),
    "another coding": (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", UnsupportedCoding),
    "an upgrade with content": (UPGRADE[:-2] + b"Content-Length: 5\r\n\r\nhello", BadRequest),
}


@pytest.mark.parametrize(("data", "refusal"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("before", [b"", GET, SIZED + b"\r\n", CHUNKED])
def test_nothing_is_read_behind_what_is_no_request(before: bytes, data: bytes, refusal: type[RequestError]) -> None:
    """It is refused once, after the requests before it, however it is cut; nothing behind it is looked at."""
    expected = Connection().send(before).requests
    for pieces in every_cut(before + data + GET):
        connection = Connection().send(*pieces, GET, GET)
        assert connection.requests == expected, pieces
        assert connection.refusal is refusal, pieces
        assert connection.under_way == ""


def test_a_head_without_an_end_is_refused_at_its_limit() -> None:
    """No more is kept of a head than it may have."""
    connection, sent = Connection().send(b"GET / HTTP/1.1\r\n"), 16
    while connection.refusal is None:
        assert sent <= MAX_HEAD
        connection.send(b"A: " + b"x" * 95 + b"\r\n")
        sent += 100
    assert connection.refusal is HeadTooLarge


def test_requests_before_a_malformed_one_wait_like_all() -> None:
    """What cannot be read is found out when its turn comes."""
    connection = Connection(queue_limit=1).send(GET + b"nonsense\r\n\r\n")
    assert connection.refusal is None
    connection.parser.message_consumed()
    assert connection.send(b"").refusal is BadRequest


MALFORMED_CONTENTS: dict[str, bytes] = {
    "no size": b"x\r\n",
    "LF behind a size": b"5\nhello\r\n0\r\n\r\n",
    "a longer chunk": b"5\r\nhello!\r\n0\r\n\r\n",
    "LF behind a chunk": b"5\r\nhello\n0\r\n\r\n",
    "a malformed trailer": b"5\r\nhello\r\n0\r\nA : b\r\n\r\n",
    "a size that is none": b"5\r\nhello\r\n-1\r\n",
}


@pytest.mark.parametrize("content", MALFORMED_CONTENTS.values(), ids=MALFORMED_CONTENTS)
def test_a_malformed_content_fails(content: bytes) -> None:
    """Its reader gets the error, whatever had come before; it never ends, and nothing behind it is read."""
    for pieces in every_cut(GET + CHUNKED_HEAD + content + GET):
        connection = Connection().send(*pieces, GET)
        first, (method, target, state) = connection.requests
        assert (first, method, target) == (A_GET, "PUT", "/c"), pieces
        assert (state.complete, state.error, state.trailers) == (False, BadRequest, ()), pieces
        assert b"hello".startswith(state.data)
        assert connection.refusal is None


def test_a_malformed_content_is_no_longer_awaited() -> None:
    """The rest of what has failed is not waited for."""
    connection = Connection().send(CHUNKED_HEAD)
    assert connection.under_way == "content"
    assert connection.send(b"nonsense\r\n").under_way == ""


def test_a_content_that_stops_is_no_content() -> None:
    """Every proper beginning of a content is incomplete."""
    for data in (SIZED, CHUNKED):
        head_end = data.index(b"\r\n\r\n") + 4
        for cut in range(head_end, len(data)):
            [(_, _, content)] = Connection().send(data[:cut]).requests
            assert not content.complete
            assert content.error is None


# Leaving HTTP.


def test_nothing_is_read_behind_an_upgrade() -> None:
    """What follows the head is handed over as it is, in whatever pieces, though it look like a request."""
    for behind in (b"", b"\r\n", GET, b"\x81\x05hello"):
        for pieces in every_cut(SIZED + UPGRADE + behind):
            connection = Connection().send(*pieces)
            assert connection.requests == [A_SIZED, AN_UPGRADE], pieces
            assert connection.tail == behind, pieces
            assert connection.refusal is None
            assert connection.parser.feed_data(GET) == ([], False, b"")


def test_an_upgrade_waits_like_all_requests() -> None:
    """Behind a full queue HTTP is not left yet."""
    connection = Connection(queue_limit=1).send(GET + UPGRADE + b"tunnel")
    assert (connection.requests, connection.tail) == ([A_GET], None)
    connection.parser.message_consumed()
    connection.send(b"")
    assert (connection.requests, connection.tail) == ([A_GET, AN_UPGRADE], b"tunnel")


# Anything.

SNIPPETS: Sequence[bytes] = [
    GET,
    SIZED,
    CHUNKED,
    CHUNKED_HEAD,
    UPGRADE,
    OLD,
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\x00",
]


@given(
    st.lists(st.sampled_from(SNIPPETS) | st.binary(max_size=5), max_size=6).map(b"".join),
    st.lists(st.integers(0, 40), max_size=20),
)
@example(b"\r\n\r\n" + GET, [3])
def test_anything_in_pieces_is_the_same_as_whole(data: bytes, sizes: list[int]) -> None:
    """Nonsense, too, is judged alike however it is cut; nothing but requests and refusals comes of it."""
    whole, cut = Connection().send(data), Connection().send(*cut_up(data, sizes))
    assert cut.refusal is whole.refusal
    assert cut.tail == whole.tail
    assert len(cut.messages) == len(whole.messages)
    for (method, target, content), (other_method, other_target, other) in zip(
        whole.requests, cut.requests, strict=True
    ):
        assert (method, target, content.complete, content.error) == (
            other_method,
            other_target,
            other.complete,
            other.error,
        )
        # Before a failure, how much was handed on depends on where the packets ended.
        assert content.data == other.data or content.error is not None
