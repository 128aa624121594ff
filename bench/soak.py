"""Two days in minutes: the proxy under a clock that runs fast, with trouble on both sides, must level off.

A Cognito, an upstream and callers, all of which misbehave in every way that they can, live in this process; the proxy
has one of its own, where memory, file descriptors, tasks and objects are counted. `python -m bench.soak` exits with 1
where one of them grows, where an answer was wrong, or where the proxy does not come back to what it had before.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.soak_clock import HOUR, FastClock
from bench.soak_traffic import Callers, Upstream
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.faults import Fault
from proxy.demo.protocol import DAY, PoolConfig

USERS = {"default": "pilot@example.com", "survey": "survey@example.com"}
PASSWORD = "correct horse battery staple"
PATIENCE = 30.0
WARM_UP = 0.3
"""Share of the samples that are set aside: caches fill, and the allocator finds its size."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is counted in the proxy's process, and what it may do."""

    name: str
    unit: str
    growth: float
    """By which share of its median the trend may carry it over the whole run."""
    slack: float
    """What is noise in any case, in its own unit."""


MEASURES = (
    Measure("rss", "MiB", 0.05, 3.0),
    Measure("fds", "", 0.10, 6.0),
    Measure("tasks", "", 0.10, 6.0),
    Measure("objects", "", 0.02, 1500.0),
)
LEFT_OVER = {"rss": 15.0, "fds": 3.0, "tasks": 2.0, "objects": 2000.0}
"""By how much a proxy that is quiet again may differ from what it was when it was quiet before."""

