"""The lines that `make demo` prints to be pasted, pasted."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from support.machine import program
from support.shell import PATIENCE, Shell
from support.shell_blocks import Command

LAST = "/-/status"
"""In the last of the lines."""
AT_ANY_PORT = {"UL_PROXY_LISTEN": "127.0.0.1:0"}


@pytest.fixture(params=["uvloop", "asyncio"])
def environment(request: pytest.FixtureRequest, shell: Shell, tmp_path: Path) -> dict[str, str]:
    """Variables with which the sandbox listens at any port, on each event loop: uvloop is one that can be missing."""
    if request.param == "uvloop":
        return AT_ANY_PORT
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "uvloop.py").write_text("raise ImportError")
    return AT_ANY_PORT | {"PYTHONPATH": f"{tmp_path / 'without'}{os.pathsep}{shell.environment['PYTHONPATH']}"}


async def test_every_line_answers(environment: dict[str, str], shell: Shell) -> None:
    """Each line gets an answer in JSON, with a good status."""
    for name in ("bash", "make", "curl"):
        program(name)
    async with shell.left_running(Command("README.md", "make demo", (), ()), **environment) as running:
        lines = await printed_to_be_pasted(running.process)
        assert len(lines) > 5
        for line in lines:
            assert json.loads(await shell.run(Command("make demo", f"{line} --fail", (), ())))


async def printed_to_be_pasted(process: asyncio.subprocess.Process) -> list[str]:
    """The lines for curl below the banner."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while not lines or LAST not in lines[-1]:
            line = (await process.stdout.readline()).decode()
            assert line, f"it ended after {lines}"
            if line.startswith("    curl "):
                lines.append(line.strip())
    return lines
