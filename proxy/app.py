"""The composition root: builds everything, wires it once, starts it and lets it come to an end."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from proxy.admin import Admin
from proxy.cognito import Cognito
from proxy.downstream import Limits, Server
from proxy.forward import Forwarder
from proxy.listen import BACKLOG, open_sockets, url_of
from proxy.logs import AccessLog
from proxy.model import Clock, Instant, ServeOptions
from proxy.routing import RouteTable
from proxy.tokens import TokenKeeper
from proxy.upstream import Connector, PooledTransport

if TYPE_CHECKING:
    import socket

log = logging.getLogger(__name__)


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Instant:
        return Instant(time.monotonic(), time.time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class App:
    """The running proxy, as an asynchronous context: it listens inside and has drained after it."""

    def __init__(
        self,
        options: ServeOptions,
        *,
        clock: Clock | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        draw: Callable[[], float] = random.random,
        access: AccessLog | None = None,
    ) -> None:
        self._access = access
        self.urls: list[str] = []
        self.routes = RouteTable(options.own_routes, options.built_in_routes)
        self._options = options
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self._draw = draw
        self._sockets: list[socket.socket] = []
        self._renewals: list[asyncio.Task[None]] = []
        self._draining = False
        self._hurry = asyncio.Event()

    async def __aenter__(self) -> "App":
        """Listen, and begin to sign in where there is a login; raises StartError."""
        options = self._options
        try:
            for bind in options.listen:
                self._sockets += open_sockets(bind)
            self.urls = [url_of(sock) for sock in self._sockets]
            self._build()
            loop = asyncio.get_running_loop()
            self._listeners = [
                await loop.create_server(self._server, sock=sock, backlog=BACKLOG) for sock in self._sockets
            ]
        except BaseException:
            self._close_sockets()
            raise
        if options.profile.signs_in:
            renewal = asyncio.create_task(self.keeper.keep_fresh(options.profile.name), name="renewal")
            self._renewals.append(renewal)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, let requests finish within `timeouts.drain`, and close everything."""
        self._draining = True
        for listener in self._listeners:
            listener.close()
        self._close_sockets()
        drained = asyncio.create_task(self._server.drain(self._options.timeouts.drain))
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not (drained.done() and drained.result()):
            log.warning("requests cut off: %d", self._server.in_flight)
        drained.cancel()
        for renewal in self._renewals:
            renewal.cancel()
        await asyncio.gather(drained, hurried, *self._renewals, return_exceptions=True)
        await self._server.cut_off()
        await self.keeper.close()
        await self._transport.close()
        await self._cognito.close()
        if self._access is not None:
            self._access.flush()

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return self._server.in_flight

    def hurry(self) -> None:
        """Do not wait for requests any longer."""
        self._hurry.set()

    def _build(self) -> None:
        options = self._options
        self._cognito = Cognito(
            clock=self._clock,
            random=self._random_bytes,
            draw=self._draw,
            policy=options.renewal,
            timeout=options.timeouts.auth,
            outbound=options.outbound,
        )
        self.keeper = TokenKeeper(
            self._cognito,
            {options.profile.name: options.profile},
            clock=self._clock,
            draw=self._draw,
            policy=options.renewal,
            patience=options.timeouts.auth,
        )
        connector = Connector(timeout=options.timeouts.connect, ca_file=options.ca_file, outbound=options.outbound)
        self._transport = PooledTransport(options.timeouts, connector)
        admin = Admin(
            keeper=self.keeper,
            profile=options.profile,
            routes=self.routes.routes,
            draining=lambda: self._draining,
            in_flight=lambda: self._server.in_flight,
            now=self._clock.now,
        )
        forwarder = Forwarder(
            routes=self.routes,
            profile=options.profile,
            keeper=self.keeper,
            transport=self._transport,
            own=admin,
            policy=options.policy,
            replay_limit=options.replay_limit,
            access=self._access,
        )
        limits = Limits(options.max_connections, head=options.timeouts.head, idle=options.timeouts.idle)
        self._server = Server(forwarder.handle, forwarder.refuse, limits)

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
