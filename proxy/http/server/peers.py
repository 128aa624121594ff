"""Find out whether callers that send no more still wait for their responses.

TCP says the same of both (RFC 9293 section 3.6): a program that has shut down one direction, as `printf … | nc` does,
and one that has closed the socket and gone, send a FIN and nothing else. The system knows which it is when the caller
is on the same machine.
"""

import ipaddress
import select
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

Ends: TypeAlias = tuple[str, str]
"""The local and the remote address of a socket, as Linux's `/proc/net/tcp` spells them."""

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_MAPPED = "0000000000000000" + f"{int.from_bytes(bytes((0, 0, 255, 255)), sys.byteorder):08X}"
"""What stands before an IPv4 address that is written as one of IPv6 (RFC 4291 section 2.5.5.2)."""


def there(sockets: Iterable[socket.socket]) -> list[bool]:
    """Return for each of `sockets` whether a process holds the other end; False also where the system does not say."""
    held: set[Ends] | None = None
    found = []
    for sock in sockets:
        if sock.family == socket.AF_UNIX:
            found.append(not _hung_up(sock))
            continue
        if held is None:
            held = _held()
        found.append(not held.isdisjoint(_spellings(sock)))
    return found


def held_ends(table: Iterable[str]) -> set[Ends]:
    """Find the sockets that a process holds in the lines of a table: others have the inode 0 (proc(5))."""
    rows = (line.split() for line in table)
    return {(row[1], row[2]) for row in rows if row[9] != "0"}


def spelled(host: str, port: int) -> list[str]:
    """Spell an address as a table may: words of 32 bits, in this machine's byte order."""
    address = ipaddress.ip_address(host.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    packed = address.packed
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    text = "".join(f"{word:08X}" for word in words)
    return [f"{text}:{port:04X}", *([f"{_MAPPED}{text}:{port:04X}"] if address.version == 4 else [])]  # noqa: PLR2004


def _held() -> set[Ends]:
    held: set[Ends] = set()
    for name in _TABLES:
        with suppress(OSError):  # another system, or one without IPv6
            held |= held_ends(Path(name).read_text("ascii").splitlines()[1:])
    return held


def _spellings(sock: socket.socket) -> list[Ends]:
    """Spell the other end of a connection as a table does."""
    try:
        own, other = sock.getsockname(), sock.getpeername()
    except OSError:  # reset a moment ago
        return []
    if not ipaddress.ip_address(other[0].partition("%")[0]).is_loopback and own[0] != other[0]:
        # The tables do not have sockets of other machines.
        return []
    return list(zip(spelled(other[0], other[1]), spelled(own[0], own[1]), strict=True))


def _hung_up(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLHUP)
    return bool(poll.poll(0))
