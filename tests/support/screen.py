"""A real pseudo-terminal with a command on it, ours as a rule, and somebody who reads and types."""

import asyncio
import fcntl
import os
import pty
import sys
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

PATIENCE = 30.0
CTRL_C, CTRL_D = "\x03", "\x04"
OURS = (sys.executable, "-m", "proxy")


class Screen:
    """What a terminal shows, and its keyboard."""

    def __init__(self, master: int, process: Process) -> None:
        self.text = ""
        self.process = process
        self._master = master
        self._at = 0
        self._changed = asyncio.Event()
        self._closed = False

    async def sees(self, text: str) -> str:
        """Wait until `text` is shown after what was seen before; returns everything up to it."""
        while text not in self.text[self._at :]:
            if self._closed:
                pytest.fail(f"the terminal was closed before {text!r} was shown:\n{self.text}")
            await self._change(text)
        end = self.text.index(text, self._at) + len(text)
        found, self._at = self.text[self._at : end], end
        return found

    def types(self, text: str) -> None:
        """Type `text` and press return."""
        self.presses(text + "\n")

    def presses(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    async def ended(self) -> int:
        """The exit status, once everything has been shown."""
        while not self._closed:
            await self._change("the end")
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def _change(self, wanted: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"waited in vain for {wanted!r}:\n{self.text}")
        self._changed.clear()

    def read(self) -> None:
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # nobody has the other end any more
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
            self._closed = True
        self.text += data.decode("utf-8", "replace").replace("\r\n", "\n")
        self._changed.set()


@asynccontextmanager
async def terminal(
    *argv: str, env: Mapping[str, str], cwd: Path, program: Sequence[str] = OURS
) -> AsyncIterator[Screen]:
    """`ul-proxy ARGV`, or another program, on a terminal of its own, which is closed at the end."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *program,
        *argv,
        env=dict(env),
        cwd=cwd,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # The terminal that Ctrl-C is typed at must be the process's own.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    screen = Screen(master, process)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, screen.read)
    try:
        yield screen
    finally:
        loop.remove_reader(master)
        os.close(master)
        if process.returncode is None:
            process.kill()
        await process.wait()
