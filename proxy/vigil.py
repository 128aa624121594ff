"""Waiting awake for what will be here at once.

A processor that sleeps takes a while to wake, and finds its caches cold then: to a caller who asks one thing after the
other, of an upstream on the same machine, that is most of what a request takes. So the event loop looks again and again
for a moment, in place of sleeping until something comes. Where that takes longer, as it does from another machine, that
is soon left be: each vigil in vain doubles the times that go by until the next.
"""

from collections.abc import Callable

LONGEST = 100e-6
"""Seconds."""
FORGIVEN = 3
"""Vigils in vain, in a row, that change nothing: whoever is waited for may have been held up."""
MOST_SKIPPED = 4096
"""Times that go by between two vigils, however many were in vain; a power of two."""


class Vigil:
    """Keeps the event loop awake for one thing at a time."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        *,
        now: Callable[[], float],
        give_way: Callable[[], None],
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """`call_soon` is the event loop's, `now` a clock in seconds; `give_way` lets others have the processor.

        `meanwhile` is work for times in which nothing but what is waited for is to be done.
        """
        self._call_soon = call_soon
        self._now = now
        self._give_way = give_way
        self._meanwhile = meanwhile
        self._come: Callable[[], bool] | None = None
        """Of the vigil that is kept."""
        self._end = 0.0
        self._in_vain = 0
        """Vigils, in a row."""
        self._skipped = 0
        """Times since the last vigil."""

    def keep(self, come: Callable[[], bool]) -> None:
        """Use the time until `come` is true, which is all that is waited for."""
        if self._come is not None:
            return
        if self._meanwhile is not None:
            self._call_soon(self._meanwhile)
        if self._skipped < 1 << self._in_vain >> FORGIVEN:
            self._skipped += 1
        else:
            self._skipped = 0
            self._come = come
            self._end = self._now() + LONGEST
            self._call_soon(self._look)

    def _look(self) -> None:
        assert self._come is not None  # noqa: S101 - see keep
        if self._come():
            self._come = None
            self._in_vain = 0
        elif self._now() < self._end:
            # Whoever is waited for may be waiting for this very processor.
            self._give_way()
            self._call_soon(self._look)
        else:
            self._come = None
            if 1 << self._in_vain >> FORGIVEN < MOST_SKIPPED:
                self._in_vain += 1
