"""The measurements in groups, each of which can be made alone: what is measured of which proxies, in what order.

A machine's speed changes from minute to minute, and what is compared must be measured within one: for loads all proxies
run at the same time, idle but for the one whose turn it is, and each load goes round them in short turns.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import delay, measure, pressure
from bench.limit import limited
from bench.peers import BASELINE, CADDY, HAPROXY, NGINX, OURS, Peer
from bench.report import FAR_LOADS, LOADS, Figures
from bench.rig import FAILURES, Rig

LATENCY_TURNS = 2
"""How often in each of those turns a lone caller's does: a percentile takes many to tell a proxy from the machine."""
TRANSFERS = 3
"""How often a GiB is sent each way: the first may have to read it from the disk."""
IDLE_CONNECTIONS = 1000
COLD_CALLERS = 1000
FEW = (OURS, BASELINE, NGINX, HAPROXY, CADDY)
"""Those that are measured where all would take long."""


@dataclass(frozen=True)
class Run:
    """What is measured, and where the figures go."""

    rig: Rig
    peers: list[Peer]
    figures: Figures
    turns: int
    """How often in a round each load goes round all proxies."""
    seconds: int
    """How long each turn lasts."""
    crowd: pressure.Crowd

    @property
    def few(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.name in FEW]

    def note(self, name: str, row: str, value: float) -> None:
        self.figures[name][row].append(value)


@dataclass(frozen=True)
class Target:
    """What is asked: a proxy, or the origin, whose processor time nobody wants to know."""

    name: str
    port: int
    pid: int | None


Load = Callable[[Run, Target], None]
"""Blocks: it runs in a thread, for the event loop is Cognito."""
Look = Callable[[], object]
Pressing = Callable[[int, int, Look], Awaitable[float]]
"""One of `pressure`."""


async def start(run: Run) -> None:
    """How soon each proxy answers, what it needs when nothing happens, and a crowd at a cold start of this one."""
    for peer in run.peers:
        with _failing(peer.name), run.rig.running(peer, run.rig.upstream) as running:
            run.note(
                peer.name, "start", await asyncio.to_thread(measure.wait_for_answer, running.port, running.started)
            )
            idle = measure.idle_connections(running.port, running.pid, IDLE_CONNECTIONS)
            memory, each = await asyncio.wait_for(idle, 60)
            run.note(peer.name, "idle memory", memory)
            run.note(peer.name, "idle connection", each)
        if peer.name == OURS:
            with _failing(f"{peer.name}, cold start,"):
                await _cold_start(run, peer)


async def loads(run: Run) -> None:
    """Requests/s, processor time and latencies: all proxies in turn."""
    kinds = (_latency,) * LATENCY_TURNS + tuple(partial(_load, count) for count in LOADS)
    with ExitStack() as stack:
        await _in_turn(run, await _all(run, run.peers, run.rig.upstream, run.rig.port, stack), kinds)


async def far(run: Run) -> None:
    """Latencies with an upstream that is some milliseconds away."""
    with run.rig.far_origin() as port, ExitStack() as stack:
        kinds = tuple(partial(_far_latency, count) for count in FAR_LOADS)
        await _in_turn(run, await _all(run, run.few, f"http://localhost:{port}", port, stack), kinds)


async def bulk(run: Run) -> None:
    """1 GiB both ways, in the clear and with TLS to the origin."""
    upload = run.rig.folder / "gib"
    for peer in run.peers:
        print(f"  {peer.name}: 1 GiB", flush=True)
        for name, upstream, file in (
            ("down", run.rig.upstream, None),
            ("up", run.rig.sink, upload),
            ("TLS down", run.rig.tls_upstream, None),
            ("TLS up", run.rig.tls_sink, upload),
        ):
            with _failing(f"{peer.name}, {name},"):
                await _transfers(run, peer, name, upstream, file)


async def memory(run: Run) -> None:
    """Callers who cost memory, each kind at a proxy that has just been started, with a limit."""
    crowd, patience, rig = run.crowd, run.crowd.patience, run.rig

    def reading(count: int) -> Pressing:
        return lambda port, pid, look: pressure.slow_readers(port, pid, count, patience, look)

    def leaving(port: int, pid: int, _: Look) -> Awaitable[float]:
        return pressure.aborted_downloads(
            port, pid, one_by_one=crowd.one_by_one, at_once=crowd.at_once, patience=patience
        )

    def stalling(port: int, pid: int, look: Look) -> Awaitable[float]:
        return pressure.stalled_uploads(port, pid, crowd.uploads, patience, look)

    for peer in run.few:
        print(f"  {peer.name}: slow callers", flush=True)
        await _pressed(run, peer, "slow readers", rig.upstream, reading(crowd.readers))
        await _pressed(run, peer, "slow TLS readers", rig.tls_upstream, reading(crowd.tls_readers))
        await _pressed(run, peer, "aborted downloads", rig.upstream, leaving)
        await _pressed(run, peer, "stalled uploads", rig.deaf, stalling)


