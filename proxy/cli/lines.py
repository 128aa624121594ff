"""Lines that a person types, waited for without holding up the event loop: Ctrl-C then ends the waiting by itself."""

import asyncio
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 1 << 16
_LFLAG = 3
"""Where `termios.tcgetattr` has the local modes."""


class InputEnded(Exception):
    """There is nothing more to read."""


class Lines:
    """The lines of a file descriptor: a terminal, a pipe or a file."""

    def __init__(self, descriptor: int | None) -> None:
        """None stands for an input that is closed."""
        self._descriptor = descriptor
        self._read = b""

    async def next(self) -> str:
        """The next line without its end; raises InputEnded."""
        while b"\n" not in self._read:
            data = await self._more()
            if not data:
                if not self._read:
                    raise InputEnded
                break
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line.removesuffix(b"\r").decode("utf-8", "replace")

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Inside, a terminal does not show what is typed. What was typed ahead is dropped: it might have been shown."""
        descriptor = -1 if self._descriptor is None else self._descriptor
        try:
            before = termios.tcgetattr(descriptor)
        except (termios.error, ValueError):  # no terminal, so nothing is shown
            yield
            return
        silent = [*before[:_LFLAG], before[_LFLAG] & ~termios.ECHO, *before[_LFLAG + 1 :]]
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, silent)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)

    async def _more(self) -> bytes:
        descriptor = self._descriptor
        if descriptor is None or len(self._read) > _LONGEST:
            return b""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            loop.add_reader(descriptor, readable.set)
        except PermissionError:  # a file, which always is
            return os.read(descriptor, _LONGEST)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
        try:
            return os.read(descriptor, _LONGEST)
        except OSError:  # the terminal has gone
            return b""
