"""`ul-proxy serve` as a process of its own."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from support.environment import guarded_environment

PATIENCE = 30.0

COMMANDS = {
    "uvloop": ("-m", "proxy"),
    "asyncio": ("-c", "import sys; sys.modules['uvloop'] = None; from proxy.__main__ import main; sys.exit(main())"),
}
"""What Python is told to run, by the event loop that the proxy then runs on."""


def this_loop() -> str:
    """Which of these the test itself runs on."""
    return "uvloop" if isinstance(asyncio.get_running_loop(), uvloop.Loop) else "asyncio"


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


def isolated_settings(home: Path, closed_url: str) -> dict[str, str]:
    """An environment in which neither Cognito nor any upstream can be reached, and nothing of the machine's is read."""
    places = {f"UL_PROXY_UPSTREAMS__{name}": closed_url for name in ("REST", "GRAPHQL", "FLIGHTS_CDN", "LIBRARY_CDN")}
    return guarded_environment(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_STATE_HOME=str(home / "state"),
        UL_PROXY_LISTEN="127.0.0.1:0",
        UL_PROXY_COGNITO__ENDPOINT_URL=closed_url,
        **places,
    )


@asynccontextmanager
async def serving(
    settings: dict[str, str],
    *flags: str,
    loop: str = "uvloop",
    launcher: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[Served]:
    """A process that is killed at the end of the test, if it still runs; `launcher` is a program that becomes it."""
    process = await asyncio.create_subprocess_exec(
        *launcher,
        sys.executable,
        *COMMANDS[loop],
        "serve",
        *flags,
        env=settings,
        cwd=settings["HOME"],
        stdout=PIPE,
        stderr=PIPE,
        pass_fds=pass_fds,
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
