"""What is read from a service manager's variables, and what it is told, on real sockets."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli.systemd import Notifier, passed_sockets
from proxy.errors import StartError

PID = 4711


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The receiving end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def lines(manager: socket.socket) -> list[str]:
    return manager.recv(1 << 16).decode().split("\n")


def test_messages(manager: socket.socket) -> None:
    """Each is a datagram of assignments; the end of a reading is told of where its beginning was."""
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "HOME": "/"}
    notifier = Notifier(environ, PID)
    assert environ == {"HOME": "/"}
    notifier.ready("listening")
    assert lines(manager) == ["READY=1", "STATUS=listening"]
    notifier.reloaded()
    notifier.reloading()
    first, second = lines(manager)
    assert (first, second.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    assert second.partition("=")[2].isdecimal()
    notifier.reloaded()
    notifier.reloaded()
    notifier.stopping("draining")
    assert lines(manager) == ["READY=1"]
    assert lines(manager) == ["STOPPING=1", "STATUS=draining"]


def test_abstract_address() -> None:
    """An abstract socket's name is written with an @ in the variable."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"ul-proxy-unit-{os.getpid()}"
        sock.bind(f"\0{name}")
        sock.settimeout(5)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}, PID).ready("x")
        assert lines(sock) == ["READY=1", "STATUS=x"]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"WATCHDOG_USEC": "20000"}, True),
        ({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(PID)}, True),
        ({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({}, False),
    ],
)
async def test_watchdog(variables: dict[str, str], told: bool, manager: socket.socket) -> None:
    """The watchdog hears of this process again and again where it asks for that, and of no other."""
    keeping = asyncio.create_task(Notifier({"NOTIFY_SOCKET": manager.getsockname(), **variables}, PID).keep_alive())
    manager.setblocking(False)
    if told:
        for _ in range(3):
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(manager, 99), 10) == b"WATCHDOG=1"
        keeping.cancel()
    else:
        await asyncio.wait_for(keeping, 10)
        with pytest.raises(BlockingIOError):
            manager.recv(99)


async def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a service manager nothing is said; one that has gone is a warning."""
    silent = Notifier({"WATCHDOG_USEC": "20000"}, PID)
    silent.ready("x")
    await silent.keep_alive()
    assert not caplog.messages
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}, PID).ready("x")
    assert caplog.messages == [
        f"the service manager at {tmp_path}/gone cannot be told READY=1: No such file or directory"
    ]


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Two file descriptors in a row that tests may use as a service manager does, from the first on."""
    begin = 700
    monkeypatch.setattr("proxy.cli.systemd._FIRST", begin)
    yield begin
    for descriptor in (begin, begin + 1):
        try:
            os.close(descriptor)
        except OSError:
            continue


def passing(*sockets: socket.socket, first: int, names: str = "") -> dict[str, str]:
    for at, sock in enumerate(sockets):
        os.dup2(sock.fileno(), first + at)
    return {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": str(PID), "LISTEN_FDNAMES": names, "LISTEN_PIDFDID": "1"}


@pytest.mark.parametrize(
    ("names", "known"), [("web:local", ["web", "local"]), ("web", ["web", ""]), ("", ["", ""]), ("a:b:c", ["a", "b"])]
)
def test_passed(names: str, known: list[str], first: int, tmp_path: Path) -> None:
    """Sockets come with their names, in order, not to be inherited, ready for an event loop; the variables go."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        environ = passing(tcp, unix, first=first, names=names)
        passed = passed_sockets(environ, PID)
        assert environ == {}
        assert [one.name for one in passed] == known
        for one, given in zip(passed, (tcp, unix), strict=True):
            with one.sock as sock:
                assert sock.getsockname() == given.getsockname()
                assert not sock.getblocking()
                assert not sock.get_inheritable()


@pytest.mark.parametrize("count", ["", "0", "-1", "many"])
def test_none_passed(count: str) -> None:
    """Without a number of sockets there are none."""
    environ = {"LISTEN_FDS": count, "LISTEN_PID": str(PID)}
    assert passed_sockets(environ, PID) == []
    assert environ == {}


def test_passed_to_another(caplog: pytest.LogCaptureFixture) -> None:
    """Sockets for another process are left alone, with a warning."""
    assert passed_sockets({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, PID) == []
    assert "are for process 1" in caplog.messages[0]


def test_no_stream_listener(first: int) -> None:
    """A socket that takes no connections is refused, and stays open for whoever it belongs to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(StartError, match=f"file descriptor {first} of LISTEN_FDS is no listening stream socket"):
            passed_sockets(passing(sock, first=first), PID)
        os.fstat(first)


@pytest.mark.parametrize("count", ["2", "99999"])
def test_not_open(count: str, first: int) -> None:
    """A number of sockets that are not all there is an error in words."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, pytest.raises(StartError, match=f"{first + 1} .* is not open"):
        passed_sockets(passing(tcp, first=first) | {"LISTEN_FDS": count}, PID)


def test_no_socket(first: int, tmp_path: Path) -> None:
    """A file is no socket."""
    with (tmp_path / "file").open("w") as file:
        os.dup2(file.fileno(), first)
        with pytest.raises(StartError, match=f"file descriptor {first} of LISTEN_FDS is no socket"):
            passed_sockets({"LISTEN_FDS": "1", "LISTEN_PID": str(PID)}, PID)
