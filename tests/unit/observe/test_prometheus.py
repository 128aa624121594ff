"""What a Prometheus reads: every family, well-formed, and of a size that no number of profiles or strangers changes."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.environment import guarded_environment

from proxy import __version__
from proxy.errors.defects import Where
from proxy.identity.tokens.state import Snapshot
from proxy.model import RequestRecord
from proxy.observe.metrics import RequestMetrics
from proxy.observe.prometheus import Exposition, ProcessReport
from proxy.observe.prometheus.report import OTHERS, SHOWN, STATES

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def snapshot(name: str = "default", state: str = "fresh", **changes: Any) -> Snapshot:
    facts: dict[str, Any] = {
        "profile": name,
        "state": state,
        "claims": {"email": "ada@example.com"},
        "expires_in": 1200.5,
        "refresh_in": 900.0,
        "last_outcome": "signed in",
        "sign_ins": 1,
        "renewals": 0,
        "failures_in_a_row": 0,
        "clock_skew": 0.0,
        "error": None,
        "age": 2399.5,
    }
    return Snapshot(**facts | changes)


def without_token(name: str, state: str) -> Snapshot:
    return snapshot(name, state, expires_in=None, age=None, claims={}, clock_skew=None)


def report(
    snapshots: Sequence[Snapshot] = (),
    *,
    entries: Sequence[RequestRecord] = (),
    outcomes: Mapping[tuple[str, str], int] | None = None,
    draining: bool = False,
) -> ProcessReport:
    requests = RequestMetrics()
    requests(entries)
    return ProcessReport(
        requests, tuple(snapshots), outcomes or {}, 5, 3, draining, 17, {Where.ANSWERING: 2, Where.RENEWING: 0}
    )


def exposed(told: ProcessReport, accept: bytes | None = None) -> tuple[str, str]:
    """The answer's text and its media type."""
    headers = [(b"Host", b"localhost"), *([(b"ACCEPT", accept)] if accept is not None else [])]
    answer = asyncio.run(Exposition(lambda: told)(headers))
    assert answer.status == 200
    fields = dict(answer.headers)
    assert int(fields[b"Content-Length"]) == len(answer.body)
    return answer.body.decode(), fields[b"Content-Type"].decode()


def samples(told: ProcessReport) -> Samples:
    """Every sample by its name and labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(exposed(told)[0]):
        assert family.documentation
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def of(found: Samples, name: str) -> dict[str, float]:
    """The samples of one name by what their labels say, in the order of the labels' names."""
    return {
        "|".join(value for _, value in sorted(labels)): value
        for (key, labels), value in found.items()
        if key == f"ul_proxy_{name}"
    }


