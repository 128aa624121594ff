"""Open listening sockets, so that no other program can take their place meanwhile."""

import errno
import os
import socket
import stat
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from proxy.errors import StartError
from proxy.errors.names import flag, variable
from proxy.http.address import Bind, bracketed

BACKLOG = 1024


def open_sockets(bind: Bind, setting: str = "listen") -> list[socket.socket]:
    """Open the listening sockets for one value of `setting`: several where a name has several addresses.

    Raises StartError.
    """
    given_by = f"{flag(setting)} or {variable(setting)}"
    try:
        return [_open_unix(Path(bind.path))] if bind.path is not None else _open_tcp(bind)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"{bind} is in use by another program",
                hint=f"End that program, or choose another port with {given_by}.",
            ) from None
        reason = error.strerror or str(error)
        raise StartError(f"cannot listen on {bind}: {reason}", hint=f"Check {given_by}.") from None


def url_of(sock: socket.socket, *, tls: bool = False) -> str:
    """Write the URL by which a caller reaches a listening socket; `tls` where TCP carries HTTPS."""
    if sock.family == socket.AF_UNIX:
        name = sock.getsockname()
        # The name of an abstract one is bytes, the first of them NUL.
        return f"unix:{name}" if isinstance(name, str) else f"unix:@{name[1:].decode(errors='replace')}"
    host, port = sock.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://{bracketed(host)}:{port}"


class PortFile:
    """Names the port of the first TCP listener to scripts: the number and a newline, for as long as it listens."""

    def __init__(self, path: Path, sockets: Iterable[socket.socket]) -> None:
        """Write it in one step, so that half of it is never read; raises StartError."""
        port = next((sock.getsockname()[1] for sock in sockets if sock.family != socket.AF_UNIX), None)
        if port is None:
            raise StartError("port_file is set, and no listener has a port", hint="Unset it, or listen on HOST:PORT.")
        self._path = path
        self._text = f"{port}\n"
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            try:
                # It may be left from a crash; and a link in its place is not followed.
                beside.unlink(missing_ok=True)
                with beside.open("x") as file:
                    file.write(self._text)
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise StartError(
                f"port_file: {path} cannot be written: {error.strerror}", hint="Check the path and its permissions."
            ) from None

    def remove(self) -> None:
        """Remove it, unless another program has put its own there meanwhile."""
        with suppress(OSError, UnicodeDecodeError):
            if self._path.read_text() == self._text:
                self._path.unlink()


_SO_ATTACH_FILTER = 26
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the flags, counted from the beginning of the TCP header
    (0x45, 0, 1, 0x02),  # is SYN among them?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFF_FFFF),  # else keep all of it
)
"""A program of BPF (Linux: networking/filter): code, where to go if so and if not, and an operand, for each step."""


def ignore_new_callers(sock: socket.socket) -> None:
    """Have the system ignore callers that connect to a TCP listener, as far as it can (Linux).

    The system could accept others between the last look at its queue and the listener's end, which would reset them.
    Callers that are ignored try again a second later: they are refused then, or accepted by the successor.
    """
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return
    steps = array("B", b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
    program = struct.pack("HP", len(_NO_SYN), steps.buffer_info()[0])
    with suppress(OSError):  # some kernels and sandboxes have no filters
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def waiting_at(sock: socket.socket) -> Iterator[socket.socket]:
    """Accept the connections that wait in the system's queue."""
    while True:
        try:
            accepted, _ = sock.accept()
        except OSError:
            # None is left, or none can be accepted.
            return
        accepted.setblocking(False)
        yield accepted


def _open_tcp(bind: Bind) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    port = bind.port
    infos = socket.getaddrinfo(bind.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, kind, protocol, _, address in dict.fromkeys(infos):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # With port 0, a name's further addresses get the port that the first one got.
            sock.bind((address[0], port, *address[2:]))
            port = sock.getsockname()[1]
            sock.listen(BACKLOG)
            sock.setblocking(False)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _open_unix(path: Path) -> socket.socket:
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise StartError(f"{path} exists and is no socket", hint="Choose another path, or remove it.")
        if is_live(path):
            raise StartError(f"unix:{path} is in use by another program", hint="End it, or choose another path.")
        path.unlink()
    sock = _UnixSocket()
    # The mode must be right from the first moment: a chmod after bind would leave a window.
    before = os.umask(0o177)
    try:
        sock.bind_to(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def is_live(path: Path) -> bool:
    """Return whether a program listens there; only a refusal says that none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # its backlog is full
            return True
        return True


class _UnixSocket(socket.socket):
    """Removes its file when it is closed, also by the event loop, which does that itself."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path: Path | None = None

    def bind_to(self, path: Path) -> None:
        self.bind(str(path))
        self._path = path
        self._inode = path.stat().st_ino

    def close(self) -> None:
        path, self._path = self._path, None
        if path is not None:
            with suppress(OSError):
                # By now another program may listen at this path.
                if path.stat().st_ino == self._inode:
                    path.unlink()
        super().close()
