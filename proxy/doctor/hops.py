"""The hops, and which depend on which."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Protocol

from proxy.doctor.findings import Finding, Kind, Step
from proxy.forward.route import Route
from proxy.forward.routes import RouteTable
from proxy.http.address import Bind, Upstream
from proxy.http.client.outbound import choose
from proxy.http.options import OutboundProxy
from proxy.identity.credentials import Credential
from proxy.identity.profile import Profile
from proxy.settings.options import ServeOptions

_TYPENAME = b'{"query":"{ __typename }"}'


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that changes nothing, for one route."""

    route: Route
    credential: Credential
    method: str
    setting: str
    """Where the upstream's address comes from."""
    below: str = ""
    """The path behind that of the route."""
    body: bytes | None = None
    known: bool = False
    """Whether the documentation says what has to come back."""

    @property
    def local(self) -> str:
        """What a caller would ask the proxy for."""
        return self.route.path + self.below or "/"

    @property
    def target(self) -> str:
        """What the upstream is asked for."""
        return self.route.upstream.path + self.below or "/"


class Probes(Protocol):
    """What happens at the hops. Where something fails, that is a Finding too."""

    async def listen(self, bind: Bind, setting: str) -> Finding: ...

    async def resolve(self, host: str, port: int, setting: str) -> Finding: ...

    async def reach_proxy(self, via: OutboundProxy) -> Finding: ...

    async def connect(self, upstream: Upstream, setting: str) -> Finding:
        """Leaves what `secure` goes on with."""
        ...

    async def secure(self, upstream: Upstream, setting: str) -> Finding: ...

    async def fetch_keys(self) -> Finding: ...

    async def tell_time(self) -> Finding:
        """Judge the clock by the times in earlier responses."""
        ...

    async def sign_in(self) -> Finding:
        """Leaves the token that `ask` sends."""
        ...

    async def ask(self, request: CheckedRequest) -> Finding: ...


@dataclass(frozen=True, slots=True, eq=False)
class Hop:
    """A step of the way."""

    step: Step
    probe: Callable[[], Awaitable[Finding]]
    needs: tuple["Hop", ...] = ()
    """Where one of these fails there is nothing to try."""
    after: tuple["Hop", ...] = ()
    """One of these that passes is waited for, or all of them where none does."""


_ORDER = {kind: place for place, kind in enumerate(Kind)}


def plan(options: ServeOptions, profile: Profile, cognito: Upstream, probes: Probes) -> list[Hop]:
    """Plan the whole way of `profile`, each hop once and behind those that it needs; `cognito` has its user pool."""
    return _Plan(options, profile, cognito, probes).hops()


class _Plan:
    def __init__(self, options: ServeOptions, profile: Profile, cognito: Upstream, probes: Probes) -> None:
        self._options = options
        self._profile = profile
        self._cognito = cognito
        self._probes = probes
        self._found: dict[object, Hop] = {}

    def hops(self) -> list[Hop]:
        probes = self._probes
        for setting, binds in (("listen", self._options.listen), ("admin_listen", self._options.admin_listen)):
            for bind in binds:
                self._hop(Step(Kind.LISTEN, str(bind)), partial(probes.listen, bind, setting))
        requests = requests_of(self._options, self._profile)
        sign_in: tuple[Hop, ...] = ()
        user_pool: tuple[Hop, ...] = ()
        if any(request.credential.from_session for request in requests):
            pool = self._profile.pool
            way = self._way(
                self._cognito, "cognito.endpoint_url" if pool.endpoint_url is not None else "cognito.region"
            )
            # A password is shown to nothing but a user pool.
            user_pool = (self._hop(Step(Kind.USER_POOL, pool.user_pool_id), probes.fetch_keys, way),)
            sign_in = (self._hop(Step(Kind.SIGN_IN), probes.sign_in, user_pool),)
        asked = tuple(self._route(request, sign_in) for request in requests)
        self._hop(Step(Kind.CLOCK), probes.tell_time, after=user_pool or asked)
        return sorted(self._found.values(), key=lambda hop: _ORDER[hop.step.kind])

    def _route(self, request: CheckedRequest, sign_in: tuple[Hop, ...]) -> Hop:
        needs = self._way(request.route.upstream, request.setting)
        if request.credential.from_session:
            needs += sign_in
        subject = f"{request.method} {request.local} → {request.route.upstream.authority}"
        # Two routes may be called the same, and neither is the other.
        return self._hop(Step(Kind.ROUTE, subject), partial(self._probes.ask, request), needs, key=request.route)

    def _way(self, upstream: Upstream, setting: str) -> tuple[Hop, ...]:
        """Add the hops that requests to an upstream need, and return the last."""
        probes, there = self._probes, f"{upstream.host}:{upstream.port}"
        connect = partial(probes.connect, upstream, setting)
        via = choose(self._options.outbound, upstream)
        if via is None:
            last = self._hop(Step(Kind.CONNECT, there), connect, self._name(upstream.host, upstream.port, setting))
        else:
            named = self._name(via.host, via.port, "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY")
            step = Step(Kind.OUTBOUND_PROXY, f"{via.host}:{via.port}")
            proxy = self._hop(step, partial(probes.reach_proxy, via), named)
            last = self._hop(Step(Kind.TUNNEL, there), connect, (proxy,))
        if upstream.scheme == "https":
            last = self._hop(Step(Kind.TLS, there), partial(probes.secure, upstream, setting), (last,))
        return (last,)

    def _name(self, host: str, port: int, setting: str) -> tuple[Hop, ...]:
        """Add the hop that looks a name up; an address needs none."""
        try:
            ip_address(host)
        except ValueError:
            return (self._hop(Step(Kind.DNS, host), partial(self._probes.resolve, host, port, setting)),)
        return ()

    def _hop(
        self,
        step: Step,
        probe: Callable[[], Awaitable[Finding]],
        needs: tuple[Hop, ...] = (),
        after: tuple[Hop, ...] = (),
        key: object = None,
    ) -> Hop:
        """Find the hop of `key`, by default the step itself; add it where there is none."""
        return self._found.setdefault(key or step, Hop(step, probe, needs, after))


def requests_of(options: ServeOptions, profile: Profile) -> list[CheckedRequest]:
    """Choose a request for every route in use: one that the documentation offers, else for the upstream's address."""
    table = RouteTable(options.own_routes, options.built_in_routes)
    built_in = {id(route) for route in options.built_in_routes}
    return [
        (_built_in if id(route) in built_in else _own)(route, route.credential(profile))
        for route in (*options.built_in_routes, *options.own_routes)
        if table.match(route.path or "/")[0] is route
    ]


_NAMES = {"": "rest", "/v1/analytics": "rest", "/cdn/flights": "flights_cdn", "/cdn/library": "library_cdn"}
_ASKED = {"": "/v1/job", "/v1/analytics": "/version"}
"""By the path of the built-in route."""


def _built_in(route: Route, credential: Credential) -> CheckedRequest:
    if route.graphql:
        return CheckedRequest(route, credential, "POST", "upstreams.graphql", body=_TYPENAME, known=True)
    below = _ASKED.get(route.path, "")
    return CheckedRequest(route, credential, "GET", f"upstreams.{_NAMES[route.path]}", below, known=bool(below))


def _own(route: Route, credential: Credential) -> CheckedRequest:
    setting = f"the upstream of the route {route.path or '/'}"
    if route.graphql:
        return CheckedRequest(route, credential, "POST", setting, body=_TYPENAME, known=True)
    return CheckedRequest(route, credential, "GET", setting)
