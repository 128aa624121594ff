"""What happens at the hops: names, sockets, TLS and requests, by the same code that serves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from proxy import __version__
from proxy.doctor import faults, verdicts
from proxy.doctor.findings import Finding, not_tried, ok
from proxy.doctor.hops import CheckedRequest
from proxy.doctor.listening import look_at
from proxy.doctor.verdicts import ProbeResponse
from proxy.errors import ProxyError, UpstreamError, UpstreamTimeout
from proxy.forward.replay import HeldBody
from proxy.http.address import Bind, Upstream
from proxy.http.buffers import Buffers
from proxy.http.client.connect import Connector
from proxy.http.client.outbound import choose
from proxy.http.client.transport import PooledTransport, UpstreamAnswer, UpstreamRequest
from proxy.http.grammar import field_lines, request_line
from proxy.http.grammar.fields import Headers
from proxy.http.options import OutboundProxy
from proxy.identity.credentials import NoTokens, Proof, Sources
from proxy.identity.issued import Token
from proxy.identity.profile import Profile
from proxy.model import Clock
from proxy.settings.options import ServeOptions

if TYPE_CHECKING:
    import socket

_MOST = 64 * 1024
"""Bytes of a response that are looked at."""
_FIELDS: Headers = ((b"User-Agent", f"ul-proxy/{__version__}".encode()), (b"Accept", b"*/*"))
_COGNITO = "Cognito"
"""Whose time is believed first."""
_NO_PROOF = Proof(b"")


class SignedIn(NamedTuple):
    """What came of a sign-in."""

    finding: Finding
    token: Token | None = None


class _SignedInToken(NoTokens):
    """The TokenSource of the one sign-in that is tried."""

    token: Token | None = None

    async def get(self, name: str) -> Token:
        return self.token or await super().get(name)


class _Recorded(NamedTuple):
    """The time in a response, and how far the local clock was ahead of it."""

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
        self._signed_in = _SignedInToken()
        self._recorded: _Recorded | None = None

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
        # In good manners: a server that is cut off after a handshake may log an attack.
        shaken.transport.close()
        self._closing.append(shaken.transport)
        return ok(found)

    async def fetch_keys(self) -> Finding:
        pool = self._profile.pool
        jwks = Upstream.parse(pool.jwks_url)
        try:
            response = await self._send("GET", jwks, jwks.path, whose=_COGNITO)
        except ProxyError as error:
            return faults.of_request(error, "cognito.endpoint_url" if pool.endpoint_url else "cognito.region")
        return verdicts.of_keys(response, emulator=pool.endpoint_url is not None)

    async def tell_time(self) -> Finding:
        if self._recorded is None:
            return not_tried("no answer has told the time")
        return verdicts.of_clock(self._recorded.ahead, self._recorded.server, self._recorded.whose)

    async def sign_in(self) -> Finding:
        signed_in = await self._sign_in()
        self._signed_in.token = signed_in.token
        return signed_in.finding

    async def ask(self, request: CheckedRequest) -> Finding:
        try:
            route = request.route
            proof = await route.auth.of(self._profile, route.header, Sources(self._signed_in)).get()
            response = await self._send(
                request.method,
                route.upstream,
                request.target,
                whose=route.upstream.host,
                proof=proof,
                body=request.body,
            )
        except ProxyError as error:
            return faults.of_request(error, request.setting)
        return verdicts.of_response(response, request)

    async def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        for transport in self._closing:
            transport.abort()
        await self._transport.close()

    async def _send(
        self,
        method: str,
        upstream: Upstream,
        target: str,
        *,
        whose: str,
        proof: Proof = _NO_PROOF,
        body: bytes | None = None,
    ) -> ProbeResponse:
        """Send a request of our own; raises a ProxyError."""
        lines = [(b"Host", upstream.authority.encode()), *_FIELDS]
        sent = None
        if body is not None:
            sent = HeldBody(_nothing, len(body), self._buffers, at_hand=lambda: body)
            lines += [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
        line, fields = request_line(method, target), field_lines(lines)
        before = self._clock.now()
        response = await self._transport.send(
            UpstreamRequest(
                method=method,
                upstream=upstream,
                head=line + fields + proof.field_lines(line, fields) + b"\r\n",
                inform=lambda _head: None,
                body=sent,
            )
        )
        after = self._clock.now()
        content = await self._content(response)
        named = {name.lower(): value.decode("latin-1") for name, value in response.head.headers}
        if self._recorded is None or whose == _COGNITO:
            self._recorded = _time_in(named.get(b"date", ""), (before.wall + after.wall) / 2, whose)
        return ProbeResponse(
            response.head.status,
            named.get(b"content-type", "").partition(";")[0].strip().lower(),
            named.get(b"location", ""),
            content,
        )

    async def _content(self, response: UpstreamAnswer) -> bytes:
        """Read the beginning of a content and let go of the response; raises a ProxyError."""
        content = b""
        try:
            async with asyncio.timeout(self._timeout):
                while len(content) < _MOST and (data := await response.read()):
                    content += data
        except TimeoutError:
            raise UpstreamTimeout("the upstream's answer does not end") from None
        finally:
            response.close()
        return content


class _Handshake(asyncio.BufferedProtocol):
    """A connection that says nothing after its handshake, and hears nothing."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(bytearray(1024))


async def _nothing() -> bytes:
    """Read what is still to come of a content that is at hand."""
    return b""


def _time_in(date: str, local: float, whose: str) -> _Recorded | None:
    try:
        server = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    # The field has whole seconds: on the average the time was half of one later.
    return _Recorded(server, local - server - 0.5, whose)


def _address(sock: "socket.socket") -> str:
    """Name the other end of a connection, as long as there is one."""
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return "somebody who hangs up at once"


def _issuer(certificate: Mapping[str, Any]) -> str:
    """Name the authority that signed a certificate."""
    named = {key: value for names in certificate.get("issuer", ()) for key, value in names}
    return str(named.get("organizationName") or named.get("commonName") or "an authority without a name")
