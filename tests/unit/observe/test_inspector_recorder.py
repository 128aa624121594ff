"""Listening in: what passes between a forwarder and its transport is kept within bounds, and is passed on as it is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy.http.address import Upstream
from proxy.http.client.transport import UpstreamRequest
from proxy.http.grammar import Fields, Head, RequestHead, parse_head
from proxy.model import OWN, RequestRecord
from proxy.observe.inspector.recorder import Recorder
from proxy.observe.inspector.wire import Wire

if TYPE_CHECKING:
    from proxy.http.client.transport import Transport
    from proxy.http.server.request import ServerRequest

REFUSED, OK = (parse_head(b"HTTP/1.1 %b\r\nX-A: 1\r\n\r\n" % line)[0] for line in (b"401 No", b"200 OK"))
HEAD = b"POST /base/v1/job?token=x HTTP/1.1\r\nHost: api.test\r\n\r\n"
SWITCHED = parse_head(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")[0]


@dataclass
class Someone:
    """Stands in for a caller."""

    target: str = "/v1/job?token=x"
    has_content: bool = True
    own: bool = False
    answer_head: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
    own_content: bytes = b""

    @property
    def head(self) -> RequestHead:
        return RequestHead("POST", self.target, 1, Fields(b"Host: localhost\r\n"))


class Body:
    """A content in pieces, or whole from the start."""

    replayable = True

    def __init__(self, *pieces: bytes, whole: bool = False) -> None:
        self._pieces = pieces
        self._whole = whole

    def at_hand(self) -> bytes | None:
        return b"".join(self._pieces) if self._whole else None

    async def stream(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def trailers(self) -> list[tuple[bytes, bytes]]:
        return [(b"X-Sum", b"1")]


class Answer:
    """An answer of an upstream, and what is done to it."""

    ended = True
    trailers = ((b"X-T", b"1"),)

    def __init__(self, head: Head, *pieces: bytes) -> None:
        self.head = head
        self._pieces = list(pieces)
        self.done: list[object] = []

    def take(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def read(self) -> bytes:
        return self.take()

    def write(self, data: bytes) -> None:
        self.done.append(data)

    async def drain(self) -> None:
        self.done.append("drained")

    def write_eof(self) -> None:
        self.done.append("ended")

    def close(self) -> None:
        self.done.append("closed")


class Upstreams:
    """A transport that reads what it is to send, and answers in turn."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.closed = False
        self.sent: list[bytes] = []

    async def send(self, request: UpstreamRequest) -> Answer:
        if request.body is not None:
            whole = request.body.at_hand()
            self.sent += [whole] if whole is not None else [piece async for piece in request.body.stream()]
            assert request.body.replayable
            assert list(request.body.trailers()) == [(b"X-Sum", b"1")]
        return self._answers.pop(0)

    async def close(self) -> None:
        self.closed = True


def request(body: Body | None = None) -> UpstreamRequest:
    upstream = Upstream.parse("https://api.test/base")
    return UpstreamRequest("POST", upstream, HEAD, lambda _: None, body)


def begin(recorder: Recorder, entry: RequestRecord, upstreams: Upstreams, **caller: Any) -> "Transport":
    return recorder(cast("ServerRequest", Someone(**caller)), entry, cast("Transport", upstreams))


def kept(recorder: Recorder, entry: RequestRecord) -> Wire:
    recorder.end(entry)
    wire = recorder.wire(entry)
    assert wire is not None
    return wire


@pytest.mark.parametrize("body", [Body(b"ab", b"cd"), Body(b"abcd", whole=True)], ids=["in pieces", "whole"])
async def test_one_request(body: Body) -> None:
    """Both contents and all heads are kept, and nobody notices."""
    recorder, entry, answer = Recorder(), RequestRecord("POST", 1.0), Answer(OK, b"12", b"34")
    upstreams = Upstreams(answer)
    interceptor = begin(recorder, entry, upstreams)
    heard = await interceptor.send(request(body))
    assert (heard.take(), await heard.read(), heard.take()) == (b"12", b"34", b"")
    assert (heard.head, heard.ended, heard.trailers) == (OK, True, answer.trailers)
    heard.close()
    assert (b"".join(upstreams.sent), answer.done) == (b"abcd", ["closed"])
    assert recorder.under_way() == [entry]
    wire = kept(recorder, entry)
    assert recorder.under_way() == []
    assert (wire.request.method, wire.request.target, wire.request.has_content) == ("POST", "/v1/job?token=x", True)
    assert (wire.origin, wire.sent) == ("https://api.test", HEAD)
    assert (bytes(wire.request_content), bytes(wire.answer_content)) == (b"abcd", b"1234")
    assert (wire.answer, wire.passed_on, wire.refusals) == (OK, b"HTTP/1.1 200 OK\r\n\r\n", [])
    assert list(recorder.kept) == [(entry, wire)]


