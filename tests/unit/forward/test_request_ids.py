"""By what name a request is known: a caller's, where it can be written to a log as it is, else one that is made."""

from itertools import islice

import pytest

from proxy.forward import request_ids
from proxy.http.grammar.fields import Header

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00-" + TRACE + b"-00f067aa0ba902b7-01"


def line(value: bytes, name: bytes = b"X-Request-Id") -> Header:
    return name, value


def parent(value: bytes) -> Header:
    return b"traceparent", value


@pytest.mark.parametrize(
    ("lines", "given"),
    [
        ([], ("", False)),
        ([line(b"abc-1", b"X-Correlation-Id")], ("", False)),
        ([line(b"abc-1")], ("abc-1", True)),
        ([line(b"abc-1", b"x-REQUEST-id")], ("abc-1", True)),
        ([line(b"Root=1-67891233-abcdef012345678912345678")], ("Root=1-67891233-abcdef012345678912345678", True)),
        ([line(b"f058ebd6-02f7-4d3f-942e-904344e8cde5")], ("f058ebd6-02f7-4d3f-942e-904344e8cde5", True)),
        ([line(b"x" * 128)], ("x" * 128, True)),
        ([line(b"x" * 129)], ("", True)),
        ([line(b"")], ("", True)),
        ([line(b"a b")], ("", True)),
        ([line(b'a"b')], ("", True)),
        ([line(b"a\\b")], ("", True)),
        ([line(b"a\tb")], ("", True)),
        ([line(b"a,b")], ("", True)),
        ([line(b"caf\xc3\xa9")], ("", True)),
        ([line(b"a\x9b31m")], ("", True)),
        ([line(b"a\n")], ("", True)),
        ([line(b"abc-1"), line(b"abc-1")], ("", True)),
        ([parent(PARENT)], (TRACE.decode(), True)),
        ([line(b"abc-1"), parent(PARENT)], ("abc-1", True)),
        ([line(b"a b"), parent(PARENT)], (TRACE.decode(), True)),
        ([parent(PARENT), parent(PARENT)], ("", False)),
        ([parent(PARENT.upper())], ("", False)),
        ([parent(PARENT + b"-more")], ("", False)),
        ([parent(b"01" + PARENT[2:] + b"-more")], (TRACE.decode(), True)),
        ([parent(b"cc" + PARENT[2:])], (TRACE.decode(), True)),
        ([parent(b"ff" + PARENT[2:])], ("", False)),
        ([parent(PARENT.replace(TRACE, b"0" * 32))], ("", False)),
        ([parent(b"nonsense")], ("", False)),
    ],
)
def test_given(lines: list[Header], given: tuple[str, bool]) -> None:
    """X-Request-Id counts before `traceparent`, and neither where it is repeated, too long or of letters that harm."""
    assert request_ids.given(lines) == given


def test_made() -> None:
    """Ids are all different, sane enough to be given, and come with the field line that tells an upstream."""
    ids = list(islice(request_ids.made("f00d"), 1000))
    assert [ids[n][0] for n in (0, 1, 255, 256)] == ["f00d-000", "f00d-001", "f00d-0ff", "f00d-100"]
    assert len({text for text, _ in ids}) == 1000
    for text, field in ids:
        assert field == b"X-Request-Id: %b\r\n" % text.encode()
        assert request_ids.given([line(text.encode())]) == (text, True)
