"""What signals do to this process while it stands for a command."""

import atexit
import os
import signal
import time
from collections.abc import Iterator

import pytest

from proxy.cli import signals
from proxy.cli.manual import COMMANDS


class Ended(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests' own handlers afterwards, and no process that ends."""

    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(atexit, "register", lambda _: None)
    before = {number: signal.getsignal(number) for number in signals.CAUGHT}
    yield
    signals.settle(1)
    signals._ending.deaf_until = 0.0
    for number, handler in before.items():
        signal.signal(number, handler)


def sent(number: signal.Signals = signal.SIGTERM) -> int | None:
    """The status that a signal ends the process with; None where it does not."""
    try:
        os.kill(os.getpid(), number)
    except Ended as ended:
        (status,) = ended.args
        assert isinstance(status, int)
        return status
    return None


def test_every_command_has_an_end() -> None:
    """Each command either runs until it is told to end, or is known to leave something undone."""
    assert set(COMMANDS) == signals.UNTIL_TOLD | set(signals.LEFT)
    assert signals.UNTIL_TOLD.isdisjoint(signals.LEFT)


@pytest.mark.parametrize("number", signals.CAUGHT)
@pytest.mark.parametrize(
    ("argv", "status", "sentence"),
    [
        ([], 0, ""),
        (["--listen", "127.0.0.1:1"], 0, ""),
        (["serve"], 0, ""),
        (["demo", "--log-level", "debug"], 0, ""),
        (["token"], 1, "\nul-proxy: interrupted: there is no token.\n"),
        (["config", "serve"], 1, "\nul-proxy: interrupted: the settings are not shown.\n"),
        (["--help"], 1, "\nul-proxy: interrupted.\n"),
        (["tokne"], 1, "\nul-proxy: interrupted.\n"),
    ],
)
def test_ends(
    argv: list[str], status: int, sentence: str, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """A signal ends what runs until it is told to with 0, silently, and everything else with 1 and a sentence."""
    signals.catch(argv)
    assert sent(number) == status
    assert capfd.readouterr() == ("", sentence)


def test_settled(capfd: pytest.CaptureFixture[str]) -> None:
    """Once the status is settled a signal changes nothing about it, and says nothing."""
    signals.catch(["token"])
    signals.settle(0)
    assert sent() == 0
    assert capfd.readouterr() == ("", "")


def test_ignored_sigint_stays_ignored() -> None:
    """What a shell starts in the background of a script hears SIGTERM alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.catch(["serve"])
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert sent(signal.SIGINT) is None
    assert sent(signal.SIGTERM) == 0


def test_heard() -> None:
    """A command that listens is told of every signal, and of none once it no longer listens."""
    signals.catch(["serve"])
    told: list[int] = []
    with signals.heard(told.append, now=lambda: time.monotonic() - 1):
        assert [sent(number) for number in (signal.SIGINT, signal.SIGTERM)] == [None, None]
    assert told == [signal.SIGINT, signal.SIGTERM]
    assert sent() == 0


def test_the_same_one_again() -> None:
    """What comes within a moment of a signal that was told is that one, and ends nobody who is just ending."""
    signals.catch(["serve"])
    with signals.heard(lambda _: None):
        assert sent() is None
    assert sent() is None


def test_heard_once() -> None:
    """The first signal interrupts, those of the next moment count as the same one, and a later one ends the process."""
    signals.catch(["token"])
    interrupts: list[str] = []
    clock = iter((100.0, 100.1, 100.4, 100.6))
    with signals.heard_once(lambda: interrupts.append("now"), now=lambda: next(clock)) as interrupted:
        assert not interrupted()
        assert [sent() for _ in range(4)] == [None, None, None, 1]
        assert interrupted()
    assert interrupts == ["now"]


def test_stderr_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can be told the process ends all the same."""

    def write(_fd: int, _data: bytes) -> int:
        raise BrokenPipeError

    signals.catch(["token"])
    monkeypatch.setattr(os, "write", write)
    assert sent() == 1


def test_stderr_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the sentence waits for a reader for ever, the next signal ends the process."""
    signals.catch(["token"])
    monkeypatch.setattr(os, "write", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert sent() == 1
