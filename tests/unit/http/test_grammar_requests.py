"""What the bytes of a request mean: tables, and h11 for comparison."""

from collections.abc import Sequence

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.pieces import FIELD_LINES, MALFORMED_SECTIONS, cut_up

from proxy.errors import BadRequest, HeadTooLarge, RequestError, TargetTooLong, UnsupportedCoding, UnsupportedVersion
from proxy.http.grammar import (
    MAX_HEAD,
    ChunkedDecoder,
    Fields,
    FramingError,
    RequestHead,
    check_beginning,
    parse_request,
)
from proxy.http.grammar.fields import Header
from proxy.http.grammar.requests import MAX_LINE

HOST = b"Host: h"


def head_of(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([line, *lines, b"", b""])


def parsed(data: bytes) -> RequestHead:
    return parse_request(data, 0, len(data))


def fields_of(*lines: bytes) -> Fields:
    return parsed(head_of(*lines)).fields


def with_size(line: int, head: int) -> bytes:
    """A head of so many bytes, whose first line has so many of them."""
    start = b"GET /" + b"x" * (line - 16) + b" HTTP/1.1\r\n"
    field = b"A: " + b"x" * (head - line - 7) + b"\r\n" if head > line + 2 else b""
    return start + field + b"\r\n"


# Request lines.

TOKEN = b"!#$%&'*+-.^_`|~09azAZ"
ODD = b"/!\"#$%&'()*+,-.09:;<=>?@AZ[\\]^_`az{|}~"

LINES: dict[str, tuple[bytes, tuple[str, str, int]]] = {
    "usual": (b"GET /a?b=c HTTP/1.1", ("GET", "/a?b=c", 1)),
    "HTTP/1.0": (b"GET / HTTP/1.0", ("GET", "/", 0)),
    "asterisk form": (b"OPTIONS * HTTP/1.1", ("OPTIONS", "*", 1)),
    "absolute form": (b"GET http://h:1/a HTTP/1.1", ("GET", "http://h:1/a", 1)),
    "authority form": (b"CONNECT h:443 HTTP/1.1", ("CONNECT", "h:443", 1)),
    "lower-case method": (b"get / HTTP/1.1", ("get", "/", 1)),
    "one letter": (b"M / HTTP/1.1", ("M", "/", 1)),
    "method of every token character": (TOKEN + b" / HTTP/1.1", (TOKEN.decode(), "/", 1)),
    "target of every visible character": (b"GET %b HTTP/1.1" % ODD, ("GET", ODD.decode(), 1)),
    "percent signs that mean nothing": (b"GET /%zz%2e%00% HTTP/1.1", ("GET", "/%zz%2e%00%", 1)),
    "dots and slashes": (b"GET /a/..//./b HTTP/1.1", ("GET", "/a/..//./b", 1)),
    "target like a version": (b"GET HTTP/1.1 HTTP/1.1", ("GET", "HTTP/1.1", 1)),
    "method like a version": (b"HTTP / HTTP/1.1", ("HTTP", "/", 1)),
}


@pytest.mark.parametrize(("line", "expected"), LINES.values(), ids=LINES)
def test_request_lines(line: bytes, expected: tuple[str, str, int]) -> None:
    """Method and target come out as they were written."""
    head = parsed(head_of(HOST, line=line))
    assert (head.method, head.target, head.minor) == expected
    assert head.fields.lines == ((b"Host", b"h"),)


def test_a_request_among_others() -> None:
    """Only what lies between the two ends is looked at, whatever surrounds it."""
    before, data, behind = head_of(HOST), head_of(b"A: b", line=b"PUT /x HTTP/1.0"), b"nonsense \x00\n"
    head = parse_request(before + data + behind, len(before), len(before) + len(data))
    assert (head.method, head.target, head.minor, head.fields.lines) == ("PUT", "/x", 0, ((b"A", b"b"),))


MALFORMED_LINES: dict[str, bytes] = {
    "empty": b"",
    "HTTP/0.9": b"GET /",
    "HTTP/0.9 with a space": b"GET / ",
    "a method": b"GET",
    "no target": b"GET HTTP/1.1",
    "empty target": b"GET  HTTP/1.1",
    "no method": b"/ HTTP/1.1",
    "empty method": b" / HTTP/1.1",
    "space before": b" GET / HTTP/1.1",
    "tab before": b"\tGET / HTTP/1.1",
    "empty line before": b"\r\nGET / HTTP/1.1",
    "space behind": b"GET / HTTP/1.1 ",
    "tab behind": b"GET / HTTP/1.1\t",
    "CR behind": b"GET / HTTP/1.1\r",
    "a second version": b"GET / HTTP/1.1 HTTP/1.1",
    "two spaces before the target": b"GET  / HTTP/1.1",
    "two spaces before the version": b"GET /  HTTP/1.1",
    "tab before the target": b"GET\t/ HTTP/1.1",
    "tab before the version": b"GET /\tHTTP/1.1",
    "vertical tab": b"GET\x0b/ HTTP/1.1",
    "no-break space": b"GET\xa0/ HTTP/1.1",
    "space in the target": b"GET /a b HTTP/1.1",
    "method that is no token": b"GE(T) / HTTP/1.1",
    "colon in the method": b"GET: / HTTP/1.1",
    "method beyond ASCII": b"G\xc3\x89T / HTTP/1.1",
    "target beyond ASCII": b"GET /caf\xc3\xa9 HTTP/1.1",
    "latin-1 target": b"GET /caf\xe9 HTTP/1.1",
    "lower-case version": b"GET / http/1.1",
    "version in mixed case": b"GET / Http/1.1",
    "another protocol": b"GET / HTTPS/1.1",
    "no protocol": b"GET / 1.1",
    "no minor version": b"GET / HTTP/1",
    "empty minor version": b"GET / HTTP/1.",
    "two-digit minor version": b"GET / HTTP/1.10",
    "two-digit major version": b"GET / HTTP/01.1",
    "a space in the version": b"GET / HTTP/ 1.1",
    "a sign in the version": b"GET / HTTP/1.-1",
    "a comma in the version": b"GET / HTTP/1,1",
    "digits that are none": b"GET / HTTP/1.\xb9",
    "LF for a line": b"GET / HTTP/1.1\nHost: h",
    "LF before": b"\nGET / HTTP/1.1",
    "a status line": b"HTTP/1.1 200 OK",
    "SSH": b"SSH-2.0-OpenSSH_9.6",
    **{f"control byte {byte:#04x} in the target": b"GET /%c HTTP/1.1" % byte for byte in (*range(32), 127)},
    **{f"control byte {byte:#04x} in the method": b"GE%cT / HTTP/1.1" % byte for byte in (*range(32), 127)},
}


@pytest.mark.parametrize("line", MALFORMED_LINES.values(), ids=MALFORMED_LINES)
def test_malformed_request_lines(line: bytes) -> None:
    """Whatever is not exactly a request line is 400, whether or not fields follow it."""
    for data in (head_of(line=line), head_of(HOST, line=line)):
        with pytest.raises(BadRequest):
            parsed(data)


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"0.0", b"9.9"])
def test_other_versions(version: bytes) -> None:
    """A version of HTTP that is not spoken here has another error than nonsense, as soon as its line has come."""
    line = b"PRI * HTTP/" + version
    with pytest.raises(UnsupportedVersion):
        parsed(head_of(line=line))
    with pytest.raises(UnsupportedVersion):
        check_beginning(line + b"\r\n", 0)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        pytest.param(with_size(MAX_LINE, MAX_LINE + 2), None, id="the longest line"),
        pytest.param(with_size(MAX_LINE + 1, MAX_LINE + 3), TargetTooLong, id="a longer line"),
        pytest.param(with_size(100, MAX_HEAD), None, id="the largest head"),
        pytest.param(with_size(100, MAX_HEAD + 1), HeadTooLarge, id="a larger head"),
        pytest.param(with_size(MAX_LINE, MAX_HEAD), None, id="both"),
        pytest.param(with_size(MAX_LINE + 1, MAX_HEAD + 1), TargetTooLong, id="too much of both"),
    ],
)
def test_limits(data: bytes, refusal: type[RequestError] | None) -> None:
    """The limits are the same for a whole head and for its beginning, wherever it begins."""
    if refusal is None:
        assert parsed(data).method == "GET"
        check_beginning(data[:-1], 0)
        check_beginning(b"xyz" + data[:-1], 3)
    else:
        for judge in (
            parsed,
            lambda whole: check_beginning(whole, 0),
            lambda whole: check_beginning(b"xyz" + whole, 3),
        ):
            with pytest.raises(refusal):
                judge(data)


