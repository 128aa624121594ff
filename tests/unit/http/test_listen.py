"""Listening sockets: who may reach them, what a free port is called, and what becomes of a socket's place on disk."""

import errno
import os
import select
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support.wire import PATIENCE

from proxy.errors import StartError
from proxy.http.address import Bind
from proxy.http.server.listen import PortFile, ignore_new_callers, open_sockets, url_of, waiting_at


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what a test opened."""
    with ExitStack() as stack:
        yield stack


def listen(bind: Bind, opened: ExitStack) -> list[socket.socket]:
    sockets = open_sockets(bind)
    for sock in sockets:
        opened.callback(sock.close)
    return sockets


def unix_listener(path: Path, opened: ExitStack, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A listener of another program."""
    sock = opened.enter_context(socket.socket(socket.AF_UNIX, kind))
    sock.bind(str(path))
    if kind == socket.SOCK_STREAM:
        sock.listen(0)
    return sock


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_tcp(host: str, opened: ExitStack) -> None:
    """Port 0 picks a free port, which the URL names; a caller gets through at once."""
    (sock,) = listen(Bind(host, 0), opened)
    port = sock.getsockname()[1]
    assert port > 0
    assert url_of(sock) == (f"http://[::1]:{port}" if host == "::1" else f"http://127.0.0.1:{port}")
    with closing(socket.create_connection((host, port), timeout=PATIENCE)):
        accepted, _ = sock.accept()
        accepted.close()


