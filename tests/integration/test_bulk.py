"""Large bodies through a proxy in a process of its own, whose memory is watched."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.environment import guarded_environment
from support.stack import PASSWORD, USERNAME, new_cognito

from proxy.demo.server import running

MIB = 1 << 20
SIZE = 200 * MIB
BLOCK = bytes(range(256)) * 256
GROWTH_LIMIT = 24 * MIB


def memory_of(pid: int, field: str) -> int:
    """`VmRSS` or `VmHWM` (the highest so far) of a process, in bytes."""
    rows = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in row)
    return int(rows[field].split()[0]) * 1024


async def blocks() -> AsyncIterator[bytes]:
    for _ in range(SIZE // len(BLOCK)):
        yield BLOCK


def expected_digest() -> str:
    digest = hashlib.sha256()
    for _ in range(SIZE // len(BLOCK)):
        digest.update(BLOCK)
    return digest.hexdigest()


def bulk_app(received: dict[str, str]) -> web.Application:
    async def down(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(SIZE)})
        await response.prepare(request)
        async for block in blocks():
            await response.write(block)
        return response

    async def up(request: web.Request) -> web.Response:
        digest = hashlib.sha256()
        async for chunk in request.content.iter_any():
            digest.update(chunk)
        received["digest"] = digest.hexdigest()
        return web.Response()

    async def small(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/blob", down)
    app.router.add_put("/v1/blob", up)
    app.router.add_get("/v1/small", small)
    return app


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's memory from /proc")
async def test_200_mb_each_way_arrive_whole_in_constant_memory() -> None:
    """200 MB down and 200 MB up have the same SHA-256 at both ends, and the proxy grows by less than 24 MB."""
    received: dict[str, str] = {}
    async with new_cognito().running() as cognito_url, running(bulk_app(received)) as upstream_url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "proxy", "serve", "--listen", "127.0.0.1:0", "--log-format", "text"),
            env=guarded_environment(
                UL_PROXY_USERNAME=USERNAME,
                UL_PROXY_PASSWORD=PASSWORD,
                UL_PROXY_COGNITO__ENDPOINT_URL=cognito_url,
                UL_PROXY_UPSTREAMS__REST=upstream_url,
            ),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            url = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().split()[-1]
            async with aiohttp.ClientSession() as session:
                async with session.get(url + "/v1/small") as response:
                    assert response.status == 200
                before = memory_of(process.pid, "VmRSS")
                digest = hashlib.sha256()
                async with session.get(url + "/v1/blob") as response:
                    async for chunk in response.content.iter_any():
                        digest.update(chunk)
                async with session.put(url + "/v1/blob", data=blocks()) as response:
                    assert response.status == 200
            assert digest.hexdigest() == received["digest"] == expected_digest()
            assert memory_of(process.pid, "VmHWM") - before < GROWTH_LIMIT
        finally:
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 20) == 0
