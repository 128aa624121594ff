"""The measurements: each takes a running proxy's port and process id and returns numbers."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}
MB = 1 << 20
ROOT = Path(__file__).parent.parent


class Load(NamedTuple):
    """What wrk has seen."""

    rate: float
    """Requests/s."""
    requests: int
    corrected_p99: float
    """What it makes of the latency's, in microseconds."""


def load(port: int, connections: int, seconds: int) -> Load:
    """Ask as fast as so many connections allow; fails where an answer is no 200."""
    wrk = shutil.which("wrk")
    assert wrk is not None
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v1/job"], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"not all answers were good:\n{text}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    count = re.search(r"(\d+) requests in", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert rate is not None
    assert count is not None
    assert p99 is not None
    return Load(float(rate[1]), int(count[1]), float(p99[1]) * _UNITS[p99[2]])


def latency(port: int, seconds: int, connections: int = 1, spread: float = 0.0) -> tuple[float, float]:
    """What callers wait for answers, p50 and p99 in microseconds; they begin within `spread` seconds."""
    command = [sys.executable, "-m", "bench.caller", str(port), str(seconds), str(connections), str(spread)]
    p50, p99 = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    return float(p50), float(p99)


def transfer(port: int, *, upload: Path | None = None) -> float:
    """GB/s of 1 GiB through the proxy, down, or up from a file."""
    curl = ["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{time_total} %{size_download} %{size_upload}"]
    if upload is not None:
        curl += ["-T", str(upload), "-H", "Expect:"]
    ended = subprocess.run([*curl, f"http://127.0.0.1:{port}/v1/gib"], check=False, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip())
    done = ended.stdout.split()
    size = int(done[2] if upload is not None else done[1])
    if size != 1 << 30:
        raise RuntimeError(f"{size} bytes arrived")
    return size / float(done[0]) / 1e9


def processes(pid: int) -> list[int]:
    """A process and all of its descendants."""
    found = [pid]
    for candidate in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(candidate.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found += processes(int(candidate.parent.name))
    return found


def memory(pid: int, field: str = "VmRSS") -> float:
    """MB of memory of a process and its descendants: `VmRSS` now, `VmHWM` at the highest since `forget_peak`."""
    rows = [row for process in processes(pid) for row in Path(f"/proc/{process}/status").read_text().splitlines()]
    found = [int(row.split()[1]) * 1024 for row in rows if row.startswith(field + ":")]
    if not found:
        raise RuntimeError("the process has ended")
    return sum(found) / MB


def settle(pid: int, deadline: float = 10.0) -> None:
    """Wait until a process and its descendants have done what a load has left them to do, but for their timers."""
    end = time.monotonic() + deadline
    took, now = 1.0, processor_time(pid)
    while took > 0.01 and time.monotonic() < end:
        time.sleep(0.2)
        before, now = now, processor_time(pid)
        took = now - before


def processor_time(pid: int) -> float:
    """Seconds of the processor that a process and its descendants have used, their own and the system's for them."""
    fields = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in processes(pid)]
    return sum(int(row[11]) + int(row[12]) for row in fields) / os.sysconf("SC_CLK_TCK")


def forget_peak(pid: int) -> None:
    for process in processes(pid):
        Path(f"/proc/{process}/clear_refs").write_text("5")


def wait_for_answer(port: int, started: float, deadline: float = 60.0) -> float:
    """Seconds from `started` until a request is answered with 200."""
    request = b"GET /v1/job HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    while time.perf_counter() - started < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                sock.sendall(request)
                if b" 200 " in sock.recv(64):
                    return time.perf_counter() - started
        except OSError:
            pass
        time.sleep(0.002)
    raise RuntimeError("no answer")


async def idle_connections(port: int, pid: int, count: int) -> tuple[float, float]:
    """MB before, and kB for each of `count` connections that have each had one answer and stay open."""
    before = memory(pid)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for reader, writer in opened:
        writer.write(b"GET /v1/job HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(400)
    after = memory(pid)
    for _, writer in opened:
        writer.close()
    return before, (after - before) * 1024 / count


async def simultaneous(port: int, count: int) -> int:
    """How many of `count` callers that come at the same time are answered with 200."""

    async def call() -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/job HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        line = await reader.readline()
        writer.close()
        return b" 200 " in line

    return sum(await asyncio.gather(*(call() for _ in range(count))))
