"""The work of a command in a thread of its own, so that signals are heard whatever it is blocked in."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from proxy.cli import signals


def in_worker(work: Callable[[], int]) -> int:
    """The exit status of `work`, which a thread does.

    Python runs its signal handlers in the main thread, between two instructions: a name that is looked up there, or a
    keyring that waits for its owner, would keep them waiting.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # A signal that comes just before the thread begins to wait is in the pipe, and ends the waiting.
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        with ThreadPoolExecutor(1, "command") as pool:
            done = pool.submit(work)
            done.add_done_callback(lambda _: os.write(writing, b"\0"))
            while not done.done():
                os.read(reading, 1)
        return done.result()
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def run_interruptible(main: Coroutine[Any, Any, int]) -> int:
    """The exit status of `main`, in an event loop of its own; a signal cancels it, and it leaves things in order."""
    return asyncio.run(_interruptible(main))


async def _interruptible(main: Coroutine[Any, Any, int]) -> int:
    loop = asyncio.get_running_loop()
    work = loop.create_task(main)

    def interrupt() -> None:
        with suppress(RuntimeError):  # the loop has just been closed: the work has come to its end
            loop.call_soon_threadsafe(work.cancel)

    with signals.heard_once(interrupt) as interrupted:
        try:
            status = await work
        except asyncio.CancelledError:
            if interrupted():
                signals.end()
            raise
        signals.settle(status)
    return status
