"""Counts of the requests that were answered, in plain dictionaries; `exposition.py` shows them to a Prometheus.

No label takes its values from strangers: methods and statuses that HTTP does not register share a few.
"""

from bisect import bisect_left
from collections.abc import Sequence
from http import HTTPStatus
from itertools import accumulate
from typing import NamedTuple

from proxy.model import RequestRecord

OVERHEAD_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0)
"""Of the proxy's own share: what it takes itself is well under 1 ms, what a sign-in takes is seconds."""
UPSTREAM_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_CLIENT_LEFT = 499
_STATUSES = frozenset((*map(int, HTTPStatus), _CLIENT_LEFT))
_REMEMBERED = 4096


class Labels(NamedTuple):
    """What requests are told apart by."""

    route: str
    method: str
    status: str
    source: str


class Histogram:
    """How many observations were no greater than each bound (and greater than the one before), and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def cumulative(self) -> list[tuple[str, float]]:
        """How many observations were no greater than each bound, which is given as text, `+Inf` at last."""
        names = [*map(str, self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class Traffic:
    """What is counted of a route."""

    __slots__ = ("overhead", "received", "sent", "upstream")

    def __init__(self) -> None:
        self.received = self.sent = 0
        """Bytes of content from callers, and to them."""
        self.overhead = Histogram(OVERHEAD_BOUNDS)
        self.upstream = Histogram(UPSTREAM_BOUNDS)


class _Series:
    """Requests with the same labels."""

    __slots__ = ("count", "traffic")

    def __init__(self, traffic: Traffic) -> None:
        self.count = 0
        self.traffic = traffic


class RequestMetrics:
    """A reader of the request log."""

    def __init__(self) -> None:
        self._series: dict[Labels, _Series] = {}
        self._known: dict[tuple[str, str, int, str], _Series] = {}
        """The series by what entries say, so that few of them have to be judged."""
        self.traffic: dict[str, Traffic] = {}
        """By route."""

    def __call__(self, entries: Sequence[RequestRecord], _offset: float = 0.0) -> None:
        """Count requests. Runs for every one: hence no calls that could be spared."""
        known = self._known
        for entry in entries:
            series = known.get((entry.method, entry.route, entry.status, entry.source))
            if series is None:
                series = self._first(entry)
            series.count += 1
            traffic = series.traffic
            traffic.received += entry.received
            traffic.sent += entry.sent
            overhead = (entry.relaying or entry.ended) - entry.began
            if asked := entry.asked:
                waited = entry.answered - asked
                overhead -= waited
                histogram = traffic.upstream
                histogram.counts[bisect_left(UPSTREAM_BOUNDS, waited)] += 1
                histogram.total += waited
            histogram = traffic.overhead
            histogram.counts[bisect_left(OVERHEAD_BOUNDS, overhead)] += 1
            histogram.total += overhead

    @property
    def requests(self) -> dict[Labels, int]:
        """How many requests there were."""
        return {labels: series.count for labels, series in self._series.items()}

    def _first(self, entry: RequestRecord) -> _Series:
        """The series of an entry that says what none has said for a while."""
        labels = labels_of(entry)
        series = self._series.get(labels)
        if series is None:
            traffic = self.traffic.setdefault(labels.route, Traffic())
            series = self._series[labels] = _Series(traffic)
        if len(self._known) >= _REMEMBERED:
            # Strangers choose methods, and an upstream chooses statuses.
            self._known.clear()
        self._known[entry.method, entry.route, entry.status, entry.source] = series
        return series


def labels_of(entry: RequestRecord) -> Labels:
    """The labels of a request, of which there are few whatever callers and upstreams think of."""
    return Labels(
        route=entry.route or "none",
        method=entry.method if entry.method in _METHODS else "other",
        status=str(entry.status) if entry.status in _STATUSES else f"{entry.status // 100}xx",
        source=entry.source,
    )