def test_a_line_without_an_end_is_given_up_at_its_limit() -> None:
    """The end of a line that is too long already is not waited for."""
    check_beginning(b"GET /" + b"x" * (MAX_LINE - 5), 0)
    with pytest.raises(TargetTooLong):
        check_beginning(b"GET /" + b"x" * (MAX_LINE - 4), 0)


# Fields.


@pytest.mark.parametrize(("line", "field"), FIELD_LINES.values(), ids=FIELD_LINES)
def test_field_lines(line: bytes, field: Header) -> None:
    """A field keeps its bytes; only the white space around its value goes."""
    assert fields_of(b"X: 1", line, b"Y: 2").lines == ((b"X", b"1"), field, (b"Y", b"2"))


@pytest.mark.parametrize("section", MALFORMED_SECTIONS.values(), ids=MALFORMED_SECTIONS)
def test_malformed_fields(section: bytes) -> None:
    """A section that is not exactly one is 400."""
    for fields in (section, b"X: 1\r\n" + section, section + b"X: 1\r\n"):
        with pytest.raises(BadRequest):
            parsed(b"GET / HTTP/1.1\r\n" + fields + b"\r\n")


def test_equal_sections_are_taken_apart_once() -> None:
    """What callers send again and again is remembered; what is larger than the rest is not."""
    assert fields_of(b"A: remembered") is fields_of(b"A: remembered")
    large = b"A: " + b"x" * 5000
    assert fields_of(large) is not fields_of(large)
    assert fields_of(large).lines == fields_of(large).lines


