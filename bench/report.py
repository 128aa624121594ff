"""Figures as Markdown: medians, and ratios to the baseline and to nginx."""

import statistics
from collections.abc import Callable

from bench.peers import BASELINE, NGINX, NGINX_LOGGING

LOADS = (1, 32, 512)
"""Connections of which requests/s are measured."""
FAR_LOADS = (1, 32)
"""Those of which latencies are, with an upstream some milliseconds away."""
COSTS = (1, 32)
"""Those of which the processor time is told."""
SLOW = ("slow readers", "slow TLS readers", "aborted downloads", "stalled uploads")
"""Kinds of callers who cost memory."""
Figures = dict[str, dict[str, list[float]]]
"""What was measured, by peer (or `direct`) and by row."""
Cell = Callable[[str], str]
"""What stands in a row for a peer."""
_NOTHING = "-"


def tables(figures: Figures, *, limit: str) -> dict[str, str]:
    """Tables by their titles: those of which something was measured. `limit` says how memory was limited."""
    median = Medians(figures)
    every = [
        ("Requests/s, 400-byte answer", "", _requests(median)),
        (
            "Latency at one connection, µs",
            "",
            _latency(median, "p50", "p99", to=(NGINX, NGINX_LOGGING)) + _corrected(median),
        ),
        ("Processor time of a request, µs", "The process's own and the system's for it.", _processor(median)),
        (
            "Latency with an upstream 5 ms away, µs",
            "The origin waits for 5 ms before each answer. With 32 connections, the callers share a process.",
            [
                row
                for count in FAR_LOADS
                for row in _latency(median, f"far p50 {count}", f"far p99 {count}", f"{count}: ")
            ],
        ),
        ("1 GiB, GB/s and MB of memory above idle", "", _bulk(median)),
        ("Memory of slow callers, in a limit of 256 MiB", f"The limit: {limit}", _slow(median)),
        ("Memory and start", "", _start(median)),
    ]
    return {title: text for title, told, rows in every if (text := _table(median, told, rows))}


class Medians:
    """The medians of figures."""

    def __init__(self, figures: Figures) -> None:
        self._of = {
            peer: {row: statistics.median(values) for row, values in rows.items() if values}
            for peer, rows in figures.items()
        }
        self.peers = list(self._of)

    def get(self, peer: str, row: str) -> float | None:
        return self._of.get(peer, {}).get(row)

    def shown(self, row: str, form: str) -> Cell:
        return lambda peer: _NOTHING if (value := self.get(peer, row)) is None else form.format(value)

    def ratio(self, row: str, to: str) -> Cell:
        """As a multiple of what the peer `to` has."""
        return lambda peer: _divided(self.get(peer, row), self.get(to, row))

    def quotient(self, row: str, other: str) -> Cell:
        return lambda peer: _divided(self.get(peer, row), self.get(peer, other))

    def added(self, row: str) -> Cell:
        """What a proxy adds to what there is without one."""
        return lambda peer: _NOTHING if (value := self._added(peer, row)) is None else f"{value:.0f}"

    def added_ratio(self, row: str, to: str) -> Cell:
        return lambda peer: _divided(self._added(peer, row), self._added(to, row))

    def _added(self, peer: str, row: str) -> float | None:
        own, direct = self.get(peer, row), self.get("direct", row)
        return None if own is None or direct is None else own - direct


def _divided(value: float | None, by: float | None) -> str:
    return _NOTHING if value is None or not by else f"{value / by:.2f}"


def _table(median: Medians, told: str, rows: list[tuple[str, Cell]]) -> str:
    """Rows for all peers of whom one of them is known; empty where there is none."""
    peers = [peer for peer in median.peers if any(cell(peer) != _NOTHING for _, cell in rows)]
    if not peers or peers == ["direct"]:
        return ""
    head = [f"| | {' | '.join(peers)} |", f"|---|{'---:|' * len(peers)}"]
    body = [f"| {name} | {' | '.join(cell(peer) for peer in peers)} |" for name, cell in rows]
    return "\n".join([*([told, ""] if told else []), *head, *body])


def _requests(median: Medians) -> list[tuple[str, Cell]]:
    return [
        *((f"{count} connections", median.shown(f"rate {count}", "{:,.0f}")) for count in LOADS),
        *((f"{count}: × {to}", median.ratio(f"rate {count}", to)) for to in (BASELINE, NGINX) for count in LOADS),
        ("512 to 32", median.quotient("rate 512", "rate 32")),
    ]


def _latency(
    median: Medians, p50: str, p99: str, of: str = "", *, to: tuple[str, ...] = (NGINX,)
) -> list[tuple[str, Cell]]:
    rows = (("p50", p50), ("p99", p99))
    return [
        *((f"{of}{name}", median.shown(row, "{:.0f}")) for name, row in rows),
        *((f"{of}{name} added", median.added(row)) for name, row in rows),
        *((f"{of}{name} added × {peer}", median.added_ratio(row, peer)) for peer in to for name, row in rows),
    ]


def _corrected(median: Medians) -> list[tuple[str, Cell]]:
    return [("p99 as wrk corrects it", median.shown("corrected p99 1", "{:.0f}"))]


def _processor(median: Medians) -> list[tuple[str, Cell]]:
    return [
        *((f"{count} connections", median.shown(f"processor {count}", "{:.1f}")) for count in COSTS),
        *((f"{count}: × {to}", median.ratio(f"processor {count}", to)) for to in (BASELINE, NGINX) for count in COSTS),
    ]


def _bulk(median: Medians) -> list[tuple[str, Cell]]:
    return [
        row
        for name in ("down", "up", "TLS down", "TLS up")
        for row in (
            (name, median.shown(name, "{:.2f}")),
            (f"{name}: × nginx", median.ratio(name, NGINX)),
            (f"{name}: memory", median.shown(f"{name} memory", "{:.1f}")),
        )
    ]


def _slow(median: Medians) -> list[tuple[str, Cell]]:
    return [
        ("each of 1,000 slow readers, kB", median.shown("slow readers", "{:.1f}")),
        ("the same with TLS to the upstream, kB", median.shown("slow TLS readers", "{:.1f}")),
        ("what the kernel holds for the sockets of those without, MB", median.shown("slow readers sockets", "{:.0f}")),
        ("left by 600 downloads aborted one by one and 200 at once, MB", median.shown("aborted downloads", "{:.1f}")),
        ("300 stalled uploads of 1 MiB, MB", median.shown("stalled uploads", "{:.1f}")),
        ("what the kernel holds for their sockets, MB", median.shown("stalled uploads sockets", "{:.0f}")),
        ("outlived them", lambda peer: _outlived(median, peer)),
    ]


def _outlived(median: Medians, peer: str) -> str:
    known = {row: median.get(peer, f"{row} outlived") for row in SLOW}
    killed = [row for row, outlived in known.items() if outlived == 0]
    if killed:
        return f"killed by {', '.join(killed)}"
    return _NOTHING if None in known.values() else "yes"


def _start(median: Medians) -> list[tuple[str, Cell]]:
    return [
        ("idle, MB", median.shown("idle memory", "{:.1f}")),
        ("each of 1,000 idle connections, kB", median.shown("idle connection", "{:.1f}")),
        ("start to first answer, s", median.shown("start", "{:.2f}")),
        ("cold start, 1,000 callers: answered", median.shown("crowd answered", "{:.0f}")),
        ("cold start, 1,000 callers: sign-ins", median.shown("crowd sign-ins", "{:.0f}")),
    ]
