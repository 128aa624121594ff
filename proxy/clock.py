"""The two clocks of the machine, and sleeping. Whoever needs time takes a `Clock`, so that tests can pass one in."""

import asyncio
import time
from typing import Protocol

from proxy.model import Instant


class Clock(Protocol):
    def now(self) -> Instant: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> Instant:
        return Instant(time.monotonic(), time.time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