LENGTHS: dict[str, tuple[list[bytes], int | None]] = {
    "none": ([], None),
    "some": ([b"Content-Length: 5"], 5),
    "zero": ([b"Content-Length: 0"], 0),
    "in any case": ([b"cONTENT-lENGTH: 5"], 5),
    "no space": ([b"Content-Length:5"], 5),
    "white space around": ([b"Content-Length: \t5 \t"], 5),
    "leading zeros": ([b"Content-Length: 005"], 5),
    "18 digits": ([b"Content-Length: " + b"9" * 18], 10**18 - 1),
    "another field": ([b"Content-Length-X: 6", b"X-Content-Length: 7"], None),
}


@pytest.mark.parametrize(("lines", "length"), LENGTHS.values(), ids=LENGTHS)
def test_lengths(lines: list[bytes], length: int | None) -> None:
    """A length is one line of digits."""
    fields = fields_of(HOST, *lines)
    assert (fields.length, fields.chunked) == (length, False)


@pytest.mark.parametrize(
    ("coding", "chunked"),
    [
        (b"Transfer-Encoding: chunked", True),
        (b"TRANSFER-ENCODING: CHUNKED", True),
        (b"Transfer-Encoding:\tchunked ", True),
        (b"X-Transfer-Encoding: chunked", False),
        (b"Transfer-Encodings: chunked", False),
        (b"TE: chunked", False),
    ],
)
def test_codings(coding: bytes, chunked: bool) -> None:
    """The one coding is `chunked`, alone, in any case."""
    fields = fields_of(HOST, coding)
    assert (fields.length, fields.chunked) == (None, chunked)


