"""The composition root: builds everything, wires it once, starts it and lets it come to an end."""

import asyncio
import logging
import random
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from proxy.clock import SystemClock
from proxy.errors import NoRoute, SettingsError
from proxy.errors.defects import Defects
from proxy.forward import request_ids
from proxy.forward.forwarder import Forwarder, Interceptor
from proxy.forward.policy import Policy
from proxy.forward.routes import RouteTable
from proxy.http.buffers import Buffers
from proxy.http.client.connect import Connector
from proxy.http.client.transport import PooledTransport
from proxy.http.grammar.fields import Headers
from proxy.http.response import Response
from proxy.http.server.listeners import ListenerRole, Listeners
from proxy.identity.cognito.flows import Cognito
from proxy.identity.credentials import Credentials, Sources
from proxy.identity.issued import AwsCredentials
from proxy.identity.profile import DEFAULT_PROFILE
from proxy.identity.stores.opening import ProfileStores
from proxy.identity.tokens.aws_keys import AwsKeys
from proxy.identity.tokens.manager import TokenManager
from proxy.identity.tokens.single_flight import Terms
from proxy.model import Clock
from proxy.observe.endpoints import OwnEndpoints
from proxy.observe.inspector import Inspector, InspectorOptions
from proxy.observe.metrics import RequestMetrics
from proxy.observe.prometheus import Exposition, ProcessReport
from proxy.observe.request_log import Reader, RequestLog
from proxy.observe.urls import page_url
from proxy.settings.options import LiveOptions, ServeOptions, changes

