"""One line on a terminal that says what is waited for, once that takes longer than a second."""

import os
import sys
import threading
import time
from contextlib import suppress
from typing import TextIO

from proxy.observe.logs import printable
from proxy.settings import bears_control_sequences

DELAY = 1.0
"""Seconds before anything is shown: what is quick needs no words."""
_TICK = 1.0
_ERASE = "\r\x1b[K"


class Waiting:
    """Inside this context, `text` and the seconds so far, on a line that leaves no trace. Elsewhere than on a terminal,
    nothing.

    It is drawn by a thread of its own, so that it works beside code that blocks and beside an event loop.
    """

    def __init__(self, text: str, stream: TextIO | None = None, *, delay: float = DELAY) -> None:
        """`stream` is stderr if there is none: stdout is for what a command was asked for."""
        self._text = text
        self._stream = stream if stream is not None else sys.stderr
        self._delay = delay
        self._changed = threading.Condition()
        self._began = time.monotonic()
        self._since: float | None = self._began
        """Since when there is something to wait for; None while there is not."""
        self._drawn = False
        self._ended = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Waiting":
        if _is_terminal(self._stream):
            self._began = self._since = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="waiting", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        with self._changed:
            self._ended = True
            self._erase()
            self._changed.notify()
        self._thread.join()

    def say(self, text: str) -> None:
        """Show another text from now on."""
        with self._changed:
            self._text = text

    def pause(self) -> None:
        """Show nothing: somebody else writes to the terminal."""
        with self._changed:
            self._since = None
            self._erase()

    def resume(self) -> None:
        """There is something to wait for again."""
        with self._changed:
            self._began = self._since = time.monotonic()
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._ended:
                if self._since is None:
                    self._changed.wait()
                elif (left := self._since + self._delay - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._draw()
                    self._changed.wait(_TICK)

    def _draw(self) -> None:
        text = printable(f"{self._text} ({time.monotonic() - self._began:.0f} s)")
        self._write(_ERASE + text[: _columns(self._stream) - 1])
        self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            self._write(_ERASE)
            self._drawn = False

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the terminal has gone, and what is waited for has not
            self._stream.write(text)
            self._stream.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a line can be drawn there, and taken back."""
    return stream is not None and stream.isatty() and bears_control_sequences()


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80