GROUPS: dict[str, Callable[[Run], Awaitable[None]]] = {
    "start": start,
    "loads": loads,
    "far": far,
    "bulk": bulk,
    "memory": memory,
}


async def _all(run: Run, peers: list[Peer], upstream: str, origin: int, stack: ExitStack) -> list[Target]:
    """The origin and all proxies that can be had, until `stack` is closed."""
    targets = [Target("direct", origin, None)]
    for peer in peers:
        with _failing(peer.name):
            running = stack.enter_context(run.rig.running(peer, upstream))
            await asyncio.to_thread(measure.wait_for_answer, running.port, running.started)
            targets.append(Target(peer.name, running.port, running.pid))
    return targets


async def _in_turn(run: Run, targets: list[Target], kinds: tuple[Load, ...]) -> None:
    for turn in range(run.turns):
        print(f"  {turn + 1} of {run.turns}", flush=True)
        for load in kinds:
            for target in targets:
                with _failing(target.name):
                    await asyncio.to_thread(load, run, target)


def _load(connections: int, run: Run, target: Target) -> None:
    before = measure.processor_time(target.pid) if target.pid else 0.0
    seen = measure.load(target.port, connections, run.seconds)
    run.note(target.name, f"rate {connections}", seen.rate)
    run.note(target.name, f"corrected p99 {connections}", seen.corrected_p99)
    if target.pid:
        # What it has put off counts as well, and the next one must not pay for it.
        measure.settle(target.pid)
        took = measure.processor_time(target.pid) - before
        if seen.requests:  # the slowest may answer none within a turn
            run.note(target.name, f"processor {connections}", took / seen.requests * 1e6)


def _latency(run: Run, target: Target) -> None:
    p50, p99 = measure.latency(target.port, run.seconds)
    run.note(target.name, "p50", p50)
    run.note(target.name, "p99", p99)
    if target.pid:
        measure.settle(target.pid)


def _far_latency(connections: int, run: Run, target: Target) -> None:
    # Of a lone caller there are few answers: twice the time.
    seconds = run.seconds * (2 if connections == 1 else 1)
    p50, p99 = measure.latency(target.port, seconds, connections, delay.SECONDS)
    run.note(target.name, f"far p50 {connections}", p50)
    run.note(target.name, f"far p99 {connections}", p99)
    if target.pid:
        measure.settle(target.pid)


async def _transfers(run: Run, peer: Peer, name: str, upstream: str, upload: Path | None) -> None:
    with run.rig.running(peer, upstream) as running:
        await asyncio.to_thread(measure.wait_for_answer, running.port, running.started)
        measure.forget_peak(running.pid)
        before = measure.memory(running.pid)
        for _ in range(TRANSFERS):
            run.note(peer.name, name, await asyncio.to_thread(measure.transfer, running.port, upload=upload))
        run.note(peer.name, f"{name} memory", measure.memory(running.pid, "VmHWM") - before)


async def _pressed(run: Run, peer: Peer, row: str, upstream: str, pressing: Pressing) -> None:
    """Measure one kind of slow callers, and whether the proxy outlives them within the limit."""
    with limited() as limit, _failing(f"{peer.name}, {row},"), run.rig.running(peer, upstream, limit) as running:

        def look() -> None:
            if (sockets := limit.sockets()) is not None:
                run.note(peer.name, f"{row} sockets", sockets)

        await asyncio.to_thread(measure.wait_for_answer, running.port, running.started)
        try:
            run.note(peer.name, row, await pressing(running.port, running.pid, look))
        finally:
            if limit.prefix is not None:
                run.note(peer.name, f"{row} outlived", 0.0 if running.killed() else 1.0)


async def _cold_start(run: Run, peer: Peer) -> None:
    cognito = run.rig.cognito
    cognito.counts.clear()
    held = cognito.faults.hold("RespondToAuthChallenge")
    with run.rig.running(peer, run.rig.upstream) as running:
        while True:
            try:
                socket.create_connection(("127.0.0.1", running.port), timeout=1).close()
                break
            except OSError:
                await asyncio.sleep(0.01)
        crowd = asyncio.create_task(measure.simultaneous(running.port, COLD_CALLERS))
        await asyncio.sleep(1)
        held.set()
        run.note(peer.name, "crowd answered", await crowd)
        run.note(peer.name, "crowd sign-ins", cognito.counts["RespondToAuthChallenge"])


@contextmanager
def _failing(told: str) -> Iterator[None]:
    """Tell of a failure of one proxy and go on: what it lacks shows as a dash."""
    try:
        yield
    except FAILURES as error:
        print(f"  {told} failed: {error!r}", flush=True)
