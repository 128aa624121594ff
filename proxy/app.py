"""The composition root: builds everything, wires it once, starts it and lets it come to an end."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from proxy.admin import Admin
from proxy.aws import AwsCredentialsKeeper
from proxy.cognito import Cognito
from proxy.downstream import Caller, Limits, Server
from proxy.errors import ProxyError
from proxy.forward import Forwarder
from proxy.listen import BACKLOG, open_sockets, url_of
from proxy.logs import AccessLog
from proxy.model import DEFAULT_PROFILE, AwsCredentials, Clock, Instant, ServeOptions
from proxy.routing import RouteTable
from proxy.store import ProfileStores
from proxy.tokens import TokenKeeper
from proxy.upstream import Connector, PooledTransport

if TYPE_CHECKING:
    import socket

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

# What cannot change while the proxy runs.
_FIXED = (
    "listen",
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
        clock: Clock | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        draw: Callable[[], float] = random.random,
        access: AccessLog | None = None,
        on_login_required: Callable[[str], None] | None = None,
    ) -> None:
        """`on_login_required` is told the name of a profile whose login failed in a way that a person must mend."""
        self._access = access
        self.urls: list[str] = []
        self.routes = RouteTable(options.own_routes, options.built_in_routes)
        self._options = options
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self._draw = draw
        self._on_login_required = on_login_required
        self._sockets: list[socket.socket] = []
        self._started = self._clock.now()
        self._draining = False
        self._hurry = asyncio.Event()

    async def __aenter__(self) -> "App":
        """Listen, and begin to sign in where there is a login or a session; raises StartError or SettingsError."""
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
        self.keeper.start([DEFAULT_PROFILE])
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
        await asyncio.gather(drained, hurried, return_exceptions=True)
        await self._server.cut_off()
        await self._aws.close()
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

    def try_again(self) -> None:
        """Sign in once more where that had failed for good: a person says that it may work now."""
        self.keeper.try_again()
        self._aws.forget()

    def reload(self, options: ServeOptions) -> None:
        """Go on as `options` say. No connection is dropped, and a profile whose login is as it was keeps its token.

        Raises SettingsError, and goes on as before.
        """
        self._check_stores(options)
        fixed = [name for name in _FIXED if getattr(options, name) != getattr(self._options, name)]
        if fixed:
            log.warning("restart the proxy: what changed in %s has no effect before", ", ".join(fixed))
        self._options = replace(options, **{name: getattr(self._options, name) for name in _FIXED})
        self.keeper.replace(options.profiles)
        self._aws.forget()
        self._compose()

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
        self._server = Server(self._handle, self._refuse, limits)

    def _compose(self) -> None:
        """Make what answers requests; those that are being answered end as they began."""
        options = self._options
        self.routes = RouteTable(options.own_routes, options.built_in_routes)
        admin = Admin(
            keeper=self.keeper,
            profiles=options.profiles,
            aws=self._aws,
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
            access=self._access,
        )

    async def _aws_credentials(self, name: str) -> AwsCredentials:
        token = await self.keeper.get(name)
        return await self._cognito.aws_credentials(self._options.profiles[name], token.id_token)

    def _handle(self, caller: Caller) -> Awaitable[None]:
        return self._forwarder.handle(caller)

    def _refuse(self, caller: Caller, error: ProxyError) -> None:
        self._forwarder.refuse(caller, error)

    def _check_stores(self, options: ServeOptions) -> None:
        for profile in options.profiles.values():
            self._stores.of(profile)

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
