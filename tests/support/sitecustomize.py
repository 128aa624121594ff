"""Keeps a process on loopback: every other connection, datagram or name lookup raises.

Python imports a module of this name at start-up, so a subprocess is guarded by putting this folder on PYTHONPATH; the
test process imports it from conftest. An audit hook cannot be removed, hence the marker: one process, one hook.

Not seen: code that bypasses the `socket` module (libuv, child processes that are not Python), and the lookup that a
bare `sock.connect((name, port))` makes before Python audits it. The connection itself is refused there, too.
"""

import ipaddress
import socket
import sys
from typing import Any

_MARKER = "_stays_on_loopback"


class LeftLoopback(RuntimeError):
    """Deliberately no OSError: code under test handles those as an outage, and the test would pass."""


attempts: list[str] = []
"""What was refused. Code under test may swallow the exception; conftest looks here."""


def _refuse(event: str, target: object) -> None:
    text = f"{event} to {target!r}"
    attempts.append(text)
    raise LeftLoopback(f"tests stay on loopback: {text}")


def _is_local(host: object) -> bool:
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode("latin-1")
    if not isinstance(host, str):
        return False
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_wildcard(host: object) -> bool:
    """Whether looking `host` up sends nothing: it stands for "all interfaces" when a server binds."""
    return host in (None, "", b"", "0.0.0.0", "::", b"0.0.0.0", b"::")  # noqa: S104


def _check_address(event: str, sock: socket.socket, address: Any) -> None:
    if address is None or sock.family == getattr(socket, "AF_UNIX", None):
        return
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not _is_local(address[0]):
        _refuse(event, address)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        _check_address(event, args[0], args[1])
    elif event == "socket.getaddrinfo":
        if isinstance(args[0], str) and args[0].endswith(".invalid"):
            # RFC 6761 section 6.4: such names never resolve, and nobody needs to ask a server for that.
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not (_is_wildcard(args[0]) or _is_local(args[0])):
            _refuse(event, args[0])
    elif event in ("socket.gethostbyname", "socket.gethostbyaddr"):
        if not _is_local(args[0]):
            _refuse(event, args[0])
    elif event == "socket.getnameinfo" and not _is_local(args[0][0]):
        _refuse(event, args[0])


def install() -> None:
    """Guard this process, once however often and under whatever name this module is imported."""
    if not hasattr(sys, _MARKER):
        setattr(sys, _MARKER, True)
        sys.addaudithook(_hook)


install()
