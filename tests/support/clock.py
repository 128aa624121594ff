"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools

from proxy.model import Instant


class FakeClock:
    """Both clocks of a machine in a test's hand; whoever sleeps wakes when `advance` reaches its time."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.monotonic = 1000.0
        self.wall = wall
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> Instant:
        return Instant(self.monotonic, self.wall)

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # What rounding leaves over must still move the clock, or it would never get anywhere.
        heapq.heappush(self._sleepers, (self.monotonic + max(seconds, 0.001), next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let both clocks run on, waking sleepers in their order."""
        end = self.monotonic + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._move(at - self.monotonic)
            if not future.done():
                future.set_result(None)
            await settle()
        self._move(end - self.monotonic)
        await settle()

    @property
    def sleeping(self) -> bool:
        """Whether anybody waits for this clock."""
        return bool(self._sleepers)

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: the monotonic clock and all timers stand still meanwhile."""
        self.wall += seconds

    def _move(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


async def settle() -> None:
    """Let everything run that can run without time or input."""
    for _ in range(20):
        await asyncio.sleep(0)
