"""Run a caller's connection: an aiohttp connection, used by its public names, with a parser and a queue of our own.

| state | what the caller sends | next state |
|---|---|---|
| OPEN | is read as requests | SWITCHING: a request asks for another protocol |
| | | HALF_CLOSED: the caller ends its direction, and waits for responses |
| | | CLOSING: the last response is out, or the caller is too slow |
| SWITCHING | waits for the response to that request | TUNNEL: the response is 101 |
| | | CLOSING: it is another one |
| TUNNEL | is passed on as it is | CLOSING: both directions have ended |
| HALF_CLOSED | nothing | CLOSING: all responses are out |
| CLOSING | is dropped | LOST: the transport is closed |
| OPEN, SWITCHING, TUNNEL, HALF_CLOSED | breaks off | LOST: the caller has gone |

Requests are answered one after the other (`turns`), each by a coroutine of `answering`; `deadlines` gives up callers
that are too slow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol, TypeAlias, cast

from aiohttp import web

from proxy.errors import ProxyError
from proxy.http.batching import WriteBatcher
from proxy.http.buffers import Buffers
from proxy.http.server.body import IncomingBody
from proxy.http.server.draining import ServerState
from proxy.http.server.flow import Flow, Hold
from proxy.http.server.parser import Message, RequestParser
from proxy.http.server.request import ServerRequest
from proxy.http.server.turns import RequestQueue

SILENCE = 30.0
"""Seconds after which a tunnel ends of whose caller nothing is heard."""
_MOST_WAITING = 32
"""Requests that may wait on a connection before no more are read."""
_FEW_WAITING = 16
"""Requests that wait when reading goes on: in batches, rather than one by one."""
_MOST_EARLY = 64 * 1024
"""Bytes that may wait for a tunnel to be opened."""

_UNUSED: dict[str, Any] = {"access_log": None, "keepalive_timeout": 0}
"""What aiohttp is to leave out: its own log, and its own timer, in whose place there is `deadlines`."""


class ConnectionState(Enum):
    """Names the states of a connection; see the table above."""

    OPEN = auto()
    SWITCHING = auto()
    TUNNEL = auto()
    HALF_CLOSED = auto()
    CLOSING = auto()
    LOST = auto()


# Enumerations are too slow to look into for every request.
_SERVING = ServerState.SERVING
OPEN, SWITCHING, TUNNEL, HALF_CLOSED, CLOSING, LOST = ConnectionState


class Host(Protocol):
    """Owns connections, and answers their requests."""

    state: ServerState
    batcher: WriteBatcher
    buffers: Buffers
    answer: Callable[[ServerRequest], Awaitable[None]]
    """Answers a request."""
    refuse: Callable[[ServerRequest, ProxyError], None]
    """Answers what could not be read as one."""

    def opened(self, connection: "CallerConnection") -> None:
        """Note a new connection."""

    def half_closed(self, connection: "CallerConnection") -> None:
        """Note a caller that sends no more, and may have gone."""

    def closed(self, connection: "CallerConnection") -> None:
        """Note the end of a connection."""


Work: TypeAlias = Callable[["CallerConnection", Message], Coroutine[Any, Any, None]]


class CallerConnection(web.RequestHandler):
    """Reads requests from a caller and has them answered in turn, each in a task of its own.

    aiohttp's own loop makes a request object, a writer and a response object for every request, and answers what is
    malformed with the offending bytes. This one makes a `ServerRequest`.
    """

    __slots__ = (
        *("_early", "_event_loop", "flow", "heard", "host", "over_limit", "own", "parser"),
        *("partial_since", "refused", "request", "secure", "state", "tunnel", "turns"),
    )

    def __init__(self, server: web.Server, host: Host, loop: asyncio.AbstractEventLoop, work: Work) -> None:
        """`work` makes the coroutine that answers a message of a connection."""
        super().__init__(server, loop=loop, **_UNUSED)
        self.host = host
        self._event_loop = loop
        self.state = OPEN
        self.flow = Flow(loop, host.buffers, host.batcher)
        self.parser = RequestParser(self.flow.new_body, queue_limit=_MOST_WAITING)
        self.turns = RequestQueue(loop, partial(work, self), self._all_answered)
        self.request: ServerRequest | None = None
        """The request that is being answered."""
        self.tunnel: IncomingBody | None = None
        self._early = b""
        """What has come for a tunnel that is not open yet."""
        self.secure = False
        """The connection is encrypted."""
        self.over_limit = False
        """There are too many connections: this one is served with an error."""
        self.own = False
        """The last request was about the proxy itself."""
        self.refused = False
        """The last request was not let in."""
        self.heard = loop.time()
        """When the caller sent something last, by the loop's clock."""
        self.partial_since: float | None = self.heard
        """When a head began to arrive that is not whole yet; the first one is expected from the start."""

    # What the server asks.

    @property
    def idle(self) -> bool:
        """Whether no request is being answered or waits for it."""
        return self.request is None and not self.turns.waiting

    @property
    def quiet(self) -> bool:
        """Whether the connection is idle, and nothing of a request has come, read or not."""
        return self.idle and not self._more

    # What a ServerRequest asks.

    @property
    def ending(self) -> bool:
        """Whether the response to the current request is to be the last: no other waits, and none is to follow."""
        last = self.host.state is not _SERVING or self.state is HALF_CLOSED
        return last and not self.turns.waiting and not self._more

    def open_tunnel(self) -> IncomingBody:
        """Leave HTTP; return what the caller sends from now on, and has sent since it asked for that."""
        tunnel = self.tunnel = self.flow.new_body()
        self.flow.keep_alive(SILENCE)
        if self.state is not SWITCHING:
            tunnel.end()
            return tunnel
        self.state = TUNNEL
        tunnel.feed(self._early)
        self._early = b""
        self.flow.release(Hold.SWITCH)
        return tunnel

    # What the event loop, or aiohttp's server, calls.

    async def start(self) -> None:
        """Do nothing in place of aiohttp's request loop: requests are answered as they arrive."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flow.begin(cast("asyncio.Transport", transport))  # uvloop's are no subclasses
        self.secure = transport.get_extra_info("sslcontext") is not None
        self.host.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.state = LOST
        super().connection_lost(exc)
        self.flow.lose()
        self.parser.lose_body()
        if self.tunnel is not None:
            self.tunnel.end()
            self.tunnel.drop()
        self.turns.end()
        self.host.closed(self)

    def data_received(self, data: bytes) -> None:
        self.heard = self._event_loop.time()
        state = self.state
        if state is OPEN:
            self._receive_requests(data)
        elif state is TUNNEL and self.tunnel is not None:
            self.tunnel.feed(data)
        elif state is SWITCHING:
            self._early += data
            if len(self._early) >= _MOST_EARLY:
                self.flow.hold(Hold.SWITCH)

    def eof_received(self) -> Any:  # aiohttp's says None, and asyncio's that a bool keeps the connection open
        transport, state = self.transport, self.state
        # With TLS an end is always that of both directions.
        if transport is None or not transport.can_write_eof():
            return False
        if state is TUNNEL and self.tunnel is not None:
            self.tunnel.end()
            return True
        if state is OPEN and self.parser.body is None and (self.turns.busy or self.turns.waiting):
            self.state = HALF_CLOSED
            self.host.half_closed(self)
            return True
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.flow.resume_writing()

    # Reading requests.

    def _receive_requests(self, data: bytes) -> None:
        parser, turns = self.parser, self.turns
        arrived, leaves, early = parser.feed_data(data)
        turns.add(arrived)
        if leaves:
            self.state = SWITCHING
            self._early = early
        if parser.full:
            self.flow.hold(Hold.REQUESTS)
        if parser.costly and not self.flow.held_for(Hold.TURN):
            # An event loop reads on as long as something comes, and leaves no turn to others.
            self.flow.hold(Hold.TURN)
            self._event_loop.call_soon(self._take_turn)
        if not parser.amid_head:
            self.partial_since = None
        elif self.partial_since is None:
            self.partial_since = self.heard
        turns.go_on()

    def _take_turn(self) -> None:
        """Read on after others had a turn, first of all what has come already."""
        self.flow.release(Hold.TURN)
        if self.state is OPEN:
            self._receive_requests(b"")

    def make_room(self) -> None:
        """Let the parser go on, which stops when too many requests wait."""
        self.parser.message_consumed()
        if self.flow.held_for(Hold.REQUESTS) and len(self.turns.waiting) <= _FEW_WAITING:
            if self.state is OPEN:
                self._receive_requests(b"")
            if not self.parser.full:
                self.flow.release(Hold.REQUESTS)

    @property
    def _more(self) -> bool:
        """Whether something of another request has come. The event loop learns of it late: the socket is asked."""
        return self.state is not HALF_CLOSED and (self.parser.amid_head or self.flow.has_input())

    # Closing.

    def _all_answered(self) -> None:
        # The caller may have ended its direction when the last response was out already, and its task was not done yet.
        if self.state is HALF_CLOSED:
            self.end()

    def end(self) -> None:
        """Close once all is written that was answered."""
        self.drop_input()
        self.flow.flush()
        if self.transport is not None:
            self.transport.close()

    def drop_input(self) -> None:
        """Read what still comes, and forget it."""
        if self.state is not LOST:
            self.state = CLOSING

    def force_close(self) -> None:
        """Close, whatever is under way."""
        self.flow.flush()
        self.drop_input()
        super().force_close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's own signature
        """Close, and wait up to `timeout` seconds for the task that answers a request to notice."""
        self.force_close()
        answering = self.turns.end()
        if self.flow.stuck_since is not None:
            # To close, it would wait until the caller has taken what is written.
            self.flow.abort()
        if answering is not None:
            await asyncio.wait((answering,), timeout=timeout)
