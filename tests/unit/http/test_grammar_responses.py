"""What the bytes of a response mean: tables, and h11 for comparison."""

import math
from collections.abc import Sequence

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.pieces import MALFORMED_SECTIONS, cut_up

from proxy.http.grammar import ChunkedDecoder, Content, Delimiter, FramingError, Head, content_of, kept_for, parse_head

CHUNKED = Delimiter.CHUNKED
CLOSE = Delimiter.CLOSE


def head_of(*lines: bytes, status_line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status_line, *lines, b"", b""])


def answer(*fields: tuple[bytes, bytes], status: int = 200, minor: int = 1) -> Head:
    return head_in(head_of(*(b"%b: %b" % line for line in fields), status_line=b"HTTP/1.%d %d" % (minor, status)))


def head_in(data: bytes) -> Head:
    head, end = parse_head(data)
    assert end == len(data)
    return head


# Heads.


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b"HTTP/1.1 200 OK", (1, 200, b"OK"), id="usual"),
        pytest.param(b"HTTP/1.0 200 OK", (0, 200, b"OK"), id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200 ", (1, 200, b""), id="empty reason"),
        pytest.param(b"HTTP/1.1 200", (1, 200, b""), id="no reason"),
        pytest.param(b"HTTP/1.1 404 Not  Found ", (1, 404, b"Not  Found "), id="spaces in the reason"),
        pytest.param(b"HTTP/1.1 200 a\tb", (1, 200, b"a\tb"), id="tab in the reason"),
        pytest.param(
            b"HTTP/1.1 200 Tr\xc3\xa8s bien \xff", (1, 200, b"Tr\xc3\xa8s bien \xff"), id="bytes beyond ASCII"
        ),
        pytest.param(b"HTTP/1.1 200 HTTP/1.1 500: x", (1, 200, b"HTTP/1.1 500: x"), id="reason like a status line"),
        pytest.param(b"HTTP/1.1 103 Early Hints", (1, 103, b"Early Hints"), id="interim"),
        pytest.param(b"HTTP/1.1 599 Odd", (1, 599, b"Odd"), id="unknown code"),
        pytest.param(b"HTTP/1.1 999 Denied", (1, 999, b"Denied"), id="code beyond the classes"),
    ],
)
def test_status_lines(line: bytes, expected: tuple[int, int, bytes]) -> None:
    """Version, status and reason come out as they were written."""
    assert head_in(head_of(status_line=line)) == Head(*expected, b"", {})


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n\r\n", id="empty"),
        pytest.param(head_of(status_line=b"200 OK"), id="no version"),
        pytest.param(head_of(status_line=b"HTTP/1.1"), id="no status"),
        pytest.param(head_of(status_line=b"HTTP/1.1 "), id="empty status"),
        pytest.param(head_of(status_line=b"HTTP/1.1 OK"), id="words for a status"),
        pytest.param(head_of(status_line=b"HTTP/1.1 20 OK"), id="two digits"),
        pytest.param(head_of(status_line=b"HTTP/1.1 2000 OK"), id="four digits"),
        pytest.param(head_of(status_line=b"HTTP/1.1 000 OK"), id="class 0"),
        pytest.param(head_of(status_line=b"HTTP/1.1 \xb2\xb3\xb9 OK"), id="digits that are none"),
        pytest.param(head_of(status_line=b"HTTP/1.1  200 OK"), id="two spaces"),
        pytest.param(head_of(status_line=b"HTTP/1.1\t200 OK"), id="tab"),
        pytest.param(head_of(status_line=b" HTTP/1.1 200 OK"), id="space before"),
        pytest.param(head_of(status_line=b"\r\nHTTP/1.1 200 OK"), id="empty line before"),
        pytest.param(head_of(status_line=b"http/1.1 200 OK"), id="lower case"),
        pytest.param(head_of(status_line=b"HTTP/2 200"), id="HTTP/2"),
        pytest.param(head_of(status_line=b"HTTP/2.0 200 OK"), id="HTTP/2.0"),
        pytest.param(head_of(status_line=b"HTTP/1.2 200 OK"), id="HTTP/1.2"),
        pytest.param(head_of(status_line=b"HTTP/0.9 200 OK"), id="HTTP/0.9"),
        pytest.param(b"<html>hello</html>\r\n\r\n", id="content without a head"),
        pytest.param(head_of(status_line=b"HTTP/1.1 200 a\x00b"), id="NUL in the reason"),
        pytest.param(head_of(status_line=b"HTTP/1.1 200 a\x7fb"), id="DEL in the reason"),
        pytest.param(head_of(status_line=b"HTTP/1.1 200 a\rb"), id="CR in the reason"),
        pytest.param(head_of(status_line=b"HTTP/1.1 200 a\nb: c"), id="LF in the reason"),
        pytest.param(b"HTTP/1.1 200 OK\nA: b\r\n\r\n", id="LF ends the status line"),
        *(
            pytest.param(b"HTTP/1.1 200 OK\r\n%b\r\n" % section, id=name)
            for name, section in MALFORMED_SECTIONS.items()
        ),
    ],
)
def test_malformed_heads(data: bytes) -> None:
    """Whatever is not exactly a head is an error, never a guess."""
    with pytest.raises(FramingError):
        head_in(data)


