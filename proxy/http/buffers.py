"""Count what all callers together have in memory, so that many slow ones cannot use it up.

Two things are kept for callers: content that waits for its reader, and request bodies that may be sent again. Each may
have half of the limit. Content is not cut off: once much of it waits, less is read at a time and for each reader, so
that the last ones have their share. A body that would be too much is not kept.

Content is counted from when it is read until the other side's kernel has it: an event loop reads from all connections
on which something has come before any of it is taken.
"""

LARGE = 256 * 1024
"""Bytes that may wait in one place, where little waits in all; the most that is read at a time."""
SMALL = 16 * 1024
"""The same where many are slow. With what a connection costs besides, it is less than 64 KiB for each."""
_MUCH = 8
"""Much waits from this fraction of the limit on: one in so many bytes."""


class Buffers:
    """Counts bytes against `limit`."""

    __slots__ = ("_much", "_share", "kept", "waiting")

    def __init__(self, limit: int) -> None:
        self._share = limit // 2
        self._much = limit // _MUCH
        self.kept = 0
        """Bytes of bodies that may be sent again."""
        self.waiting = 0
        """Bytes of content that are here; what adds to it takes as much off again."""

    @property
    def much(self) -> bool:
        """Whether so much waits that less is to be read."""
        return self.waiting >= self._much

    @property
    def portion(self) -> int:
        """How many bytes may wait in one place, for now."""
        return LARGE if self.waiting < self._much else SMALL

    def keep(self, size: int) -> bool:
        """Count `size` bytes more of a body that is kept; False, with nothing counted, where that is too much."""
        if self.kept + size > self._share:
            return False
        self.kept += size
        return True

    def drop(self, size: int) -> None:
        """Count `size` bytes less."""
        self.kept -= size
