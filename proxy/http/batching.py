"""Batch small writes at the end of the event loop's turn.

A write to a process that sleeps wakes it, which costs the writer more than all else that it does for a small message.
Writes between two readings find the peer asleep again each time; of writes in a row, most find it awake. That pays when
many exchanges are under way at once: a single one would only wait.
"""

from collections.abc import Callable

CROWD = 6
"""Exchanges under way from which on writes are held."""
SMALL = 64 * 1024
"""Bytes of the largest message that is held."""


class WriteBatcher:
    """Holds writes until the end of the turn. What has a write in here must not be written to or closed meanwhile."""

    __slots__ = ("_call_soon", "_held", "busy")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """`call_soon` is the event loop's."""
        self._call_soon = call_soon
        self._held: list[Callable[[], None]] = []
        self.busy = 0
        """Exchanges under way; counted by what begins and ends them."""

    def takes(self, size: int) -> bool:
        """Return whether a message of `size` bytes is to be held."""
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
