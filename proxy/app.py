"""The composition root: builds everything, wires it once, starts it and lets it come to an end."""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from proxy.admin import Admin
from proxy.aws import AwsCredentialsKeeper
from proxy.cognito import Cognito
from proxy.downstream import Limits, Server
from proxy.exposition import Exposition, Report
from proxy.forward import Forwarder, request_ids
from proxy.journal import Journal, Reader
from proxy.listen import BACKLOG, PortFile, open_sockets, url_of, waiting_at
from proxy.metrics import RequestMetrics
from proxy.model import DEFAULT_PROFILE, AwsCredentials, Clock, Instant, ServeOptions
from proxy.routing import RouteTable
from proxy.store import ProfileStores
from proxy.tls import CallerTls
from proxy.tokens import TokenKeeper
from proxy.upstream import Connector, PooledTransport

log = logging.getLogger(__name__)


def _best_monotonic() -> int:
    """The clock that goes on while the machine sleeps, where there is one."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        time.clock_gettime(clock)
    except OSError:
        return time.CLOCK_MONOTONIC
    return clock


_MONOTONIC = _best_monotonic()

_TLS_SHUTDOWN = 2.0
"""Seconds for which a caller's own end of a TLS connection is waited for."""
_NEXT_ROUND = 1e-6
"""Seconds; anything but 0, for which asyncio sets no timer."""

