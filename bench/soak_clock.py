"""A clock that runs fast, alike in every process that is told when it began."""

import asyncio
import time

from proxy.model import Instant

HOUR = 3600.0


class FastClock:
    """Both clocks of a machine, `factor` times as fast as they are from `epoch` on, which is in wall seconds."""

    def __init__(self, epoch: float, factor: float) -> None:
        self.epoch = epoch
        self.factor = factor

    def now(self) -> Instant:
        passed = (time.time() - self.epoch) * self.factor
        return Instant(passed, self.epoch + passed)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.factor)
