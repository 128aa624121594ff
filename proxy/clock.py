"""The clocks that everything goes by outside of tests."""

import asyncio
import time

from proxy.model import Instant


def _best_monotonic() -> int:
    """The clock that goes on while the machine sleeps, where there is one."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        time.clock_gettime(clock)
    except OSError:
        return time.CLOCK_MONOTONIC
    return clock


_MONOTONIC = _best_monotonic()


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Instant:
        return Instant(time.clock_gettime(_MONOTONIC), time.time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
