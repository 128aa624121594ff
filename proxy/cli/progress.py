"""A line that says what is waited for, on a terminal, once that takes a while. It leaves no trace."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any, Generic, TextIO, TypeVar

_PATIENCE = 1.0
"""Seconds before anything is said, and between two words."""
_ERASE = "\r\x1b[K"

T = TypeVar("T")


def colourful(stream: TextIO) -> bool:
    """Whether colours are welcome (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at it who can be shown a line and have it taken away."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Progress(Generic[T]):
    """Waits for tasks, visibly where both streams are the terminal that somebody looks at."""

    def __init__(
        self,
        words: Callable[[T, int], str],
        *,
        output: TextIO | None = None,
        sink: TextIO | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        """`words(what, seconds)` is the line, which goes to `sink`; what is waited for goes to `output`.

        They are stderr and stdout unless told otherwise.
        """
        self._words = words
        self._sink = sink or sys.stderr
        self._patience = patience
        self._shown = is_terminal(output or sys.stdout) and is_terminal(self._sink)

    async def watch(self, what: T, task: "asyncio.Task[Any]") -> None:
        """Return once `task` has ended."""
        loop = asyncio.get_running_loop()
        began, said = loop.time(), False
        try:
            while not (await asyncio.wait((task,), timeout=self._patience if self._shown else None))[0]:
                self._write(_ERASE + self._words(what, int(loop.time() - began)))
                said = True
        finally:
            if said:
                self._write(_ERASE)

    def _write(self, text: str) -> None:
        self._sink.write(text)
        self._sink.flush()
