"""Run the listeners: their sockets, the servers behind them, and how all of them close again.

The states of the servers are those of `draining`.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any, Protocol

from proxy.errors import ProxyError
from proxy.http.address import Bind, is_loopback, stays_here
from proxy.http.buffers import Buffers
from proxy.http.options import CertificateFiles, Timeouts
from proxy.http.server.draining import GRACE
from proxy.http.server.listen import BACKLOG, PortFile, ignore_new_callers, open_sockets, url_of, waiting_at
from proxy.http.server.request import ServerRequest
from proxy.http.server.server import Limits, Server
from proxy.http.server.tls import CallerTls
from proxy.model import Clock

_TLS_SHUTDOWN = 2.0
"""Seconds for which a caller's own end of a TLS connection is waited for."""
_NEXT_ROUND = 1e-6
"""Seconds; anything but 0, for which asyncio sets no timer."""


class ListenOptions(Protocol):
    """Holds what the settings say of listeners."""

    @property
    def listen(self) -> tuple[Bind, ...]: ...

    @property
    def admin_listen(self) -> tuple[Bind, ...]:
        """Where the own endpoints are alone; they are at `listen` when it is empty."""

    @property
    def timeouts(self) -> Timeouts: ...

    @property
    def max_connections(self) -> int: ...

    @property
    def port_file(self) -> Path | None:
        """The file that holds the port of the first TCP listener."""

    @property
    def drain_delay(self) -> float:
        """Seconds for which connections are still accepted once the proxy is to end."""


class ListenerRole(Enum):
    """Says what a listener serves."""

    CALLERS = auto()
    """What is forwarded, and the own endpoints where they have no place of their own."""
    ADMIN = auto()
    """The own endpoints alone."""
    PUBLIC = auto()
    """Those of them that need no permission."""


class Handler(Protocol):
    """Answers requests."""

    async def handle(self, request: ServerRequest) -> None:
        """Answer a request."""

    def refuse(self, request: ServerRequest, error: ProxyError) -> None:
        """Answer what could not be read as a request."""