TE = b"Transfer-Encoding: "
CL = b"Content-Length: "
AMBIGUOUS: dict[str, tuple[list[bytes], type[RequestError]]] = {
    "both": ([CL + b"5", TE + b"chunked"], BadRequest),
    "both, the other way round": ([TE + b"chunked", CL + b"5"], BadRequest),
    "both, a length of 0": ([TE + b"chunked", CL + b"0"], BadRequest),
    "both, one in another case": ([b"transfer-encoding: chunked", b"CONTENT-LENGTH: 5"], BadRequest),
    "two lengths": ([CL + b"5", CL + b"6"], BadRequest),
    "the same length twice": ([CL + b"5", CL + b"5"], BadRequest),
    "two lengths in two cases": ([CL + b"5", b"content-length: 5"], BadRequest),
    "a list of lengths": ([CL + b"5, 5"], BadRequest),
    "a length and a comma": ([CL + b"5,"], BadRequest),
    "an empty length": ([CL], BadRequest),
    "a plus sign": ([CL + b"+5"], BadRequest),
    "negative": ([CL + b"-5"], BadRequest),
    "a fraction": ([CL + b"5.0"], BadRequest),
    "hexadecimal": ([CL + b"0x5"], BadRequest),
    "a letter": ([CL + b"a"], BadRequest),
    "a space inside": ([CL + b"5 5"], BadRequest),
    "a tab inside": ([CL + b"5\t5"], BadRequest),
    "as Python writes numbers": ([CL + b"1_0"], BadRequest),
    "a quoted length": ([CL + b'"5"'], BadRequest),
    "a digit that is none": ([CL + b"\xb2"], BadRequest),
    "a full-width digit": ([CL + b"\xef\xbc\x95"], BadRequest),
    "a huge length": ([CL + b"1" * 19], BadRequest),
    "chunked twice": ([TE + b"chunked", TE + b"chunked"], BadRequest),
    "two codings on two lines": ([TE + b"gzip", TE + b"chunked"], BadRequest),
    "chunked and nothing": ([TE + b"chunked", TE], BadRequest),
    "gzip, chunked": ([TE + b"gzip, chunked"], UnsupportedCoding),
    "chunked, gzip": ([TE + b"chunked, gzip"], UnsupportedCoding),
    "chunked, chunked": ([TE + b"chunked, chunked"], UnsupportedCoding),
    "chunked, identity": ([TE + b"chunked, identity"], UnsupportedCoding),
    "gzip": ([TE + b"gzip"], UnsupportedCoding),
    "identity": ([TE + b"identity"], UnsupportedCoding),
    "a comma": ([TE + b"chunked,"], UnsupportedCoding),
    "a comma before": ([TE + b", chunked"], UnsupportedCoding),
    "a parameter": ([TE + b"chunked;q=1"], UnsupportedCoding),
    "a quoted coding": ([TE + b'"chunked"'], UnsupportedCoding),
    "an empty coding": ([TE], UnsupportedCoding),
    "xchunked": ([TE + b"xchunked"], UnsupportedCoding),
    "chunked beyond ASCII": ([TE + b"chun\xe2\x84\xaaed"], UnsupportedCoding),
}


