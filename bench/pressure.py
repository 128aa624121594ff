"""Callers who cost memory: slow readers, downloads that are broken off, and uploads that stall.

Each takes a running proxy's port and process id and returns by how much its memory grew. `at_height` is called when all
of them are there.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from bench.measure import forget_peak, memory

_DOWNLOAD = b"GET /v1/50mb HTTP/1.1\r\nHost: localhost\r\n\r\n"
_UPLOAD_BYTES = 1 << 20
_UPLOAD = b"POST /v1/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % _UPLOAD_BYTES
_TASTE = 1000
"""Bytes of an answer that are read before nothing more is."""
_SLOWLY = 5
"""How often that much is read once more, a second apart."""
_STEADY = 1.0
"""MB: memory that has changed by less is steady."""
_STEADY_FOR = 3.0
"""Seconds for which it has to be."""


@dataclass(frozen=True)
class Crowd:
    """How many there are of each kind, and for how many seconds memory is waited for to level off."""

    readers: int
    tls_readers: int
    one_by_one: int
    at_once: int
    uploads: int
    patience: float


CROWD = Crowd(readers=1000, tls_readers=1000, one_by_one=600, at_once=200, uploads=300, patience=60.0)
SMALL_CROWD = Crowd(readers=200, tls_readers=50, one_by_one=60, at_once=20, uploads=60, patience=10.0)


async def slow_readers(port: int, pid: int, count: int, patience: float, at_height: Callable[[], object]) -> float:
    """kB at the highest for each of so many callers who ask for 50 MB, read 1 KB, and then 1 KB a second."""
    forget_peak(pid)
    before = memory(pid)
    async with _connected(port, count) as socks:
        await asyncio.gather(*(_taste(sock, patience) for sock in socks))
        await _steady(pid, patience)
        for _ in range(_SLOWLY):
            for sock in socks:
                with suppress(BlockingIOError):
                    sock.recv(_TASTE)
            await asyncio.sleep(1)
        at_height()
        return (memory(pid, "VmHWM") - before) * 1024 / count


async def aborted_downloads(port: int, pid: int, *, one_by_one: int, at_once: int, patience: float) -> float:
    """MB that are left, at most `patience` seconds after so many callers asked for 50 MB, read 1 KB and closed."""
    # What the first one costs is there to stay: code and caches.
    await _leave(port)
    await _steady(pid, patience)
    before = memory(pid)
    for _ in range(one_by_one):
        await _leave(port)
    await asyncio.gather(*(_leave(port) for _ in range(at_once)))
    await _steady(pid, patience)
    return memory(pid) - before


async def stalled_uploads(port: int, pid: int, count: int, patience: float, at_height: Callable[[], object]) -> float:
    """MB at the highest for so many uploads of 1 MiB that nobody takes, every second of which stops amid it."""
    forget_peak(pid)
    before = memory(pid)
    async with _connected(port, count) as socks:
        sending = [asyncio.create_task(_upload(sock, _UPLOAD_BYTES // (1 + n % 2))) for n, sock in enumerate(socks)]
        await _steady(pid, patience)
        at_height()
        for task in sending:
            task.cancel()
        outcomes = await asyncio.gather(*sending, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, OSError):
                raise outcome
        return memory(pid, "VmHWM") - before


@asynccontextmanager
async def _connected(port: int, count: int) -> AsyncIterator[list[socket.socket]]:
    """Connections; at the end they are reset where something was not read."""
    loop = asyncio.get_running_loop()
    socks: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = socket.socket()
            socks.append(sock)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
        yield socks
    finally:
        for sock in socks:
            sock.close()


async def _leave(port: int) -> None:
    async with _connected(port, 1) as (sock,):
        await _taste(sock, 30.0)


async def _taste(sock: socket.socket, patience: float) -> None:
    """Ask for 50 MB and read the beginning."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(patience):
        await loop.sock_sendall(sock, _DOWNLOAD)
        data = await loop.sock_recv(sock, _TASTE)
    if b" 200 " not in data[:16]:
        raise RuntimeError(f"not a good answer: {data[:100]!r}")


async def _upload(sock: socket.socket, size: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _UPLOAD)
    await loop.sock_sendall(sock, bytes(size))


async def _steady(pid: int, patience: float) -> None:
    """Wait until memory has not changed for a while, at most `patience` seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    since, level = loop.time(), memory(pid)
    while loop.time() < min(end, since + _STEADY_FOR):
        await asyncio.sleep(0.2)
        if abs((now := memory(pid)) - level) > _STEADY:
            since, level = loop.time(), now
