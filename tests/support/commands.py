"""Commands of ul-proxy as processes, in an environment whose Cognito is on loopback."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.environment import guarded_environment

PATIENCE = 45.0


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    out: str
    err: str


def settings_for(folder: Path, cognito_url: str, **more: str) -> dict[str, str]:
    """An environment without a login, in which Cognito is at `cognito_url` and everything is kept below `folder`."""
    return guarded_environment(
        HOME=str(folder),
        XDG_CONFIG_HOME=str(folder / "config"),
        XDG_STATE_HOME=str(folder / "state"),
        UL_PROXY_LISTEN="127.0.0.1:0",
        UL_PROXY_COGNITO__ENDPOINT_URL=cognito_url,
        # Whatever keyring this machine has is not for tests.
        PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring",
        **more,
    )


async def ul_proxy(*argv: str, env: Mapping[str, str], cwd: Path, typed: str | None = None) -> Outcome:
    """Run a command to its end; `typed` is what its input holds, which is empty otherwise."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        *argv,
        env=dict(env),
        cwd=cwd,
        stdin=DEVNULL if typed is None else PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(None if typed is None else typed.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())


def kept_in(folder: Path) -> list[str]:
    """The names of the files that hold a session, or anything else, in the place where `auto` has them."""
    return sorted(path.name for path in (folder / "state").rglob("*") if path.is_file() and path.stat().st_size)
