"""What a service manager says and hears: sd_notify(3) and sd_listen_fds(3).

Both are a few environment variables and a datagram, so no library is needed. Whoever starts the proxy by hand sets none
of the variables, and nothing happens.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import NamedTuple

from proxy.errors import StartError

log = logging.getLogger(__name__)

_FIRST = 3
"""The file descriptor of the first socket that is passed (SD_LISTEN_FDS_START)."""
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
_MICRO = 1_000_000


class Passed(NamedTuple):
    """A listening socket that was there before the proxy, and what the service manager calls it."""

    name: str
    sock: socket.socket


def passed_sockets(environ: MutableMapping[str, str], pid: int) -> list[Passed]:
    """The sockets that were passed to the process `pid`; their variables are removed from `environ`.

    Raises StartError where one of them is not what the proxy can listen on.
    """
    count, owner = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    environ.pop("LISTEN_PIDFDID", None)
    if not count.isdecimal() or int(count) == 0:
        return []
    if owner != str(pid):
        log.warning("the sockets of LISTEN_FDS are for process %s, not for this one: start the proxy directly", owner)
        return []
    descriptors = range(_FIRST, _FIRST + int(count))
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            raise StartError(
                f"file descriptor {descriptor} of LISTEN_FDS is not open",
                hint="Pass as many sockets as LISTEN_FDS says, or unset it.",
            ) from None
    names += [""] * (int(count) - len(names))
    return [Passed(name, _listening(descriptor)) for name, descriptor in zip(names, descriptors, strict=False)]


def _listening(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        raise StartError(
            f"file descriptor {descriptor} of LISTEN_FDS is no socket", hint="Pass sockets with ListenStream= alone."
        ) from None
    accepts = sock.family in _FAMILIES and sock.type == socket.SOCK_STREAM
    if not accepts or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        raise StartError(
            f"file descriptor {descriptor} of LISTEN_FDS is no listening stream socket",
            hint="Use ListenStream= and Accept=no in the socket unit.",
        )
    sock.setblocking(False)
    return sock


class Notifier:
    """Tells the service manager how the proxy is, where there is one that wants to know."""

    def __init__(self, environ: MutableMapping[str, str], pid: int) -> None:
        """Removes the variables that it reads from `environ`."""
        self._address = environ.pop("NOTIFY_SOCKET", "")
        interval, owner = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", str(pid))
        self._watchdog = int(interval) / _MICRO if interval.isdecimal() and owner == str(pid) else 0.0
        """Seconds after whose passing without a word the process counts as dead; 0 for never."""
        self._reloading = False

    def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The settings are being read again; `reloaded` follows."""
        self._reloading = True
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def reloaded(self) -> None:
        if self._reloading:
            self._reloading = False
            self._tell("READY=1")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    async def keep_alive(self) -> None:
        """Show, until cancelled, that the event loop runs: twice as often as the service manager asks for."""
        while self._watchdog and self._address:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog / 2)

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # An abstract socket's name begins with NUL, for which the variable has an @.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("the service manager at %s cannot be told %s: %s", self._address, lines[0], error.strerror)
