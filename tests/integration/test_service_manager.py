"""What a service manager sees of the proxy, and hands to it: real datagrams, and sockets that were there before it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import aiohttp
import pytest
from support.served import PATIENCE, Served, isolated_settings, serving

LAUNCH = """if True:
    import fcntl, os, sys
    # As a service manager does: the sockets from 3 on, and the variables that say whom they are for.
    count, names = len(sys.argv[1].split(",")), sys.argv[2]
    # Out of the way first, so that none is overwritten.
    kept = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1].split(",")]
    for at, descriptor in enumerate(kept):
        os.dup2(descriptor, 3 + at)
    os.closerange(3 + count, 256)
    os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
    os.execv(sys.executable, [sys.executable, "-m", "proxy", *sys.argv[3:]])
"""
"""A service manager in a few lines: hands its sockets to the program that takes its place."""


class _HasNumber(Protocol):
    def fileno(self) -> int: ...


class Manager:
    """The receiving end of sd_notify."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def told(self, wanted: str) -> dict[str, str]:
        """The next message that has `wanted` among its lines, as a table."""
        async with asyncio.timeout(PATIENCE):
            while True:
                data = await asyncio.get_running_loop().sock_recv(self._sock, 1 << 16)
                lines = data.decode().split("\n")
                if wanted in lines:
                    return dict(line.split("=", 1) for line in lines)

    def said(self) -> list[str]:
        """Every line that has come and was not awaited."""
        lines: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines += self._sock.recv(1 << 16).decode().split("\n")
        return lines


@pytest.fixture(params=["on disk", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "on disk" else f"@ul-proxy-{os.getpid()}-{tmp_path.name}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0"))
        sock.setblocking(False)
        yield Manager(sock)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return isolated_settings(tmp_path, "http://127.0.0.1:9")


async def test_notifications(manager: Manager, address: str, settings: dict[str, str], tmp_path: Path) -> None:
    """The service manager hears when the proxy listens, reads its settings again, and ends."""
    async with serving(settings | {"NOTIFY_SOCKET": address}) as served:
        (url,) = (await served.message('"listening"'))["urls"]
        assert await manager.told("READY=1") == {"READY": "1", "STATUS": f"listening on {url}"}
        served.process.send_signal(signal.SIGHUP)
        assert int((await manager.told("RELOADING=1"))["MONOTONIC_USEC"]) > 0
        assert await manager.told("READY=1") == {"READY": "1"}
        (tmp_path / "ul-proxy.toml").write_text("nonsense")
        served.process.send_signal(signal.SIGHUP)
        await manager.told("RELOADING=1")
        await manager.told("READY=1")
        served.process.terminate()
        assert (await manager.told("STOPPING=1"))["STATUS"] == "draining, 0 requests under way"
        assert await served.ended() == (0, "")
    assert manager.said() == []


async def test_watchdog(manager: Manager, address: str, settings: dict[str, str]) -> None:
    """The watchdog hears of the proxy again and again, from before it listens, and not while it hangs."""
    async with serving(settings | {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}) as served:
        for _ in range(4):
            await manager.told("WATCHDOG=1")
        await served.message('"listening"')
        served.process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, served.process.pid, os.WSTOPPED | os.WNOWAIT)
        manager.said()
        await asyncio.sleep(0.5)
        assert manager.said() == []
        served.process.send_signal(signal.SIGCONT)
        await manager.told("WATCHDOG=1")
        served.process.terminate()
        assert await served.ended() == (0, "")


async def test_watchdog_of_another(manager: Manager, address: str, settings: dict[str, str]) -> None:
    """A watchdog that waits for another process hears nothing of this one."""
    variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
    async with serving(settings | variables) as served:
        await manager.told("READY=1")
        served.process.terminate()
        assert await served.ended() == (0, "")
    assert not [line for line in manager.said() if "WATCHDOG" in line]


async def test_manager_that_has_gone(settings: dict[str, str], tmp_path: Path) -> None:
    """A service manager that cannot be told is a warning, and the proxy serves."""
    async with serving(settings | {"NOTIFY_SOCKET": str(tmp_path / "gone")}) as served:
        await served.message('"listening"')
        line = await served.message("cannot be told READY=1")
        assert (line["level"], "No such file or directory" in line["message"]) == ("warning", True)
        served.process.terminate()
        assert await served.ended() == (0, "")


# ---- socket activation


@asynccontextmanager
async def launched(
    settings: dict[str, str], sockets: Sequence[_HasNumber], *flags: str, names: str = ""
) -> AsyncIterator[Served]:
    """A proxy that is handed `sockets`."""
    numbers = [sock.fileno() for sock in sockets]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LAUNCH,
        ",".join(map(str, numbers)),
        names,
        "serve",
        *flags,
        env=settings,
        cwd=settings["HOME"],
        stdout=PIPE,
        stderr=PIPE,
        pass_fds=numbers,
    )
    try:
        yield Served(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "passed"))
        sock.listen()
        yield sock