async def test_sent_again() -> None:
    """Of a request that went out twice the content is kept once, with the answer to the second, and why."""
    recorder, entry = Recorder(content=3), RequestRecord("POST", 1.0)
    interceptor = begin(recorder, entry, Upstreams(Answer(REFUSED, b"no"), Answer(OK, b"yes")))
    asked = request(Body(b"ab", b"cd"))
    (await interceptor.send(asked)).take()
    (await interceptor.send(asked)).take()
    wire = kept(recorder, entry)
    assert (bytes(wire.request_content), bytes(wire.answer_content), wire.refusals) == (b"abc", b"yes", [401])


async def test_a_tunnel() -> None:
    """What goes through a tunnel passes and is not kept."""
    recorder, entry, answer = Recorder(), RequestRecord("GET", 1.0), Answer(SWITCHED, b"frames")
    interceptor = begin(recorder, entry, Upstreams(answer))
    heard = await interceptor.send(request())
    heard.write(b"out")
    await heard.drain()
    heard.write_eof()
    assert (await heard.read(), answer.done) == (b"frames", [b"out", "drained", "ended"])
    assert kept(recorder, entry).answer_content == b""
    await interceptor.close()


async def test_the_proxys_own_answer() -> None:
    """What the proxy says itself is kept, in the place of what an upstream may have said before."""
    recorder, entry = Recorder(), RequestRecord("GET", 1.0)
    interceptor = begin(recorder, entry, Upstreams(Answer(OK, b"half")), own_content=b"problem")
    (await interceptor.send(request())).take()
    assert kept(recorder, entry).answer_content == b"problem"


def test_own_endpoints() -> None:
    """Of a request about the proxy itself nothing is told and nothing kept."""
    recorder, entry = Recorder(), RequestRecord("GET", 1.0)
    begin(recorder, entry, Upstreams(), own=True, own_content=b"credentials")
    assert recorder.under_way() == []
    entry.route = OWN
    recorder.end(entry)
    recorder.end(RequestRecord("GET", 2.0))
    assert (recorder.wire(entry), list(recorder.kept)) == (None, [])


async def test_bounds() -> None:
    """The beginnings of contents are kept, of the last requests, and all together no more than there is room for."""
    recorder = Recorder(content=100, room=1000, requests=3)

    async def pass_by(n: int, size: int) -> RequestRecord:
        entry = RequestRecord("POST", float(n))
        interceptor = begin(recorder, entry, Upstreams(Answer(OK, b"a" * size)), answer_head=b"", target="/")
        (await interceptor.send(request(Body(b"b" * size)))).take()
        recorder.end(entry)
        return entry

    entries = [await pass_by(n, 10) for n in range(5)]
    assert [recorder.wire(entry) is None for entry in entries] == [True, True, False, False, False]
    large = await pass_by(6, 1000)
    wire = recorder.wire(large)
    assert wire is not None
    assert (len(wire.request_content), len(wire.answer_content)) == (100, 100)
    huge = RequestRecord("GET", 7.0)
    begin(recorder, huge, Upstreams(), answer_head=b"h" * 5000, own_content=b"o" * 50)
    # What is too large for the room is kept alone: somebody may want to see just that.
    assert kept(recorder, huge).answer_content == b"o" * 50
    assert [entry for entry, _ in recorder.kept] == [huge]
    # While there is no room, contents are not kept.
    last = await pass_by(8, 50)
    assert [(entry, len(wire.answer_content)) for entry, wire in recorder.kept] == [(last, 0)]


def test_nothing_shows() -> None:
    """Neither what is kept nor what keeps it shows it by its `repr`."""
    recorder, entry = Recorder(), RequestRecord("POST", 1.0)
    interceptor = begin(recorder, entry, Upstreams(), own_content=b"c4n4ry", target="/c4n4ry")
    wire = kept(recorder, entry)
    assert "c4n4ry" not in f"{recorder!r}{interceptor!r}{wire!r}{wire.request!r}"
