"""An account of what all callers together have in memory, so that many slow ones cannot use it up.

Two things are kept for callers: content that waits until somebody takes it, and request bodies that may be sent again.
Each may have half of the limit. Content is not cut off: once much of it waits, less is read at a time and for each
reader, so that the last ones have their share. A body that would be too much is not kept.

Only what has been waiting is counted: what passes at once costs nothing.
"""

LARGE = 256 * 1024
"""Bytes that may wait in one place, where little waits in all; the most that is read at a time."""
SMALL = 24 * 1024
"""The same where many are slow. Content may wait in two places on its way, one behind the other."""
_MUCH = 8
"""The part of the limit from which on much waits."""


class Buffers:
    """Counts bytes against `limit`."""

    __slots__ = ("_kept", "_much", "_share", "waiting")

    def __init__(self, limit: int) -> None:
        self._share = limit // 2
        self._much = limit // _MUCH
        self._kept = 0
        self.waiting = 0
        """Bytes of content that somebody is too slow to take; who adds to it takes off as much again."""

    @property
    def portion(self) -> int:
        """How many bytes may wait in one place, for now."""
        return LARGE if self.waiting < self._much else SMALL

    @property
    def kept(self) -> int:
        """Bytes of bodies that may be sent again."""
        return self._kept

    def keep(self, size: int) -> bool:
        """Count `size` bytes more of a body that is kept; False where that would be too much: nothing is counted."""
        if self._kept + size > self._share:
            return False
        self._kept += size
        return True

    def drop(self, size: int) -> None:
        """Count `size` bytes less."""
        self._kept -= size