# What cannot change while the proxy runs.
_FIXED = (
    "listen",
    "port_file",
    "timeouts",
    "max_connections",
    "ca_file",
    "outbound",
    "renewal",
    "state_home",
    "token_store",
)


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Instant:
        return Instant(time.clock_gettime(_MONOTONIC), time.time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class App:
    """The running proxy, as an asynchronous context: it listens inside and has drained after it."""

    def __init__(
        self,
        options: ServeOptions,
        *,
        sockets: Sequence[socket.socket] = (),
        clock: Clock | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        draw: Callable[[], float] = random.random,
        access: Reader | None = None,
        lines_dropped: Callable[[], int] = lambda: 0,
        on_login_required: Callable[[str], None] | None = None,
    ) -> None:
        """`sockets` listen already, and take the place of `options.listen`.

        `access` reads of every request that has ended; `lines_dropped` says how many log lines nobody took.
        `on_login_required` is told the name of a profile whose login failed in a way that a person must mend.
        """
        self._requests = RequestMetrics()
        self.journal = Journal(self._requests, *([access] if access is not None else []))
        self._ids = request_ids.made(random_bytes(6).hex())
        self._lines_dropped = lines_dropped
        self.urls: list[str] = []
        self.routes = RouteTable(options.own_routes, options.built_in_routes)
        self._options = options
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self._draw = draw
        self._on_login_required = on_login_required
        self._sockets = list(sockets)
        self._listeners: list[asyncio.Server] = []
        self._port_file: PortFile | None = None
        self._started = self._clock.now()
        self._draining = False
        self._hurry = asyncio.Event()

    async def __aenter__(self) -> "App":
        """Listen, and begin to sign in where there is a login or a session; raises StartError or SettingsError."""
        options = self._options
        self._tls = CallerTls(options.tls) if options.tls is not None else None
        try:
            for bind in options.listen if not self._sockets else ():
                self._sockets += open_sockets(bind)
            self.urls = [url_of(sock, tls=self._tls is not None) for sock in self._sockets]
            self._build()
            loop = asyncio.get_running_loop()
            for sock in self._sockets:
                tls = self._tls_of(sock)
                self._listeners.append(await loop.create_server(self._server, sock=sock, backlog=BACKLOG, **tls))
            if options.port_file is not None:
                self._port_file = PortFile(options.port_file, self._sockets)
        except BaseException:
            self._stop_listening()
            raise
        self.keeper.start([DEFAULT_PROFILE])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening after `drain_delay`, let requests finish within `timeouts.drain`, and close everything."""
        self._draining = True
        self._server.begin_draining()
        drained = asyncio.create_task(self._drain())
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if self._server.in_flight:
            log.warning("requests cut off: %d", self._server.in_flight)
        drained.cancel()
        await asyncio.gather(drained, hurried, return_exceptions=True)
        self._stop_listening()
        await self._server.cut_off()
        await self._aws.close()
        await self.keeper.close()
        await self._transport.close()
        await self._cognito.close()
        self.journal.flush()

    async def _drain(self) -> None:
        if self._options.drain_delay:
            await self._clock.sleep(self._options.drain_delay)
        # asyncio makes a connection of what it has accepted in its next round, and forgets it where the listener is
        # closed by then. A timer comes after the round's accepting, and what it wakes after the making.
        await asyncio.sleep(_NEXT_ROUND)
        # The system has let these in, and they may have sent a request: to close would reset them.
        late = [(caller, self._tls_of(sock)) for sock in self._sockets for caller in waiting_at(sock)]
        self._stop_listening()
        loop = asyncio.get_running_loop()
        connected = (loop.connect_accepted_socket(self._server, caller, **tls) for caller, tls in late)
        # A handshake that fails is over.
        await asyncio.gather(*connected, return_exceptions=True)
        await self._server.drain(self._options.timeouts.drain)

    def _tls_of(self, sock: socket.socket) -> dict[str, Any]:
        """What the event loop is told of TLS for the connections of a listener."""
        if self._tls is None or sock.family == socket.AF_UNIX:
            return {}
        timeout = self._options.timeouts.head
        return {"ssl": self._tls.context, "ssl_handshake_timeout": timeout, "ssl_shutdown_timeout": _TLS_SHUTDOWN}

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._port_file is not None:
            self._port_file.remove()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return self._server.in_flight

    def hurry(self) -> None:
        """Do not wait for requests any longer."""
        self._hurry.set()

    def try_again(self) -> None:
        """Sign in once more where that had failed for good: a person says that it may work now."""
        self.keeper.try_again()
        self._aws.forget()

    def reload(self, options: ServeOptions) -> None:
        """Go on as `options` say. No connection is dropped, and a profile whose login is as it was keeps its token.

        Raises SettingsError, and goes on as before.
        """
        self._check_stores(options)
        if self._tls is not None and options.tls is not None:
            self._tls.load(options.tls)
        fixed = [name for name in _FIXED if getattr(options, name) != getattr(self._options, name)]
        if (self._tls is None) != (options.tls is None):
            fixed.append("tls_cert")
        if fixed:
            log.warning("restart the proxy: what changed in %s has no effect before", ", ".join(fixed))
        self._options = replace(options, **{name: getattr(self._options, name) for name in _FIXED})
        self.keeper.replace(options.profiles)
        self._aws.forget()
        self._compose()
        self._server.answer, self._server.refuse = self._forwarder.handle, self._forwarder.refuse

    def _build(self) -> None:
        options = self._options
        self._stores = ProfileStores(options.token_store, state_home=options.state_home, clock=self._clock)
        self._check_stores(options)
        connector = Connector(timeout=options.timeouts.connect, ca_file=options.ca_file, outbound=options.outbound)
        self._transport = PooledTransport(options.timeouts, connector)
        self._cognito = Cognito(
            clock=self._clock,
            random=self._random_bytes,
            draw=self._draw,
            policy=options.renewal,
            timeout=options.timeouts.auth,
            outbound=options.outbound,
            ca_file=options.ca_file,
        )
        self.keeper = TokenKeeper(
            self._cognito,
            options.profiles,
            self._stores,
            clock=self._clock,
            draw=self._draw,
            policy=options.renewal,
            patience=options.timeouts.auth,
            on_login_required=self._on_login_required,
        )
        self._aws = AwsCredentialsKeeper(
            self._aws_credentials,
            clock=self._clock,
            draw=self._draw,
            policy=options.renewal,
            patience=options.timeouts.auth,
        )
        self._compose()
        limits = Limits(options.max_connections, head=options.timeouts.head, idle=options.timeouts.idle)
        self._server = Server(self._forwarder.handle, self._forwarder.refuse, limits)

    def _compose(self) -> None:
        """Make what answers requests; those that are being answered end as they began."""
        options = self._options
        self.routes = RouteTable(options.own_routes, options.built_in_routes)
        admin = Admin(
            keeper=self.keeper,
            profiles=options.profiles,
            aws=self._aws,
            metrics=Exposition(self._report),
            aws_token=options.aws_credentials_token,
            routes=self.routes.routes,
            draining=lambda: self._draining,
            in_flight=lambda: self._server.in_flight,
            now=self._clock.now,
            started=self._started,
        )
        self._forwarder = Forwarder(
            routes=self.routes,
            profiles=options.profiles,
            keeper=self.keeper,
            transport=self._transport,
            own=admin,
            policy=options.policy,
            replay_limit=options.replay_limit,
            note=self.journal,
            ids=self._ids,
        )

    def _report(self) -> Report:
        """How things stand, for the metrics."""
        self.journal.flush()
        return Report(
            requests=self._requests,
            snapshots=tuple(map(self.keeper.snapshot, self._options.profiles)),
            outcomes=self.keeper.outcomes,
            connections=len(self._server.connections),
            in_flight=self._server.in_flight,
            draining=self._draining,
            lines_dropped=self._lines_dropped(),
        )

    async def _aws_credentials(self, name: str) -> AwsCredentials:
        token = await self.keeper.get(name)
        return await self._cognito.aws_credentials(self._options.profiles[name], token.id_token)

    def _check_stores(self, options: ServeOptions) -> None:
        for profile in options.profiles.values():
            self._stores.of(profile)