log = logging.getLogger(__name__)


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
        `on_login_required` is called with the name of a profile whose login failed in a way that a person must mend.
        """
        self._requests = RequestMetrics()
        readers: list[Reader] = [self._requests, *([access] if access is not None else [])]
        self.request_log = RequestLog(*readers)
        self._ids = request_ids.made(random_bytes(6).hex())
        self.defects = Defects()
        self._lines_dropped = lines_dropped
        self.urls: list[str] = []
        self.admin_urls: list[str] = []
        """Where the own endpoints are, if not at `urls`."""
        self.page_url: str | None = None
        """Where the inspector's page is, if it is anywhere that a browser gets to."""
        self.stopping = asyncio.Event()
        """Set once somebody has asked the proxy to end; whoever runs it is to leave this context then."""
        self.routes = RouteTable(options.own_routes, options.built_in_routes)
        self._start, self._live = options.start, options.live
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self._draw = draw
        self._on_login_required = on_login_required
        self._passed = sockets
        self._started = self._clock.now()
        self._draining = False
        self._inspector = Inspector(self.request_log, self._look_on) if options.inspector else None
        self._interceptor: Interceptor | None = None
        self._hurry = asyncio.Event()

    async def __aenter__(self) -> "App":
        """Listen, and begin to sign in where there is a login or a session; raises StartError or SettingsError."""
        self._buffers = Buffers(self._start.buffer_limit)
        listeners = self._listeners = Listeners(self._start, self._live.tls, self._buffers, self._passed)
        self.urls, self.admin_urls = listeners.urls, listeners.admin_urls
        try:
            self._build()
            await listeners.open(self._forwarders)
        except BaseException:
            listeners.close()
            raise
        self._listen_for_defects()
        self.tokens.start([DEFAULT_PROFILE])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening after `drain_delay`, let requests finish within `timeouts.drain`, and close everything."""
        self._draining = True
        self._listeners.begin_draining()
        if self._inspector is not None:
            self._inspector.close()
        drained = asyncio.create_task(self._listeners.drain(self._clock))
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if self.in_flight:
            log.warning("requests cut off: %d", self.in_flight)
        drained.cancel()
        await asyncio.gather(drained, hurried, return_exceptions=True)
        self._listeners.close()
        await self._listeners.cut_off()
        await self._aws.close()
        await self.tokens.close()
        await self._transport.close()
        await self._cognito.close()
        self.request_log.flush()
        asyncio.get_running_loop().set_exception_handler(self._handler_before)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered, but for those about the proxy itself."""
        return self._listeners.in_flight

    def stop(self) -> None:
        """Ask whoever runs the proxy to let it end."""
        self.stopping.set()

    def hurry(self) -> None:
        """Do not wait for requests any longer."""
        self._hurry.set()

    def try_again(self) -> None:
        """Sign in once more where that had failed for good: a person says that it may work now.

        Whom to trust may have changed as well: upstreams that are connected to from now on are judged by that.
        """
        self.tokens.try_again()
        self._aws.forget()
        try:
            self._connector.reload()
        except SettingsError as error:
            log.error("the certificates that were trusted before stay: %s. %s", error.detail, error.hint)  # noqa: TRY400

    def reload(self, options: ServeOptions) -> None:
        """Go on as `options` say. No connection is dropped, and a profile whose login is as it was keeps its token.

        Raises SettingsError, and goes on as before.
        """
        self._check_stores(options)
        at_once = self._listeners.reload(options.tls)
        late = [*changes(self._start, options.start), *([] if at_once else ["tls_cert"])]
        if late:
            log.warning("restart the proxy: what changed in %s has no effect before", ", ".join(late))
        self._live = options.live
        self.tokens.replace(options.profiles)
        self._aws.forget()
        self._compose()
        self._listeners.hand_over(self._forwarders)

    def _build(self) -> None:
        options, live = self._start, self._live
        self._stores = ProfileStores(options.token_store, state_home=options.state_home, clock=self._clock)
        self._check_stores(live)
        self._connector = Connector(
            timeout=options.timeouts.connect, ca_file=options.ca_file, outbound=options.outbound, draw=self._draw
        )
        self._transport = PooledTransport(
            options.timeouts,
            self._connector,
            buffers=self._buffers,
            now=self._clock.now,
            meanwhile=self.request_log.flush,
        )
        self._cognito = Cognito(
            clock=self._clock,
            random=self._random_bytes,
            draw=self._draw,
            policy=options.renewal,
            timeout=options.timeouts.auth,
            outbound=options.outbound,
            ca_file=options.ca_file,
        )
        terms = Terms(self._clock, self._draw, options.renewal, options.timeouts.auth, self.defects)
        self.tokens = TokenManager(
            self._cognito, live.profiles, self._stores.of, terms, on_login_required=self._on_login_required
        )
        self._aws = AwsKeys(self._aws_credentials, terms)
        self._compose()

    def _listen_for_defects(self) -> None:
        """Count the exceptions that reach the event loop as well: nothing else sees those of a connection."""
        loop = asyncio.get_running_loop()
        before = self._handler_before = loop.get_exception_handler()

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            self.defects.count(context)
            if before is not None:
                before(loop, context)
            else:
                loop.default_exception_handler(context)

        loop.set_exception_handler(handle)

    def _compose(self) -> None:
        """Make what answers requests; those that are being answered end as they began."""
        options, apart = self._live, bool(self._start.admin_listen)
        self.routes = RouteTable(options.own_routes, options.built_in_routes)
        if self._inspector is not None:
            self._inspector.adopt(
                InspectorOptions(
                    callers_url=self.urls[0] if apart else None,
                    tls=options.tls,
                    client_token=options.policy.client_token,
                    credential_fields=tuple(route.header for route in options.own_routes if route.header is not None),
                    secrets=(self._start, options),
                )
            )
        inspector = self._inspector if self._may_inspect() else None
        self.page_url = None if inspector is None else page_url(self.urls, self.admin_urls)
        credentials = Credentials(options.profiles, Sources(self.tokens))
        admin = OwnEndpoints(
            tokens=self.tokens,
            profiles=options.profiles,
            credentials=credentials,
            aws=self._aws,
            metrics=Exposition(self._report),
            aws_token=options.aws_credentials_token,
            stop=self.stop if options.enable_stop else None,
            inspector=inspector,
            routes=self.routes.routes,
            draining=lambda: self._draining,
            in_flight=lambda: self.in_flight,
            defects=self.defects,
            now=self._clock.now,
            started=self._started,
        )

        def forwarder(own: Callable[..., Awaitable[Response]], policy: Policy, *, own_alone: bool) -> Forwarder:
            return Forwarder(
                routes=self.routes,
                credentials=credentials,
                transport=self._transport,
                own=own,
                own_alone=own_alone,
                policy=policy,
                replay_limit=options.replay_limit,
                buffers=self._buffers,
                note=self.request_log,
                ids=self._ids,
                defects=self.defects,
            )

        anybody = replace(options.policy, any_host=True, client_token=None)
        self._forwarders = {
            ListenerRole.CALLERS: forwarder(_elsewhere if apart else admin, options.policy, own_alone=False),
            ListenerRole.ADMIN: forwarder(admin, options.policy, own_alone=True),
            ListenerRole.PUBLIC: forwarder(admin.public, anybody, own_alone=True),
        }

        self._look_on(self._interceptor)

    def _may_inspect(self) -> bool:
        """Whether nobody gets to the inspector who is a stranger: what callers send is for others not to see."""
        return bool(self._live.policy.client_token or self._start.admin_listen) or not self._listeners.exposed

    def _look_on(self, interceptor: Interceptor | None) -> None:
        """Have `interceptor` see the requests of callers; None ends that."""
        self._interceptor = self._forwarders[ListenerRole.CALLERS].interceptor = interceptor

    def _report(self) -> ProcessReport:
        """How things stand, for the metrics."""
        self.request_log.flush()
        return ProcessReport(
            requests=self._requests,
            snapshots=tuple(map(self.tokens.snapshot, self._live.profiles)),
            outcomes=self.tokens.outcomes,
            connections=self._listeners.connections,
            in_flight=self.in_flight,
            draining=self._draining,
            lines_dropped=self._lines_dropped(),
            defects=self.defects.counts,
        )

    async def _aws_credentials(self, name: str) -> AwsCredentials:
        token = await self.tokens.get(name)
        return await self._cognito.aws_credentials(self._live.profiles[name], token.id_token)

    def _check_stores(self, options: LiveOptions) -> None:
        for profile in options.profiles.values():
            self._stores.of(profile)


async def _elsewhere(_method: str, _path: str, _profile: str, _headers: Headers) -> Response:
    raise NoRoute(
        "the proxy's own endpoints are not here",
        hint="They are where admin_listen says; commands find them by it, or by --url.",
    )
