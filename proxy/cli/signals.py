"""What SIGTERM and SIGINT do to a command, from its first moment to its last.

| from                    | a signal                                                                                |
|-------------------------|-----------------------------------------------------------------------------------------|
| `catch`                 | ends the process there and then, whatever it is doing                                   |
| inside `heard`          | is told to the command, which brings what it does to an end                             |
| `settle`                | ends the process with the status that it has come to                                    |
| the end of all threads  | does nothing: the process has ended but for what Python tidies up                       |

What comes after `heard`, within half a second of a signal that was told, is the same one again and does nothing: the
command is ending, and its last lines are on their way.

Commands that run until they are told to end then end with 0. Every other command was asked for something: it ends with
1 and a sentence on stderr, so that nobody takes what it has not printed for its answer.

A SIGINT that is ignored when the process begins stays ignored: a shell has it so for what a script starts with `&`.

This is loaded before everything else, and loads little: until then a signal does what it does to any Python program.
No handler raises an exception: that could come up in the midst of an import, or where Python swallows it.
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # `typing` takes longer to load than all that is imported here
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import NoReturn

CAUGHT = (signal.SIGTERM, signal.SIGINT)
UNTIL_TOLD = frozenset({"serve", "demo"})
"""The commands that run until they are told to end."""
LEFT = {
    "check": "what is not shown was not tried",
    "completion": "the script is not whole",
    "config": "the settings are not shown",
    "credentials": "there are no credentials",
    "login": "nobody is signed in, and nothing was kept",
    "logout": "the session may still be kept; run it again",
    "status": "the proxy has not been heard",
    "stop": "the proxy may go on draining; it does not take it back",
    "token": "there is no token",
    "wait": "the proxy is not ready",
}
"""How all others leave things where a signal ends them."""
_AGAIN = 0.5
"""Seconds from which on a further signal is a person who insists: terminals, shells and supervisors often send two."""


class _Ending:
    """How the process ends where a signal ends it now."""

    status = 1
    sentence = ""
    tell: Callable[[int], object] | None = None
    """Is told the number of a signal, in place of that end."""
    deaf_until = 0.0
    """Until when a signal is the one that was told, and comes again."""


_ending = _Ending()


def with_command(argv: Sequence[str]) -> Sequence[str]:
    """The arguments with the command in front: without one it is `serve`."""
    named = argv and (not argv[0].startswith("-") or argv[0] in ("-h", "--help", "--version"))
    return argv if named else ["serve", *argv]


def catch(argv: Sequence[str]) -> None:
    """Have signals end this process, which runs the command of `argv`, as they are to end that."""
    command = with_command(argv)[0]
    if command in UNTIL_TOLD:
        settle(0)
    else:
        left = LEFT.get(command)
        _ending.sentence = "ul-proxy: interrupted" + (f": {left}." if left else ".")
    atexit.register(_ignore)
    for number in CAUGHT:
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGINT:
            signal.signal(number, _signalled)


def settle(status: int) -> None:
    """Have a signal from now on end the process with `status`, silently."""
    _ending.status, _ending.sentence = status, ""


@contextmanager
def heard(tell: Callable[[int], object], *, now: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Inside, `tell` is called with the number of each signal, in the main thread and between any two instructions."""

    def on_signal(number: int) -> None:
        _ending.deaf_until = now() + _AGAIN
        tell(number)

    _ending.tell = on_signal
    try:
        yield
    finally:
        _ending.tell = None


@contextmanager
def heard_once(
    interrupt: Callable[[], None], *, now: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[], bool]]:
    """Inside, the first signal calls `interrupt`, and who insists ends the process. Yields whether one has come."""
    first: float | None = None

    def tell(_: int) -> None:
        nonlocal first
        if first is None:
            first = now()
            interrupt()
        elif now() - first > _AGAIN:
            end()

    with heard(tell):
        yield lambda: first is not None


def end() -> NoReturn:
    """End the process as a signal ends it. No thread is waited for: nobody knows what it is blocked in."""
    sentence, _ending.sentence = _ending.sentence, ""
    if sentence:
        with suppress(OSError):  # nobody has stderr any more
            os.write(2, f"\n{sentence}\n".encode())
    os._exit(_ending.status)


def _signalled(number: int, _: object) -> None:
    tell = _ending.tell  # once: another thread may be about to change it
    if tell is not None:
        tell(number)
    elif time.monotonic() > _ending.deaf_until:
        end()


def _ignore() -> None:
    for number in CAUGHT:
        signal.signal(number, signal.SIG_IGN)