@pytest.mark.parametrize(("lines", "refusal"), AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_ambiguous_framing(method: bytes, lines: list[bytes], refusal: type[RequestError]) -> None:
    """A request in which two recipients could see different ends is refused."""
    for ordered in (lines, [HOST, *lines, b"A: b"]):
        with pytest.raises(refusal) as caught:
            parsed(head_of(*ordered, line=method + b" / HTTP/1.1"))
        assert type(caught.value) is refusal


@pytest.mark.parametrize("remembered", [False, True])
def test_chunks_are_unknown_to_http_1_0(remembered: bool) -> None:
    """Transfer-Encoding on HTTP/1.0 is 400 (RFC 9112 section 6.1), also where its fields are known already."""
    lines = [HOST, TE + b"chunked", b"A: %d" % remembered]
    if remembered:
        assert fields_of(*lines).chunked
    with pytest.raises(BadRequest):
        parsed(head_of(*lines, line=b"POST / HTTP/1.0"))


@pytest.mark.parametrize(
    ("lines", "hosts"),
    [
        ([], ()),
        ([b"Host: h"], (b"h",)),
        ([b"hOST: LocalHost:8080"], (b"localhost:8080",)),
        ([b"Host:\t h \t"], (b"h",)),
        ([b"Host:"], (b"",)),
        ([b"Host: a b"], (b"a b",)),
        ([b"Host: a, b"], (b"a, b",)),
        ([b"Host: a", b"A: x", b"host: b"], (b"a", b"b")),
        ([b"Host: a", b"Host: a"], (b"a", b"a")),
        ([b"X-Host: a", b"Hosts: b", b"X-Forwarded-Host: c"], ()),
    ],
)
def test_hosts(lines: list[bytes], hosts: tuple[bytes, ...]) -> None:
    """Every Host is there for the guard to judge: none, one or more."""
    assert fields_of(*lines).hosts == hosts


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        ([], set()),
        ([b"Connection: close"], {b"close"}),
        ([b"CONNECTION: Close, X-Hop"], {b"close", b"x-hop"}),
        ([b"Connection:\t a ,b\t,\tc "], {b"a", b"b", b"c"}),
        ([b"Connection: a", b"A: x", b"connection: b, a"], {b"a", b"b"}),
        ([b"Connection: close;q=1"], {b"close;q=1"}),
        ([b"Proxy-Connection: close"], set()),
    ],
)
def test_connection_options(lines: list[bytes], options: set[bytes]) -> None:
    """The options of all Connection fields, in lower case."""
    assert fields_of(*lines).connection == options


PERSISTENT: list[tuple[int, list[bytes], bool]] = [
    (1, [], True),
    (1, [b""], True),
    (1, [b"keep-alive"], True),
    (1, [b"close"], False),
    (1, [b"Close"], False),
    (1, [b"X-Hop, close"], False),
    (1, [b"X-Hop", b"close"], False),
    (1, [b"close", b"X-Hop"], False),
    (1, [b"close, keep-alive"], False),
    (1, [b"\tclose\t,"], False),
    (1, [b"closed"], True),
    (1, [b"close;x"], True),
    (0, [], False),
    (0, [b"keep-alive"], True),
    (0, [b"Keep-Alive"], True),
    (0, [b"X-Hop, keep-alive"], True),
    (0, [b"keep-alive", b"close"], False),
    (0, [b"keep-alive, close"], False),
    (0, [b"X-Hop"], False),
]


@pytest.mark.parametrize(("minor", "connection", "persistent"), PERSISTENT)
def test_persistent(minor: int, connection: list[bytes], persistent: bool) -> None:
    """RFC 9112 section 9.3: HTTP/1.1 stays unless it says close, HTTP/1.0 goes unless it says keep-alive."""
    data = head_of(*(b"Connection: " + value for value in connection), line=b"GET / HTTP/1.%d" % minor)
    assert parsed(data).fields.persistent == persistent


