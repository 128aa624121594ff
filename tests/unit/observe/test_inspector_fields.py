"""Field lines beside each other: what passed, what stayed at the proxy and what it added, without the secrets."""

import pytest

from proxy.http.grammar.fields import Header
from proxy.observe.inspector.fields import ADDED, PASSED, STAYED, FieldLine, came, compared, value_of
from proxy.observe.inspector.masks import HIDDEN, Masks

MASKS = Masks()
HERE, THERE = (b"Host", b"localhost:8080"), (b"Host", b"api.test")


def marks(before: list[Header], after: list[Header], *, credential: bool = False) -> list[tuple[str, ...]]:
    return [tuple(line) for line in compared(before, after, MASKS, credential=credential)]


def test_compared() -> None:
    """Lines keep their order; of those that are alike as many pass as went on."""
    before = [HERE, (b"A", b"1"), (b"Connection", b"close"), (b"A", b"1"), (b"B", b"2")]
    after = [THERE, (b"a", b"1"), (b"B", b"2"), (b"Via", b"1.1 ul-proxy")]
    assert marks(before, after) == [
        (STAYED, "Host", "localhost:8080"),
        (PASSED, "A", "1"),
        (STAYED, "Connection", "close"),
        (STAYED, "A", "1"),
        (PASSED, "B", "2"),
        (ADDED, "Host", "api.test"),
        (ADDED, "Via", "1.1 ul-proxy"),
    ]


def test_more_than_before() -> None:
    """A line that is there once more was added once."""
    assert marks([(b"A", b"1")], [(b"A", b"1"), (b"A", b"1")]) == [(PASSED, "A", "1"), (ADDED, "A", "1")]
    assert marks([], []) == []


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ((b"X-Amz-Cognito-Security-Token", b"abc"), HIDDEN),
        ((b"Authorization", b"Bearer abc"), f"Bearer {HIDDEN}"),
        ((b"X-Staging", b"abc"), HIDDEN),
        ((b"X-Request-Id", b"abc-1"), "abc-1"),
        ((b"Transfer-Encoding", b"chunked"), "chunked"),
    ],
)
def test_credential(line: Header, value: str) -> None:
    """The credential that is added has a name, whatever a route calls it, and no value."""
    assert marks([HERE], [HERE, line], credential=True)[1:] == [(ADDED, line[0].decode(), value)]


def test_answers_add_no_credential() -> None:
    """What is added to an answer is shown, as far as its name tells no secret."""
    assert marks([], [(b"Content-Security-Policy", b"default-src 'none'"), (b"Set-Cookie", b"a=b")]) == [
        (ADDED, "Content-Security-Policy", "default-src 'none'"),
        (ADDED, "Set-Cookie", HIDDEN),
    ]


def test_came() -> None:
    """Where nothing was passed on, lines are as they came, secrets aside, in UTF-8 or whatever it was."""
    lines = [(b"Cookie", b"a=b"), (b"X-A", "é".encode()), (b"X-B", b"\xe9")]
    assert came(lines, MASKS) == [
        FieldLine(PASSED, "Cookie", HIDDEN),
        FieldLine(PASSED, "X-A", "é"),
        FieldLine(PASSED, "X-B", "é"),
    ]
    assert "Cookie" in repr(came(lines, MASKS)[0])
    assert HIDDEN not in repr(came(lines, MASKS)[0])


def test_value_of() -> None:
    """The first line of a name counts, in whatever case it was written."""
    lines = [(b"Content-Type", b"a"), (b"content-type", b"b")]
    assert (value_of(lines, b"content-type"), value_of(lines, b"host")) == ("a", "")
