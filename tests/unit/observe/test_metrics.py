"""Counting requests: what is told apart, what is not, and what strangers cannot make grow."""

from typing import Any

import pytest

from proxy.model import OWN, RequestRecord
from proxy.observe.metrics import OVERHEAD_BOUNDS, UPSTREAM_BOUNDS, Histogram, Labels, RequestMetrics, labels_of


def entry(method: str = "GET", *, took: float = 0.0002, upstream: float = 0.0, **facts: Any) -> RequestRecord:
    made = RequestRecord(method, 10.0)
    made.route, made.status, made.source = "/", 200, "upstream"
    made.ended = 10.0 + took + upstream
    if upstream:
        made.asked, made.answered = 10.0, 10.0 + upstream
    for name, value in facts.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("facts", "labels"),
    [
        ({}, Labels("/", "GET", "200", "upstream")),
        ({"route": "/cdn/flights"}, Labels("/cdn/flights", "GET", "200", "upstream")),
        ({"route": OWN, "source": "proxy"}, Labels("/-/", "GET", "200", "proxy")),
        ({"route": "", "source": "client", "status": 403}, Labels("none", "GET", "403", "client")),
        ({"method": "BREW"}, Labels("/", "other", "200", "upstream")),
        ({"method": "-", "status": 400}, Labels("/", "other", "400", "upstream")),
        ({"status": 499}, Labels("/", "GET", "499", "upstream")),
        ({"status": 299}, Labels("/", "GET", "2xx", "upstream")),
        ({"status": 999}, Labels("/", "GET", "9xx", "upstream")),
    ],
)
def test_labels(facts: dict[str, Any], labels: Labels) -> None:
    """Methods and statuses that nobody registered share a label."""
    assert labels_of(entry(**facts)) == labels


def test_counts() -> None:
    """Requests are counted by their labels, bytes by their route."""
    metrics = RequestMetrics()
    metrics([entry(received=5, sent=7), entry(received=1), entry("POST", sent=3), entry(route="/cdn", sent=100)])
    metrics([entry()])
    assert metrics.requests == {
        Labels("/", "GET", "200", "upstream"): 3,
        Labels("/", "POST", "200", "upstream"): 1,
        Labels("/cdn", "GET", "200", "upstream"): 1,
    }
    traffic = {route: (one.received, one.sent) for route, one in metrics.traffic.items()}
    assert traffic == {"/": (6, 10), "/cdn": (0, 100)}


def test_durations() -> None:
    """What the proxy took itself and what the upstream took are told apart; who asked no upstream counts for one."""
    metrics = RequestMetrics()
    metrics([entry(took=0.0002), entry(took=0.0002, upstream=0.02), entry(took=99.0, upstream=0.3)])
    traffic = metrics.traffic["/"]
    assert traffic.overhead.total == pytest.approx(99.0004)
    assert traffic.upstream.total == pytest.approx(0.32)
    overhead, upstream = dict(traffic.overhead.cumulative()), dict(traffic.upstream.cumulative())
    assert (overhead["0.0001"], overhead["0.00025"], overhead["15.0"], overhead["+Inf"]) == (0, 2, 2, 3)
    assert (upstream["0.01"], upstream["0.025"], upstream["0.5"], upstream["+Inf"]) == (0, 1, 2, 2)


def test_content_is_not_overhead() -> None:
    """The time in which a content was relayed, or a tunnel was open, is nobody's latency."""
    metrics = RequestMetrics()
    metrics([entry(took=100.0, upstream=1.0, relaying=11.0002)])
    assert metrics.traffic["/"].overhead.total == pytest.approx(0.0002)


@pytest.mark.parametrize("bounds", [OVERHEAD_BOUNDS, UPSTREAM_BOUNDS])
def test_bounds(bounds: tuple[float, ...]) -> None:
    """Bounds go up, and what falls on one is within it."""
    assert list(bounds) == sorted(set(bounds))
    metrics = RequestMetrics()
    metrics([entry(took=bounds[3], began=0.0, ended=bounds[3])])
    histogram = Histogram(bounds)
    assert histogram.cumulative()[-1] == ("+Inf", 0)
    assert [name for name, _ in histogram.cumulative()[:-1]] == [str(bound) for bound in bounds]


def test_on_a_bound() -> None:
    """A bound belongs to its bucket (`le` is "less than or equal")."""
    metrics = RequestMetrics()
    metrics([entry(began=0.0, ended=0.001)])
    counts = dict(metrics.traffic["/"].overhead.cumulative())
    assert (counts["0.0005"], counts["0.001"]) == (0, 1)


def test_strangers_make_nothing_grow() -> None:
    """Ten thousand methods and all statuses make a few series, and leave none behind."""
    metrics = RequestMetrics()
    metrics([entry(f"M{n}") for n in range(10_000)])
    metrics([entry(status=status) for status in range(100, 1000)])
    assert metrics.requests[Labels("/", "other", "200", "upstream")] == 10_000
    assert sum(metrics.requests.values()) == 10_900
    assert len(metrics.requests) < 90
    assert len(metrics._known) <= 4096
