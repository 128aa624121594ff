"""Requests on pooled connections: which connection, what is sent when, what is tried again."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from proxy.errors import BadRequest, InternalError, ProxyError, UpstreamBroken
from proxy.model import Headers, Timeouts, Upstream
from proxy.upstream.connect import Connector
from proxy.upstream.connection import Connection, Disconnected
from proxy.upstream.framing import Head, Inform, chunk, chunked_content, last_chunk, request_head
from proxy.upstream.pool import Pool

log = logging.getLogger(__name__)

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
"""RFC 9110 section 9.2.2: sending these twice does what sending them once does."""
_TICK = 1.0
"""Seconds between two looks at the deadlines, at most."""


class RequestBody(Protocol):
    """The content of a request."""

    @property
    def replayable(self) -> bool:
        """Whether `stream` can begin at the first byte."""

    def at_hand(self) -> bytes | None:
        """The whole content, where all of it has arrived."""

    def stream(self) -> AsyncIterator[bytes]:
        """The content from its beginning."""

    def trailers(self) -> Headers:
        """The trailer section, known at the end."""


@dataclass(slots=True)
class UpstreamRequest:
    """A request as it goes out: `fields` are its field lines on the wire, `target` is sent as it stands.

    `body` is None where there is none; `chunked` where it has no Content-Length: `fields` say so.
    `inform` hears of every 1xx answer but 101, which ends the exchange of a request with `upgrade`.
    """

    method: str
    upstream: Upstream
    target: str
    fields: bytes = field(repr=False)
    inform: Inform
    body: RequestBody | None = None
    chunked: bool = False
    upgrade: bool = False


class UpstreamAnswer(Protocol):
    """An answer whose head has arrived. What breaks off raises UpstreamError."""

    @property
    def head(self) -> Head: ...

    @property
    def ended(self) -> bool:
        """All of the content has been taken."""

    @property
    def trailers(self) -> Headers:
        """The trailer section, once `ended`."""

    def take(self) -> bytes:
        """The content that is at hand, perhaps none."""

    async def read(self) -> bytes:
        """The next content, empty at its end."""

    def write(self, data: bytes) -> None:
        """Send into a tunnel (after 101)."""

    async def drain(self) -> None:
        """Wait until the upstream has taken what was written."""

    def write_eof(self) -> None:
        """End the tunnel's direction towards the upstream."""

    def close(self) -> None:
        """Let go: the connection is kept where the answer was read to its end, else dropped."""


class Transport(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """The answer's head; raises UpstreamUnreachable, UpstreamBroken, UpstreamTimeout."""

    async def close(self) -> None: ...


class PooledTransport:
    """The transport over kept-alive connections."""

    def __init__(self, timeouts: Timeouts, connector: Connector) -> None:
        self._timeouts = timeouts
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._pool = Pool()
        self._active: set[Connection] = set()
        self._tick = min(_TICK, timeouts.headers / 4, timeouts.idle / 4)
        self._ticker = self._loop.call_later(self._tick, self._look_at_deadlines)

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        origin = request.upstream.origin
        while True:
            connection = self._pool.take(origin)
            reused = connection is not None
            if connection is None:
                connection = await self._connect(request.upstream)
            upload: asyncio.Task[None] | None = None
            try:
                upload = self._begin(connection, request)
                head = await connection.head()
            except Disconnected as error:
                self._give_up(connection, upload)
                if not (reused and _may_repeat(request) and not error.answered):
                    raise UpstreamBroken("the upstream closed the connection without an answer") from None
            except BaseException:
                self._give_up(connection, upload)
                raise
            else:
                return _Answer(self, origin, connection, head, upload)

    async def close(self) -> None:
        self._ticker.cancel()
        self._pool.close()
        for connection in tuple(self._active):
            connection.abort()

    async def _connect(self, upstream: Upstream) -> Connection:
        on_lost = partial(self._forget, upstream.origin)
        new = partial(Connection, on_lost=on_lost, idle_timeout=self._timeouts.idle)
        return await self._connector.connect(upstream, new)

    def _begin(self, connection: Connection, request: UpstreamRequest) -> asyncio.Task[None] | None:
        """Send a request as far as it is at hand; the task that sends the rest, where there is one."""
        self._active.add(connection)
        body = request.body
        data = request_head(request.method, request.target, request.fields)
        whole = None if body is None else body.at_hand()
        if body is not None and whole is not None:
            data += chunked_content(whole, body.trailers()) if request.chunked else whole
        connection.begin(request.method, data, upgrade=request.upgrade, inform=request.inform)
        if body is not None and whole is None:
            return self._loop.create_task(self._upload(connection, body, chunked=request.chunked))
        connection.expect_head_by(self._loop.time() + self._timeouts.headers)
        return None

    def _give_up(self, connection: Connection, upload: asyncio.Task[None] | None) -> None:
        self._active.discard(connection)
        connection.abort()
        if upload is not None:
            upload.cancel()

    async def _upload(self, connection: Connection, body: RequestBody, *, chunked: bool) -> None:
        try:
            async for data in body.stream():
                connection.write(chunk(data) if chunked else data)
                await connection.drain()
            if chunked:
                connection.write(last_chunk(body.trailers()))
            connection.expect_head_by(self._loop.time() + self._timeouts.headers)
        except ProxyError as error:
            connection.fail(error)
        except ConnectionError:
            connection.fail(BadRequest("the caller broke off the request's content"))
        except Exception:  # nobody awaits this task: whoever waits for the answer has to hear of a defect
            log.exception("sending a request's content met a defect")
            connection.fail(InternalError("the proxy met a defect"))

    def release(self, origin: str, connection: Connection, *, sent: bool) -> None:
        """Take a connection back after its exchange; one that does not go on stays watched until it is closed."""
        if connection.finish(sent=sent):
            self._active.discard(connection)
            self._pool.put(origin, connection)

    def _forget(self, origin: str, connection: Connection) -> None:
        self._active.discard(connection)
        self._pool.discard(origin, connection)

    def _look_at_deadlines(self) -> None:
        now = self._loop.time()
        for connection in [connection for connection in self._active if connection.deadline <= now]:
            connection.expire()
        self._pool.prune(now)
        self._ticker = self._loop.call_later(self._tick, self._look_at_deadlines)


def _may_repeat(request: UpstreamRequest) -> bool:
    return request.method in _IDEMPOTENT and (request.body is None or request.body.replayable)


class _Answer:
    """The `UpstreamAnswer` of a connection."""

    __slots__ = (
        "_connection",
        "_open",
        "_origin",
        "_transport",
        "_upload",
        "drain",
        "head",
        "read",
        "take",
        "write",
        "write_eof",
    )

    def __init__(
        self,
        transport: PooledTransport,
        origin: str,
        connection: Connection,
        head: Head,
        upload: asyncio.Task[None] | None,
    ) -> None:
        self.head = head
        self.take = connection.take
        self.read = connection.read
        self.write = connection.write
        self.drain = connection.drain
        self.write_eof = connection.write_eof
        self._transport = transport
        self._origin = origin
        self._connection = connection
        self._upload = upload
        self._open = True

    @property
    def ended(self) -> bool:
        return self._connection.ended

    @property
    def trailers(self) -> Headers:
        return self._connection.trailers

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        upload = self._upload
        sent = upload is None or (upload.done() and not upload.cancelled())
        if upload is not None and not sent:
            upload.cancel()
        self._transport.release(self._origin, self._connection, sent=sent)
