"""`ul-proxy serve` as a process, and what it prints."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

PATIENCE = 30.0


@dataclass(slots=True)
class Served:
    """A running `ul-proxy serve` and what it printed so far."""

    process: Process
    printed: list[str] = field(default_factory=list)

    async def line(self, pattern: str) -> str:
        """The next line that matches; fails when the process ends without one."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while text := (await self.process.stdout.readline()).decode():
                self.printed.append(text)
                if re.search(pattern, text):
                    return text
        errors = await self._errors()
        pytest.fail(f"no line with {pattern!r} before the end: {self.printed} {errors}")

    async def message(self, pattern: str) -> dict[str, Any]:
        """The next JSON line whose text matches."""
        parsed: dict[str, Any] = json.loads(await self.line(pattern))
        return parsed

    async def ended(self) -> tuple[int, str]:
        """The exit status and stderr, once the process has ended."""
        async with asyncio.timeout(PATIENCE):
            assert self.process.stdout is not None
            self.printed += (await self.process.stdout.read()).decode().splitlines(keepends=True)
            errors = await self._errors()
            return await self.process.wait(), errors

    async def _errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@asynccontextmanager
async def serving(settings: dict[str, str], *flags: str) -> AsyncIterator[Served]:
    """A process that is killed at the end of the test, if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        "serve",
        *flags,
        env=dict(settings),
        cwd=settings["HOME"],
        stdout=PIPE,
        stderr=PIPE,
    )
    served = Served(process)
    try:
        yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def url_of(served: Served) -> str:
    (url,) = (await served.message('"listening"'))["urls"]
    return str(url)
