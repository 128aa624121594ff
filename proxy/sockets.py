"""Options of TCP sockets that asyncio does not set."""

import socket
import sys

_PROBES = 3
"""Unanswered, they end a connection."""
_DROP_AFTER = 0x80
"""TCP_RXT_CONNDROPTIME of macOS' <netinet/tcp.h>, which Python does not name."""


def keep_alive(sock: socket.socket, patience: float) -> None:
    """Have the kernel end a connection whose other end has not been heard of for about `patience` seconds.

    It probes one that rests (RFC 9293 section 3.8.4), and gives up one that does not acknowledge what was sent (RFC
    5482, which is TCP_USER_TIMEOUT). Then reading fails with TimeoutError, or for want of a route. What is no TCP
    socket is left as it is.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    interval = max(1, round(patience / 5))
    rest = max(1, round(patience - _PROBES * interval))
    if sys.platform == "darwin":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPALIVE, rest)
        sock.setsockopt(socket.IPPROTO_TCP, _DROP_AFTER, max(1, round(patience)))
    else:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, rest)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience * 1000))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
