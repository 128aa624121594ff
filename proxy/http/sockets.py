"""Ask of a TCP connection what asyncio does not: whether the other end is still there, and to hold little."""

import socket
import struct
import sys
from typing import Any, Protocol

_PROBES = 3
"""Probes without an answer that end a connection."""
_INFO = struct.Struct("=3xB20xI28xI")
"""The beginning of Linux's `tcp_info`: probes without an answer, segments without one, milliseconds since the last."""
_DROP_AFTER = 0x80
"""TCP_RXT_CONNDROPTIME of macOS' <netinet/tcp.h>, which Python does not name."""
_UNSENT = 128 * 1024
"""Bytes that the kernel holds beside what is on its way: what waits for an event loop that is busy for a while."""


class SocketHolder(Protocol):
    """Whatever knows its socket: asyncio's transports and uvloop's."""

    def get_extra_info(self, name: str, default: Any = None) -> Any: ...


def socket_of(transport: SocketHolder) -> socket.socket | None:
    """Return the socket of a transport, None once that is closed."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    return None if sock is None or sock.fileno() < 0 else sock


def hold_little(sock: socket.socket) -> None:
    """Have the kernel take no more to send than it can send soon.

    Else it takes some megabytes for a slow reader, which count where the memory of a container is limited. Sockets that
    are no TCP sockets stay as they are, and all do where the system has no such limit (tcp(7), TCP_NOTSENT_LOWAT).
    """
    if _is_tcp(sock) and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


def keep_alive(sock: socket.socket, patience: float) -> None:
    """Have the kernel end a connection that rests and whose other end has not answered for about `patience` seconds.

    It sends probes (RFC 9293 section 3.8.4); where none is answered reading fails with TimeoutError, or for want of a
    route. Sockets that are no TCP sockets stay as they are.

    Linux has TCP_USER_TIMEOUT (RFC 5482) for what was sent and is not acknowledged. It is not used: it also ends
    connections whose other end is there and takes nothing for a while. `unheard` tells the two apart.
    """
    if not _is_tcp(sock):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    interval = max(1, round(patience / 5))
    rest = max(1, round(patience - _PROBES * interval))
    if sys.platform == "darwin":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPALIVE, rest)
        sock.setsockopt(socket.IPPROTO_TCP, _DROP_AFTER, max(1, round(patience)))
    else:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, rest)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def unheard(sock: socket.socket) -> float:
    """Return how many seconds ago the other end was heard of, if it has yet to acknowledge something; else 0.

    An end that takes no more (a window of zero) and says so when probed has nothing to acknowledge. Only Linux says
    (tcp(7), TCP_INFO). Ask only some time after sending: what was heard before that counts as well.
    """
    if sys.platform != "linux" or not _is_tcp(sock):
        return 0.0
    probes, unacknowledged, heard = _INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
    return float(heard) / 1000 if unacknowledged or probes >= _PROBES else 0.0


def _is_tcp(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6)
