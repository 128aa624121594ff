"""What is made of the facts of one request."""

import pytest

from proxy.model import OWN, RequestRecord


@pytest.mark.parametrize(
    ("asked", "answered", "relaying", "ended", "overhead"),
    [
        (0.0, 0.0, 0.0, 11.0, 1.0),
        (10.25, 10.75, 0.0, 11.0, 0.5),
        (10.25, 10.75, 10.875, 99.0, 0.375),
    ],
    ids=["no upstream", "all at once", "a long content"],
)
def test_overhead(asked: float, answered: float, relaying: float, ended: float, overhead: float) -> None:
    """The proxy's own share is the time in which neither the upstream nor content was waited for."""
    entry = RequestRecord("GET", 10.0)
    entry.asked, entry.answered, entry.relaying, entry.ended = asked, answered, relaying, ended
    assert entry.overhead == overhead


@pytest.mark.parametrize(
    ("method", "route", "status", "code", "level"),
    [
        ("GET", "/", 200, "", "info"),
        ("GET", "/", 500, "", "info"),
        ("GET", "/", 499, "", "info"),
        ("GET", "/", 502, "upstream_broken", "error"),
        ("GET", "", 403, "host_not_allowed", "warning"),
        ("GET", OWN, 200, "", "debug"),
        ("HEAD", OWN, 503, "", "debug"),
        ("POST", OWN, 200, "", "info"),
        ("GET", OWN, 404, "no_route", "warning"),
    ],
)
def test_level(method: str, route: str, status: int, code: str, level: str) -> None:
    """What the proxy could not do is an error, what it refused a warning, and probes are hardly worth a word."""
    entry = RequestRecord(method, 0.0)
    entry.route, entry.status, entry.code = route, status, code
    assert entry.level == level


def test_repr() -> None:
    """A repr shows nothing that a stranger could have hidden a secret in but the method."""
    entry = RequestRecord("GET", 0.0)
    entry.path = entry.request_id = "c4n4ry"
    assert repr(entry) == "RequestRecord('GET', status=0)"
