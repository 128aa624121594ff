"""Opening connections: names, happy eyeballs, TLS, outbound proxies."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiohappyeyeballs

from proxy.errors import SettingsError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.model import OutboundProxies, Upstream
from proxy.outbound import choose
from proxy.upstream.connection import Connection
from proxy.upstream.names import Names
from proxy.upstream.tunnel import failed, open_tunnel

_HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds before the next address is tried as well (RFC 8305 section 5)."""

Protocol = TypeVar("Protocol", bound=asyncio.BaseProtocol)


class Connector:
    """Opens connections to upstreams within `timeout` seconds, TLS and proxies included."""

    def __init__(self, *, timeout: float, ca_file: Path | None, outbound: OutboundProxies) -> None:
        """`ca_file` takes the place of the system's certificate authorities. Raises SettingsError where it is none."""
        self._timeout = timeout
        self._outbound = outbound
        self._ca_file = ca_file
        self._names = Names()
        self._tls: ssl.SSLContext | None = None
        if ca_file is not None:
            self._tls = _tls_context(ca_file)

    async def connect(self, upstream: Upstream, new: Callable[[], Connection]) -> Connection:
        """A connection ready for its first request; raises UpstreamUnreachable or UpstreamTimeout."""
        async with self._in_time():
            return await self._secure(await self._open_socket(upstream), upstream, new)

    # The steps of `connect` one by one, for who wants to know which one fails. They raise what it does.

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a name."""
        async with self._in_time():
            return [entry[4][0] for entry in await self._names.addresses(host, port)]

    async def dial(self, host: str, port: int) -> socket.socket:
        """A socket that is connected to `host` itself, whatever proxies there are."""
        async with self._in_time():
            return await self._dial(host, port)

    async def open_socket(self, upstream: Upstream) -> socket.socket:
        """A socket that leads to `upstream`, through the outbound proxy where there is one."""
        async with self._in_time():
            return await self._open_socket(upstream)

    async def secure(self, sock: socket.socket, upstream: Upstream, new: Callable[[], Protocol]) -> Protocol:
        """The protocol of a connection on `sock`, with TLS where `upstream` has it."""
        async with self._in_time():
            return await self._secure(sock, upstream, new)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except (OSError, UnicodeError) as error:
            raise _translated(error) from error

    async def _secure(self, sock: socket.socket, upstream: Upstream, new: Callable[[], Protocol]) -> Protocol:
        loop = asyncio.get_running_loop()
        try:
            if upstream.scheme == "http":
                _, protocol = await loop.create_connection(new, sock=sock)
            else:
                if self._tls is None:
                    self._tls = _tls_context(None)
                _, protocol = await loop.create_connection(
                    new, sock=sock, ssl=self._tls, server_hostname=upstream.host, ssl_handshake_timeout=self._timeout
                )
        except BaseException:
            sock.close()
            raise
        return protocol

    async def _open_socket(self, upstream: Upstream) -> socket.socket:
        via = choose(self._outbound, upstream)
        if via is None:
            return await self._dial(upstream.host, upstream.port)
        try:
            sock = await self._dial(via.host, via.port)
            try:
                await open_tunnel(sock, via, upstream)
            except BaseException:
                sock.close()
                raise
        except (OSError, UnicodeError) as error:
            raise failed(via, f"cannot be reached ({_reason(error)})") from error
        return sock

    async def _dial(self, host: str, port: int) -> socket.socket:
        addresses = await self._names.addresses(host, port)
        try:
            return await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY, interleave=1
            )
        except OSError:
            self._names.forget(host, port)
            raise


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"upstreams.ca_file: {ca_file} cannot be used ({error.strerror or error})",
            hint="Check the path: it names a file with certificates in PEM.",
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _translated(error: OSError | UnicodeError) -> UpstreamError:
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("no connection to the upstream in time", proxy_status="connection_timeout")
    if isinstance(error, ssl.SSLCertVerificationError):
        return UpstreamUnreachable(
            f"the upstream's certificate cannot be verified: {error.verify_message}",
            hint="Set upstreams.ca_file where the upstream has a certificate of your own authority.",
            proxy_status="tls_certificate_error",
        )
    for kind, detail, error_type in _FAILURES:
        if isinstance(error, kind):
            return UpstreamUnreachable(detail, proxy_status=error_type)
    return UpstreamUnreachable(f"no connection to the upstream ({_reason(error)})")


def _reason(error: OSError | UnicodeError) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


_FAILURES = (
    (UnicodeError, "the upstream's name cannot be one", "dns_error"),
    (socket.gaierror, "the upstream's name cannot be resolved", "dns_error"),
    (ssl.SSLError, "TLS with the upstream failed", "tls_protocol_error"),
    (ConnectionRefusedError, "the upstream refuses connections", "connection_refused"),
)
