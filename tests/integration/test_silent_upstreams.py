"""Upstreams that fall silent, whose packets are lost from some moment on: in networks made for that."""

import asyncio
import json
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from functools import cache

import pytest
from support.environment import ROOT, guarded_environment
from support.wire import PATIENCE

ALONE = ("unshare", "--net", "--map-root-user")
"""A network with nothing in it but a loopback of its own, and the rights to lose packets there."""


@cache
def lacking() -> str:
    """Why there can be no such network, "" where there can."""
    if sys.platform != "linux":
        return "needs Linux's network namespaces"
    try:
        tried = subprocess.run([*ALONE, "ip", "rule", "show"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "needs unshare"
    return "" if not tried.returncode else f"needs a network namespace and ip: {tried.stderr.strip()}"


async def told(connections: int, patience: float, loop: str) -> dict[str, float]:
    environment = guarded_environment()
    environment["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
    process = await asyncio.create_subprocess_exec(
        *(*ALONE, sys.executable, "-m", "support.silence", "--loop", loop),
        *("--connections", str(connections), "--patience", str(patience)),
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert not errors, errors.decode()
    found: dict[str, float] = json.loads(out)
    return found


async def test_connections_that_die_silently() -> None:
    """GETs on them are sent again elsewhere, all of them about as soon as the first, and tunnels end as well."""
    if why := lacking():
        pytest.skip(why)
    for found in await asyncio.gather(*(told(20, 2.0, loop) for loop in ("asyncio", "uvloop"))):
        assert 1.5 < found["answered"] < 8
        assert 1.5 < found["tunnel_ended"] < 8
        assert 1.5 < found["spoken_to_ended"] < 8
