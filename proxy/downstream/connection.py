"""A caller's connection: aiohttp's protocol, with a parser and a request loop of our own."""

import asyncio
import select
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp.web_protocol import RequestHandler

from proxy.downstream.caller import Caller
from proxy.downstream.incoming import NOTHING, Incoming, Tunnel
from proxy.downstream.parser import RequestParser
from proxy.downstream.tasks import begin
from proxy.errors import ProxyError, RequestError, RequestTimeout
from proxy.outbox import Outbox

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.framing import RequestHead

_LINGER = 2.0
"""Seconds that a caller whose request could not be read has to read the answer."""

_KEPT = 3600.0
"""Seconds that a connection without requests is kept: longer than any client does."""


class Host(Protocol):
    """Who answers the requests of a connection."""

    draining: bool
    outbox: Outbox
    answer: Callable[[Caller], Awaitable[None]]
    """Answers a request."""
    refuse: Callable[[Caller, ProxyError], None]
    """Answers what could not be read as one."""


class Connection(RequestHandler):
    """A caller's connection.

    aiohttp's own loop makes two tasks, a request object, a writer and a response object for every request, and answers
    what is malformed with the offending bytes. This one makes a `Caller` and a task.
    """

    __slots__ = (
        "_answering",
        "_heard",
        "_held",
        "_host",
        "_occupied",
        "_partial_since",
        "_requests",
        "_resting",
        "_stuck_since",
        "own",
        "secure",
        "surplus",
    )

    def __init__(self, server: "web.Server", host: Host, **options: Any) -> None:
        super().__init__(server, **options)
        self._host = host
        self._answering: asyncio.Task[None] | None = None
        self._occupied = False
        """A request is being answered; to be asked in place of `_answering`, which is set once that has begun."""
        self._held = b""
        """What the host's outbox holds of this connection."""
        self.secure = False
        """It is encrypted."""
        self.surplus = False
        """There are too many connections: this one is served with an error."""
        self.own = False
        """Its last request was about the proxy itself."""
        self._heard = self._loop.time()
        self._partial_since: float | None = self._heard
        """When a head began to arrive that is not whole yet; the first one is expected from the start."""
        self._stuck_since: float | None = None
        """When the caller stopped taking what is written."""
        self._resting = False
        """More is read once others have had a turn."""
        self._requests = RequestParser(self.pause_reading, self._go_on, queue_limit=self._max_msg_queue_size)
        self._parser = self._requests  # type: ignore[assignment]  # has what aiohttp asks of it

    @property
    def caller(self) -> Caller | None:
        """Whose request is being answered."""
        return self._current_request  # type: ignore[return-value]

    @property
    def idle(self) -> bool:
        """Whether no request is being answered or waits for it."""
        return self._current_request is None and not self._messages

    @property
    def quiet(self) -> bool:
        """Whether the connection is idle, and nothing of a request has come, read or not."""
        return self.idle and not self._more

    @property
    def ending(self) -> bool:
        """Whether the answer to the current request is to be the last: the proxy drains, and no other request waits."""
        return self._host.draining and not self._messages and not self._more

    @property
    def _more(self) -> bool:
        """Whether something of another request has come. The event loop hears of it late: the socket is asked."""
        return self._requests.amid_head or self._has_input()

    async def start(self) -> None:
        """aiohttp's request loop, which has no part here: requests are answered as they arrive."""

    def _answer_next(self) -> None:
        """Answer the next of the requests that wait, once the one before it has been answered."""
        messages: Any = self._messages  # of our parser, not of aiohttp's
        if messages and not self._occupied and not (self._close or self._force_close):
            head, content = messages.popleft()
            self._occupied = True
            task = self._answering = begin(self._work_for(head, content), self._loop)
            if task.done():
                self._answered(task)
            else:
                task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering = None
        self._occupied = False
        defect = None if task.cancelled() else task.exception()
        if defect is not None:
            self._loop.call_exception_handler({"message": "answering a request met a defect", "exception": defect})
        if self._messages:
            # Not at once: who sends request upon request would let nobody else have a turn.
            self._loop.call_soon(self._answer_next)

    def _work_for(self, head: "RequestHead | ProxyError", content: Incoming) -> Coroutine[Any, Any, None]:
        """What is to be done about a request, or about what could not be read as one."""
        if isinstance(head, ProxyError):
            return self._refuse(head, content)
        caller = Caller(self, head, content, closing=self.surplus)
        caller.surplus = self.surplus
        # Not in the task, which may begin later: until then the connection would pass for idle.
        self._current_request = caller  # type: ignore[assignment]  # of which aiohttp wants `_cancel` alone
        self._host.outbox.busy += 1
        return self._answer(caller, content)

    async def _refuse(self, error: ProxyError, content: Incoming) -> None:
        """Answer what could not be read as a request, and close the connection."""
        try:
            self._host.refuse(Caller(self, None, content, closing=True), error)
            await self._linger()
        finally:
            self._end()

    async def _answer(self, caller: Caller, content: Incoming) -> None:
        """Answer a request, and close the connection unless others may follow. Cancelled when the caller leaves."""
        host = self._host
        lasts = False
        try:
            self._make_room()
            try:
                await host.answer(caller)
            finally:
                host.outbox.busy -= 1
                self._current_request = None
                self.own = caller.own
            if content is not NOTHING:
                await self._read_out(content)
            if not caller.keep_alive:
                if host.draining:
                    await self._linger()
            elif self.writing_paused:
                # Who sends request after request and reads no answer must not fill the memory with them.
                with suppress(ConnectionError):  # they may have left, which is no defect
                    await self._drain_helper()
            lasts = caller.keep_alive
        finally:
            if not lasts or self._close:
                self._end()

    def send(self, data: bytes, *, soon: bool = False) -> None:
        """Write; `soon`, where nothing but answers to other requests will follow, lets the outbox hold it."""
        transport, outbox = self.transport, self._host.outbox
        if transport is None:
            return
        if soon and outbox.takes(len(self._held) + len(data)):
            if not self._held:
                outbox.put(self.flush)
            self._held += data
            return
        if self._held:
            self.flush()
        transport.write(data)

    def flush(self) -> None:
        """Write what the outbox holds."""
        held, self._held = self._held, b""
        if held and self.transport is not None and not self.transport.is_closing():
            self.transport.write(held)

    def force_close(self) -> None:
        self.flush()
        super().force_close()

    def _end(self) -> None:
        self._close = True
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.secure = transport.get_extra_info("sslcontext") is not None

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._cancel_answer()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's own signature
        await super().shutdown(timeout)
        self._cancel_answer()

    def _cancel_answer(self) -> None:
        if self._answering is not None:
            # Not at once: a task that is cancelled before it has begun undoes nothing.
            self._loop.call_soon(self._answering.cancel)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        requests, messages = self._requests, self._messages
        if self._upgraded:
            # A tunnel, or what is about to become one.
            super().data_received(data)
        elif not (self._close or self._force_close):
            arrived: Any
            arrived, self._upgraded, self._message_tail = requests.feed_data(data)
            messages.extend(arrived)
            if len(messages) >= self._max_msg_queue_size and not self._buffer_paused:
                self._pause_reading_for_buffer()
            if requests.laborious:
                self._rest()
        if not requests.amid_head:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = self._heard
        if messages:
            self._answer_next()

    def _rest(self) -> None:
        """Let others have a turn before more is read: an event loop reads on as long as something comes."""
        self._pause_transport_reading()
        if not self._resting:
            self._resting = True
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._resting = False
        if self.transport is None or self.transport.is_closing():
            return
        self.data_received(b"")
        if not (self._reading_paused or self._buffer_paused):
            self._resume_transport_reading()

    def _resume_transport_reading(self) -> None:
        # Whoever takes content or requests would let reading go on, though enough to be read is here already.
        if not self._resting:
            super()._resume_transport_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck_since = self._loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stuck_since = None

    def check_progress(self, now: float, *, head: float, idle: float) -> None:
        """Give up a caller who is too slow: `head` seconds for a request's head, `idle` for content to move."""
        requests = self._requests
        if self._payload_parser is not None:
            # A tunnel may be silent, and held up, for as long as both ends like.
            return
        if self._reading_paused or self._buffer_paused or self._resting:
            pass
        elif self._partial_since is not None and now - self._partial_since > head:
            self._partial_since = None
            self._give_up_head()
        elif self.idle and now - self._heard > _KEPT:
            self.force_close()
        elif requests.content is not None and requests.content.awaited and now - self._heard > idle:
            requests.fail_content(RequestTimeout(f"the request's content did not go on within {idle:g} s"))
        if self._stuck_since is not None and now - self._stuck_since > idle and self.transport is not None:
            self.transport.abort()

    def _give_up_head(self) -> None:
        if self._requests.blank:
            # There is nothing to answer; an empty line behind a request that is being answered means nothing.
            if not self.idle:
                return
            self.force_close()
            return
        late = self._requests.give_up(RequestTimeout("the request's head did not arrive in time"))
        self._messages.append(late)  # type: ignore[arg-type]  # of our parser, not of aiohttp's
        self._answer_next()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature: whether to stay open
        tunnel = self._payload_parser
        if isinstance(tunnel, Tunnel):
            tunnel.feed_eof()
            # With TLS an end is always that of both directions.
            return self.transport is not None and self.transport.can_write_eof()
        return False

    def _make_room(self) -> None:
        """Let the parser go on, which stops when too many requests wait."""
        self._requests.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def _go_on(self) -> None:
        self.resume_reading(resume_parser=False)

    async def _read_out(self, content: Incoming) -> None:
        """Read on for a while what was not wanted, so that the next request can be read."""
        if content.at_hand() is not None:
            return
        try:
            async with asyncio.timeout(self._lingering_time):
                while await content.read():
                    pass
        except (TimeoutError, ConnectionError, RequestError):
            await self._linger()
            self.close()

    async def _linger(self) -> None:
        """Wait until the caller has closed: a reset could overtake the answer (RFC 9112 section 9.6)."""
        transport, tunnel = self.transport, self._payload_parser
        if transport is None or transport.is_closing() or not transport.can_write_eof():
            return
        if isinstance(tunnel, Tunnel) and tunnel.ended:
            # They have ended their direction already, and nobody will tell once more.
            return
        # What still comes is read and forgotten: what the kernel holds unread at the end makes it send a reset.
        self._close = True
        self.flush()
        with suppress(OSError):  # reset a moment ago
            transport.write_eof()
        # Cancelled when the connection is lost.
        await asyncio.sleep(_LINGER)

    def _has_input(self) -> bool:
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))
