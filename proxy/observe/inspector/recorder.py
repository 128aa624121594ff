"""Listening in on requests: a recorder stands between the forwarder and the transport while somebody looks on."""

from collections.abc import AsyncIterator, Iterable

from proxy.http.client.transport import RequestBody, Transport, UpstreamAnswer, UpstreamRequest
from proxy.http.grammar import SWITCHING_PROTOCOLS, Head
from proxy.http.grammar.fields import Headers
from proxy.http.server.request import ServerRequest
from proxy.model import OWN, RequestRecord
from proxy.observe.inspector.wire import RecordedRequest, Wire

CONTENT = 16 * 1024
"""Bytes of a content that are kept."""
ROOM = 8 << 20
"""Bytes that are kept of everything."""
REQUESTS = 200
"""Requests that are kept once they have ended."""


class Recorder:
    """Remembers what went over the wire for the last requests, within bounds. It is a forwarder's interceptor."""

    def __init__(self, *, content: int = CONTENT, room: int = ROOM, requests: int = REQUESTS) -> None:
        """The bounds are in bytes, but for `requests`."""
        self._content = content
        self._room = room
        self._requests = requests
        self._size = 0
        self._open: dict[RequestRecord, _Record] = {}
        self._ended: dict[RequestRecord, Wire] = {}

    def __call__(self, caller: ServerRequest, entry: RequestRecord, transport: Transport) -> Transport:
        """A request has begun."""
        record = self._open[entry] = _Record(self, caller, transport)
        return record

    def under_way(self) -> list[RequestRecord]:
        """The requests that have begun and not ended, but for those about the proxy itself."""
        return [entry for entry, record in self._open.items() if not record.own]

    def end(self, entry: RequestRecord) -> None:
        """A request has ended; of one that is about the proxy itself nothing is kept."""
        record = self._open.pop(entry, None)
        if record is None or entry.route == OWN:
            return
        wire = self._ended[entry] = record.ended()
        self._size += wire.size
        while len(self._ended) > self._requests or (self._size > self._room and len(self._ended) > 1):
            oldest = self._ended.pop(next(iter(self._ended)))
            self._size -= oldest.size
            self.forget(oldest.request_content)
            self.forget(oldest.answer_content)

    @property
    def kept(self) -> Iterable[tuple[RequestRecord, Wire]]:
        """The requests that have ended and are kept, the oldest first."""
        return self._ended.items()

    def wire(self, entry: RequestRecord) -> Wire | None:
        """What went over the wire for a request that has ended; None where it is not kept."""
        return self._ended.get(entry)

    def keep(self, content: bytearray, data: bytes) -> None:
        """Keep as much of `data` as belongs to the beginning of a content, and as there is room for."""
        kept = data[: max(0, min(self._content - len(content), self._room - self._size))]
        content += kept
        self._size += len(kept)

    def forget(self, content: bytearray) -> None:
        """Give back what a content has taken."""
        self._size -= len(content)
        content.clear()


class _Record:
    """Stands in for the transport on the way of one request."""

    def __init__(self, recorder: Recorder, caller: ServerRequest, transport: Transport) -> None:
        self._recorder = recorder
        self._caller = caller
        self._transport = transport
        head = caller.head
        self._wire = Wire(RecordedRequest(head.method, head.target, head.fields.lines, has_content=caller.has_content))

    @property
    def own(self) -> bool:
        """Whether the request is about the proxy itself, as far as is known yet."""
        return self._caller.own

    def ended(self) -> Wire:
        """All that went over the wire."""
        wire, caller = self._wire, self._caller
        wire.passed_on = caller.answer_head
        if caller.own_content:
            # The proxy's own word takes the place of an upstream's.
            self._recorder.forget(wire.answer_content)
            self.answered(caller.own_content)
        return wire

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """As a transport does, and take note."""
        wire = self._wire
        if wire.answer is not None:
            wire.refusals.append(wire.answer.status)
            wire.answer = None
            self._recorder.forget(wire.answer_content)
        wire.origin = request.upstream.origin
        wire.sent = request.head
        if request.body is not None and not isinstance(request.body, _Body):
            request.body = _Body(request.body, self)
        answer = await self._transport.send(request)
        wire.answer = answer.head
        return _Answer(answer, self)

    async def close(self) -> None:
        """As a transport does."""
        await self._transport.close()

    def sent(self, data: bytes, start: int) -> None:
        """Some of the request's content has gone out, which begins at the byte `start` of it."""
        content = self._wire.request_content
        # What goes out for the second time is known.
        self._recorder.keep(content, data[max(0, len(content) - start) :])

    def answered(self, data: bytes) -> None:
        """Some of the answer's content has come."""
        self._recorder.keep(self._wire.answer_content, data)


class _Body:
    """The content of a request, listened in on."""

    def __init__(self, body: RequestBody, record: _Record) -> None:
        self._body = body
        self._record = record

    @property
    def replayable(self) -> bool:
        return self._body.replayable

    def at_hand(self) -> bytes | None:
        data = self._body.at_hand()
        if data is not None:
            self._record.sent(data, 0)
        return data

    async def stream(self) -> AsyncIterator[bytes]:
        start = 0
        async for data in self._body.stream():
            self._record.sent(data, start)
            start += len(data)
            yield data

    def trailers(self) -> Headers:
        return self._body.trailers()


class _Answer:
    """An upstream's answer, listened in on."""

    def __init__(self, answer: UpstreamAnswer, record: _Record) -> None:
        self._answer = answer
        self._record = record
        # What goes through a tunnel is no content of HTTP's.
        self._listening = answer.head.status != SWITCHING_PROTOCOLS

    @property
    def head(self) -> Head:
        return self._answer.head

    @property
    def ended(self) -> bool:
        return self._answer.ended

    @property
    def trailers(self) -> Headers:
        return self._answer.trailers

    def take(self) -> bytes:
        return self._heard(self._answer.take())

    async def read(self) -> bytes:
        return self._heard(await self._answer.read())

    def write(self, data: bytes) -> None:
        self._answer.write(data)

    async def drain(self) -> None:
        await self._answer.drain()

    def write_eof(self) -> None:
        self._answer.write_eof()

    def close(self) -> None:
        self._answer.close()

    def _heard(self, data: bytes) -> bytes:
        if data and self._listening:
            self._record.answered(data)
        return data
