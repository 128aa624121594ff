"""Small writes that go out one behind the other, once the event loop's turn is over.

A peer that sleeps is woken by the write that finds it asleep, which costs the writer more than all else that it does
for a small message. Written between two readings, each message finds its peer asleep again; written in a row, most
find it awake. It pays where many exchanges are under way at once: a lone one would only wait.
"""

from collections.abc import Callable

CROWD = 6
"""Exchanges under way from which on writes are held."""
SMALL = 64 * 1024
"""Bytes of the largest message that is held."""


class WriteBatcher:
    """Holds writes until the end of the turn. Nobody may write or close elsewhere what has a write in here."""

    __slots__ = ("_call_soon", "_held", "busy")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """`call_soon` is the event loop's."""
        self._call_soon = call_soon
        self._held: list[Callable[[], None]] = []
        self.busy = 0
        """How many exchanges are under way; those who begin and end them count."""

    def takes(self, size: int) -> bool:
        """Whether a message of `size` bytes is to be held."""
        return self.busy >= CROWD and size <= SMALL

    def put(self, write: Callable[[], None]) -> None:
        """Call `write` at the end of the turn, behind those that were put here before."""
        if not self._held:
            self._call_soon(self._flush)
        self._held.append(write)

    def _flush(self) -> None:
        held, self._held = self._held, []
        for write in held:
            write()