# How an answer ends.

LENGTH_5 = (b"Content-Length", b"5")
RESTING = Content(0, True, rests=True)
DOUBTFUL = Content(0, False, rests=True)
TE = b"Transfer-Encoding"


@pytest.mark.parametrize(
    ("method", "head", "expected"),
    [
        pytest.param("GET", answer(LENGTH_5), Content(5, True), id="a length"),
        pytest.param("GET", answer((b"content-LENGTH", b"0")), Content(0, True), id="length 0 in any case"),
        pytest.param("GET", answer((b"Content-Length", b"005")), Content(5, True), id="leading zeros"),
        pytest.param("GET", answer((b"Content-Length", b"9" * 18)), Content(int("9" * 18), True), id="18 digits"),
        pytest.param("GET", answer((TE, b"chunked")), Content(CHUNKED, True), id="chunked"),
        pytest.param("GET", answer((b"transfer-encoding", b"CHUNKED")), Content(CHUNKED, True), id="in any case"),
        pytest.param("GET", answer(), Content(CLOSE, False), id="nothing said"),
        pytest.param("GET", answer((b"Connection", b"keep-alive")), Content(CLOSE, False), id="an empty promise"),
        pytest.param("GET", answer(minor=0), Content(CLOSE, False), id="HTTP/1.0"),
        pytest.param("GET", answer(LENGTH_5, minor=0), Content(5, False), id="a length on HTTP/1.0"),
        pytest.param("POST", answer(status=205), Content(CLOSE, False), id="205"),
        pytest.param("HEAD", answer(LENGTH_5), RESTING, id="HEAD with a length"),
        pytest.param("HEAD", answer((TE, b"chunked")), RESTING, id="HEAD with chunked"),
        pytest.param("HEAD", answer(), RESTING, id="HEAD without either"),
        pytest.param("GET", answer(LENGTH_5, status=204), DOUBTFUL, id="204 with a length"),
        pytest.param("GET", answer((TE, b"chunked"), status=204), DOUBTFUL, id="204 with chunked"),
        pytest.param("GET", answer(LENGTH_5, status=304), DOUBTFUL, id="304 with a length"),
        pytest.param("GET", answer(status=304), RESTING, id="304 without"),
        pytest.param("GET", answer((b"Content-Length", b"00"), status=204), RESTING, id="204 with a length of 0"),
        pytest.param("HEAD", answer(status=304), RESTING, id="304 to HEAD"),
        pytest.param("HEAD", answer((b"Connection", b"close")), DOUBTFUL, id="HEAD and close"),
    ],
)
def test_content_of(method: str, head: Head, expected: Content) -> None:
    """RFC 9112 section 6.3, rule by rule."""
    assert content_of(method, head) == expected


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(answer(LENGTH_5, (TE, b"chunked")), id="both"),
        pytest.param(answer((TE, b"chunked"), LENGTH_5), id="both, the other way round"),
        pytest.param(answer(LENGTH_5, (b"Content-Length", b"6")), id="two lengths"),
        pytest.param(answer(LENGTH_5, LENGTH_5), id="the same length twice"),
        pytest.param(answer((b"Content-Length", b"5, 5")), id="a list of lengths"),
        pytest.param(answer((b"Content-Length", b"")), id="an empty length"),
        pytest.param(answer((b"Content-Length", b"+5")), id="a plus sign"),
        pytest.param(answer((b"Content-Length", b"-5")), id="negative"),
        pytest.param(answer((b"Content-Length", b"5.0")), id="a fraction"),
        pytest.param(answer((b"Content-Length", b"0x5")), id="hexadecimal"),
        pytest.param(answer((b"Content-Length", b"5 5")), id="a space inside"),
        pytest.param(answer((b"Content-Length", b"1_0")), id="as Python writes numbers"),
        pytest.param(answer((b"Content-Length", b"\xb2")), id="a digit that is none"),
        pytest.param(answer((b"Content-Length", b"1" * 19)), id="huge"),
        pytest.param(answer((TE, b"gzip, chunked")), id="gzip, chunked"),
        pytest.param(answer((TE, b"chunked, gzip")), id="chunked, gzip"),
        pytest.param(answer((TE, b"gzip")), id="gzip"),
        pytest.param(answer((TE, b"identity")), id="identity"),
        pytest.param(answer((TE, b"")), id="an empty coding"),
        pytest.param(answer((TE, b"chunked;q=1")), id="a parameter"),
        pytest.param(answer((TE, b"chunked, chunked")), id="chunked twice in one"),
        pytest.param(answer((TE, b"chunked"), (TE, b"chunked")), id="chunked twice"),
        pytest.param(answer((TE, b"gzip"), (TE, b"chunked")), id="two lines"),
        pytest.param(answer((TE, b"chunked"), minor=0), id="chunked on HTTP/1.0"),
    ],
)
def test_ambiguous_content(method: str, head: Head) -> None:
    """What two recipients could read in two ways is an error, for HEAD as well: the fields would be passed on."""
    with pytest.raises(FramingError):
        content_of(method, head)


