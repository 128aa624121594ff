"""Going along the hops. Those that do not wait for each other go at the same time: a dead network is known soon."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from proxy.doctor.findings import HopState, Result, Step, not_tried
from proxy.doctor.hops import Hop

Watch = Callable[[Step, "asyncio.Task[Result]"], Awaitable[None]]


async def walk(hops: Sequence[Hop], *, now: Callable[[], float], watch: Watch) -> AsyncIterator[Result]:
    """The result of every hop, in their order. `now` is a monotonic clock, in seconds.

    `watch(step, task)` is told which one is waited for, and returns once that has ended.
    """
    tasks: dict[Hop, asyncio.Task[Result]] = {}

    async def run(hop: Hop) -> Result:
        # Nobody runs before all tasks are there.
        results = [await asyncio.shield(tasks[need]) for need in hop.needs]
        await _until_one_passes({tasks[earlier] for earlier in hop.after})
        lacking = next((result for result in results if not result.passed), None)
        if lacking is not None:
            return _untried(hop, lacking)
        began = now()
        finding = await hop.probe()
        return Result(hop.step, finding, None if finding.state is HopState.NOT_TRIED else now() - began)

    tasks |= {hop: asyncio.create_task(run(hop), name=hop.step.title) for hop in hops}
    try:
        for hop in hops:
            await watch(hop.step, tasks[hop])
            yield await tasks[hop]
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _until_one_passes(pending: set[asyncio.Task[Result]]) -> None:
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(task.result().passed for task in done):
            return


def _untried(hop: Hop, lacking: Result) -> Result:
    """What is said of a hop that needs `lacking`: the failure that all began with, whatever lies in between."""
    if lacking.finding.state is HopState.FAIL:
        return Result(hop.step, not_tried(f"{lacking.title} failed"), because=lacking.step)
    return replace(lacking, step=hop.step)
