"""A shell of its own for what the pages tell people to type: a clone of the repository, and a home."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from support.environment import ROOT, guarded_environment
from support.origin import Origin
from support.shell_blocks import Command, shows
from support.stack import PASSWORD, SIGNER

PATIENCE = 60.0
USERNAME = "me@example.com"
"""The user of the pages."""
SIGNED_IN = {"UL_PROXY_USERNAME": USERNAME, "UL_PROXY_PASSWORD": PASSWORD}
LISTENING = r"listens on (\S+)|\"urls\": \[\"([^\"]+)"


@dataclass
class Running:
    """A command that goes on. `url` is where it listens."""

    process: asyncio.subprocess.Process
    by_make: bool
    printed: list[str] = field(default_factory=list)
    url: str = ""

    async def listens(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode():
                self.printed.append(line)
                if found := re.search(LISTENING, line):
                    self.url = found[1] or found[2]
                    return
        pytest.fail("it ended without listening:\n" + "".join(self.printed))

    async def end(self) -> None:
        """SIGTERM, after which it must end in order, and with 0, unless it is make that ends."""
        assert self.process.stdout is not None
        os.killpg(self.process.pid, signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            self.printed += (await self.process.stdout.read()).decode().splitlines(keepends=True)
            status = await self.process.wait()
        printed = "".join(self.printed)
        assert status == (-signal.SIGTERM if self.by_make else 0), printed
        assert "stopped" in self.printed[-1], printed


@dataclass(frozen=True, slots=True)
class Shell:
    """Where commands are typed."""

    environment: dict[str, str]
    folder: Path

    @asynccontextmanager
    async def typed(self, command: Command, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A command while it runs, after what the page did before; nothing of it is left at the end."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", "\n".join([*command.before, command.text])),
            env={**self.environment, **more},
            cwd=self.folder,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    @asynccontextmanager
    async def left_running(self, command: Command, **more: str) -> AsyncIterator[Running]:
        async with self.typed(command, **more) as process:
            running = Running(process, command.text.startswith("make "))
            await running.listens()
            yield running
            await running.end()

    async def run(self, command: Command, **more: str) -> str:
        """To its end, which must be good, and with the output that the page shows; all of that is returned."""
        async with self.typed(command, **more) as process, asyncio.timeout(PATIENCE):
            out = (await process.communicate())[0].decode()
        assert process.returncode == 0, f"{command} ended with {process.returncode}:\n{out}"
        missing = [line for line in command.printed if not shows(line, out)]
        assert missing == [], f"{command} printed:\n{out}"
        return out


@pytest.fixture
async def shell(tmp_path: Path, origin: Origin) -> AsyncIterator[Shell]:
    """A clone of the repository with its environment made, and a home. Cognito knows USERNAME; `origin` is the API."""
    clone, home, run = (tmp_path / name for name in ("clone", "home", "run"))
    for folder in (clone, home, run):
        folder.mkdir()
    for path in ROOT.iterdir():
        if not path.name.startswith("."):
            (clone / path.name).symlink_to(path)
    (clone / ".venv").mkdir()
    (clone / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (clone / ".venv" / ".runtime").touch()
    (home / ".unleash-live-password").write_text(PASSWORD)
    (home / ".unleash-live-password").chmod(0o600)
    environment = guarded_environment(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_STATE_HOME=str(home / "state"),
        XDG_RUNTIME_DIR=str(run),
        UL_PROXY_UPSTREAMS__REST=origin.url,
        PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring",
    )
    # Who runs the tests by make has that make's flags and variables, and who has entered an environment has its prompt.
    left_out = ("MAKE", "MFLAGS", "VENV", "VIRTUAL_ENV", "PYTHONHOME")
    for name in [name for name in environment if name.startswith(left_out)]:
        del environment[name]
    async with EmbeddedCognito(PoolConfig(), [User(USERNAME, PASSWORD)], signer=SIGNER).running() as url:
        yield Shell(environment | {"UL_PROXY_COGNITO__ENDPOINT_URL": url}, clone)
