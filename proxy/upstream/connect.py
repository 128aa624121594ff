"""Opening connections: names, happy eyeballs, TLS, and the tunnel through an outbound proxy."""

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import aiohappyeyeballs

from proxy.errors import SettingsError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.model import OutboundProxies, OutboundProxy, Upstream
from proxy.outbound import choose
from proxy.upstream.connection import Connection

_HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds before the next address is tried as well (RFC 8305 section 5)."""
_MAX_PROXY_HEAD = 16 * 1024


class Connector:
    """Opens connections to upstreams within `timeout` seconds, TLS and proxies included."""

    def __init__(self, *, timeout: float, ca_file: Path | None, outbound: OutboundProxies) -> None:
        """`ca_file` takes the place of the system's certificate authorities. Raises SettingsError where it is none."""
        self._timeout = timeout
        self._outbound = outbound
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        if ca_file is not None:
            self._tls = _tls_context(ca_file)

    async def connect(self, upstream: Upstream, new: Callable[[], Connection]) -> Connection:
        """A connection ready for its first request; raises UpstreamUnreachable or UpstreamTimeout."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._connect(upstream, new)
        except (OSError, EOFError) as error:
            raise _translated(error) from error

    async def _connect(self, upstream: Upstream, new: Callable[[], Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        via = choose(self._outbound, upstream)
        host, port = (upstream.host, upstream.port) if via is None else (via.host, via.port)
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY, interleave=1
        )
        try:
            if via is not None:
                await _open_tunnel(sock, via, upstream)
            if upstream.scheme == "http":
                _, connection = await loop.create_connection(new, sock=sock)
            else:
                if self._tls is None:
                    self._tls = _tls_context(None)
                _, connection = await loop.create_connection(
                    new, sock=sock, ssl=self._tls, server_hostname=upstream.host, ssl_handshake_timeout=self._timeout
                )
        except BaseException:
            sock.close()
            raise
        return connection


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"upstreams.ca_file: {ca_file} cannot be used ({error.strerror or error})",
            hint="It must hold certificates in PEM form.",
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _open_tunnel(sock: socket.socket, via: OutboundProxy, upstream: Upstream) -> None:
    """CONNECT (RFC 9110 section 9.3.6)."""
    loop = asyncio.get_running_loop()
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    authority = f"{host}:{upstream.port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if via.credentials is not None:
        encoded = base64.b64encode(via.credentials.get_secret_value().encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {encoded}")
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(sock, 4096)
        head += data
        if not data or len(head) > _MAX_PROXY_HEAD:
            raise EOFError
    status = head[9:12]
    if not head.startswith(b"HTTP/1.") or status[:1] != b"2":
        shown = status.decode() if status.isdigit() else "nonsense"
        raise UpstreamUnreachable(
            f"the outbound proxy {via.host}:{via.port} answered CONNECT with {shown}",
            hint="Check HTTPS_PROXY, or list the upstream in NO_PROXY.",
        )


def _translated(error: OSError | EOFError) -> UpstreamError:
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
    reason = getattr(error, "strerror", None) or type(error).__name__
    return UpstreamUnreachable(f"no connection to the upstream ({reason})")


_FAILURES = (
    (EOFError, "the outbound proxy broke off", "connection_terminated"),
    (socket.gaierror, "the upstream's name cannot be resolved", "dns_error"),
    (ssl.SSLError, "TLS with the upstream failed", "tls_protocol_error"),
    (ConnectionRefusedError, "the upstream refuses connections", "connection_refused"),
)
