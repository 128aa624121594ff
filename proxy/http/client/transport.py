"""Send requests on pooled connections, and send again what may be."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxy.errors import BadRequest, InternalError, ProxyError, UpstreamBroken
from proxy.http.address import Upstream
from proxy.http.batching import WriteBatcher
from proxy.http.buffers import Buffers
from proxy.http.client.connect import Connector
from proxy.http.client.connection import UpstreamConnection
from proxy.http.client.exchange import Exchange
from proxy.http.client.link import Disconnected
from proxy.http.client.pool import ConnectionPool
from proxy.http.grammar import Head, chunk, chunked_content, last_chunk
from proxy.http.grammar.fields import Headers
from proxy.http.options import Timeouts
from proxy.model import Instant

log = logging.getLogger(__name__)

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
"""RFC 9110 section 9.2.2: sending these twice does what sending them once does."""
_FRESH_TRIES = 2
"""New connections that may break before anything of a response has come: an upstream that restarts accepts some that it
never reads from."""
_TICK = 1.0
"""Seconds between two looks at the deadlines, at most."""


class RequestBody(Protocol):
    """Provides the content of a request."""

    @property
    def replayable(self) -> bool:
        """Whether `stream` can begin at the first byte."""

    def at_hand(self) -> bytes | None:
        """Return the whole content, where all of it has arrived."""

    def stream(self) -> AsyncIterator[bytes]:
        """Yield the content from its beginning."""

    def trailers(self) -> Headers:
        """Return the trailer section, known at the end."""


@dataclass(slots=True)
class UpstreamRequest:
    """Holds a request as it goes out: `head` is all that stands before the content, the empty line included.

    `body` is None where there is none; `chunked` where it has no Content-Length: `head` says so.
    `inform` is called with every 1xx response but 101, which ends the exchange of a request with `upgrade`.
    """

    method: str
    upstream: Upstream
    head: bytes = field(repr=False)
    inform: Callable[[Head], None] = field(repr=False)
    body: RequestBody | None = None
    chunked: bool = False
    upgrade: bool = False


class UpstreamAnswer(Protocol):
    """Provides a response whose head has arrived. Its methods raise UpstreamError where it breaks off."""

    @property
    def head(self) -> Head: ...

    @property
    def ended(self) -> bool:
        """Whether all of the content has been taken."""

    @property
    def trailers(self) -> Headers:
        """The trailer section, once `ended`."""

    def take(self) -> bytes:
        """Take the content that is at hand, perhaps none."""

    async def read(self) -> bytes:
        """Wait for content, empty at its end."""

    def write(self, data: bytes) -> None:
        """Send into a tunnel (after 101)."""

    async def drain(self) -> None:
        """Wait until the upstream has taken what was written."""

    def write_eof(self) -> None:
        """End the tunnel's direction towards the upstream."""

    def close(self) -> None:
        """Let go: the connection is kept where the response was read to its end, else dropped."""


class Transport(Protocol):
    """Sends requests to upstreams."""

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Wait for the response's head; raises UpstreamUnreachable, UpstreamBroken, UpstreamTimeout."""

    async def close(self) -> None: ...


class PooledTransport:
    """Sends requests on connections that are kept between requests."""

    def __init__(
        self,
        timeouts: Timeouts,
        connector: Connector,
        *,
        buffers: Buffers,
        now: Callable[[], Instant],
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """`now` reads clocks that go on while the machine sleeps.

        `meanwhile` is work for a moment in which nothing but a response is waited for.
        """
        self._timeouts = timeouts
        self._buffers = buffers
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._pool = ConnectionPool(self._loop, now, connector.silence)
        self._batcher = WriteBatcher(self._loop.call_soon)
        self._meanwhile = meanwhile
        self._tick = min(_TICK, timeouts.headers / 4, timeouts.idle / 4)
        self._ticker = self._loop.call_later(self._tick, self._look_at_deadlines)

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        origin = request.upstream.origin
        fresh = 0
        while True:
            connection = self._pool.take(origin, repeatable=_may_repeat(request))
            if connection is None:
                fresh += 1
                connection = await self._connect(request.upstream)
            exchange = self._begin(connection, request)
            if self._meanwhile is not None and self._batcher.busy == 1 and exchange.upload is None:
                self._loop.call_soon(self._meanwhile)
            try:
                await exchange.answered
            except Disconnected as error:
                exchange.close()
                if error.answered or fresh == _FRESH_TRIES or not _may_repeat(request):
                    raise UpstreamBroken("the upstream closed the connection without an answer") from None
            except BaseException:
                exchange.close()
                raise
            else:
                return exchange

    async def close(self) -> None:
        self._ticker.cancel()
        self._pool.close()

    async def _connect(self, upstream: Upstream) -> UpstreamConnection:
        def new() -> UpstreamConnection:
            return UpstreamConnection(
                upstream.origin,
                owner=self._pool,
                idle_timeout=self._timeouts.idle,
                batcher=self._batcher,
                buffers=self._buffers,
            )

        connection = await self._connector.connect(upstream, new)
        self._pool.add(connection)
        return connection

    def _begin(self, connection: UpstreamConnection, request: UpstreamRequest) -> Exchange:
        """Send a request as far as it is at hand, and leave the rest to a task."""
        data = request.head
        body = request.body
        whole = None if body is None else body.at_hand()
        if body is not None and whole is not None:
            data += chunked_content(whole, body.trailers()) if request.chunked else whole
        exchange = connection.begin(request.method, data, upgrade=request.upgrade, inform=request.inform)
        if body is not None and whole is None:
            exchange.upload = self._loop.create_task(self._upload(exchange, body, chunked=request.chunked))
        elif connection.congested:
            exchange.upload = self._loop.create_task(self._settle(exchange))
        else:
            exchange.expect_head_by(self._loop.time() + self._timeouts.headers)
        return exchange

    async def _settle(self, exchange: Exchange) -> None:
        """Wait until a request that was written at once has gone out, before a response is expected."""
        await exchange.drain()
        exchange.expect_head_by(self._loop.time() + self._timeouts.headers)

    async def _upload(self, exchange: Exchange, body: RequestBody, *, chunked: bool) -> None:
        try:
            async for data in body.stream():
                exchange.write(chunk(data) if chunked else data)
                # What has been written must not wait here as well.
                del data
                await exchange.drain()
            if chunked:
                exchange.write(last_chunk(body.trailers()))
            exchange.expect_head_by(self._loop.time() + self._timeouts.headers)
        except ProxyError as error:
            exchange.fail(error)
        except ConnectionError:
            exchange.fail(BadRequest("the caller broke off the request's content"))
        except Exception:  # this task is not awaited: a defect has to end the wait for the response
            log.exception("sending a request's content met a defect")
            exchange.fail(InternalError("the proxy met a defect"))

    def _look_at_deadlines(self) -> None:
        self._pool.check(self._loop.time())
        self._ticker = self._loop.call_later(self._tick, self._look_at_deadlines)


def _may_repeat(request: UpstreamRequest) -> bool:
    return request.method in _IDEMPOTENT and (request.body is None or request.body.replayable)