class Listeners:
    """Listens from the first moment, and accepts connections once there are handlers."""

    def __init__(
        self,
        options: ListenOptions,
        tls: CertificateFiles | None,
        buffers: Buffers,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        """`tls` is for HTTPS on TCP, None for plain HTTP; `sockets` listen already, in the place of `options.listen`.

        Raises StartError or SettingsError.
        """
        self._options = options
        self._buffers = buffers
        self._passed = bool(sockets)
        """The callers' listeners were passed in: other processes may have them as well, and go on to listen."""
        self._tls = CallerTls(tls) if tls is not None else None
        self._sockets = [(ListenerRole.CALLERS, sock) for sock in sockets]
        self._listeners: list[tuple[ListenerRole, asyncio.Server]] = []
        self._servers: dict[ListenerRole, Server] = {}
        self._port_file: PortFile | None = None
        try:
            for role, bind in _binds(options, passed=self._passed):
                setting = "listen" if role is ListenerRole.CALLERS else "admin_listen"
                self._sockets += [(role, sock) for sock in open_sockets(bind, setting)]
        except BaseException:
            self.close()
            raise
        https = self._tls is not None
        callers = self._at(ListenerRole.CALLERS)
        self.urls = [url_of(sock, tls=https) for sock in callers]
        self.exposed = not all(map(_stays_here, callers))
        """Callers may be on other machines."""
        self.admin_urls = [url_of(sock, tls=https) for role, sock in self._sockets if role is not ListenerRole.CALLERS]
        """The URLs of the own endpoints, if they are not at `urls`."""

    async def open(self, handlers: Mapping[ListenerRole, Handler]) -> None:
        """Accept connections. Raises StartError where the port file cannot be written."""
        options, loop = self._options, asyncio.get_running_loop()
        limits = Limits(options.max_connections, head=options.timeouts.head, idle=options.timeouts.idle)
        self._servers = {
            role: Server(handlers[role].handle, handlers[role].refuse, limits, self._buffers)
            for role in dict.fromkeys(role for role, _ in self._sockets)
        }
        for role, sock in self._sockets:
            server, tls = self._servers[role], self._tls_of(sock)
            self._listeners.append((role, await loop.create_server(server, sock=sock, backlog=BACKLOG, **tls)))
        if options.port_file is not None:
            self._port_file = PortFile(options.port_file, self._at(ListenerRole.CALLERS))

    def hand_over(self, handlers: Mapping[ListenerRole, Handler]) -> None:
        """Have other handlers answer from now on."""
        for role, server in self._servers.items():
            server.answer, server.refuse = handlers[role].handle, handlers[role].refuse

    def reload(self, tls: CertificateFiles | None) -> bool:
        """Show the certificate of `tls` from now on; False where that takes a restart. Raises SettingsError."""
        if self._tls is not None and tls is not None:
            self._tls.load(tls)
        return (self._tls is None) == (tls is None)

    @property
    def in_flight(self) -> int:
        """How many requests are being answered, but for those about the proxy itself."""
        return self._servers[ListenerRole.CALLERS].in_flight

    @property
    def connections(self) -> int:
        """How many connections of callers are open."""
        return sum(server.connection_count for server in self._servers.values())

    def begin_draining(self) -> None:
        """Ask callers with every response to leave."""
        for server in self._servers.values():
            server.begin_draining()

    async def drain(self, clock: Clock) -> None:
        """Accept no connections after `drain_delay`, and let every request come to its end within `timeouts.drain`.

        Until all have, the listeners of `admin_listen` stay open: they say that the proxy drains.
        """
        if self._options.drain_delay:
            await clock.sleep(self._options.drain_delay)
        if not self._passed:
            for sock in self._at(ListenerRole.CALLERS):
                ignore_new_callers(sock)
        # asyncio makes a connection of what it has accepted in its next round, and forgets it where the listener is
        # closed by then. A timer comes after the round's accepting, and what it wakes after the making.
        await asyncio.sleep(_NEXT_ROUND)
        server, loop = self._servers[ListenerRole.CALLERS], asyncio.get_running_loop()
        # The system has accepted these, and they may have sent a request: to close would reset them.
        late = [(found, self._tls_of(sock)) for sock in self._at(ListenerRole.CALLERS) for found in waiting_at(sock)]
        self._close(ListenerRole.CALLERS)
        connected = (loop.connect_accepted_socket(server, found, **tls) for found, tls in late)
        # A handshake that fails costs its own connection alone.
        await asyncio.gather(*connected, return_exceptions=True)
        await server.drain(self._options.timeouts.drain)
        self.close()
        await asyncio.gather(*(other.drain(GRACE) for other in self._servers.values()))

    def close(self) -> None:
        """Listen no more."""
        self._close(*ListenerRole)

    async def cut_off(self) -> None:
        """Break off the requests that are still being answered, and close every connection."""
        for server in self._servers.values():
            await server.cut_off()

    def _at(self, role: ListenerRole) -> list[socket.socket]:
        return [sock for at, sock in self._sockets if at is role]

    def _tls_of(self, sock: socket.socket) -> dict[str, Any]:
        """Return the event loop's arguments about TLS for the connections of a listener."""
        if self._tls is None or sock.family == socket.AF_UNIX:
            return {}
        timeout = self._options.timeouts.head
        return {"ssl": self._tls.context, "ssl_handshake_timeout": timeout, "ssl_shutdown_timeout": _TLS_SHUTDOWN}

    def _close(self, *listeners: ListenerRole) -> None:
        for role, listener in self._listeners:
            if role in listeners:
                listener.close()
        if self._port_file is not None:
            self._port_file.remove()
        for role, sock in self._sockets:
            if role in listeners:
                sock.close()
        self._sockets = [(role, sock) for role, sock in self._sockets if role not in listeners]


def _stays_here(sock: socket.socket) -> bool:
    return sock.family == socket.AF_UNIX or is_loopback(sock.getsockname()[0])


def _binds(options: ListenOptions, *, passed: bool) -> list[tuple[ListenerRole, Bind]]:
    """Find where to listen, and for what; `passed` where the callers' listeners were passed in."""
    admin = [(ListenerRole.ADMIN if stays_here(bind) else ListenerRole.PUBLIC, bind) for bind in options.admin_listen]
    return [*((ListenerRole.CALLERS, bind) for bind in (() if passed else options.listen)), *admin]
