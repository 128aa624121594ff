"""`ul-proxy serve` as a process whose stdout is not read, closed or gone: requests are answered all the same."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.environment import guarded_environment
from support.servers import free_port
from support.stack import closing, talk

PATIENCE = 60.0
REQUESTS = 4000
PATH = "/-/" + "x" * 1000
"""Which is nowhere: a line of its own for every request, and none of the upstream's doing."""


@asynccontextmanager
async def process(home: Path, stdout: int, port: int, *, command: Sequence[str] = ()) -> AsyncIterator[Process]:
    made = await asyncio.create_subprocess_exec(
        *command,
        *(sys.executable, "-m", "proxy", "serve", "--listen", f"127.0.0.1:{port}"),
        env=guarded_environment(HOME=str(home), XDG_CONFIG_HOME=str(home), XDG_STATE_HOME=str(home)),
        cwd=home,
        stdout=stdout,
        stderr=PIPE,
    )
    try:
        yield made
    finally:
        if made.returncode is None:
            made.kill()
        await made.communicate()


async def ended(process: Process) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def first_line(fd: int) -> str:
    """What the process says once it listens, read byte by byte, so that all that follows stays where it is."""

    def read() -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(fd, 1)
            assert byte, line
            line += byte
        return line

    line = (await asyncio.to_thread(read)).decode()
    assert '"listening"' in line
    return line


async def ask_often(port: int, count: int) -> None:
    """Send requests one after the other on one connection, and have them all answered."""
    request = closing("GET", PATH).replace(b"Connection: close\r\n", b"")
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // 100):
            writer.write(request * 100)
            for _ in range(100):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 404 ")
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length is not None
                await reader.readexactly(int(length[1]))
        writer.close()


async def dropped(port: int) -> float:
    """What the metrics say of lines that nobody took."""
    answer = await talk(f"http://127.0.0.1:{port}", closing("GET", "/-/metrics"))
    text = answer.partition(b"\r\n\r\n")[2].decode()
    (family,) = (one for one in text_string_to_metric_families(text) if one.name == "ul_proxy_log_lines_dropped")
    return family.samples[0].value


async def test_nobody_reads(tmp_path: Path) -> None:
    """Thousands of requests are answered while stdout is a pipe that nobody reads; SIGTERM ends the proxy with 0."""
    reading, writing = os.pipe()
    port = free_port()
    try:
        async with process(tmp_path, writing, port) as served:
            os.close(writing)
            await first_line(reading)
            await ask_often(port, REQUESTS)
            assert await dropped(port) > 0
            assert await ended(served) == (0, "")
    finally:
        os.close(reading)


async def test_somebody_reads_again(tmp_path: Path) -> None:
    """Once stdout is read again, every line is whole, and a line says how many are missing."""
    reading, writing = os.pipe()
    port = free_port()
    async with process(tmp_path, writing, port) as served:
        os.close(writing)
        await first_line(reading)
        await ask_often(port, REQUESTS)
        lost = await dropped(port)
        assert lost > 0
        with os.fdopen(reading, "rb") as pipe:
            lines = await asyncio.to_thread(until_notice, pipe)
            rest = asyncio.create_task(asyncio.to_thread(pipe.read))
            await ask_often(port, 100)
            assert await ended(served) == (0, "")
            later = [json.loads(line) for line in (await rest).splitlines()]
    *kept, notice = lines
    assert notice["dropped"] == lost
    assert len([line for line in kept if line.get("path") == PATH]) == REQUESTS - lost
    assert len([line for line in later if line.get("path") == PATH]) == 100
    assert later[-1]["message"] == "stopped"


def until_notice(pipe: BinaryIO) -> list[dict[str, Any]]:
    """The lines up to the one that says how many are missing."""
    lines: list[dict[str, Any]] = []
    while not lines or "dropped" not in lines[-1]:
        lines.append(json.loads(pipe.readline()))
    return lines


async def test_the_reader_has_gone(tmp_path: Path) -> None:
    """A stdout whose reader has gone, as `head` does, ends nothing."""
    reading, writing = os.pipe()
    port = free_port()
    async with process(tmp_path, writing, port) as served:
        os.close(writing)
        await first_line(reading)
        os.close(reading)
        await ask_often(port, 500)
        assert await ended(served) == (0, "")


@pytest.mark.parametrize("closed", [">&-", ">&- <&-", ">/dev/null"])
async def test_there_is_no_stdout(closed: str, tmp_path: Path) -> None:
    """Where stdout is closed or leads nowhere, no socket takes its place, and errors are told on stderr."""
    port = free_port()
    config = tmp_path / "ul-proxy.toml"
    config.touch()
    async with process(tmp_path, PIPE, port, command=("sh", "-c", f'exec "$@" {closed}', "sh")) as served:
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(ConnectionError):
                    await talk(f"http://127.0.0.1:{port}", closing("GET", "/-/live"))
                    break
                # Nobody tells when it listens, for there is nowhere to tell it.
                await asyncio.sleep(0.05)
        await ask_often(port, 500)
        place = Path("/proc", str(served.pid), "fd", "1")
        if place.is_symlink():
            assert str(place.readlink()) == "/dev/null"
        config.write_text("read_only = 'perhaps'")
        served.send_signal(signal.SIGHUP)
        assert served.stderr is not None
        async with asyncio.timeout(PATIENCE):
            error = json.loads(await served.stderr.readline())
        assert (error["level"], error["message"][:34]) == ("error", "the new settings cannot be used, a")
        assert await ended(served) == (0, "")
