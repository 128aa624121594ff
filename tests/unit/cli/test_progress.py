"""The line that says what is waited for: on a terminal, and only where there is something to wait for."""

import io
import os
import pty
import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from proxy.cli.progress import Waiting

PATIENCE = 20.0
ERASE = "\r\x1b[K"


class Glass:
    """A terminal, and all that it was sent."""

    def __init__(self, master: int, stream: TextIO) -> None:
        self.stream = stream
        self.sent = ""
        self._master = master

    def sees(self, text: str) -> None:
        """Wait until the terminal was sent `text`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._master, selectors.EVENT_READ)
            end = time.monotonic() + PATIENCE
            while text not in self.sent:
                assert selector.select(end - time.monotonic()), f"waited in vain for {text!r}: {self.sent!r}"
                self.sent += os.read(self._master, 1 << 16).decode()

    def rest(self) -> str:
        """What else was sent."""
        seen = len(self.sent)
        self.stream.write("<end>")
        self.stream.flush()
        self.sees("<end>")
        return self.sent[seen:].removesuffix("<end>")


@contextmanager
def glass() -> Iterator[Glass]:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        yield Glass(master, stream)
    os.close(master)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_shows_and_leaves_no_trace() -> None:
    """The text and the seconds so far are shown on one line, which is taken back in the end."""
    with glass() as terminal:
        with Waiting("waiting for it", terminal.stream, delay=0.0):
            terminal.sees(f"{ERASE}waiting for it (0 s)")
        assert terminal.rest().endswith(ERASE)
    assert "waiting" not in threads()


def test_says_something_else() -> None:
    """What is shown next is what was said last; what a terminal would act on is spelt out."""
    with glass() as terminal, Waiting("one", terminal.stream, delay=0.0) as progress:
        terminal.sees("one (")
        progress.say("two\x1b[2J\n")
        terminal.sees(rf"{ERASE}two\x1b[2J\n (")


def test_nothing_of_what_is_quick() -> None:
    """Nothing is shown of what has ended before anybody could wonder."""
    with glass() as terminal:
        with Waiting("waiting", terminal.stream, delay=PATIENCE):
            pass
        assert terminal.rest() == ""


def test_makes_way() -> None:
    """While somebody else writes, the line is gone; then it comes back, counting anew."""
    with glass() as terminal, Waiting("waiting", terminal.stream, delay=0.0) as progress:
        terminal.sees("waiting (")
        progress.pause()
        terminal.stream.write("Password: ")
        terminal.stream.flush()
        terminal.sees("Password: ")
        assert terminal.sent.endswith(f"{ERASE}Password: ")
        assert terminal.rest() == ""
        progress.resume()
        terminal.sees(f"{ERASE}waiting (0 s)")


def test_on_one_line() -> None:
    """A text that is longer than the terminal is wide is cut off: more than one line could not be taken back."""
    with glass() as terminal, Waiting("x" * 1000, terminal.stream, delay=0.0):
        terminal.sees("x" * 79)
    assert "x" * 80 not in terminal.sent


def test_nothing_elsewhere() -> None:
    """In a file or a pipe there is nothing, and no thread."""
    stream = io.StringIO()
    with Waiting("waiting", stream, delay=0.0) as progress:
        progress.pause()
        progress.resume()
        assert "waiting" not in threads()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("term", ["dumb"])
def test_nothing_on_a_dumb_terminal(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where a line cannot be taken back."""
    monkeypatch.setenv("TERM", term)
    with glass() as terminal:
        with Waiting("waiting", terminal.stream, delay=0.0):
            assert "waiting" not in threads()
        assert terminal.rest() == ""


def test_a_terminal_that_goes() -> None:
    """That nobody looks any more stops nothing."""
    master, slave = pty.openpty()
    stream = os.fdopen(slave, "w")
    with Waiting("waiting", stream, delay=0.0) as progress:
        os.close(master)
        progress.pause()
        progress.resume()
    with pytest.raises(OSError, match="[Ii]nput/output"):
        stream.close()