ASKING = [b"Connection: Upgrade", b"Upgrade: websocket"]
UPGRADES: dict[str, tuple[list[bytes], bool]] = {
    "usual": (ASKING, True),
    "in any case": ([b"CONNECTION: keep-alive, UPGRADE", b"UPGRADE: WebSocket"], True),
    "options on two lines": ([b"Connection: keep-alive", b"Upgrade:websocket ", b"connection: upgrade"], True),
    "a length of 0": ([*ASKING, CL + b"0"], True),
    "no Connection": ([b"Upgrade: websocket"], False),
    "another option": ([b"Connection: keep-alive", b"Upgrade: websocket"], False),
    "no Upgrade": ([b"Connection: Upgrade"], False),
    "another protocol": ([b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"], False),
    "a choice": ([b"Connection: Upgrade", b"Upgrade: websocket, h2c"], False),
    "a version": ([b"Connection: Upgrade", b"Upgrade: websocket/13"], False),
    "twice": ([*ASKING, b"Upgrade: websocket"], False),
    "another line": ([*ASKING, b"Upgrade: h2c"], False),
    "nothing": ([b"Connection: Upgrade", b"Upgrade:"], False),
    "another name": ([b"Connection: Upgrade", b"X-Upgrade: websocket", b"Upgrade-Insecure-Requests: 1"], False),
}


@pytest.mark.parametrize(("lines", "upgrade"), UPGRADES.values(), ids=UPGRADES)
def test_upgrades(lines: list[bytes], upgrade: bool) -> None:
    """An upgrade is asked for in two fields, and to WebSocket alone."""
    assert fields_of(HOST, *lines).upgrade == upgrade


@pytest.mark.parametrize("content", [CL + b"5", TE + b"chunked"])
def test_an_upgrade_has_no_content(content: bytes) -> None:
    """Where HTTP might end behind the head, nothing may lie between."""
    with pytest.raises(BadRequest):
        fields_of(*ASKING, content)
    assert not fields_of(ASKING[1], content).upgrade


def test_http_1_0_knows_no_upgrade() -> None:
    """An Upgrade on HTTP/1.0 is ignored (RFC 9110 section 7.8), also where its fields are known already."""
    for minor, upgrade in ((0, False), (1, True), (0, False)):
        assert parsed(head_of(HOST, *ASKING, line=b"GET / HTTP/1.%d" % minor)).fields.upgrade == upgrade
    assert parsed(head_of(HOST, *ASKING, CL + b"5", line=b"GET / HTTP/1.0")).fields.length == 5


# Beginnings.

CLIENT_HELLO = bytes.fromhex("160301006c010000680303") + bytes(range(32)) + bytes.fromhex("000002130101000000")

NONSENSE: dict[str, tuple[bytes, type[RequestError]]] = {
    "the first byte of TLS": (CLIENT_HELLO[:1], BadRequest),
    "TLS": (CLIENT_HELLO, BadRequest),
    "NUL": (b"\x00", BadRequest),
    "a byte beyond ASCII": (b"GET\xff", BadRequest),
    "space": (b" ", BadRequest),
    "tab": (b"\t", BadRequest),
    "LF": (b"\n", BadRequest),
    "CR before a letter": (b"\rG", BadRequest),
    "a method of no token": (b"{", BadRequest),
    "a field": (b"Host:", BadRequest),
    "markup": (b"<html", BadRequest),
    "JSON": (b'{"a"', BadRequest),
    "two spaces": (b"GET  ", BadRequest),
    "tab for a space": (b"GET\t", BadRequest),
    "CR for a space": (b"GET\r", BadRequest),
    "a target beyond ASCII": (b"GET /\xc3", BadRequest),
    "a fourth word": (b"GET /a b ", BadRequest),
    "CR within the target": (b"GET /\r", BadRequest),
    "CR within the line": (b"GET / HTTP/1.1\rH", BadRequest),
    "HTTP/0.9": (b"GET /\r\n", BadRequest),
    "another server's greeting": (b"220 ready\r\n", BadRequest),
    "SMTP": (b"EHLO localhost\r\n", BadRequest),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", BadRequest),
    "an answer": (b"HTTP/1.1 200 OK\r\n", BadRequest),
    "LF ends the line": (b"GET / HTTP/1.1\n", BadRequest),
    "LF ends a field": (b"GET / HTTP/1.1\r\nA: b\n", BadRequest),
    "LF ends a head": (b"GET / HTTP/1.1\n\n", BadRequest),
    "LF ends a head with fields": (b"GET / HTTP/1.1\r\nA: b\n\n", BadRequest),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n", UnsupportedVersion),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nA: b", UnsupportedVersion),
}


@pytest.mark.parametrize(("data", "refusal"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_at_once(data: bytes, refusal: type[RequestError]) -> None:
    """What cannot become a request any more is refused without its end, wherever it begins; and stays refused."""
    for start, before in ((0, b""), (5, b"12\r\n\n")):
        with pytest.raises(refusal):
            check_beginning(before + data, start)
    with pytest.raises(refusal):
        check_beginning(data + b"GET / HTTP/1.1\r\n", 0)


@pytest.mark.parametrize(
    "data",
    [
        *(head_of(HOST, b"A: \xe9\t", b"B:", line=line) for line, _ in LINES.values()),
        *(head_of(*lines) for lines, _ in UPGRADES.values()),
        head_of(*(line for line, _ in FIELD_LINES.values())),
    ],
)
def test_every_beginning_of_a_good_request_may_go_on(data: bytes) -> None:
    """A slow sender is not refused for it, wherever in the bytes that came the request begins."""
    parsed(data)
    for cut in range(len(data)):
        check_beginning(data[:cut], 0)
        check_beginning(b"\n\x00" + data[:cut], 2)


# Compared with h11.

Reading = tuple[RequestHead, bytes, list[Header]]


def read(data: bytes, sizes: Sequence[int] = ()) -> Reading:
    """A whole request, as `grammar` reads it; raises RequestError or FramingError, also where the end is missing."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        raise FramingError("short")
    head, data = parse_request(data, 0, end), data[end:]
    if not head.fields.chunked:
        length = head.fields.length or 0
        if len(data) < length:
            raise FramingError("short")
        return head, data[:length], []
    decoder, body = ChunkedDecoder(), b""
    for piece in cut_up(data, sizes):
        if not decoder.done:
            body += b"".join(decoder.feed(piece))
    if not decoder.done:
        raise FramingError("short")
    return head, body, decoder.trailers


def read_by_h11(data: bytes) -> tuple[h11.Request, bytes, list[Header], bool | None]:
    """A request as a server of h11 reads it: also whether it would read another, None where HTTP may end here."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    request, body = connection.next_event(), b""
    if not isinstance(request, h11.Request):
        raise h11.RemoteProtocolError("short")
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            persistent = {h11.DONE: True, h11.MUST_CLOSE: False}.get(connection.their_state)
            return request, body, list(event.headers), persistent
        else:
            raise h11.RemoteProtocolError("short")


REQUEST_LINES = st.sampled_from(
    [b"GET /a?b HTTP/1.1"] * 12
    + [
        b"POST / HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT h:1 HTTP/1.1",
        b"x http://h/ HTTP/1.1",
        b"GET /\xe9 HTTP/1.1",
        b"GET / HTTP/2.0",
        b"GET  / HTTP/1.1",
        b"GET /",
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
        b"Transfer-Encoding:\tCHUNKED ",
        b"Connection: close",
        b"Connection: keep-alive, Upgrade",
        b"Upgrade: websocket",
        b"Expect: 100-continue",
        b"Host: other",
        b"A: b",
        b"A : b",
        b"A:",
        b"A: \xe9\xc3",
        b"A: \x00",
        b" folded",
    ]
)
LINE_ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n ", b"\r\n\r\n"])
CHUNKED_CONTENTS = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;x=y\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n",
    b"1 \r\nh\r\n004\r\nello\r\n00\r\n\r\nmore",
    b"05\r\nhello\n0\n\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloo\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"5\r\nhel",
]
FRAMED = st.sampled_from(
    [
        ([], b""),
        ([], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ([b"Content-Length: 5"], b"hello"),
        ([b"content-length:5\t"], b"helloGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ([b"Content-Length: 5"], b"hell"),
        *(([b"Transfer-Encoding: chunked"], content) for content in CHUNKED_CONTENTS),
        *(([b"transfer-encoding:\tChunked "], content) for content in CHUNKED_CONTENTS),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    framing, content = draw(FRAMED)
    lines = [draw(REQUEST_LINES), HOST, *framing, *draw(st.lists(FIELDS, max_size=2))]
    line_end = LINE_ENDS if draw(st.booleans()) else st.just(b"\r\n")
    data = bytearray(b"".join(line + draw(line_end) for line in lines) + b"\r\n" + content)
    # A stray byte anywhere, or nowhere.
    at = draw(st.none() | st.integers(0, len(data) - 1))
    if at is not None:
        data[at] = draw(st.integers(0, 255))
    return bytes(data)


def comparable(lines: Sequence[Header]) -> list[Header]:
    """As h11 hands them out: names in lower case, and the coding's, too."""
    return [(name.lower(), value.lower() if name.lower() == b"transfer-encoding" else value) for name, value in lines]


@given(requests(), st.lists(st.integers(1, 8), max_size=12))
@example(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", [1, 1, 3])
@example(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", [])
@example(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", [])
def test_requests_are_read_as_h11_reads_them_or_refused(data: bytes, sizes: list[int]) -> None:
    """What is accepted, h11 accepts as well and reads alike; nothing but a RequestError or FramingError is raised."""
    try:
        head, body, trailers = read(data, sizes)
    except (RequestError, FramingError):
        with pytest.raises((RequestError, FramingError)):
            read(data)
        return
    again = read(data)
    assert (body, trailers) == again[1:]
    assert head.fields.lines == again[0].fields.lines
    if len(head.fields.hosts) > 1 or (head.minor and not head.fields.hosts):
        # Which is for the guard to refuse.
        with pytest.raises(h11.RemoteProtocolError):
            read_by_h11(data)
        return
    request, their_body, their_trailers, persistent = read_by_h11(data)
    assert (head.method.encode(), head.target.encode()) == (request.method, request.target)
    assert b"1.%d" % head.minor == request.http_version
    assert comparable(head.fields.lines) == list(request.headers)
    assert body == their_body
    assert comparable(trailers) == their_trailers
    if head.minor and persistent is not None:  # h11 keeps no connection of HTTP/1.0
        assert head.fields.persistent == persistent


@given(requests())
def test_what_may_become_a_request_may_go_on(data: bytes) -> None:
    """Where the whole head is accepted, so was every beginning of it."""
    end = data.find(b"\r\n\r\n") + 4
    try:
        parse_request(data, 0, end)
    except RequestError:
        return
    for cut in range(end):
        check_beginning(data[:cut], 0)


@given(st.binary(max_size=300), st.sampled_from([b"", b"GET ", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nA: b\r\n"]))
def test_noise_is_refused_with_a_request_error(noise: bytes, before: bytes) -> None:
    """Random bytes raise RequestError and nothing else; once refused, they stay refused."""
    data = before + noise
    refused = False
    for cut in range(len(data) + 1):
        try:
            check_beginning(data[:cut], 0)
        except RequestError:
            refused = True
        else:
            assert not refused, cut
    try:
        head = parsed(data + b"\r\n\r\n")
    except RequestError:
        return
    assert head.method
    assert not refused


@pytest.mark.parametrize(
    ("section", "lasting"),
    [
        (b"Host: h\r\n", True),
        (b"A: b\r\n" * 64, True),
        (b"A: b\r\n" * 65, False),
        (b"A: " + b"x" * 4096 + b"\r\n", False),
    ],
)
def test_what_is_remembered(section: bytes, lasting: bool) -> None:
    """Only short sections of few lines are remembered: others would hold many times their bytes for long."""
    data = b"GET / HTTP/1.1\r\n" + section + b"\r\n"
    first, second = (parse_request(data, 0, len(data)).fields for _ in range(2))
    assert first.lasting == lasting
    assert (first is second) == lasting
