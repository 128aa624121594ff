"""The guard that keeps tests on loopback is itself tested: one that lets everything through looks just as green."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.sitecustomize import LeftLoopback
from support.wire import PATIENCE

# TEST-NET-1 (RFC 5737) and the documentation prefix (RFC 3849): if the guard failed, nobody would answer.
FOREIGN_V4 = "192.0.2.1"
FOREIGN_V6 = "2001:db8::1"


def connect(family: socket.AddressFamily, address: tuple[str, int]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(0.5)
        sock.connect(address)


def connect_ex() -> None:
    with socket.socket() as sock:
        sock.settimeout(0.5)
        sock.connect_ex((FOREIGN_V4, 80))


def send_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (FOREIGN_V4, 9))


def send_message() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendmsg([b"x"], (), 0, (FOREIGN_V4, 9))


LEAVING: dict[str, Callable[[], object]] = {
    "connect IPv4": lambda: connect(socket.AF_INET, (FOREIGN_V4, 80)),
    "connect IPv6": lambda: connect(socket.AF_INET6, (FOREIGN_V6, 80)),
    "connect_ex": connect_ex,
    "create_connection": lambda: socket.create_connection((FOREIGN_V4, 80), timeout=0.5),
    "sendto": send_datagram,
    "sendmsg": send_message,
    "getaddrinfo": lambda: socket.getaddrinfo("example.test", 443),
    "getaddrinfo bytes": lambda: socket.getaddrinfo(b"example.test", 443),
    "getaddrinfo of a look-alike": lambda: socket.getaddrinfo("localhost.example.test", 443),
    "gethostbyname": lambda: socket.gethostbyname("example.test"),
    "gethostbyname_ex": lambda: socket.gethostbyname_ex("example.test"),
    "gethostbyaddr": lambda: socket.gethostbyaddr(FOREIGN_V4),
    "getnameinfo": lambda: socket.getnameinfo((FOREIGN_V4, 80), 0),
}

STAYING: dict[str, Callable[[], object]] = {
    "localhost": lambda: socket.getaddrinfo("localhost", 80),
    "LOCALHOST": lambda: socket.getaddrinfo("LOCALHOST", 80),
    "127.0.0.2": lambda: socket.getaddrinfo("127.0.0.2", 80),
    "::1": lambda: socket.getaddrinfo("::1", 80),
    "no host": lambda: socket.getaddrinfo(None, 80),
    "wildcard": lambda: socket.getaddrinfo("0.0.0.0", 80),  # noqa: S104
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING.keys())
def test_refuses_in_process(leave: Callable[[], object], refused_attempts: list[str]) -> None:
    """Whatever would leave loopback raises, and is remembered in case somebody swallows that."""
    with pytest.raises(LeftLoopback, match="tests stay on loopback"):
        leave()
    assert len(refused_attempts) == 1


@pytest.mark.parametrize("stay", STAYING.values(), ids=STAYING.keys())
def test_allows_loopback_names(stay: Callable[[], object]) -> None:
    """Loopback's names and numbers, and the wildcard that a server binds, are looked up as ever."""
    assert stay()


def test_allows_loopback_connections() -> None:
    """A connection to a server on 127.0.0.1 is made."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=PATIENCE).close()


def test_allows_unix_sockets(tmp_path: Path) -> None:
    """A Unix socket never leaves the machine."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)


def run_python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize(
    "code",
    [
        f"import socket; socket.create_connection(({FOREIGN_V4!r}, 80), timeout=0.5)",
        "import socket; socket.getaddrinfo('example.test', 443)",
        "import asyncio; asyncio.run(asyncio.open_connection('example.test', 443))",
        "import urllib.request; urllib.request.urlopen('http://example.test/', timeout=0.5)",
    ],
    ids=["connect", "getaddrinfo", "asyncio", "urllib"],
)
def test_refuses_in_subprocess(code: str, guarded_env: Callable[..., dict[str, str]]) -> None:
    """A Python process in the guarded environment raises as well."""
    ended = run_python(code, guarded_env())
    assert ended.returncode == 1
    assert "LeftLoopback: tests stay on loopback" in ended.stderr


def test_subprocess_reaches_loopback(guarded_env: Callable[..., dict[str, str]]) -> None:
    """A guarded process connects to loopback and finds the package under test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import proxy, socket; socket.create_connection(('127.0.0.1', {port}), timeout=30).close()"
        ended = run_python(code, guarded_env())
    assert (ended.returncode, ended.stderr) == (0, "")


def test_environment_is_clean(guarded_env: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own AWS or proxy settings reach a subprocess, but for what a test names."""
    for name in ("AWS_PROFILE", "https_proxy", "UL_PROXY_PASSWORD"):
        monkeypatch.setenv(name, "ambient")
    environment = guarded_env(UL_PROXY_USERNAME="ada")
    assert "ambient" not in environment.values()
    assert environment["UL_PROXY_USERNAME"] == "ada"
    assert environment["PATH"] == os.environ["PATH"]
