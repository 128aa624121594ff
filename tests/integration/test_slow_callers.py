"""What slow callers cost a proxy in a process of its own, whose memory is watched; `make bench` has more of them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from support.certificates import Authority, authority
from support.environment import guarded_environment
from support.stack import PASSWORD, USERNAME, new_cognito
from support.wire import PATIENCE, Peer, caller, request, upstream

from bench.measure import forget_peak, memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads a process's memory from /proc")

CALLERS = 250
MIB = 1 << 20
LIMIT = 16
"""MiB: a quarter of the default, for a quarter of 1,000 callers."""
DOWNLOAD = request("GET", "/v1/large")
UPLOAD = request("POST", "/v1/x", f"Content-Length: {MIB}") + bytes(MIB)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


async def pour_or_take_nothing(peer: Peer) -> None:
    """Answer a GET with as much as is taken, and read nothing of an upload."""
    with suppress(ConnectionError, EOFError):
        head = await peer.head()
        if head.start_line.startswith(b"GET"):
            peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (50 * MIB))
            for _ in range(50 * 16):
                peer.writer.write(bytes(MIB // 16))
                await peer.writer.drain()
        await peer.writer.wait_closed()


@asynccontextmanager
async def running(url: str, ca: Authority) -> AsyncIterator[tuple[str, int]]:
    """A proxy's URL and process id."""
    async with new_cognito().running() as cognito_url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "proxy", "serve", "--listen", "127.0.0.1:0", "--log-format", "text"),
            env=guarded_environment(
                UL_PROXY_USERNAME=USERNAME,
                UL_PROXY_PASSWORD=PASSWORD,
                UL_PROXY_COGNITO__ENDPOINT_URL=cognito_url,
                UL_PROXY_UPSTREAMS__REST=url,
                UL_PROXY_UPSTREAMS__CA_FILE=str(ca.file),
                UL_PROXY_BUFFER_LIMIT=f"{LIMIT} MiB",
                UL_PROXY_TIMEOUTS__DRAIN="0.1s",
            ),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            yield (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().split()[-1], process.pid
        finally:
            process.terminate()
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def height(pid: int) -> float:
    """MiB at the highest, once that grows no more."""
    highest, since = 0.0, 0
    while since < 5:
        await asyncio.sleep(0.1)
        before, highest = highest, memory(pid, "VmHWM")
        since = 0 if highest > before + 0.1 else since + 1
    return highest


async def cost(url: str, pid: int, sent: bytes) -> float:
    """MiB by which a proxy grows for callers who send a request and read no answer."""
    async with caller(url) as peer:
        await peer.send(DOWNLOAD)
        await peer.exactly(1000)
    await height(pid)
    forget_peak(pid)
    before = memory(pid)
    peers = []
    sending = []
    for _ in range(CALLERS):
        peers.append(Peer(*await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), limit=1024)))
        sending.append(asyncio.create_task(peers[-1].send(sent)))
    if sent == DOWNLOAD:
        await asyncio.gather(*sending, *(peer.exactly(1000) for peer in peers))
    grown = await height(pid) - before
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    for peer in peers:
        peer.writer.transport.abort()
    return grown


@pytest.mark.parametrize(("secure", "each"), [(False, 64), (True, 128)])
async def test_slow_readers(secure: bool, each: int, ca: Authority) -> None:
    """Each of many readers who read nothing costs no more than so many KiB."""
    tls = ca.server("127.0.0.1") if secure else None
    async with upstream(pour_or_take_nothing, tls=tls) as origin, running(origin.url, ca) as (url, pid):
        assert await cost(url, pid, DOWNLOAD) * 1024 / CALLERS <= each


async def test_stalled_uploads(ca: Authority) -> None:
    """Uploads that nobody takes stay within `buffer_limit`, but for what their connections cost."""
    async with upstream(pour_or_take_nothing) as origin, running(origin.url, ca) as (url, pid):
        assert await cost(url, pid, UPLOAD) <= LIMIT + CALLERS * 32 / 1024
