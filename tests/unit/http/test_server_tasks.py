"""Requests are tasks, begun in the callback that brings them where Python can."""

import asyncio
import sys

from proxy.http.server.tasks import begin


async def test_asyncio_timeout_works_from_the_first_line() -> None:
    """What a task does before it waits for the first time may already be limited by `asyncio.timeout`."""
    met: list[str] = []

    async def work() -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            met.append("timeout")

    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    # As from a callback of the event loop, where no task runs.
    loop.call_soon(lambda: tasks.append(begin(work(), loop)))
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks[0], 10)
    assert met == ["timeout"]


async def test_what_waits_for_nothing_is_done_at_once() -> None:
    """From Python 3.12 on work that waits for nothing takes no turn of the event loop."""
    loop = asyncio.get_running_loop()

    async def work() -> None:
        assert asyncio.current_task() is not None

    done: list[bool] = []
    loop.call_soon(lambda: done.append(begin(work(), loop).done()))
    await asyncio.sleep(0)
    assert done == [sys.version_info >= (3, 12)]