@pytest.mark.parametrize(
    ("minor", "connection", "alive"),
    [
        (1, [], True),
        (1, [b""], True),
        (1, [b"keep-alive"], True),
        (1, [b"close"], False),
        (1, [b"Close"], False),
        (1, [b"X-Hop, close"], False),
        (1, [b"X-Hop", b"close"], False),
        (1, [b"close, keep-alive"], False),
        (1, [b"closed"], True),
        (1, [b" close\t,"], False),
        (0, [], False),
        (0, [b"keep-alive"], True),
        (0, [b"Keep-Alive"], True),
        (0, [b"keep-alive", b"close"], False),
        (0, [b"X-Hop"], False),
    ],
)
def test_keep_alive(minor: int, connection: list[bytes], alive: bool) -> None:
    """RFC 9112 section 9.3: HTTP/1.1 stays unless it says close, HTTP/1.0 goes unless it says keep-alive."""
    fields = [(b"Connection", value) for value in connection]
    assert content_of("GET", answer(LENGTH_5, *fields, minor=minor)).keeps_alive == alive


@pytest.mark.parametrize(
    ("keep_alive", "seconds"),
    [
        (b"timeout=5", 5.0),
        (b"timeout=5, max=100", 5.0),
        (b"max=100,timeout = 7", 7.0),
        (b'timeout="5"', 5.0),
        (b"timeout=0", 0.0),
        (b"max=100", math.inf),
        (b"idle-timeout=5", math.inf),
        (b"timeout=", math.inf),
        (b"timeout=-5", math.inf),
        (b"", math.inf),
    ],
)
def test_kept_for(keep_alive: bytes, seconds: float) -> None:
    """How long a connection is kept stands among the parameters of `Keep-Alive`, or does not."""
    assert kept_for(keep_alive) == seconds


