"""A caller's connection: an aiohttp connection, used by its public names, with a parser and a request loop of our own.

| state | what comes in | it becomes |
|---|---|---|
| OPEN | is read as requests | SWITCHING with a request that wants to leave HTTP |
| | | HALF_CLOSED when the caller sends no more, and waits for answers |
| | | CLOSING when the last answer is out |
| SWITCHING | waits for the answer to such a request | TUNNEL when that is 101, else CLOSING |
| TUNNEL | passes as it is | CLOSING when both directions have ended |
| HALF_CLOSED | nothing does | CLOSING when all answers are out, or nobody waits for them any more |
| CLOSING | is dropped | LOST, as may every other state |

Requests are answered one after the other, whatever has come behind them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp.web import RequestHandler

from proxy.errors import ProxyError, RequestError, RequestTimeout
from proxy.http.batching import WriteBatcher
from proxy.http.buffers import Buffers
from proxy.http.server.body import NOTHING, IncomingBody
from proxy.http.server.flow import Flow, Hold
from proxy.http.server.parser import Message, RequestParser
from proxy.http.server.request import ServerRequest
from proxy.http.server.turns import RequestQueue

if TYPE_CHECKING:
    from aiohttp import web


LINGER = 2.0
"""Seconds that a caller whose request could not be read has to read the answer."""
_READ_OUT = 10.0
"""Seconds for which content that nobody wanted is read, so that the next request can be."""
_KEPT = 3600.0
"""Seconds that a connection without requests is kept: longer than any client does."""
_KEPT_REFUSED = 10.0
"""The same where the last request was not let in."""
_MOST_WAITING = 32
"""Requests that may wait on a connection before no more are read."""
_FEW_WAITING = 16
"""Requests that wait when reading goes on: in batches, rather than one by one."""
_SILENCE = 30.0
"""Seconds after which a tunnel ends whose caller has not been heard of."""
_MOST_EARLY = 64 * 1024
"""Bytes that may wait for a tunnel to be opened."""

_UNUSED: dict[str, Any] = {"access_log": None, "keepalive_timeout": 0}
"""What aiohttp is to leave out: its own log, and its own timer, in whose place there is `check_progress`."""


class ConnectionState(Enum):
    """Of a connection; see the table above."""

    OPEN = auto()
    SWITCHING = auto()
    TUNNEL = auto()
    HALF_CLOSED = auto()
    CLOSING = auto()
    LOST = auto()


class Host(Protocol):
    """Who answers the requests of a connection."""

    draining: bool
    batcher: WriteBatcher
    buffers: Buffers
    answer: Callable[[ServerRequest], Awaitable[None]]
    """Answers a request."""
    refuse: Callable[[ServerRequest, ProxyError], None]
    """Answers what could not be read as one."""

    def opened(self, connection: "CallerConnection") -> None:
        """A caller has connected."""

    def half_closed(self, connection: "CallerConnection") -> None:
        """A caller sends no more, and may have gone."""

    def closed(self, connection: "CallerConnection") -> None:
        """A connection has ended."""


class CallerConnection(RequestHandler):
    """Reads requests from a caller and answers them in turn, each in a task of its own.

    aiohttp's own loop makes a request object, a writer and a response object for every request, and answers what is
    malformed with the offending bytes. This one makes a `ServerRequest`.
    """

    __slots__ = (
        "_early",
        "_event_loop",
        "_heard",
        "_host",
        "_new_content",
        "_partial_since",
        "_requests",
        "_state",
        "_tunnel",
        "_turns",
        "caller",
        "flow",
        "over_limit",
        "own",
        "refused",
        "secure",
    )

    def __init__(self, server: "web.Server", host: Host, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, **_UNUSED)
        self._host = host
        self._event_loop = loop
        self._state = ConnectionState.OPEN
        self.flow = Flow(loop, host.buffers, host.batcher)
        # Nothing of this refers back to the connection: only the garbage collector would free such a circle.
        self._new_content = partial(_content, self.flow, host.buffers)
        self._requests = RequestParser(self._new_content, queue_limit=_MOST_WAITING)
        self._turns = RequestQueue(loop, self._work_for, self._all_answered)
        self.caller: ServerRequest | None = None
        """Whose request is being answered."""
        self._tunnel: IncomingBody | None = None
        self._early = b""
        """What has come for a tunnel that is not open yet."""
        self.secure = False
        """It is encrypted."""
        self.over_limit = False
        """There are too many connections: this one is served with an error."""
        self.own = False
        """Its last request was about the proxy itself."""
        self.refused = False
        """Its last request was not let in."""
        self._heard = loop.time()
        self._partial_since: float | None = self._heard
        """When a head began to arrive that is not whole yet; the first one is expected from the start."""

    # What the server asks.

    @property
    def idle(self) -> bool:
        """Whether no request is being answered or waits for it."""
        return self.caller is None and not self._turns.waiting

    @property
    def quiet(self) -> bool:
        """Whether the connection is idle, and nothing of a request has come, read or not."""
        return self.idle and not self._more

    @property
    def ending(self) -> bool:
        """Whether the answer to the current request is to be the last: no other waits, and none is to follow."""
        last = self._host.draining or self._state is ConnectionState.HALF_CLOSED
        return last and not self._turns.waiting and not self._more

    def check_progress(self, now: float, *, head: float, idle: float) -> None:
        """Give up a caller who is too slow: `head` seconds for a request's head, `idle` for content to move."""
        if self._state is ConnectionState.TUNNEL:
            # It may be silent, and held up, for as long as both ends like; but there they must be.
            if self.flow.unheard(now, _SILENCE) and self.transport is not None:
                self.transport.abort()
            return
        if self.flow.reading and self._state is not ConnectionState.HALF_CLOSED:
            self._check_reading(now, head, idle)
        stuck_since = self.flow.stuck_since
        if stuck_since is not None and now - stuck_since > idle:
            self.flow.abort()

    def _check_reading(self, now: float, head: float, idle: float) -> None:
        content = self._requests.content
        if self._partial_since is not None and now - self._partial_since > head:
            self._partial_since = None
            self._give_up_head()
        elif (
            self.idle
            and self.flow.stuck_since is None
            and now - self._heard > (_KEPT_REFUSED if self.refused else _KEPT)
        ):
            self.force_close()
        elif content is not None and content.awaited and now - self._heard > idle:
            self._requests.fail_content(RequestTimeout(f"the request's content did not go on within {idle:g} s"))

    def _give_up_head(self) -> None:
        if not self._requests.blank:
            late = self._requests.give_up(RequestTimeout("the request's head did not arrive in time"))
            self._turns.add([late])
            self._turns.go_on()
        elif self.idle:
            # There is nothing to answer; an empty line behind a request that is being answered means nothing.
            self.force_close()

    # What a ServerRequest asks.

    def open_tunnel(self) -> IncomingBody:
        """Leave HTTP; what the caller sends from now on, and has sent since it asked for that."""
        tunnel = self._tunnel = self._new_content()
        self.flow.keep_alive(_SILENCE)
        if self._state is not ConnectionState.SWITCHING:
            tunnel.end()
            return tunnel
        self._state = ConnectionState.TUNNEL
        tunnel.feed(self._early)
        self._early = b""
        self.flow.release(Hold.SWITCH)
        return tunnel

    # What the event loop, or aiohttp's server, calls.

    async def start(self) -> None:
        """aiohttp's request loop, which has no part here: requests are answered as they arrive."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None  # noqa: S101 - that is what the line above is for
        self.flow.begin(self.transport)
        self.secure = transport.get_extra_info("sslcontext") is not None
        self._host.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._state = ConnectionState.LOST
        super().connection_lost(exc)
        self.flow.lose()
        self._requests.lose_content()
        if self._tunnel is not None:
            self._tunnel.end()
            self._tunnel.drop()
        self._turns.end()
        self._host.closed(self)

    def data_received(self, data: bytes) -> None:
        self._heard = self._event_loop.time()
        state = self._state
        if state is ConnectionState.OPEN:
            self._receive_requests(data)
        elif state is ConnectionState.TUNNEL and self._tunnel is not None:
            self._tunnel.feed(data)
        elif state is ConnectionState.SWITCHING:
            self._early += data
            if len(self._early) >= _MOST_EARLY:
                self.flow.hold(Hold.SWITCH)

    def eof_received(self) -> Any:  # aiohttp's says None, and asyncio's that a bool keeps the connection open
        transport, state = self.transport, self._state
        # With TLS an end is always that of both directions.
        if transport is None or not transport.can_write_eof():
            return False
        if state is ConnectionState.TUNNEL and self._tunnel is not None:
            self._tunnel.end()
            return True
        if (
            state is ConnectionState.OPEN
            and self._requests.content is None
            and (self._turns.busy or self._turns.waiting)
        ):
            self._state = ConnectionState.HALF_CLOSED
            self._host.half_closed(self)
            return True
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.flow.resume_writing()

    def close(self) -> None:
        """Answer no more requests than the one that is being answered, and close then."""
        self._turns.clear()
        self._requests.lose_content()
        if self.caller is None:
            self._end()
        else:
            self.caller.close()

    def force_close(self) -> None:
        """Close, whatever is under way."""
        self.flow.flush()
        if self._state is not ConnectionState.LOST:
            self._state = ConnectionState.CLOSING
        super().force_close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's own signature
        """Close, and wait up to `timeout` seconds for the task that answers a request to notice."""
        self.force_close()
        answering = self._turns.end()
        if self.flow.stuck_since is not None:
            # To close, it would wait until the caller has taken what is written.
            self.flow.abort()
        if answering is not None:
            await asyncio.wait((answering,), timeout=timeout)

    # Reading requests.

    def _receive_requests(self, data: bytes) -> None:
        requests, turns = self._requests, self._turns
        arrived, leaves, early = requests.feed_data(data)
        turns.add(arrived)
        if leaves:
            self._state = ConnectionState.SWITCHING
            self._early = early
        if requests.full:
            self.flow.hold(Hold.REQUESTS)
        if requests.costly and not self.flow.held_for(Hold.TURN):
            # An event loop reads on as long as something comes, and nobody else would have a turn.
            self.flow.hold(Hold.TURN)
            self._event_loop.call_soon(self._take_turn)
        if not requests.amid_head:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = self._heard
        turns.go_on()

    def _take_turn(self) -> None:
        """Read on where others had a turn, first of all what has come already."""
        self.flow.release(Hold.TURN)
        if self._state is ConnectionState.OPEN:
            self._receive_requests(b"")

    def _make_room(self) -> None:
        """Let the parser go on, which stops when too many requests wait."""
        self._requests.message_consumed()
        if self.flow.held_for(Hold.REQUESTS) and len(self._turns.waiting) <= _FEW_WAITING:
            if self._state is ConnectionState.OPEN:
                self._receive_requests(b"")
            if not self._requests.full:
                self.flow.release(Hold.REQUESTS)

    @property
    def _more(self) -> bool:
        """Whether something of another request has come. The event loop hears of it late: the socket is asked."""
        return self._state is not ConnectionState.HALF_CLOSED and (self._requests.amid_head or self.flow.has_input())

    # Answering them.

    def _work_for(self, message: Message) -> Coroutine[Any, Any, None]:
        """What is to be done about a request, or about what could not be read as one."""
        head, content = message
        if isinstance(head, ProxyError):
            return self._refuse(head, content)
        # Not in the task, which may begin later: until then the connection would pass for idle.
        caller = self.caller = ServerRequest(self, head, content, closing=self.over_limit)
        caller.over_limit = self.over_limit
        self._host.batcher.busy += 1
        return self._answer(caller, content)

    async def _refuse(self, error: ProxyError, content: IncomingBody) -> None:
        """Answer what could not be read as a request, and close the connection."""
        try:
            self._host.refuse(ServerRequest(self, None, content, closing=True), error)
            await self._linger()
        finally:
            self._end()

    async def _answer(self, caller: ServerRequest, content: IncomingBody) -> None:
        """Answer a request, and close the connection unless others may follow. Cancelled when the caller leaves."""
        host = self._host
        lasts = False
        try:
            self._make_room()
            try:
                await host.answer(caller)
            finally:
                host.batcher.busy -= 1
                self.caller = None
                self.own = caller.own
                self.refused = caller.refused
            if content is not NOTHING:
                await self._read_out(content)
            if not caller.keep_alive:
                if host.draining:
                    await self._linger()
            elif self.flow.stuck_since is not None:
                # Who sends request after request and reads no answer must not fill the memory with them.
                with suppress(ConnectionError):  # they may have left, which is no defect
                    await self.flow.drained()
            half_closed = self._state is ConnectionState.HALF_CLOSED and self._turns.waiting
            lasts = caller.keep_alive and (self._state is ConnectionState.OPEN or bool(half_closed))
        finally:
            content.drop()
            if not lasts:
                self._end()

    async def _read_out(self, content: IncomingBody) -> None:
        """Read on for a while what was not wanted, so that the next request can be read."""
        if content.at_hand() is not None:
            return
        try:
            async with asyncio.timeout(_READ_OUT):
                while await content.read():
                    pass
        except (TimeoutError, ConnectionError, RequestError):
            await self._linger()
            self._state = ConnectionState.CLOSING

    # Ending.

    async def _linger(self) -> None:
        """Wait until the caller has closed: a reset could overtake the answer (RFC 9112 section 9.6)."""
        transport, tunnel = self.transport, self._tunnel
        if transport is None or transport.is_closing() or not transport.can_write_eof():
            return
        if self._state is ConnectionState.HALF_CLOSED or (tunnel is not None and tunnel.ended):
            # They have ended their direction already, and nobody will tell once more.
            return
        # What still comes is read and forgotten: what the kernel holds unread at the end makes it send a reset.
        self._state = ConnectionState.CLOSING
        self.flow.flush()
        with suppress(OSError):  # reset a moment ago
            transport.write_eof()
        # Cancelled when the connection is lost.
        await asyncio.sleep(LINGER)

    def _all_answered(self) -> None:
        # The caller may have ended its direction when the last answer was out already, and its task was not done yet.
        if self._state is ConnectionState.HALF_CLOSED:
            self._end()

    def _end(self) -> None:
        if self._state is not ConnectionState.LOST:
            self._state = ConnectionState.CLOSING
        self.flow.flush()
        if self.transport is not None:
            self.transport.close()


def _content(flow: Flow, buffers: Buffers) -> IncomingBody:
    """What takes the content of a request, or one direction of a tunnel."""
    return IncomingBody(lambda: flow.hold(Hold.CONTENT), lambda: flow.release(Hold.CONTENT), buffers)
