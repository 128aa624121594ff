"""What happens at the hops: names, sockets, TLS and requests, by the same code that serves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic import SecretStr

from proxy import __version__
from proxy.doctor import faults, verdicts
from proxy.doctor.findings import Finding, not_tried, ok
from proxy.doctor.place import look_at
from proxy.doctor.plan import CheckedRequest
from proxy.doctor.verdicts import ProbeResponse
from proxy.errors import ProxyError, UpstreamError, UpstreamTimeout
from proxy.forward.headers import credential, needs_token, static_secret
from proxy.forward.replay import HeldBody
from proxy.forward.route import Auth
from proxy.http.address import Bind, Upstream
from proxy.http.buffers import Buffers
from proxy.http.client.connect import Connector
from proxy.http.client.outbound import choose
from proxy.http.client.transport import PooledTransport, UpstreamRequest
from proxy.http.grammar import field_lines, lines_of, request_head
from proxy.http.grammar.fields import Header, Headers
from proxy.http.options import OutboundProxy
from proxy.identity.profile import Profile
from proxy.model import Clock
from proxy.settings.options import ServeOptions

if TYPE_CHECKING:
    import socket

_MOST = 64 * 1024
"""Bytes of an answer that are looked at."""
_FIELDS: Headers = ((b"User-Agent", f"ul-proxy/{__version__}".encode()), (b"Accept", b"*/*"))
_COGNITO = "Cognito"
"""Whose time is believed first."""
_JSON = (b"Content-Type", b"application/json")


class SignedIn(NamedTuple):
    """What came of a sign-in."""

    finding: Finding
    token: SecretStr | None = None
    """The ID token."""


class _Recorded(NamedTuple):
    """The time that an answer had, and how far the local clock was ahead of it."""

    server: float
    ahead: float
    whose: str


class NetworkProbes:
    """The `Probes` of `plan.py`, on real sockets. To be closed."""

    def __init__(
        self,
        options: ServeOptions,
        profile: Profile,
        connector: Connector,
        *,
        clock: Clock,
        sign_in: Callable[[], Awaitable[SignedIn]],
        inquire: Callable[[Bind], Awaitable[Mapping[str, Any]]],
    ) -> None:
        """`sign_in` makes one attempt.

        `inquire` returns what a proxy of ours says of itself that listens there, nothing where it says nothing; it
        raises a ProxyError where there is no such proxy.
        """
        self._profile = profile
        self._connector = connector
        self._clock = clock
        self._sign_in = sign_in
        self._inquire = inquire
        self._outbound = options.outbound
        self._timeout = options.timeouts.headers
        self._buffers = Buffers(options.buffer_limit)
        self._transport = PooledTransport(options.timeouts, connector, buffers=self._buffers, now=clock.now)
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        self._closing: list[asyncio.Transport] = []
        self._token: SecretStr | None = None
        self._told: _Recorded | None = None

    async def listen(self, bind: Bind, setting: str) -> Finding:
        return await look_at(bind, setting, self._inquire)

    async def resolve(self, host: str, port: int, setting: str) -> Finding:
        try:
            found = list(dict.fromkeys(await self._connector.addresses(host, port)))
        except UpstreamError as error:
            return faults.of_name(error, setting)
        return ok(found[0] + (f" and {len(found) - 1} more" if found[1:] else ""))

    async def reach_proxy(self, via: OutboundProxy) -> Finding:
        try:
            (await self._connector.dial(via.host, via.port)).close()
        except UpstreamError as error:
            return faults.of_outbound_proxy(error)
        return ok("takes connections")

    async def connect(self, upstream: Upstream, setting: str) -> Finding:
        via = choose(self._outbound, upstream)
        try:
            sock = await self._connector.open_socket(upstream)
        except UpstreamError as error:
            if via is not None:
                return faults.of_tunnel(error, upstream, via)
            return faults.of_connection(error, upstream, setting)
        self._sockets[upstream.host, upstream.port] = sock
        return ok("open" if via is not None else f"to {_address(sock)}")

    async def secure(self, upstream: Upstream, setting: str) -> Finding:
        sock = self._sockets.pop((upstream.host, upstream.port))
        try:
            shaken = await self._connector.secure(sock, upstream, _Handshake)
        except UpstreamError as error:
            return faults.of_tls(error, upstream, setting, self._clock.now().wall)
        tls = shaken.transport.get_extra_info("ssl_object")
        found = f"{tls.version()}, certificate of {_issuer(tls.getpeercert())}"
        # In good manners: whoever is cut off after a handshake may log an attack.
        shaken.transport.close()
        self._closing.append(shaken.transport)
        return ok(found)

    async def fetch_keys(self) -> Finding:
        pool = self._profile.pool
        jwks = Upstream.parse(pool.jwks_url)
        try:
            answer = await self._send("GET", jwks, jwks.path, _FIELDS, whose=_COGNITO)
        except ProxyError as error:
            return faults.of_request(error, "cognito.endpoint_url" if pool.endpoint_url else "cognito.region")
        return verdicts.of_keys(answer, emulator=pool.endpoint_url is not None)

    async def tell_time(self) -> Finding:
        if self._told is None:
            return not_tried("no answer has told the time")
        return verdicts.of_clock(self._told.ahead, self._told.server, self._told.whose)

    async def sign_in(self) -> Finding:
        signed_in = await self._sign_in()
        self._token = signed_in.token
        return signed_in.finding

    async def ask(self, request: CheckedRequest) -> Finding:
        try:
            added = self._credential(request)
            fields = [*_FIELDS, *([_JSON] if request.body is not None else []), *([added] if added else [])]
            upstream = request.route.upstream
            answer = await self._send(
                request.method, upstream, request.target, fields, body=request.body, whose=upstream.host
            )
        except ProxyError as error:
            return faults.of_request(error, request.setting)
        return verdicts.of_answer(answer, request, self._profile.name)

    async def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        for transport in self._closing:
            transport.abort()
        await self._transport.close()

    def _credential(self, request: CheckedRequest) -> Header | None:
        """The field line of a route's credential; raises CredentialMissing."""
        if request.auth is Auth.NONE:
            return None
        if not needs_token(request.auth):
            return credential(request.route, request.auth, static_secret(request.auth, self._profile))
        assert self._token is not None  # noqa: S101 - the plan lets nobody ask before
        return credential(request.route, request.auth, self._token.get_secret_value())

    async def _send(
        self, method: str, upstream: Upstream, target: str, fields: Headers, *, whose: str, body: bytes | None = None
    ) -> ProbeResponse:
        """The answer to a request of our own; raises a ProxyError."""
        lines = [(b"Host", upstream.authority.encode()), *fields]
        sent = None
        if body is not None:
            sent = HeldBody(_nothing, len(body), self._buffers, at_hand=lambda: body)
            lines.append((b"Content-Length", b"%d" % len(body)))
        before = self._clock.now()
        answer = await self._transport.send(
            UpstreamRequest(
                method=method,
                upstream=upstream,
                head=request_head(method, target, field_lines(lines)),
                inform=lambda _head: None,
                body=sent,
            )
        )
        try:
            after = self._clock.now()
            content = b""
            async with asyncio.timeout(self._timeout):
                while len(content) < _MOST and (data := await answer.read()):
                    content += data
        except TimeoutError:
            raise UpstreamTimeout("the upstream's answer does not end") from None
        finally:
            answer.close()
        named = {name.lower(): value.decode("latin-1") for name, value in lines_of(answer.head.section)}
        if self._told is None or whose == _COGNITO:
            self._told = _time_in(named.get(b"date", ""), (before.wall + after.wall) / 2, whose)
        return ProbeResponse(
            answer.head.status,
            named.get(b"content-type", "").partition(";")[0].strip().lower(),
            named.get(b"location", ""),
            content,
        )


class _Handshake(asyncio.BufferedProtocol):
    """A connection that says nothing after its handshake, and hears nothing."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(bytearray(1024))


async def _nothing() -> bytes:
    """What is still to come of a content that is at hand."""
    return b""


def _time_in(date: str, local: float, whose: str) -> _Recorded | None:
    try:
        server = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    # The field has whole seconds: on the average the time was half of one later.
    return _Recorded(server, local - server - 0.5, whose)


def _address(sock: "socket.socket") -> str:
    """Who is at the other end, as long as somebody is."""
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return "somebody who hangs up at once"


def _issuer(certificate: Mapping[str, Any]) -> str:
    """Who says that the certificate is right."""
    named = {key: value for names in certificate.get("issuer", ()) for key, value in names}
    return str(named.get("organizationName") or named.get("commonName") or "an authority without a name")
