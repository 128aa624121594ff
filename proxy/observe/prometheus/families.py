"""A report as metric families: the only import of prometheus-client."""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.observe.metrics import Histogram, Traffic
from proxy.observe.prometheus.report import STATES, ProcessReport, by_state, logins, outcomes

_PREFIX = "ul_proxy_"

_Values: TypeAlias = Iterable[tuple[Sequence[str], float]]
"""What the labels say, and a value."""


class _Families(Collector):
    """Families that have been made, with those of the process itself, which cost a look into `/proc`."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families
        yield from PROCESS_COLLECTOR.collect()


def encoded(families: Iterable[Metric], *, open_metrics: bool) -> tuple[bytes, str]:
    """The families as the bytes of an answer, as OpenMetrics or as Prometheus's own text, and its media type."""
    encode, media_type = choose_encoder("application/openmetrics-text; version=1.0.0" if open_metrics else "")
    return encode(_Families(families)), media_type


def families(report: ProcessReport) -> list[Metric]:
    """All that is told of the proxy."""
    return [*_process(report), *_requests(report), *_logins(report)]


def _process(report: ProcessReport) -> Iterator[Metric]:
    yield _gauge(
        "build_info", "Which proxy this is.", [((__version__, platform.python_version()), 1)], "version python"
    )
    yield _gauge("connections", "Connections of callers that are open.", [((), report.connections)])
    yield _gauge("requests_in_flight", "Requests that are being answered.", [((), report.in_flight)])
    yield _gauge("draining", "Whether the proxy is coming to its end.", [((), report.draining)])
    yield _counter(
        "log_lines_dropped", "Log lines that were dropped, because nobody read them.", [((), report.lines_dropped)]
    )
    defects = {(where,): count for where, count in report.defects.items()}
    yield _counter("defects", "Exceptions that nobody expected, by what was being done.", defects.items(), "where")


def _requests(report: ProcessReport) -> Iterator[Metric]:
    counts = report.requests.requests
    yield _counter("requests", "Requests that were answered.", counts.items(), "route method status source")
    traffic = report.requests.traffic
    received = {(route,): one.received for route, one in traffic.items()}
    yield _counter("received_bytes", "Bytes of content from callers.", received.items(), "route")
    sent = {(route,): one.sent for route, one in traffic.items()}
    yield _counter("sent_bytes", "Bytes of content to callers.", sent.items(), "route")
    overhead = "What requests spent in the proxy itself, waiting for a sign-in included."
    yield _histogram("overhead_seconds", overhead, traffic, lambda one: one.overhead)
    upstream = "From a request's going out to the head of the upstream's answer, connecting included."
    yield _histogram("upstream_seconds", upstream, traffic, lambda one: one.upstream)


def _logins(report: ProcessReport) -> Iterator[Metric]:
    known = logins(report.snapshots)
    states = {(state,): count for state, count in by_state(report.snapshots).items()}
    yield _gauge("profiles", "Profiles by the state of their sign-in.", states.items(), "state")
    state_of = {(one.name, state): state in one.states for one in known for state in STATES}
    yield _gauge("sign_in_state", "1 for the state that a profile's sign-in is in.", state_of.items(), "profile state")
    age = {(one.name,): one.age for one in known if one.age is not None}
    yield _gauge("token_age_seconds", "Since the token arrived.", age.items(), "profile")
    expires_in = {(one.name,): one.expires_in for one in known if one.expires_in is not None}
    yield _gauge("token_expires_in_seconds", "Until the token ends.", expires_in.items(), "profile")
    yield _counter(
        "renewals", "Sign-ins and renewals by what came of them.", outcomes(report).items(), "profile outcome"
    )


def _gauge(name: str, text: str, values: _Values, labels: str = "") -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, text, labels=labels.split())
    for key, value in values:
        family.add_metric(key, value)
    return family


def _counter(name: str, text: str, values: _Values, labels: str = "") -> Metric:
    family = CounterMetricFamily(_PREFIX + name, text, labels=labels.split())
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, traffic: dict[str, Traffic], of: Callable[[Traffic], Histogram]) -> Metric:
    """By route; of those that no upstream was asked for there is none."""
    family = HistogramMetricFamily(_PREFIX + name, text, labels=["route"])
    for route, one in traffic.items():
        histogram = of(one)
        if any(histogram.counts):
            family.add_metric([route], histogram.cumulative(), histogram.total)
    return family
