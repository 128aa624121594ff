"""The judge of hostile bytes is itself tested: one that finds nothing wrong with anything looks just as green."""

import h11
import pytest
from support.oracle import Reader, StrictOrigin, ambiguity, head_fault, readings
from support.rig import Heard, disagreements

HEAD = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\n"
SENT = b"POST /v1/x HTTP/1.1\r\nHost: upstream\r\nAuthorization: Bearer pat-1\r\nContent-Length: 2\r\n\r\nok"
ANSWER = Heard(b"HTTP/1.1 204 No Content\r\n\r\n", closed=False)


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"\r\n",
        HEAD + b"Content-Length: 2\r\n\r\nok",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nA: b\r\n\r\n",
        b"GET http://localhost/ HTTP/1.0\r\n\r\n",
    ],
)
def test_one_reading(raw: bytes) -> None:
    """What is right is not complained about."""
    assert ambiguity(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        HEAD,
        HEAD.replace(b"\r\n", b"\n") + b"\n",
        HEAD + b"X: a\r\n b\r\n\r\n",
        HEAD + b"X : a\r\n\r\n",
        HEAD + b"X: a\x00\r\n\r\n",
        b"GET /#x HTTP/1.1\r\n\r\n",
        b"GET x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        HEAD + b"Content-Length: 2, 2\r\n\r\nok",
        HEAD + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_two_readings(raw: bytes) -> None:
    """Whatever is wrong with a head is found."""
    assert head_fault(raw) is not None
    assert ambiguity(raw) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"2\nok\r\n0\r\n\r\n",
        b"2\r\nok\n0\r\n\r\n",
        b"0x2\r\nok\r\n0\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n\r\nx",
    ],
)
def test_odd_chunks(content: bytes) -> None:
    """Whatever is wrong with a content is found, though its head is right."""
    raw = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + content
    assert head_fault(raw) is None
    assert ambiguity(raw) is not None


def test_another_length() -> None:
    """A content that is not as long as announced is found."""
    assert ambiguity(HEAD + b"Content-Length: 3\r\n\r\nok") is not None


def test_readings() -> None:
    """Requests are read up to the first that is malformed, and empty lines between them are ignored."""
    one = HEAD + b"Content-Length: 2\r\n\r\n"
    reads, rest = readings(b"\r\n" + one + b"ok\r\n\r\n" + one + b"no" + b"nonsense\r\n\r\n")
    assert [read.body for read in reads] == [b"ok", b"no"]
    assert reads[1].raw == one + b"no"
    assert rest == b"nonsense\r\n\r\n"


def seen(raw: bytes) -> StrictOrigin:
    origin = StrictOrigin("http://upstream")
    origin.take(raw, Reader())
    return origin


def test_nothing_is_wrong() -> None:
    """A request that arrives as it was sent gives no cause for complaint."""
    sent = HEAD + b"Content-Length: 2\r\n\r\nok"
    assert list(disagreements(sent, ANSWER, seen(SENT))) == []


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b"", SENT),
        (HEAD + b"Content-Length: 2\r\n\r\nno", SENT),
        (HEAD.replace(b"/v1/x", b"/v1/y") + b"Content-Length: 2\r\n\r\nok", SENT),
        (HEAD.replace(b"POST", b"PUT") + b"Content-Length: 2\r\n\r\nok", SENT),
        (HEAD + b"Content-Length: 2, 2\r\n\r\nok", SENT),
        (HEAD + b"Content-Length: 2\r\n\r\nok", SENT.replace(b"Authorization", b"X")),
        (HEAD + b"Content-Length: 2\r\n\r\nok", SENT.replace(b"Content-", b"x_api_key: 1\r\nContent-")),
        (HEAD + b"Content-Length: 2\r\n\r\nok", SENT.replace(b"upstream", b"localhost")),
        (HEAD + b"Content-Length: 2\r\n\r\nok", SENT.replace(b"Content-", b"content_length: 1\r\nContent-")),
        (HEAD + b"Content-Length: 2\r\n\r\nok", SENT + SENT),
        (HEAD.replace(b"\r\n", b"\n"), SENT[:20]),
    ],
)
def test_something_is_wrong(sent: bytes, forwarded: bytes) -> None:
    """Another target, method or content, a credential too few or too many, a request more, stray bytes are found."""
    assert list(disagreements(sent, ANSWER._replace(data=b""), seen(forwarded)))


def test_an_unreadable_request_is_noted() -> None:
    """What h11 cannot read at all is a violation."""
    origin = StrictOrigin("http://upstream")
    with pytest.raises(h11.RemoteProtocolError):
        origin.take(b"nonsense\r\n\r\n", Reader())
    assert origin.violations
