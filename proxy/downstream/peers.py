"""Whether a caller who sends no more still waits for an answer.

TCP says the same of both (RFC 9293 section 3.6): who has shut down one direction, as `printf … | nc` does, and who has
closed the socket and gone, send a FIN and nothing else. The system knows, where the caller is on the same machine.
"""

import ipaddress
import select
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

Address: TypeAlias = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def has_left(sock: socket.socket) -> bool:
    """Tell whether nobody holds the other end of `sock`; true as well where the system does not say."""
    try:
        if sock.family == socket.AF_UNIX:
            poll = select.poll()
            poll.register(sock.fileno(), select.POLLHUP)
            return bool(poll.poll(0))
        own, peer = _address(sock.getsockname()), _address(sock.getpeername())
        if sys.platform != "linux" or not peer[0].is_loopback:
            return True
        return not any(is_held(table.read_text("ascii").splitlines()[1:], peer, own) for table in _TABLES)
    except OSError:
        return True


def is_held(table: Iterable[str], local: Address, remote: Address) -> bool:
    """Tell whether a process holds the socket from `local` to `remote`, by the lines of Linux's `/proc/net/tcp`.

    A socket that its process has closed has the inode 0, or stands there no more (proc(5)).
    """
    for words in _with_ports(table, local[1], remote[1]):
        if (_listed(words[1]), _listed(words[2])) == (local[0], remote[0]):
            return words[9] != "0"
    return False


def _with_ports(table: Iterable[str], local: int, remote: int) -> Iterator[list[str]]:
    ends = f":{local:04X}", f":{remote:04X}"
    for line in table:
        words = line.split()
        if words[1].endswith(ends[0]) and words[2].endswith(ends[1]):
            yield words


def _listed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address in an entry such as `0100007F:1F90`: words of 32 bits, in this machine's byte order."""
    words = text.partition(":")[0]
    numbers = (int(words[at : at + 8], 16) for at in range(0, len(words), 8))
    return _plain(ipaddress.ip_address(b"".join(number.to_bytes(4, sys.byteorder) for number in numbers)))


def _address(name: tuple[str, int]) -> Address:
    return _plain(ipaddress.ip_address(name[0].partition("%")[0])), name[1]


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address that is written as one of IPv6 (RFC 4291 section 2.5.5.2), as itself."""
    return getattr(address, "ipv4_mapped", None) or address