async def test_passed_sockets(
    settings: dict[str, str], tcp: socket.socket, unix: socket.socket, tmp_path: Path
) -> None:
    """Sockets that are passed take the place of `listen`, and outlive the proxy: they are another's."""
    port_file = tmp_path / "port"
    port = tcp.getsockname()[1]
    async with launched(settings, [tcp, unix], "--port-file", str(port_file), names="http:local") as served:
        message = await served.message('"listening"')
        assert message["urls"] == [f"http://127.0.0.1:{port}", f"unix:{tmp_path / 'passed'}"]
        assert port_file.read_text() == f"{port}\n"
        for connector, url in (
            (aiohttp.TCPConnector(), message["urls"][0]),
            (aiohttp.UnixConnector(str(tmp_path / "passed")), "http://localhost"),
        ):
            async with aiohttp.ClientSession(connector=connector) as session, session.get(url + "/-/live") as answer:
                assert answer.status == 200
        served.process.terminate()
        assert await served.ended() == (0, "")
    assert stat.S_ISSOCK((tmp_path / "passed").stat().st_mode)
    assert not port_file.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows another process's files")
async def test_nobody_inherits_passed_sockets(settings: dict[str, str], tcp: socket.socket) -> None:
    """What the proxy might start some day gets neither the sockets nor the variables."""
    code = (
        "import os; from proxy.cli.systemd import passed_sockets; "
        "passed = passed_sockets(os.environ, os.getpid()); "
        "print([os.get_inheritable(one.sock.fileno()) for one in passed], [one.name for one in passed], "
        "[name for name in os.environ if name.startswith('LISTEN_')])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LAUNCH.replace('"-m", "proxy"', f'"-c", {code!r}'),
        str(tcp.fileno()),
        "web",
        env=settings,
        stdout=PIPE,
        pass_fds=[tcp.fileno()],
    )
    out, _ = await process.communicate()
    assert out.decode() == "[False] ['web'] []\n"


async def test_passed_socket_beyond_loopback(settings: dict[str, str]) -> None:
    """The guard of `listen` holds for a passed socket as well: beyond loopback callers must present a token."""
    with socket.create_server(("0.0.0.0", 0)) as sock:  # noqa: S104
        async with launched(settings, [sock]) as served:
            status, errors = await served.ended()
            assert (status, served.printed) == (2, [])
            assert "the socket at 0.0.0.0 that was passed to the proxy is not loopback" in errors
        async with launched(settings | {"UL_PROXY_CLIENT_TOKEN": "c4n4ry" * 4}, [sock]) as served:
            assert (await served.message('"listening"'))["urls"] == [f"http://0.0.0.0:{sock.getsockname()[1]}"]


async def test_token_that_is_taken_away(settings: dict[str, str], tmp_path: Path) -> None:
    """While a passed socket reaches beyond loopback, settings without a token are not taken up."""
    config = tmp_path / "ul-proxy.toml"
    config.write_text('client_token = "c4n4ryc4n4ryc4n4ry"\n')
    config.chmod(0o600)
    with socket.create_server(("0.0.0.0", 0)) as sock:  # noqa: S104
        async with launched(settings, [sock]) as served:
            await served.message('"listening"')
            config.write_text("")
            complaint = await served.message("cannot be used")
            assert "passed to the proxy is not loopback" in complaint["message"]


@pytest.mark.parametrize("kind", ["datagram", "connected", "file"])
async def test_what_cannot_be_listened_on(kind: str, settings: dict[str, str], tmp_path: Path) -> None:
    """Anything but a listening stream socket is refused with the line of the unit that is to be mended."""
    with contextlib.ExitStack() as stack:
        if kind == "file":
            passed: _HasNumber = stack.enter_context((tmp_path / "file").open("w"))
        elif kind == "datagram":
            passed = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        else:
            passed, _ = map(stack.enter_context, socket.socketpair())
        async with launched(settings, [passed]) as served:
            status, errors = await served.ended()
    assert (status, errors.count("\n")) == (1, 1)
    assert errors.startswith("ul-proxy: file descriptor 3 of LISTEN_FDS is no ")
    assert "ListenStream=" in errors


async def test_sockets_for_another(settings: dict[str, str]) -> None:
    """Variables that another process was meant to read change nothing, and a warning says why."""
    async with serving(settings | {"LISTEN_FDS": "1", "LISTEN_PID": "1"}) as served:
        line = await served.message("LISTEN_FDS")
        assert line["message"] == (
            "the sockets of LISTEN_FDS are for process 1, not for this one: start the proxy directly"
        )
        assert json.loads(await served.line('"listening"'))["urls"][0].startswith("http://127.0.0.1:")


async def test_port_file(settings: dict[str, str], tmp_path: Path) -> None:
    """A script that waits for the file has the port that the proxy picked; the file goes when the listener does."""
    path = tmp_path / "port"
    async with serving(settings, "--port-file", str(path)) as served:
        (url,) = (await served.message('"listening"'))["urls"]
        assert path.read_text() == url.rpartition(":")[2] + "\n"
        served.process.terminate()
        assert await served.ended() == (0, "")
    assert not path.exists()