Sample = Mapping[str, float]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The trend of a series, by Theil and Sen: the median of the slopes between its points, which no outlier moves."""
    slopes = [
        (later - earlier) / (end - begin)
        for at, (begin, earlier) in enumerate(points)
        for end, later in points[at + 1 :]
        if end > begin
    ]
    return median(slopes) if slopes else 0.0


def growing(samples: Sequence[Sample]) -> list[str]:
    """What does not level off, in words; each sample has a time, "at", and a value for each of MEASURES."""
    kept = samples[int(len(samples) * WARM_UP) :]
    found = []
    for measure in MEASURES:
        points = [(sample["at"], sample[measure.name]) for sample in kept]
        grown = slope(points) * (points[-1][0] - points[0][0])
        allowed = max(measure.slack, measure.growth * median(value for _, value in points))
        if grown > allowed:
            found.append(
                f"{measure.name} grow by {grown:.1f} {measure.unit} where {allowed:.1f} is noise".replace("  ", " ")
            )
    return found


@dataclass
class Outcome:
    """What a soak has shown."""

    samples: list[Sample] = field(default_factory=list)
    before: Sample = field(default_factory=dict)
    after: Sample = field(default_factory=dict)
    """When nobody called, before the trouble and after it."""
    seen: Counter[str] = field(default_factory=Counter)
    """What callers got."""
    wrong: list[str] = field(default_factory=list)
    """Answers that cannot be."""
    calls: Counter[str] = field(default_factory=Counter)
    """Of Cognito."""
    status: int | None = None
    """With which the proxy ended."""

    def complaints(self, *, trends: bool = True) -> list[str]:
        """What is not as it should be, in words; `trends` wants a run that is long enough for them."""
        found = list(self.wrong[:10])
        units = {measure.name: measure.unit for measure in MEASURES}
        for name, allowed in LEFT_OVER.items():
            left = self.after[name] - self.before[name]
            if left > allowed:
                told = f"{left:.0f} {units[name]} {name} are left over where {allowed:.0f} are noise"
                found.append(told.replace("  ", " "))
        if trends:
            found += growing(self.samples)
        if self.status != 0:
            found.append(f"the proxy ended with status {self.status}")
        return found


class Proxy:
    """The proxy's process, which is told and asked things line by line."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self._asking = asyncio.Lock()
        self.url = url

    async def ask(self, word: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._asking, asyncio.timeout(PATIENCE):
            self._process.stdin.write(word.encode() + b"\n")
            return json.loads(await self._process.stdout.readline())

    async def sample(self, began: float) -> Sample:
        counted: dict[str, float] = await self.ask("sample")
        return {"at": time.monotonic() - began, **counted}

    async def end(self) -> int:
        """Have it drain as SIGTERM does; its exit status."""
        self._process.terminate()
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


@asynccontextmanager
async def _running(configuration: Mapping[str, Any], env: Mapping[str, str] | None) -> AsyncIterator[Proxy]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.soak_proxy",
        json.dumps(configuration),
        stdin=PIPE,
        stdout=PIPE,
        env=None if env is None else dict(env),
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            url: str = json.loads(await process.stdout.readline())["url"]
        yield Proxy(process, url)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def soak(
    *, seconds: float, hours: float, callers: int, seed: int, env: Mapping[str, str] | None = None
) -> Outcome:
    """Let the proxy live for `hours` within `seconds`; `env` is its environment."""
    draw = random.Random(seed)  # noqa: S311 - nothing is hidden by it
    clock = FastClock(time.time(), hours * HOUR / seconds)
    outcome = Outcome()
    cognito = EmbeddedCognito(
        # A round trip takes minutes of this clock: a challenge must wait that long for its answer.
        PoolConfig(session_lifetime=DAY),
        users=[User(name, PASSWORD, email=name) for name in USERS.values()],
        clock=lambda: clock.now().wall,
    )
    async with cognito.running() as cognito_url, Upstream(draw).running() as upstream:
        configuration = {
            "cognito": cognito_url,
            "upstream": upstream.url,
            "users": USERS,
            "password": PASSWORD,
            "epoch": clock.epoch,
            "factor": clock.factor,
        }
        async with _running(configuration, env) as proxy:
            crowd = Callers(proxy.url, upstream, draw, list(USERS), seen=outcome.seen, wrong=outcome.wrong)
            # Whatever can happen has happened by then: caches have what they hold.
            await crowd.run(callers, seconds * 0.15, faults=True)
            outcome.before = await _quiet_after(crowd, callers, seconds * 0.1, proxy, upstream)
            over = asyncio.Event()
            beside = asyncio.gather(
                _trouble(over, cognito, proxy, draw, seconds), _sample(over, proxy, outcome.samples, seconds)
            )
            await crowd.run(callers, seconds * 0.7, faults=True)
            over.set()
            await beside
            cognito.faults.clear()
            outcome.after = await _quiet_after(crowd, callers, seconds * 0.05, proxy, upstream)
            outcome.calls = cognito.counts
            outcome.status = await proxy.end()
    return outcome


async def _quiet_after(crowd: Callers, callers: int, seconds: float, proxy: Proxy, upstream: Upstream) -> Sample:
    """What the proxy has when `callers` have called without trouble for a while, and have gone."""
    await crowd.run(callers, seconds, faults=False)
    upstream.hang_up()
    async with asyncio.timeout(PATIENCE):
        while (await proxy.ask("busy"))["busy"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return await proxy.sample(0.0)


async def _sleep(over: asyncio.Event, seconds: float) -> bool:
    """Sleep, unless it is over before; whether it is not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()
    return not over.is_set()


async def _sample(over: asyncio.Event, proxy: Proxy, samples: list[Sample], seconds: float) -> None:
    began = time.monotonic()
    while await _sleep(over, max(0.25, seconds / 300)):
        samples.append(await proxy.sample(began))


async def _trouble(
    over: asyncio.Event, cognito: EmbeddedCognito, proxy: Proxy, draw: random.Random, seconds: float
) -> None:
    """Cognito throttles, fails, is down and loses answers by turns, sessions are ended, and settings are read again."""
    faults = cognito.faults
    while await _sleep(over, draw.uniform(0.01, 0.04) * seconds):
        faults.clear()
        kind = draw.randrange(8)
        if kind == 0:
            faults.throttle(draw.randint(1, 8))
        elif kind == 1:
            faults.fail(draw.randint(1, 8))
        elif kind == 2:
            faults.drop(None)
        elif kind == 3:
            faults.drop_answer(draw.randint(1, 4))
        elif kind == 4:
            faults.sometimes(draw.choice(list(Fault)), 0.5, draw.random)
        elif kind == 5:
            for user in cognito.pool.accounts.users:
                cognito.pool.grants.revoke_all(user)
        elif kind == 6:
            await proxy.ask("reload")


def report(outcome: Outcome) -> str:
    """What a person wants to know of a soak."""
    kept = outcome.samples[int(len(outcome.samples) * WARM_UP) :]
    lines = [f"{'':8} {'least':>10} {'median':>10} {'most':>10} {'trend':>10}   quiet before → after"]
    for measure in MEASURES:
        values = [sample[measure.name] for sample in kept]
        points = [(sample["at"], sample[measure.name]) for sample in kept]
        grown = slope(points) * (points[-1][0] - points[0][0])
        before, after = outcome.before[measure.name], outcome.after[measure.name]
        lines.append(
            f"{measure.name:8} {min(values):10.1f} {median(values):10.1f} {max(values):10.1f} {grown:+10.1f}"
            f"   {before:.1f} → {after:.1f} {measure.unit}".rstrip()
        )
    lines.append("callers  " + ", ".join(f"{name} {count}" for name, count in outcome.seen.most_common()))
    lines.append("cognito  " + ", ".join(f"{name} {count}" for name, count in outcome.calls.most_common()))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long it takes (600)")
    parser.add_argument("--hours", type=float, default=48.0, help="how long the proxy believes that it took (48)")
    parser.add_argument("--callers", type=int, default=16, help="how many call at a time (16)")
    parser.add_argument("--seed", type=int, default=1, help="of what goes wrong when")
    arguments = parser.parse_args()
    outcome = asyncio.run(soak(**vars(arguments)))
    print(report(outcome))
    complaints = outcome.complaints()
    print("\n".join(complaints) or "levels off")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
