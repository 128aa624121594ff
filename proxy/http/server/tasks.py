"""Begin a task at once where Python can, so that a request needs no further turn of the event loop."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any


def begin(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Run `work` in a task of `loop`, whose callback this is called from.

    From Python 3.12 on it runs at once, as far as it gets without waiting, and the task may be done already.
    """
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return asyncio.Task(work, loop=loop)
