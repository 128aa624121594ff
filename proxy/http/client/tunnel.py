"""Open a tunnel through an outbound proxy: CONNECT (RFC 9110 section 9.3.6), on a socket."""

import asyncio
import base64
import socket

from proxy.errors import UpstreamAway, UpstreamUnreachable
from proxy.http.address import Upstream, bracketed
from proxy.http.grammar import END_OF_HEAD, FramingError, parse_head
from proxy.http.options import OutboundProxy

_MAX_HEAD = 16 * 1024
_BEGINNING = b"HTTP/1."
_AWAY = (502, 503, 504)
"""Statuses of an outbound proxy that does not get through to the upstream for now."""


async def open_tunnel(sock: socket.socket, via: OutboundProxy, upstream: Upstream) -> None:
    """Make a connection to `via` one to `upstream`; raises UpstreamUnreachable or OSError."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _request(via, upstream))
    head = b""
    while END_OF_HEAD not in head:
        data = await loop.sock_recv(sock, 4096)
        if not data:
            raise failed(via, "broke off", away=True)
        head += data
        if len(head) > _MAX_HEAD or not head.startswith(_BEGINNING[: len(head)]):
            raise failed(via, "answered CONNECT with nonsense")
    try:
        response, end = parse_head(head)
    except FramingError:
        raise failed(via, "answered CONNECT with nonsense") from None
    status = response.status
    if status // 100 != 2:  # noqa: PLR2004 - every 2xx opens a tunnel
        raise failed(via, f"answered CONNECT with {status}", away=status in _AWAY)
    if head[end:]:
        raise failed(via, "sent content behind its answer to CONNECT")


def failed(via: OutboundProxy, what: str, *, away: bool = False) -> UpstreamUnreachable:
    """Make the error that says what the outbound proxy did; `away`: another try may succeed."""
    made = UpstreamAway if away else UpstreamUnreachable
    return made(
        f"the outbound proxy {via.host}:{via.port} {what}",
        hint="Check HTTPS_PROXY and HTTP_PROXY, or list the upstream in NO_PROXY.",
    )


def _request(via: OutboundProxy, upstream: Upstream) -> bytes:
    host = bracketed(upstream.host)
    lines = [f"CONNECT {host}:{upstream.port} HTTP/1.1", f"Host: {host}:{upstream.port}"]
    if via.credentials is not None:
        encoded = base64.b64encode(via.credentials.get_secret_value().encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {encoded}")
    return "\r\n".join([*lines, "", ""]).encode()
