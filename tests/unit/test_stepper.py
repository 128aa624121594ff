"""Coroutines that run in the callbacks which wake them, and in a task only where they must."""

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from proxy.downstream.stepper import Stepper
from proxy.upstream.exchange import Arrival


class Steps:
    """A coroutine under a Stepper, and what it notes."""

    def __init__(self, work: Callable[["Steps"], Awaitable[None]]) -> None:
        self.loop = asyncio.get_running_loop()
        self.arrival = Arrival(loop=self.loop)
        self.noted: list[object] = []
        self.ended = asyncio.Event()
        self._work = work
        self.stepper = Stepper(self._run(), self.loop, self.ended.set)
        # As from a callback of the event loop, where there is no task.
        self.loop.call_soon(self.stepper.step)

    async def _run(self) -> None:
        try:
            await self._work(self)
        except asyncio.CancelledError:
            self.noted.append("cancelled")
            raise

    def note_task(self) -> None:
        self.noted.append("task" if asyncio.current_task() else "no task")

    async def end(self) -> list[object]:
        await asyncio.wait_for(self.ended.wait(), 10)
        return self.noted


async def wait_for_arrival(steps: Steps) -> None:
    await steps.arrival
    steps.note_task()


async def wait_for_the_loop(steps: Steps) -> None:
    await asyncio.sleep(0)
    steps.note_task()


async def wait_for_a_future(steps: Steps) -> None:
    future = steps.loop.create_future()
    steps.loop.call_later(0, future.set_result, None)
    await future
    steps.note_task()


async def wait_for_both(steps: Steps) -> None:
    await wait_for_arrival(steps)
    await wait_for_the_loop(steps)
    async with asyncio.timeout(10):
        await asyncio.sleep(0)
    await asyncio.shield(asyncio.create_task(asyncio.sleep(0)))
    steps.note_task()


async def cancel_swallowed(steps: Steps) -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        steps.noted.append("swallowed")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        steps.note_task()


async def fail(_: Steps) -> None:
    raise RuntimeError("a defect")


async def fail_later(_: Steps) -> None:
    await asyncio.sleep(0)
    raise RuntimeError("a defect")


async def test_goes_on_within_the_call_that_brings_the_result() -> None:
    """What waits for an arrival has gone on, without a task, when `arrive` returns."""
    steps = Steps(wait_for_arrival)
    await asyncio.sleep(0)
    steps.loop.call_soon(steps.arrival.arrive)
    steps.loop.call_soon(lambda: steps.noted.append("later"))
    await asyncio.sleep(0)
    assert await steps.end() == ["no task", "later"]


async def test_what_has_arrived_is_not_waited_for() -> None:
    """An arrival that is there already holds nothing up."""
    steps = Steps(wait_for_arrival)
    steps.arrival.arrive()
    assert await steps.end() == ["no task"]


async def test_a_failure_is_raised_a_moment_later() -> None:
    """Whoever tells of a failure comes to the end of that first."""

    async def work(steps: Steps) -> None:
        with pytest.raises(ConnectionError):
            await steps.arrival
        steps.noted.append("raised")

    steps = Steps(work)
    await asyncio.sleep(0)
    steps.arrival.fail(ConnectionError())
    assert steps.noted == []
    assert await steps.end() == ["raised"]


@pytest.mark.parametrize(
    ("work", "noted"),
    [(wait_for_the_loop, ["task"]), (wait_for_a_future, ["task"]), (wait_for_both, ["no task", "task", "task"])],
)
async def test_gets_a_task_where_one_is_needed(work: Callable[[Steps], Awaitable[None]], noted: list[object]) -> None:
    """What asyncio has to wake runs in a task, where its timeouts work."""
    steps = Steps(work)
    await asyncio.sleep(0)
    if not steps.arrival.done():
        steps.loop.call_soon(steps.arrival.arrive)
    assert await steps.end() == noted


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize(
    ("work", "noted"),
    [
        (wait_for_arrival, ["cancelled"]),
        (lambda _: asyncio.sleep(60), ["cancelled"]),
        (cancel_swallowed, ["swallowed", "task"]),
    ],
)
async def test_is_cancelled_where_it_waits(
    work: Callable[[Steps], Awaitable[None]], noted: list[object], turns: int
) -> None:
    """A cancellation arrives wherever the coroutine waits, and once."""
    steps = Steps(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    steps.stepper.cancel()
    steps.stepper.cancel()
    assert await steps.end() == noted


async def test_what_was_given_up_is_cancelled() -> None:
    """Whoever brings an arrival can tell that nobody waits for it any more."""
    steps = Steps(wait_for_arrival)
    await asyncio.sleep(0)
    steps.stepper.cancel()
    assert steps.arrival.cancelled()
    assert await steps.end() == ["cancelled"]


async def test_a_failure_and_a_cancellation_in_the_same_moment() -> None:
    """A coroutine that is cancelled before it was told of a failure goes on once, and the failure is no defect."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    steps = Steps(wait_for_arrival)
    await asyncio.sleep(0)
    steps.arrival.fail(ConnectionError())
    steps.stepper.cancel()
    assert await steps.end() == ["cancelled"]
    del steps
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


@pytest.mark.parametrize("work", [fail, fail_later])
async def test_a_defect_is_told(work: Callable[[Steps], Awaitable[None]]) -> None:
    """A defect goes to the event loop's handler, and the end is told all the same."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    steps = Steps(work)
    await steps.end()
    assert [str(error) for error in told] == ["a defect"]
