"""Printing, whatever a process was given for its streams."""

import io
import os
import sys
from pathlib import Path

import pytest

from proxy.cli.streams import Nowhere, put_out, settle
from proxy.errors import StartError


def test_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked for is printed as a line of its own."""
    put_out("a token")
    assert capsys.readouterr() == ("a token\n", "")


def test_closed_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take whatever a log writes to them, but what was asked for is not lost quietly."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    settle()
    assert isinstance(sys.stdout, Nowhere)
    assert isinstance(sys.stderr, Nowhere)
    print("a log line", file=sys.stderr)
    assert sys.stdout.isatty() is False
    with pytest.raises(StartError, match="stdout is closed"):
        put_out("a token")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, *, buffered: bool) -> None:
    """What could not be written is told once: nothing is left that would fail again when the program ends."""
    with Path("/dev/full").open("wb") as raw, io.TextIOWrapper(raw, write_through=not buffered) as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(StartError, match="stdout cannot be written to: No space left on device"):
            put_out("a token")


def test_a_reader_that_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that nobody reads is no error of its own: `head` leaves like that."""
    read, write = os.pipe()
    os.close(read)
    gone = os.fdopen(write, "w")
    monkeypatch.setattr(sys, "stdout", gone)
    with pytest.raises(BrokenPipeError):
        put_out("a token")
    with pytest.raises(BrokenPipeError):
        gone.close()


def test_letters_that_a_terminal_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are shown by their numbers."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    settle()
    put_out("漢")
    assert raw.getvalue() == b"\\u6f22\n"
