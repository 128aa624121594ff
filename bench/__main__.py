"""`make bench`: every proxy that is installed, under the same load, in turn and repeatedly; medians and ratios.

Prints a table and writes it to RESULTS.md beside this file. `--quick` is for trying it out.
"""

import argparse
import asyncio
import os
import platform
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import measure, origin, peers, sink
from bench.peers import BASELINE, NGINX, OURS, Peer, Plan
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
LOADS = (1, 32, 512)
Figures = dict[str, dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short and once: figures mean little")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="how long each load lasts")
    parser.add_argument("--only", action="append", help="measure these peers alone (by name)")
    arguments = parser.parse_args()
    rounds, seconds = (1, 2) if arguments.quick else (arguments.rounds, arguments.seconds)
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
                    await bench.direct(figures["direct"], seconds)
                    for peer in present:
                        print(f"  {peer.name}", flush=True)
                        try:
                            await bench.round(peer, figures[peer.name], seconds)
                        except (
                            OSError,
                            RuntimeError,
                            subprocess.SubprocessError,
                            asyncio.IncompleteReadError,
                        ) as error:
                            # The others are still worth measuring; what it lacks shows as a dash.
                            print(f"  {peer.name} failed: {error}", flush=True)
    text = report(figures, rounds, seconds, [f"{peer.name}: `{peer.install}`" for peer in missing])
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

    async def direct(self, figures: dict[str, list[float]], seconds: int) -> None:
        for connections in LOADS:
            await self._load(figures, self.port, connections, seconds)

    async def round(self, peer: Peer, figures: dict[str, list[float]], seconds: int) -> None:
        with self.running(peer, f"http://localhost:{self.port}") as (port, pid, started):
            figures["start"].append(await asyncio.to_thread(measure.wait_for_answer, port, started))
            idle, each = await asyncio.wait_for(measure.idle_connections(port, pid, 1000), 60)
            figures["idle memory"].append(idle)
            figures["idle connection"].append(each)
            for connections in LOADS:
                await self._load(figures, port, connections, seconds)
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
            with self.running(peer, target) as (port, pid, started):
                await asyncio.to_thread(measure.wait_for_answer, port, started)
                measure.forget_peak(pid)
                before = measure.memory(pid)
                rate = await asyncio.to_thread(measure.transfer, port, upload=file)
                figures[name].append(rate)
                figures[f"{name} memory"].append(measure.memory(pid, "VmHWM") - before)
        if peer.name == OURS:
            await self._crowd(peer, figures)

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

    async def _load(self, figures: dict[str, list[float]], port: int, connections: int, seconds: int) -> None:
        # In a thread: the event loop is Cognito.
        rate, p50, p99 = await asyncio.to_thread(measure.requests_per_second, port, connections, seconds)
        figures[f"rate {connections}"].append(rate)
        figures[f"p50 {connections}"].append(p50)
        figures[f"p99 {connections}"].append(p99)

    @contextmanager
    def running(self, peer: Peer, upstream: str) -> Iterator[tuple[int, int, float]]:
        """The peer's port and process id, and when it was started."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)  # workers of nginx are somebody else
        port = free_port()
        command = peer.command(Plan(port, upstream, self.token, self.certificate, self.cognito_url, folder))
        started = time.perf_counter()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command.argv, env=clean_environment() | command.environment, stdout=log, stderr=log, cwd=folder
            )
        try:
            yield port, process.pid, started
        except Exception:
            print((folder / "log").read_text(errors="replace")[-2000:], file=sys.stderr)
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


def report(figures: Figures, rounds: int, seconds: int, missing: list[str]) -> str:
    """The medians as Markdown tables, with ratios to the baseline and to nginx."""
    median = {peer: {row: statistics.median(values) for row, values in rows.items()} for peer, rows in figures.items()}
    names = [name for name in median if name != "direct"]

    def table(title: str, rows: list[tuple[str, Callable[[str], str]]], columns: list[str]) -> str:
        lines = [f"### {title}", "", f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        lines += [f"| {row} | {' | '.join(cell(name) for name in columns)} |" for row, cell in rows]
        return "\n".join(lines)

    def shown(row: str, form: str) -> Callable[[str], str]:
        return lambda name: form.format(median[name][row]) if row in median[name] else "-"

    def ratio(row: str, to: str) -> Callable[[str], str]:
        known = to in median and row in median[to]
        return lambda name: f"{median[name][row] / median[to][row]:.2f}" if known and row in median[name] else "-"

    def added(percentile: str) -> Callable[[str], str]:
        direct = median["direct"][percentile]
        return lambda name: f"{median[name][percentile] - direct:.0f}" if percentile in median[name] else "-"

    def added_ratio(percentile: str) -> Callable[[str], str]:
        direct = median["direct"][percentile]
        nginx = median.get(NGINX, {}).get(percentile)
        return lambda name: (
            f"{(median[name][percentile] - direct) / (nginx - direct):.2f}"
            if nginx and percentile in median[name]
            else "-"
        )

    cpu = next((row.partition(":")[2].strip() for row in Path("/proc/cpuinfo").read_text().splitlines()
                if row.startswith("model name")), platform.machine())  # fmt: skip
    machine = (
        f"Machine: {os.cpu_count()} cores ({cpu}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}. {rounds} rounds, {seconds} s a load, each proxy in turn in every round; "
        "medians. Load, origin and proxy share the machine."
    )
    intro = [machine, *([f"Not installed: {', '.join(missing)}."] if missing else [])]
    tables = [
        table(
            "Requests/s, 400-byte answer",
            [
                *((f"{n} connections", shown(f"rate {n}", "{:,.0f}")) for n in LOADS),
                *((f"{n}: × {BASELINE}", ratio(f"rate {n}", BASELINE)) for n in LOADS),
                *((f"{n}: × nginx", ratio(f"rate {n}", NGINX)) for n in LOADS),
                (
                    "512 to 32",
                    lambda name: (
                        f"{median[name]['rate 512'] / median[name]['rate 32']:.2f}"
                        if "rate 512" in median[name]
                        else "-"
                    ),
                ),
            ],
            ["direct", *names],
        ),
        table(
            "Latency at one connection, µs",
            [
                ("p50", shown("p50 1", "{:.0f}")),
                ("p99", shown("p99 1", "{:.0f}")),
                ("p50 added", added("p50 1")),
                ("p99 added", added("p99 1")),
                ("p50 added × nginx", added_ratio("p50 1")),
                ("p99 added × nginx", added_ratio("p99 1")),
            ],
            ["direct", *names],
        ),
        table(
            "1 GiB, GB/s and MB of memory above idle",
            [
                row
                for name in ("down", "up", "TLS down", "TLS up")
                for row in (
                    (name, shown(name, "{:.2f}")),
                    (f"{name}: × nginx", ratio(name, NGINX)),
                    (f"{name}: memory", shown(f"{name} memory", "{:.1f}")),
                )
            ],
            names,
        ),
        table(
            "Memory and start",
            [
                ("idle, MB", shown("idle memory", "{:.1f}")),
                ("each of 1,000 idle connections, kB", shown("idle connection", "{:.1f}")),
                ("20 readers that stop, MB above idle", shown("stopped readers", "{:.1f}")),
                ("start to first answer, s", shown("start", "{:.2f}")),
                ("cold start, 1,000 callers: answered", shown("crowd answered", "{:.0f}")),
                ("cold start, 1,000 callers: sign-ins", shown("crowd sign-ins", "{:.0f}")),
            ],
            names,
        ),
    ]
    return "\n\n".join([*intro, *tables])


def write(text: str) -> None:
    """Put the figures into RESULTS.md, between its marks; what people wrote around them stays."""
    before, after = "# Results\n\n", "\n"
    if RESULTS.exists() and BEGIN in (old := RESULTS.read_text()):
        before, after = old.partition(BEGIN)[0], old.partition(END)[2]
    RESULTS.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
