"""Figures as Markdown: medians, and ratios to the baseline and to nginx."""

import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path

from bench.peers import BASELINE, NGINX, NGINX_LOGGING

LOADS = (1, 32, 512)
"""Connections of which requests/s are measured."""
RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
Figures = dict[str, dict[str, list[float]]]
"""What was measured, by peer (or `direct`) and by row."""


def report(figures: Figures, *, rounds: int, turns: int, seconds: int, missing: list[str]) -> str:
    """The medians as Markdown tables, with ratios to the baseline and to nginx."""
    median = {
        peer: {row: statistics.median(values) for row, values in rows.items() if values}
        for peer, rows in figures.items()
    }
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

    def beyond_direct(name: str, percentile: str) -> float | None:
        known = percentile in median.get("direct", {}) and percentile in median.get(name, {})
        return median[name][percentile] - median["direct"][percentile] if known else None

    def added(percentile: str) -> Callable[[str], str]:
        return lambda name: "-" if (own := beyond_direct(name, percentile)) is None else f"{own:.0f}"

    def added_ratio(percentile: str, to: str) -> Callable[[str], str]:
        theirs = beyond_direct(to, percentile)
        return lambda name: (
            f"{own / theirs:.2f}" if theirs and (own := beyond_direct(name, percentile)) is not None else "-"
        )

    cpu = next((row.partition(":")[2].strip() for row in Path("/proc/cpuinfo").read_text().splitlines()
                if row.startswith("model name")), platform.machine())  # fmt: skip
    machine = (
        f"Machine: {os.cpu_count()} cores ({cpu}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}. {rounds} rounds, in each of which every load goes round "
        f"all proxies {turns} times, {seconds} s a turn; medians. Load, origin and proxy share the machine."
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
                        if {"rate 512", "rate 32"} <= median[name].keys()
                        else "-"
                    ),
                ),
            ],
            ["direct", *names],
        ),
        table(
            "Latency at one connection, µs",
            [
                ("p50", shown("p50", "{:.0f}")),
                ("p99", shown("p99", "{:.0f}")),
                ("p50 added", added("p50")),
                ("p99 added", added("p99")),
                *(
                    (f"{row} added × {to}", added_ratio(row, to))
                    for to in (NGINX, NGINX_LOGGING)
                    for row in ("p50", "p99")
                ),
                ("p99 as wrk corrects it", shown("corrected p99 1", "{:.0f}")),
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