# Compared with h11.


def read(method: str, data: bytes, sizes: Sequence[int] = ()) -> tuple[Head, bytes, list[tuple[bytes, bytes]]]:
    """A whole answer, as `grammar` reads it; raises FramingError, also where the end is missing."""
    head, end = parse_head(data)
    content, data = content_of(method, head).delimiter, data[end:]
    if content is CLOSE:
        return head, data, []
    if isinstance(content, int):
        if len(data) < content:
            raise FramingError("short")
        return head, data[:content], []
    decoder, body = ChunkedDecoder(), b""
    for piece in cut_up(data, sizes):
        if not decoder.done:
            body += b"".join(decoder.feed(piece))
    if not decoder.done:
        raise FramingError("short")
    return head, body, decoder.trailers


def read_by_h11(method: str, data: bytes) -> tuple[h11.Response, bytes, list[tuple[bytes, bytes]]]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    response, body = connection.next_event(), b""
    if not isinstance(response, h11.Response):
        raise h11.RemoteProtocolError("not a final answer")
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return response, body, list(event.headers)
        else:
            raise h11.RemoteProtocolError("short")


LINE_ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n ", b"\r\n\r\n"])
STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK"] * 4
    + [
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 204 None",
        b"HTTP/1.1 304 x",
        b"HTTP/1.1 200",
        b"HTTP/1.1 599 \xff",
        b"HTTP/1.1 2 x",
    ]
)
FIELDS = st.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length:0",
        b"content-length: +5",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding:\tchunked ",
        b"Connection: close",
        b"Connection: keep-alive",
        b"A: b",
        b"A : b",
        b"A:",
        b"A: \xe9\xc3",
        b"A: \x00",
        b" folded",
    ]
)
CONTENTS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"hello",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
            b"5 \r\nhello\r\n00\r\n\r\nmore",
            b"05\r\nhello\n0\n\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloo\r\n0\r\n\r\n",
            b"0\r\n\r\n",
            b"5\r\nhel",
        ]
    ),
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    lines = [draw(STATUS_LINES), *draw(st.lists(FIELDS, max_size=4))]
    head = b"".join(line + draw(LINE_ENDS) for line in lines) + b"\r\n"
    data = bytearray(head + draw(CONTENTS))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=1)):
        if at < len(data):
            data[at] = byte
    return bytes(data)


@given(st.sampled_from(["GET", "HEAD"]), answers(), st.lists(st.integers(1, 8), max_size=12))
@example("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", [1, 1, 3])
@example("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [])
def test_answers_are_read_as_h11_reads_them_or_refused(method: str, data: bytes, sizes: list[int]) -> None:
    """What is accepted, h11 accepts as well and reads alike; nothing but FramingError is ever raised."""
    try:
        head, body, trailers = read(method, data, sizes)
    except FramingError:
        with pytest.raises(FramingError):
            read(method, data)
        return
    assert (head, body, trailers) == read(method, data)
    response, their_body, their_trailers = read_by_h11(method, data)
    assert (head.status, head.reason) == (response.status_code, response.reason)
    assert [(name.lower(), value) for name, value in head.headers] == list(response.headers)
    assert body == their_body
    assert [(name.lower(), value) for name, value in trailers] == their_trailers


@given(st.binary(max_size=300))
def test_noise_is_refused_with_a_framing_error(data: bytes) -> None:
    """Random bytes raise FramingError and nothing else."""
    for before in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\nC: "):
        whole = before + data + b"\r\n\r\n"
        try:
            head, end = parse_head(whole)
        except FramingError:
            continue
        assert whole[:end].endswith(head.section + b"\r\n")