def test_the_process() -> None:
    """Which proxy this is, how busy it is, and what Prometheus wants to know of every process."""
    found = samples(report(draining=True))
    python = ".".join(map(str, sys.version_info[:3]))
    assert of(found, "build_info") == {f"{python}|{__version__}": 1}
    assert of(found, "connections") == {"": 5}
    assert of(found, "requests_in_flight") == {"": 3}
    assert of(found, "draining") == {"": 1}
    assert of(found, "log_lines_dropped_total") == {"": 17}
    assert of(found, "defects_total") == {"answering": 2, "renewing": 0}
    if sys.platform == "linux":
        names = {name for name, _ in found}
        assert {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"} <= names


def test_requests() -> None:
    """Requests by route, method, status and source, bytes and durations by route."""
    entry, own = RequestRecord("GET", 10.0), RequestRecord("GET", 10.0)
    entry.route, entry.status, entry.source = "/v1/analytics", 200, "upstream"
    entry.asked, entry.answered, entry.ended, entry.received, entry.sent = 10.0, 10.02, 10.0202, 5, 7
    own.route, own.status, own.ended = "/-/", 200, 10.0002
    found = samples(report(entries=[entry, own]))
    # The labels are method, route, source and status.
    assert of(found, "requests_total") == {"GET|/v1/analytics|upstream|200": 1, "GET|/-/|proxy|200": 1}
    assert of(found, "received_bytes_total") == {"/v1/analytics": 5, "/-/": 0}
    assert of(found, "sent_bytes_total") == {"/v1/analytics": 7, "/-/": 0}
    assert of(found, "upstream_seconds_count") == {"/v1/analytics": 1}
    assert of(found, "overhead_seconds_count") == {"/v1/analytics": 1, "/-/": 1}
    assert of(found, "upstream_seconds_sum")["/v1/analytics"] == pytest.approx(0.02)
    buckets = of(found, "upstream_seconds_bucket")
    assert (buckets["0.01|/v1/analytics"], buckets["0.025|/v1/analytics"], buckets["+Inf|/v1/analytics"]) == (0, 1, 1)


def test_logins() -> None:
    """Of each profile the state, the token's age and what is left of it, and what came of its sign-ins."""
    told = report(
        [snapshot(), without_token("north", "retrying"), without_token("south", "unusable_settings")],
        outcomes={("default", "signed_in"): 1, ("default", "renewed"): 4, ("north", "failed"): 2},
    )
    found = samples(told)
    assert of(found, "token_age_seconds") == {"default": 2399.5}
    assert of(found, "token_expires_in_seconds") == {"default": 1200.5}
    states = of(found, "sign_in_state")
    assert len(states) == 3 * len(STATES)
    assert {key for key, value in states.items() if value} == {"default|fresh", "north|retrying", "south|failed"}
    assert {key: n for key, n in of(found, "profiles").items() if n} == {"fresh": 1, "retrying": 1, "failed": 1}
    # The labels are outcome and profile.
    assert of(found, "renewals_total") == {"signed_in|default": 1, "renewed|default": 4, "failed|north": 2}


def test_a_thousand_profiles() -> None:
    """The first hundred are shown one by one, the others as one: the worst of them, and how many are in each state."""
    many = [snapshot(f"p{n}", expires_in=1000.0 - n, age=float(n)) for n in range(999)]
    told = report(
        [*many, without_token("p999", "login_required")],
        outcomes={(f"p{n}", "signed_in"): 1 for n in range(999)} | {("p999", "failed"): 1},
    )
    found = samples(told)
    expires_in = of(found, "token_expires_in_seconds")
    assert len(expires_in) == SHOWN + 1
    assert (expires_in["p0"], expires_in[OTHERS]) == (1000.0, 2.0)
    assert of(found, "token_age_seconds")[OTHERS] == 998.0
    states = of(found, "sign_in_state")
    assert {state for state in STATES if states[f"{OTHERS}|{state}"]} == {"fresh", "login_required"}
    assert of(found, "profiles")["fresh"] == 999
    renewals = of(found, "renewals_total")
    assert (renewals["signed_in|p0"], renewals[f"signed_in|{OTHERS}"], renewals[f"failed|{OTHERS}"]) == (1, 899, 1)
    assert len(exposed(told)[0]) < 150_000


def test_others_without_a_token() -> None:
    """Where none of the others has a token there is no age to tell."""
    told = report([*(snapshot(f"p{n}") for n in range(SHOWN)), without_token("last", "none")])
    assert OTHERS not in of(samples(told), "token_age_seconds")


@pytest.mark.parametrize(
    ("accept", "media_type", "end"),
    [
        (None, r"text/plain; version=0\.0\.4; charset=utf-8", ""),
        (b"*/*", r"text/plain; version=0\.0\.4; charset=utf-8", ""),
        (
            b"application/openmetrics-text; version=1.0.0",
            r"application/openmetrics-text; version=1\.0\.0;.*",
            "# EOF\n",
        ),
        (b"application/openmetrics-text; version=\xd9\xa3", r"application/openmetrics-text; [ -~]*", "# EOF\n"),
        (b"text/plain; version=nonsense", r"text/plain; version=0\.0\.4; charset=utf-8", ""),
        (b"caf\xe9", r"text/plain; version=0\.0\.4; charset=utf-8", ""),
    ],
)
def test_forms(accept: bytes | None, media_type: str, end: str) -> None:
    """Prometheus text, or OpenMetrics for who asks for that."""
    text, given = exposed(report([snapshot()]), accept)
    assert re.fullmatch(media_type, given)
    assert text.endswith(end)
    assert "ul_proxy_profiles" in text


def test_scrape_after_scrape() -> None:
    """Each answer says how things stand by then."""
    reports = iter([report(), report(draining=True)])
    exposition = Exposition(lambda: next(reports))

    async def bodies() -> list[bytes]:
        return [(await exposition(())).body for _ in range(2)]

    first, second = asyncio.run(bodies())
    assert b"ul_proxy_draining 0.0" in first
    assert b"ul_proxy_draining 1.0" in second


def test_nobody_waits_for_the_library() -> None:
    """A proxy starts without what only metrics need."""
    script = "import sys, proxy.cli.serve; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], env=guarded_environment(), check=False).returncode == 0