def test_every_address_of_a_name(opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with several addresses is listened on at all of them, on one and the same port."""

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    sockets = listen(Bind("localhost", 0), opened)
    assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1", "::1"]
    assert len({sock.getsockname()[1] for sock in sockets}) == 1


def test_does_not_block(opened: ExitStack, tmp_path: Path) -> None:
    """The sockets are ready for an event loop."""
    for bind in (Bind("127.0.0.1", 0), Bind(path=str(tmp_path / "s"))):
        (sock,) = listen(bind, opened)
        assert not sock.getblocking()


def test_port_in_use(opened: ExitStack) -> None:
    """A port that another program has is an error that says so and what to do, with the setting's own flag."""
    (sock,) = listen(Bind("127.0.0.1", 0), opened)
    port = sock.getsockname()[1]
    with pytest.raises(StartError, match=f"^127.0.0.1:{port} is in use by another program$") as caught:
        open_sockets(Bind("127.0.0.1", port))
    assert "--listen" in caught.value.hint
    assert "UL_PROXY_LISTEN" in caught.value.hint
    with pytest.raises(StartError) as caught:
        open_sockets(Bind("127.0.0.1", port), "admin_listen")
    assert caught.value.hint.endswith("choose another port with --admin-listen or UL_PROXY_ADMIN_LISTEN.")


def test_nothing_stays_open_after_a_failure(opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one address of a name cannot be had, those that could be are let go."""
    (taken,) = listen(Bind("::1", 0), opened)
    port = taken.getsockname()[1]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, port, **more: [*real("127.0.0.1", port, **more), *real("::1", port, **more)]
    )
    with pytest.raises(StartError):
        open_sockets(Bind("localhost", port))
    monkeypatch.undo()
    listen(Bind("127.0.0.1", port), opened)


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        (Bind(path="/nonexistent/s"), "No such file or directory"),
        (Bind(path="/" + "s" * 200), "too long"),
    ],
    ids=["no folder", "too long"],
)
def test_cannot_listen(bind: Bind, reason: str) -> None:
    """Any other trouble is named together with the address."""
    with pytest.raises(StartError, match=reason) as caught:
        open_sockets(bind)
    assert caught.value.detail.startswith(f"cannot listen on {bind}: ")
    assert caught.value.hint


def test_foreign_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that this machine does not have is trouble like any other."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(StartError, match="^cannot listen on 192.0.2.1:0: Cannot assign requested address$"):
        open_sockets(Bind("192.0.2.1", 0))


def test_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved is trouble like any other."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(StartError, match="^cannot listen on nowhere:80: Name or service not known$"):
        open_sockets(Bind("nowhere", 80))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_unix_mode(umask: int, opened: ExitStack, tmp_path: Path) -> None:
    """A Unix socket is its owner's alone whatever the umask is, and the umask stays what it was."""
    path = tmp_path / "s"
    before = os.umask(umask)
    try:
        (sock,) = listen(Bind(path=str(path)), opened)
    finally:
        after = os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert after == umask
    assert url_of(sock) == f"unix:{path}"


def test_unix_socket_goes_away(tmp_path: Path) -> None:
    """A closed Unix socket leaves nothing on disk; closing it again, or its path being gone already, is no trouble."""
    path = tmp_path / "s"
    (sock,) = open_sockets(Bind(path=str(path)))
    sock.close()
    assert not path.exists()
    sock.close()
    (sock,) = open_sockets(Bind(path=str(path)))
    path.unlink()
    sock.close()


def test_unix_socket_goes_away_with_the_event_loop(tmp_path: Path) -> None:
    """The event loop closes the sockets that it serves by itself, and they leave nothing on disk either."""
    path = tmp_path / "s"
    (sock,) = open_sockets(Bind(path=str(path)))
    sock.close()
    sock.close()
    assert not path.exists()


def test_unix_socket_of_a_successor_stays(opened: ExitStack, tmp_path: Path) -> None:
    """A socket that another program has put at the path meanwhile is not removed."""
    path = tmp_path / "s"
    (sock,) = open_sockets(Bind(path=str(path)))
    path.rename(tmp_path / "old")
    unix_listener(path, opened)
    sock.close()
    assert path.exists()


def test_stale_unix_socket(opened: ExitStack, tmp_path: Path) -> None:
    """What a killed program left behind is replaced."""
    path = tmp_path / "s"
    unix_listener(path, opened).close()
    assert path.exists()
    (sock,) = listen(Bind(path=str(path)), opened)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
        sock.accept()[0].close()


def test_live_unix_socket(opened: ExitStack, tmp_path: Path) -> None:
    """A socket on which a program listens is left alone."""
    path = tmp_path / "s"
    unix_listener(path, opened)
    with pytest.raises(StartError, match="in use by another program"):
        open_sockets(Bind(path=str(path)))
    assert path.exists()


def test_busy_unix_socket(opened: ExitStack, tmp_path: Path) -> None:
    """A listener whose backlog is full is alive all the same, and is not waited for."""
    path = tmp_path / "s"
    unix_listener(path, opened)
    refusal = 0
    while refusal == 0:
        caller = opened.enter_context(socket.socket(socket.AF_UNIX))
        caller.setblocking(False)
        refusal = caller.connect_ex(str(path))
    assert refusal == errno.EAGAIN
    with pytest.raises(StartError, match="in use by another program"):
        open_sockets(Bind(path=str(path)))


def test_socket_of_another_kind(opened: ExitStack, tmp_path: Path) -> None:
    """A datagram socket refuses connections in its own way, and is left alone."""
    path = tmp_path / "s"
    unix_listener(path, opened, socket.SOCK_DGRAM)
    with pytest.raises(StartError, match="cannot listen on unix:"):
        open_sockets(Bind(path=str(path)))
    assert path.exists()


def test_file_in_the_way(tmp_path: Path) -> None:
    """A file that is no socket is left alone."""
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(StartError, match="exists and is no socket"):
        open_sockets(Bind(path=str(path)))
    assert path.read_text() == "precious"


# ---- the port file


def test_port_file(opened: ExitStack, tmp_path: Path) -> None:
    """It holds the port of the first TCP listener and nothing else, replaces what was there, and goes away."""
    path = tmp_path / "port"
    path.write_text("old")
    unix, (first,), (second,) = (
        listen(bind, opened) for bind in (Bind(path=str(tmp_path / "s")), Bind("127.0.0.1", 0), Bind("127.0.0.1", 0))
    )
    port_file = PortFile(path, [*unix, first, second])
    assert path.read_text() == f"{first.getsockname()[1]}\n"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["port", "s"]
    port_file.remove()
    assert not path.exists()
    port_file.remove()


def test_port_file_beside_a_trap(opened: ExitStack, tmp_path: Path) -> None:
    """A link at the name under which it is written leads nowhere else, for others may write to its folder, too."""
    path, precious = tmp_path / "port", tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / f".port.{os.getpid()}").symlink_to(precious)
    PortFile(path, listen(Bind("127.0.0.1", 0), opened))
    assert precious.read_text() == "precious"
    assert path.is_file()
    assert not path.is_symlink()


def test_port_file_of_a_successor_stays(opened: ExitStack, tmp_path: Path) -> None:
    """What another program has written meanwhile is not removed."""
    path = tmp_path / "port"
    port_file = PortFile(path, listen(Bind("127.0.0.1", 0), opened))
    path.write_text("1\n")
    port_file.remove()
    assert path.read_text() == "1\n"


def test_port_file_without_a_port(opened: ExitStack, tmp_path: Path) -> None:
    """Without a TCP listener there is nothing to write."""
    with pytest.raises(StartError, match="^port_file is set, and no listener has a port$"):
        PortFile(tmp_path / "port", listen(Bind(path=str(tmp_path / "s")), opened))


def test_port_file_out_of_reach(opened: ExitStack, tmp_path: Path) -> None:
    """A place that cannot be written to is named, and nothing is left beside it."""
    sockets = listen(Bind("127.0.0.1", 0), opened)
    with pytest.raises(StartError, match=r"port_file: .+/missing/port cannot be written: No such file or directory"):
        PortFile(tmp_path / "missing" / "port", sockets)
    with pytest.raises(StartError, match="cannot be written: Is a directory"):
        PortFile(tmp_path, sockets)
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))


def test_name_of_an_abstract_socket() -> None:
    """A Unix socket without a place on disk is written as everybody writes it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0ul-proxy-test")
        assert url_of(sock) == "unix:@ul-proxy-test"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program choose what reaches a socket")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_nobody_else_is_let_in(host: str) -> None:
    """Callers that were accepted stay, and new ones are ignored until the listener is gone; then they are refused."""
    [listener] = open_sockets(Bind(host, 0))
    address = listener.getsockname()
    with socket.create_connection(address[:2]) as early, socket.socket(listener.family) as late:
        ignore_new_callers(listener)
        late.setblocking(False)
        assert late.connect_ex(address) == errno.EINPROGRESS
        assert select.select([], [late], [], 0.2)[1] == []
        [caller] = waiting_at(listener)
        early.sendall(b"still heard")
        caller.setblocking(True)
        assert caller.recv(100) == b"still heard"
        caller.close()
        listener.close()
        assert select.select([], [late], [], PATIENCE)[1] == [late]
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
