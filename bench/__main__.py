"""`make bench`: every proxy that is installed, under the same load, in turn and repeatedly; medians and ratios.

Prints a table and writes it to RESULTS.md beside this file. `--quick` is for trying it out.

A machine's speed changes from minute to minute, and what is compared must be measured within one: all proxies run at the
same time, idle but for the one whose turn it is, and each load goes round them in short turns.
"""

import argparse
import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import measure, origin, peers, sink
from bench.peers import OURS, Peer, Plan
from bench.report import LOADS, Figures, report, write
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito

TURNS = 4
"""How often in a round each load goes round all proxies."""
LATENCY_TURNS = 2
"""How often in each of those turns a lone caller's does: a percentile takes many to tell a proxy from the machine."""
TRANSFERS = 3
"""How often a GiB is sent each way: the first may have to read it from the disk."""
MEMORY = Path("/dev/shm")  # noqa: S108 - files without a name
"""Where proxies log: disks are not measured."""
FAILURES = (OSError, RuntimeError, subprocess.SubprocessError, asyncio.IncompleteReadError, TimeoutError)
"""Of one proxy, which leave the others worth measuring: what it lacks shows as a dash."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short and once: figures mean little")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="how long each turn of a load lasts")
    parser.add_argument("--only", action="append", help="measure these peers alone (by name)")
    arguments = parser.parse_args()
    rounds, seconds = (1, 1) if arguments.quick else (arguments.rounds, arguments.seconds)
    asyncio.run(run(rounds=rounds, seconds=seconds, only=arguments.only))


async def run(*, rounds: int, seconds: int, only: list[str] | None) -> None:
    present = [peer for peer in peers.ALL if peer.program() and (not only or peer.name in only)]
    missing = [peer for peer in peers.ALL if not peer.program()]
    for need in ("wrk", "curl", "nginx"):
        if shutil.which(need, path=os.environ["PATH"] + ":/usr/sbin") is None:
            sys.exit(f"bench: {need} is needed for any measurement: apt-get install wrk curl nginx-light")
    for peer in missing:
        print(f"not installed, left out: {peer.name} ({peer.install})")
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_TMP")) as name:
        Path(name).chmod(0o755)  # workers of nginx are somebody else
        bench = await Bench.create(Path(name))
        async with bench.cognito.running() as bench.cognito_url:
            with bench.origin():
                for number in range(rounds):
                    print(f"round {number + 1} of {rounds}", flush=True)
                    await bench.loads(present, figures, seconds)
                    for peer in present:
                        print(f"  {peer.name}: memory and 1 GiB", flush=True)
                        try:
                            await bench.bulk(peer, figures[peer.name])
                        except FAILURES as error:
                            print(f"  {peer.name} failed: {error}", flush=True)
    lacking = [f"{peer.name}: `{peer.install}`" for peer in missing]
    text = report(figures, rounds=rounds, turns=TURNS, seconds=seconds, missing=lacking)
    print(text)
    write(text)


class Bench:
    """The origin, the Cognito and the ports that all measurements share."""

    cognito_url: str

    def __init__(self, folder: Path, cognito: EmbeddedCognito, token: str) -> None:
        self.folder = folder
        self.cognito = cognito
        self.token = token
        self.port, self.tls_port = free_port(), free_port()
        self.certificate, key = origin.certificate(folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, key)
        self.sink_port, self.tls_sink_port = sink.start(), sink.start(context)

    @classmethod
    async def create(cls, folder: Path) -> "Bench":
        cognito = EmbeddedCognito(users=[User("bench@example.com", "bench")])
        claims = {"padding": "x" * 400}
        return cls(folder, cognito, cognito.pool.signer.sign(claims)[:1024].ljust(1024, "x"))

    @contextmanager
    def origin(self) -> Iterator[None]:
        nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        assert nginx is not None
        process = origin.start(nginx, self.folder, self.port, self.tls_port)
        try:
            measure.wait_for_answer(self.port, time.perf_counter())
            yield
        finally:
            process.terminate()
            process.wait()

    async def loads(self, present: list[Peer], figures: Figures, seconds: int) -> None:
        """Requests/s and latencies, of all proxies in turn."""
        upstream = f"http://localhost:{self.port}"
        running = {"direct": (self.port, os.getpid())}
        with ExitStack() as stack:
            for peer in present:
                try:
                    port, pid, started = stack.enter_context(self.running(peer, upstream))
                    took = await asyncio.to_thread(measure.wait_for_answer, port, started)
                    idle, each = await asyncio.wait_for(measure.idle_connections(port, pid, 1000), 60)
                except FAILURES as error:
                    print(f"  {peer.name} failed: {error}", flush=True)
                    continue
                running[peer.name] = port, pid
                for row, value in (("start", took), ("idle memory", idle), ("idle connection", each)):
                    figures[peer.name][row].append(value)
            for turn in range(TURNS):
                print(f"  loads, {turn + 1} of {TURNS}", flush=True)
                for load in (self._latency,) * LATENCY_TURNS + tuple(partial(self._load, n) for n in LOADS):
                    for name, (port, pid) in running.items():
                        try:
                            await load(figures[name], port, seconds)
                            # The next one must not pay for it.
                            await asyncio.to_thread(measure.settle, pid)
                        except FAILURES as error:
                            print(f"  {name} failed: {error}", flush=True)

    async def bulk(self, peer: Peer, figures: dict[str, list[float]]) -> None:
        """Readers that stop, 1 GiB both ways, and for this proxy a crowd at a cold start."""
        with self.running(peer, f"http://localhost:{self.port}") as (port, pid, started):
            await asyncio.to_thread(measure.wait_for_answer, port, started)
            figures["stopped readers"].append(await measure.stopped_readers(port, pid, 20))
        upload = self.folder / "gib"
        for name, target, file in (
            ("down", f"http://localhost:{self.port}", None),
            ("up", f"http://localhost:{self.sink_port}", upload),
            ("TLS down", f"https://localhost:{self.tls_port}", None),
            ("TLS up", f"https://localhost:{self.tls_sink_port}", upload),
        ):
            try:
                await self._transfer(peer, figures, name, target, file)
            except FAILURES as error:
                print(f"  {peer.name}, {name}, failed: {error}", flush=True)
        if peer.name == OURS:
            await self._crowd(peer, figures)

    async def _transfer(
        self, peer: Peer, figures: dict[str, list[float]], name: str, target: str, upload: Path | None
    ) -> None:
        with self.running(peer, target) as (port, pid, started):
            await asyncio.to_thread(measure.wait_for_answer, port, started)
            measure.forget_peak(pid)
            before = measure.memory(pid)
            for _ in range(TRANSFERS):
                rate = await asyncio.to_thread(measure.transfer, port, upload=upload)
                figures[name].append(rate)
            figures[f"{name} memory"].append(measure.memory(pid, "VmHWM") - before)

    async def _crowd(self, peer: Peer, figures: dict[str, list[float]]) -> None:
        self.cognito.counts.clear()
        held = self.cognito.faults.hold("RespondToAuthChallenge")
        with self.running(peer, f"http://localhost:{self.port}") as (port, _, _):
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    await asyncio.sleep(0.01)
            crowd = asyncio.create_task(measure.simultaneous(port, 1000))
            await asyncio.sleep(1)
            held.set()
            figures["crowd answered"].append(await crowd)
            figures["crowd sign-ins"].append(self.cognito.counts["RespondToAuthChallenge"])

    # In threads: the event loop is Cognito.

    async def _load(self, connections: int, figures: dict[str, list[float]], port: int, seconds: int) -> None:
        rate, corrected = await asyncio.to_thread(measure.requests_per_second, port, connections, seconds)
        figures[f"rate {connections}"].append(rate)
        figures[f"corrected p99 {connections}"].append(corrected)

    async def _latency(self, figures: dict[str, list[float]], port: int, seconds: int) -> None:
        p50, p99 = await asyncio.to_thread(measure.latency, port, seconds)
        figures["p50"].append(p50)
        figures["p99"].append(p99)

    @contextmanager
    def running(self, peer: Peer, upstream: str) -> Iterator[tuple[int, int, float]]:
        """The peer's port and process id, and when it was started."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)  # workers of nginx are somebody else
        port = free_port()
        command = peer.command(Plan(port, upstream, self.token, self.certificate, self.cognito_url, folder))
        started = time.perf_counter()
        with tempfile.TemporaryFile(dir=MEMORY if MEMORY.is_dir() else folder) as log:
            process = subprocess.Popen(
                command.argv, env=clean_environment() | command.environment, stdout=log, stderr=log, cwd=folder
            )
            try:
                yield port, process.pid, started
            except Exception:
                log.seek(0)
                print(log.read().decode(errors="replace")[-2000:], file=sys.stderr)
                raise
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:  # Caddy waits for callers who keep their connections
                    process.kill()
                    process.wait()


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
