"""Requests as bytes: what a caller may be answered, and what an upstream may have seen of them.

Every case asks for the connection to be closed: nothing behind it may be answered or forwarded.
"""

from collections.abc import Iterator
from typing import NamedTuple

from support.oracle import ANSWERED
from support.rig import Forwarded

CANARY = b"c4n4ry"
"""Stands where the proxy must not repeat it: neither in an answer that refuses, nor in a log line."""
_FOLLOWING = b"GET /v1/following HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_LONG = 4096


class Step(NamedTuple):
    """One request of a case: the statuses that it may be answered with, and what is forwarded where it is let in."""

    statuses: tuple[int, ...]
    forwarded: Forwarded | None = None


class Case(NamedTuple):
    name: str
    data: bytes
    steps: tuple[Step, ...]
    partly: bool = False
    """The refusal comes amid the content: the upstream may have seen a beginning, but no end."""
    hidden: bool = False
    """CANARY stays here even where the request is let in."""

    @property
    def refused(self) -> bool:
        """No server may let it in, or read on behind it."""
        return not {ANSWERED, 200, 403, 404} & set(self.steps[-1].statuses)

    @property
    def persistent(self) -> bytes:
        """The case without its wish to close the connection, and a good request behind it."""
        return self.data.replace(b"Connection: close\r\n", b"") + _FOLLOWING

    @property
    def ways(self) -> Iterator[list[bytes]]:
        """How it is sent: in one piece, with a good request behind what must be refused, and byte by byte."""
        yield [self.data]
        whole = self.data
        if ANSWERED not in self.steps[-1].statuses:
            whole += _FOLLOWING
            yield [whole]
        if len(whole) < _LONG:
            yield [whole[n : n + 1] for n in range(len(whole))]


REFUSED = Step((400,))
TRANSFER_CODING = Step((400, 501))
"""RFC 9112 section 6.1 recommends 501 for a coding that is not known."""
OTHER_VERSION = Step((400, 505))
OTHER_METHOD = Step((400, 405, 501))
FOREIGN = Step((400, 403))


def passed(forwarded: Forwarded) -> Step:
    return Step((ANSWERED,), forwarded)


def either(forwarded: Forwarded) -> Step:
    """Let in as it is, or refused."""
    return Step((ANSWERED, 400), forwarded)


def get(*lines: bytes, target: bytes = b"/v1/x", version: bytes = b"HTTP/1.1", method: bytes = b"GET") -> bytes:
    """A head with a Host, `lines` and the wish to close the connection."""
    rows = [b" ".join((method, target, version)), b"Host: localhost", *lines, b"Connection: close"]
    return b"\r\n".join([*rows, b"", b""])


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/v1/x", version: bytes = b"HTTP/1.1") -> bytes:
    return get(*lines, target=target, version=version, method=b"POST") + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    """A request whose content is `body`, chunk framing included."""
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


def posted(body: bytes) -> Forwarded:
    return Forwarded(method=b"POST", body=body)


def _lengths() -> Iterator[Case]:
    hello = b"hello" + CANARY
    for name, value in {
        "list of equal lengths": b"5, 5",
        "list of lengths": b"5, 6",
        "signed length": b"+5",
        "negative length": b"-5",
        "negative zero length": b"-0",
        "hexadecimal length": b"0x5",
        "length in words": b"five",
        "empty length": b"",
        "empty list of lengths": b",",
        "trailing comma": b"5,",
        "fraction": b"5.0",
        "exponent": b"5e0",
        "digits apart": b"1 0",
        "underscored digits": b"1_0",
        "quoted length": b'"5"',
        "length beyond 64 bits": b"18446744073709551616",
        "length of 40 digits": b"0" * 20 + b"9" * 20,
        "Arabic-Indic digit": "\u0665".encode(),
        "superscript digit": b"\xb2",
        "length with a parameter": b"5;q=1",
    }.items():
        yield Case(name, post(b"Content-Length: " + value, body=hello), (REFUSED,))
    for name, lines in {
        "equal lengths twice": (b"Content-Length: 5", b"Content-Length: 5"),
        "lengths twice": (b"Content-Length: 5", b"Content-Length: 6"),
        "lengths in two spellings": (b"Content-Length: 5", b"content-length: 6"),
        "zero and more": (b"Content-Length: 0", b"Content-Length: 5"),
        "length before coding": (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        "length behind coding": (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        "zero length and coding": (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
        "odd length and coding": (b"Content-Length: x", b"Transfer-Encoding: chunked"),
    }.items():
        yield Case(name, post(*lines, body=b"0\r\n\r\n" + CANARY), (REFUSED,))
    for name, line in {
        "plain length": b"Content-Length: 5",
        "no space": b"Content-Length:5",
        "space around": b"Content-Length:  5 \t",
        "other case": b"cOnTeNt-lEnGtH: 5",
    }.items():
        yield Case(name, post(line, body=b"hello"), (passed(posted(b"hello")),))
    yield Case("leading zeros", post(b"Content-Length: 0005", body=b"hello"), (either(posted(b"hello")),))
    yield Case("zero length", post(b"Content-Length: 0"), (passed(posted(b"")),))
    yield Case("GET with content", get(b"Content-Length: 5") + b"hello", (passed(Forwarded(body=b"hello")),))
    yield Case(
        "length of HTTP/1.0", post(b"Content-Length: 2", body=b"ok", version=b"HTTP/1.0"), (passed(posted(b"ok")),)
    )


def _codings() -> Iterator[Case]:
    body = b"5\r\nhello\r\n0\r\n\r\n"
    for name, value in {
        "gzip, chunked": b"gzip, chunked",
        "chunked, gzip": b"chunked, gzip",
        "gzip alone": b"gzip",
        "identity": b"identity",
        "chunked, identity": b"chunked, identity",
        "identity, chunked": b"identity, chunked",
        "xchunked": b"xchunked",
        "chunkedx": b"chunkedx",
        "chunked with a parameter": b"chunked;x=1",
        "chunked twice": b"chunked, chunked",
        "chunked with a comma behind": b"chunked,",
        "chunked with a comma before": b",chunked",
        "quoted chunked": b'"chunked"',
        "chunked in brackets": b"[chunked]",
        "empty coding": b"",
        "nameless coding": b",",
        "a Turkish i": b"\xc4\xb1dentity",
        "chunked and obs-text": b"chunked\xa0",
    }.items():
        yield Case(name, post(b"Transfer-Encoding: " + value, body=body), (TRANSFER_CODING,))
    for name, lines in {
        "two codings": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        "two spellings of the coding": (b"Transfer-Encoding: chunked", b"transfer-encoding: identity"),
        "coding and empty coding": (b"Transfer-Encoding: chunked", b"Transfer-Encoding:"),
        "empty coding first": (b"Transfer-Encoding:", b"Transfer-Encoding: chunked"),
    }.items():
        yield Case(name, post(*lines, body=body), (TRANSFER_CODING,))
    yield Case("coding of HTTP/1.0", post(b"Transfer-Encoding: chunked", body=body, version=b"HTTP/1.0"), (REFUSED,))
    for name, line in {
        "vertical tab before chunked": b"Transfer-Encoding:\x0bchunked",
        "form feed behind chunked": b"Transfer-Encoding: chunked\x0c",
        "NUL behind chunked": b"Transfer-Encoding: chunked\x00",
        "coding on the next line": b"Transfer-Encoding:\r\n chunked",
        "coding behind a lone CR": b"X: y\rTransfer-Encoding: chunked",
        "space before the colon of the coding": b"Transfer-Encoding : chunked",
        "tab before the colon of the coding": b"Transfer-Encoding\t: chunked",
    }.items():
        yield Case(name, post(line, body=body), (REFUSED,))
    for name, line in {"Chunked": b"Transfer-Encoding: Chunked", "CHUNKED": b"TRANSFER-ENCODING: CHUNKED"}.items():
        yield Case(name, post(line, body=body), (Step((ANSWERED, 400, 501), posted(b"hello")),))
    yield Case("chunked", post(b"Transfer-Encoding:chunked", body=body), (passed(posted(b"hello")),))
    blank = post(b"Transfer-Encoding: \tchunked \t", body=body)
    yield Case("white space around chunked", blank, (Step((ANSWERED, 400, 501), posted(b"hello")),))
    yield Case("GET in chunks", get(b"Transfer-Encoding: chunked") + body, (passed(Forwarded(body=b"hello")),))


def _chunks() -> Iterator[Case]:
    for name, body in {
        "hexadecimal prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
        "signed size": b"+5\r\nhello\r\n0\r\n\r\n",
        "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
        "negative zero size": b"5\r\nhello\r\n-0\r\n\r\n",
        "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
        "size with a space inside": b"1 0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
        "underscored size": b"0_5\r\nhello\r\n0\r\n\r\n",
        "empty size": b"\r\nhello\r\n0\r\n\r\n",
        "no size but an extension": b";x\r\nhello\r\n0\r\n\r\n",
        "size beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        "size of 40 digits": b"f" * 40 + b"\r\nhello\r\n0\r\n\r\n",
        "no hexadecimal digit": b"g\r\nhello\r\n0\r\n\r\n",
        "size ended by LF": b"5\nhello\r\n0\r\n\r\n",
        "size ended by CR": b"5\rhello\r\n0\r\n\r\n",
        "size ended by CR CR LF": b"5\r\r\nhello\r\n0\r\n\r\n",
        "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        "NUL in an extension": b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
        "extension without a semicolon": b"5 a=b\r\nhello\r\n0\r\n\r\n",
        "data longer than its size": b"4\r\nhello\r\n0\r\n\r\n",
        "data shorter than its size": b"6\r\nhello\r\n0\r\n\r\n" + b"x" * 20,
        "data ended by LF": b"5\r\nhello\n0\r\n\r\n" + b"x" * 20,
        "data ended by CR": b"5\r\nhello\r0\r\n\r\n" + b"x" * 20,
        "data ended by nothing": b"5\r\nhello0\r\n\r\n",
        "data ended by two empty lines": b"5\r\nhello\r\n\r\n0\r\n\r\n",
        "last chunk ended by LF": b"5\r\nhello\r\n0\n\r\n",
        "end ended by LF": b"5\r\nhello\r\n0\r\n\n" + b"\r\n\r\n",
        "malformed trailer": b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "trailer ended by LF": b"5\r\nhello\r\n0\r\nX-A: b\n\r\n\r\n",
        "folded trailer": b"5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
        "space before the colon of a trailer": b"5\r\nhello\r\n0\r\nX-A : b\r\n\r\n",
        "NUL in a trailer": b"5\r\nhello\r\n0\r\nX-A: b\x00\r\n\r\n",
        "size line without an end": b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        "trailers without an end": b"0\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n",
    }.items():
        yield Case(name, chunked(body), (Step((400, 413, 431)),), partly=True)
    for name, body in {
        "one chunk": b"5\r\nhello\r\n0\r\n\r\n",
        "two chunks": b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "leading zeros of a size": b"0005\r\nhello\r\n000\r\n\r\n",
    }.items():
        yield Case(name, chunked(body), (passed(posted(b"hello")),))
    for name, body in {
        "an extension": b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
        "a quoted extension": b'5;a="b;c"\r\nhello\r\n0\r\n\r\n',
        "space before an extension": b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
        "space behind a size": b"5 \r\nhello\r\n0\r\n\r\n",
    }.items():
        yield Case(name, chunked(body), (either(posted(b"hello")),), partly=True)
    yield Case("upper-case size", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), (passed(posted(b"0123456789")),))
    yield Case("no chunk but the last", chunked(b"0\r\n\r\n"), (passed(posted(b"")),))
    for field in (
        b"Authorization",
        b"X-Amz-Cognito-Security-Token",
        b"x_api_key",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Host",
        b"Cookie",
        b"X-UL-Proxy-Token",
    ):
        data = chunked(b"5\r\nhello\r\n0\r\n" + field + b": " + CANARY + b"\r\n\r\n")
        yield Case(f"trailer {field.decode()}", data, (either(posted(b"hello")),), partly=True, hidden=True)
    harmless = chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
    yield Case("a harmless trailer", harmless, (passed(posted(b"hello")),))


def _lines() -> Iterator[Case]:
    for name, data in {
        "LF for CR LF everywhere": get(b"X: " + CANARY).replace(b"\r\n", b"\n"),
        "LF behind the request line": get(b"X: " + CANARY).replace(b"\r\n", b"\n", 1),
        "LF behind a field": get(b"X: " + CANARY + b"\nY: z"),
        "LF for the empty line": get(b"X: " + CANARY)[:-2] + b"\n\r\n",
        "LF LF": get(b"X: " + CANARY)[:-4] + b"\n\n\r\n\r\n",
        "CR behind the request line": get(b"X: " + CANARY).replace(b"\r\n", b"\r", 1),
        "CR in a value": get(b"X: y\r" + CANARY),
        "CR at the end of a value": get(b"X: " + CANARY + b"\r"),
        "CR alone on a line": get(b"X: " + CANARY, b"\r"),
        "CR in a name": get(b"X\r-" + CANARY + b": y"),
        "CR before the colon": get(CANARY + b"\r: y"),
        "CR in the target": get(target=b"/v1/x\r" + CANARY),
        "CR in the version": get(b"X: " + CANARY, version=b"HTTP/1.1\r"),
        "a field in a value": get(b"X: y\nAuthorization: " + CANARY),
        "folded value": get(b"X: y\r\n " + CANARY),
        "value folded with a tab": get(b"X: y\r\n\t" + CANARY),
        "fold of nothing": get(b"X: y\r\n \r\nZ: " + CANARY),
        "white space before the first field": get().replace(b"Host", b" Host", 1),
        "tab before the first field": get().replace(b"Host", b"\tHost", 1),
        "space before the colon": get(b"X-" + CANARY + b" : y"),
        "tab before the colon": get(b"X-" + CANARY + b"\t: y"),
        "space in a name": get(b"X " + CANARY + b": y"),
        "no colon": get(CANARY),
        "empty name": get(b": " + CANARY),
        "a name of spaces": get(b"  : " + CANARY),
        "slash in a name": get(b"X/" + CANARY + b": y"),
        "brackets in a name": get(b"X(" + CANARY + b"): y"),
        "quotes in a name": get(b'"X' + CANARY + b'": y'),
        "at sign in a name": get(b"X@" + CANARY + b": y"),
        "high byte in a name": get(b"X\xff" + CANARY + b": y"),
        "UTF-8 in a name": get("X-ü".encode() + CANARY + b": y"),
        "NUL in a name": get(b"X\x00" + CANARY + b": y"),
    }.items():
        yield Case(name, data, (REFUSED,))
    for byte in (*range(0x09), *range(0x0B, 0x0D), *range(0x0E, 0x20), 0x7F):
        code = b"%c" % byte
        yield Case(f"byte {byte:#04x} in a value", get(b"X: " + CANARY + code + b"y"), (REFUSED,))
        yield Case(f"byte {byte:#04x} in a name", get(b"X" + code + CANARY + b": y"), (REFUSED,))
    for name, line in {
        "empty value": b"X:",
        "blank value": b"X: \t ",
        "white space around a value": b"X: \t y \t",
        "tab in a value": b"X: a\tb",
        "high bytes in a value": b"X: \x80\xff",
        "UTF-8 in a value": "X: grüße".encode(),
        "colons in a value": b"X: ::",
        "every sign in a name": b"!#$%&'*+-.^_`|~9aZ: y",
        "8000 bytes of value": b"X: " + b"y" * 8000,
    }.items():
        yield Case(name, get(line), (passed(Forwarded()),))


def _request_lines() -> Iterator[Case]:
    for name, line, step in (
        ("HTTP/0.9", b"GET /v1/x", REFUSED),
        ("HTTP/0.9 with a space", b"GET /v1/x ", REFUSED),
        ("version 0.9", b"GET /v1/x HTTP/0.9", OTHER_VERSION),
        ("version 2.0", b"GET /v1/x HTTP/2.0", OTHER_VERSION),
        ("version 3.0", b"GET /v1/x HTTP/3.0", OTHER_VERSION),
        ("version 1.2", b"GET /v1/x HTTP/1.2", OTHER_VERSION),
        ("version 2", b"GET /v1/x HTTP/2", OTHER_VERSION),
        ("version 1.10", b"GET /v1/x HTTP/1.10", OTHER_VERSION),
        ("version 1.1.1", b"GET /v1/x HTTP/1.1.1", OTHER_VERSION),
        ("version 01.1", b"GET /v1/x HTTP/01.1", OTHER_VERSION),
        ("version without a dot", b"GET /v1/x HTTP/11", OTHER_VERSION),
        ("version with a sign", b"GET /v1/x HTTP/+1.1", OTHER_VERSION),
        ("http in lower case", b"GET /v1/x http/1.1", OTHER_VERSION),
        ("another protocol", b"GET /v1/x ICE/1.1", OTHER_VERSION),
        ("another protocol's name", b"GET /v1/x HTTPS/1.1", OTHER_VERSION),
        ("no protocol", b"GET /v1/x 1.1", OTHER_VERSION),
        ("space behind the version", b"GET /v1/x HTTP/1.1 ", REFUSED),
        ("tab behind the version", b"GET /v1/x HTTP/1.1\t", REFUSED),
        ("word behind the version", b"GET /v1/x HTTP/1.1 x", REFUSED),
        ("two versions", b"GET /v1/x HTTP/1.1 HTTP/1.1", REFUSED),
        ("space before the method", b" GET /v1/x HTTP/1.1", REFUSED),
        ("two spaces behind the method", b"GET  /v1/x HTTP/1.1", REFUSED),
        ("two spaces behind the target", b"GET /v1/x  HTTP/1.1", REFUSED),
        ("tab behind the method", b"GET\t/v1/x HTTP/1.1", REFUSED),
        ("tab behind the target", b"GET /v1/x\tHTTP/1.1", REFUSED),
        ("form feed behind the method", b"GET\x0c/v1/x HTTP/1.1", REFUSED),
        ("no target", b"GET HTTP/1.1", REFUSED),
        ("blank target", b"GET  HTTP/1.1", REFUSED),
        ("no method", b"/v1/x HTTP/1.1", REFUSED),
        ("blank method", b" /v1/x HTTP/1.1", REFUSED),
        ("method in lower case", b"get /v1/x HTTP/1.1", OTHER_METHOD),
        ("method in mixed case", b"Get /v1/x HTTP/1.1", OTHER_METHOD),
        ("another method in lower case", b"brew /v1/x HTTP/1.1", OTHER_METHOD),
        ("TRACE", b"TRACE /v1/x HTTP/1.1", OTHER_METHOD),
        ("TRACK", b"TRACK /v1/x HTTP/1.1", Step((ANSWERED, 400, 405, 501), Forwarded(method=b"TRACK"))),
        ("CONNECT to an authority", b"CONNECT localhost:443 HTTP/1.1", OTHER_METHOD),
        ("CONNECT to a path", b"CONNECT /v1/x HTTP/1.1", OTHER_METHOD),
        ("trace in lower case", b"trace /v1/x HTTP/1.1", OTHER_METHOD),
        ("NUL in the method", b"G\x00ET /v1/x HTTP/1.1", REFUSED),
        ("colon in the method", b"GE:T /v1/x HTTP/1.1", REFUSED),
        ("brackets in the method", b"GE(T /v1/x HTTP/1.1", REFUSED),
        ("high byte in the method", b"G\xcbT /v1/x HTTP/1.1", REFUSED),
        ("DEL in the method", b"GET\x7f /v1/x HTTP/1.1", REFUSED),
    ):
        yield Case(name, get(b"X: " + CANARY).replace(b"GET /v1/x HTTP/1.1", line, 1), (step,))
    yield Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (OTHER_VERSION,))
    yield Case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY + b"\r\n\r\n", (REFUSED,))
    yield Case("bytes of no protocol", bytes(range(0x80, 0x100)) + b"\r\n\r\n", (REFUSED,))
    yield Case("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (REFUSED,))
    yield Case("LF before the request", b"\n" + get(), (REFUSED,))
    yield Case("CR before the request", b"\r" + get(), (REFUSED,))
    yield Case("spaces before the request", b"   \r\n" + get(), (REFUSED,))
    yield Case("empty line before the request", b"\r\n" + get(), (passed(Forwarded()),))
    yield Case("several empty lines before the request", b"\r\n" * 3 + get(), (either(Forwarded()),))
    for method in (b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"M-SEARCH", b"X!#$%&'*+.^_`|~9"):
        forwarded = Forwarded(method=method)
        statuses = (ANSWERED,) if method.isalpha() else (ANSWERED, 400, 501)
        yield Case(f"method {method.decode()}", get(method=method), (Step(statuses, forwarded),))
    yield Case("HTTP/1.0", get(version=b"HTTP/1.0"), (passed(Forwarded()),))


def _targets() -> Iterator[Case]:
    for name, target in {
        "fragment": b"/v1/x#" + CANARY,
        "empty fragment": b"/v1/x#",
        "fragment behind a query": b"/v1/x?" + CANARY + b"#y",
        "space in the path": b"/v1/x " + CANARY,
        "space in the query": b"/v1/x?y " + CANARY,
        "tab in the path": b"/v1/x\t" + CANARY,
        "NUL in the path": b"/v1/x\x00" + CANARY,
        "DEL in the path": b"/v1/x\x7f" + CANARY,
        "high byte in the path": b"/v1/x\xff" + CANARY,
        "UTF-8 in the path": "/v1/ü".encode() + CANARY,
        "high byte in the query": b"/v1/x?\xff" + CANARY,
        "bad percent escape in the path": b"/v1/%zz" + CANARY,
        "half a percent escape": b"/v1/%4",
        "a percent sign alone": b"/v1/100%",
        "percent sign before a slash": b"/v1/%/x",
        "percent sign before a percent escape": b"/v1/%%34",
        "escape with a sign": b"/v1/%+4",
        "escape of UTF-16": b"/v1/%u002f",
        "relative path": b"v1/" + CANARY,
        "query alone": b"?" + CANARY,
        "asterisk of GET": b"*",
        "authority alone": b"localhost:80",
        "another scheme": b"ftp://localhost/" + CANARY,
        "file scheme": b"file:///" + CANARY,
        "scheme without slashes": b"http:/v1/" + CANARY,
        "one slash behind the scheme": b"http:/localhost/" + CANARY,
        "no authority": b"http:///" + CANARY,
        "fragment of an absolute target": b"http://localhost/v1/x#" + CANARY,
        "user information": b"http://localhost@evil.example/" + CANARY,
        "loopback as user information": b"http://user:password@localhost/" + CANARY,
        "backslash in the authority": b"http://localhost\\@evil.example/" + CANARY,
        "absolute target for elsewhere": b"http://evil.example/" + CANARY,
        "absolute target for elsewhere in TLS": b"https://evil.example/" + CANARY,
        "absolute target with another port": b"http://localhost:1/" + CANARY,
        "absolute target with another loopback name": b"http://127.0.0.1/" + CANARY,
        "absolute target with a malformed port": b"http://localhost:x/" + CANARY,
        "absolute target that ends in a look-alike": b"http://localhost.evil.example/" + CANARY,
    }.items():
        yield Case(name, get(target=target), (FOREIGN,))
    # Each way to write a query that a server may read in its own way passes as it is, or not at all.
    for name, target in {
        "bad percent escape in the query": b"/v1/x?y=%zz",
        "percent sign at the end of the query": b"/v1/x?discount=100%",
        "backslash": b"/v1\\..\\x",
        "brackets": b"/v1/x?a[]=b",
        "braces": b"/v1/{x}",
        "quotes": b'/v1/"x"',
        "angle brackets": b"/v1/<x>",
        "bar, caret and grave": b"/v1/x|^`",
        "OPTIONS of the server": b"*",
    }.items():
        method = b"OPTIONS" if target == b"*" else b"GET"
        step = either(Forwarded(target)) if target != b"*" else Step((200, 400, 404, 501))
        yield Case(name, get(target=target, method=method), (step,))
    # Dot segments, doubled slashes and encoded separators go verbatim on the route that they match as written.
    for target in (
        b"/v1/../x",
        b"/v1/./x",
        b"/..",
        b"/v1/%2e%2e/x",
        b"/v1/%2E%2E%2fx",
        b"/v1//x",
        b"//v1/x",
        b"//evil.example/v1/x",
        b"/v1/x%2f..%2fy",
        b"/v1/x%5c..%5cy",
        b"/v1/x%00y",
        b"/v1/x%0d%0ay",
        b"/v1/..;/x",
        b"/graphql/../v1/x",
        b"/v1/../graphql",
        b"/%67raphql",
        b"/graphql%2f",
        b"/GRAPHQL",
        b"/-%2flive",
        b"/%2d/live",
        b"/v1/../-/status",
    ):
        yield Case(f"verbatim {target.decode()}", get(target=target), (either(Forwarded(target)),))
    for target in (
        b"/",
        b"/?",
        b"/v1/x?",
        b"/v1/x?a=b&c=%2F?//..",
        b"/v1/a;b=c,d:e@f!g$h'(i)*j+k~l-_.",
        b"/" + b"x" * 7900,
    ):
        yield Case(f"target {target[:40].decode()}", get(target=target), (passed(Forwarded(target)),))
    yield Case("absolute target", get(target=b"http://localhost/v1/x?y"), (passed(Forwarded(b"/v1/x?y")),))
    yield Case("absolute target in capitals", get(target=b"HTTP://LOCALHOST/v1/x"), (either(Forwarded()),))
    yield Case("absolute target without a path", get(target=b"http://localhost"), (either(Forwarded(b"/")),))
    yield Case("absolute target that is a query", get(target=b"http://localhost?y"), (either(Forwarded(b"/?y")),))


def _hosts() -> Iterator[Case]:
    for name, host in {
        "another host": b"evil.example",
        "loopback in another domain": b"localhost.evil.example",
        "loopback with a prefix": b"notlocalhost",
        "digits with letters": b"127a0b0c1",
        "short IPv4": b"127.1",
        "decimal IPv4": b"2130706433",
        "hexadecimal IPv4": b"0x7f000001",
        "octal IPv4": b"0177.0.0.1",
        "IPv4 with five parts": b"127.0.0.1.1",
        "all interfaces": b"0.0.0.0",
        "all IPv6 interfaces": b"[::]",
        "IPv4 in IPv6": b"[::ffff:10.0.0.1]",
        "private address": b"192.168.0.1",
        "user information": b"localhost@evil.example",
        "loopback behind user information": b"evil.example@localhost",
        "path behind": b"localhost/evil.example",
        "query behind": b"localhost?evil.example",
        "fragment behind": b"localhost#evil.example",
        "backslash behind": b"localhost\\.evil.example",
        "list": b"localhost, evil.example",
        "comma": b"localhost,evil.example",
        "space inside": b"local host",
        "tab inside": b"localhost\tevil.example",
        "two trailing dots": b"localhost..",
        "a dot alone": b".",
        "port without host": b":80",
        "port in words": b"localhost:http",
        "two ports": b"localhost:80:80",
        "bracket left open": b"[::1",
        "bracket without an address": b"[]",
        "IPv6 without brackets": b"::1",
        "IPv4 in brackets": b"[127.0.0.1]",
        "IPv6 with a zone": b"[::1%25eth0]",
        "whole URL": b"http://localhost",
        "percent escape": b"localhos%74",
        "empty": b"",
        "high byte": b"localhost\xff",
        "fullwidth letters": "".join(chr(ord(letter) + 0xFEE0) for letter in "localhost").encode(),
        "quoted": b'"localhost"',
    }.items():
        data = get(b"X: " + CANARY).replace(b"Host: localhost", b"Host: " + host)
        yield Case(f"Host: {name}", data, (FOREIGN,))
    for name, lines in {
        "no Host": b"",
        "two Hosts": b"Host: localhost\r\nHost: localhost\r\n",
        "two Hosts that differ": b"Host: localhost\r\nhOST: evil.example\r\n",
        "a good Host behind a bad one": b"Host: evil.example\r\nHost: localhost\r\n",
        "Host and an empty one": b"Host: localhost\r\nHost:\r\n",
    }.items():
        for version in (b"1.1", b"1.0"):
            data = get(b"X: " + CANARY, version=b"HTTP/" + version).replace(b"Host: localhost\r\n", lines)
            yield Case(f"{name}, HTTP/{version.decode()}", data, (REFUSED,))
    for host in (
        b"LOCALHOST",
        b"localhost.",
        b"localhost:8080",
        b"LocalHost.:1",
        b"127.0.0.1",
        b"127.255.255.254:65535",
        b"127.0.0.1.",
        b"[::1]",
        b"[::1]:8080",
        b"[0:0:0:0:0:0:0:1]:80",
    ):
        data = get().replace(b"Host: localhost", b"Host: " + host)
        yield Case(f"Host {host.decode()}", data, (passed(Forwarded()),))


def _sizes() -> Iterator[Case]:
    over = 200_000
    too_large = Step((431,))
    yield Case("a value over the limit", get(b"X: " + CANARY * (over // 6)), (too_large,))
    yield Case("a name over the limit", get(CANARY * (over // 6) + b": y"), (too_large,))
    yield Case("too many fields", get(*[b"X: y"] * (over // 6)), (too_large,))
    yield Case("a field without an end", get(b"X: " + b"y" * over)[:-4], (Step((431,)),))
    yield Case("a target over the limit", get(target=b"/" + CANARY * (over // 6)), (Step((414,)),))
    yield Case("a query over the limit", get(target=b"/v1/x?" + CANARY * (over // 6)), (Step((414,)),))
    yield Case("a target without an end", b"GET /" + b"x" * over, (Step((414,)),))
    yield Case("a method without an end", b"G" * over, (Step((400, 414, 431, 501)),))


def _smuggling() -> Iterator[Case]:
    inner = get(b"X: " + CANARY, target=b"/v1/smuggled")
    first = b"GET /v1/first HTTP/1.1\r\nHost: localhost\r\n\r\n"
    good = passed(Forwarded(b"/v1/first"))
    length = b"Content-Length: %d" % len(inner)
    yield Case("a request in a content", post(length, body=inner), (passed(posted(inner)),))
    yield Case("a request in a GET's content", get(length) + inner, (passed(Forwarded(body=inner)),))
    yield Case(
        "a request in a chunk", chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)), (passed(posted(inner)),)
    )
    yield Case("a request behind a closing one", get() + inner, (passed(Forwarded()),))
    yield Case("a good request before", first + get(), (good, passed(Forwarded())))
    yield Case("a malformed one behind a good one", first + get(b"X : " + CANARY), (good, REFUSED))
    yield Case("TLS behind a good one", first + b"\x16\x03\x01\x02\x00\r\n\r\n", (good, REFUSED))
    yield Case("two lengths behind a good one", first + post(b"Content-Length: 5, 5", body=inner), (good, REFUSED))
    yield Case("CL.TE", first + post(length, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + inner), (good, REFUSED))
    yield Case("TE.0", first + post(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=inner), (good, REFUSED))
    yield Case("CL.0 of a refused Host", post(length, body=inner).replace(b"localhost", b"evil.example", 1), (FOREIGN,))
    yield Case("CL.0 of an own endpoint", post(length, body=inner, target=b"/-/live"), (Step((400, 404, 405)),))
    yield Case("CL.0 of TRACE", get(length, method=b"TRACE") + inner, (OTHER_METHOD,))
    hop = b"Connection: Content-Length, close"
    yield Case("a hop-by-hop length", post(length, hop, body=inner), (either(posted(inner)),))
    hop = b"Connection: Transfer-Encoding, close"
    data = post(b"Transfer-Encoding: chunked", hop, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner))
    yield Case("a hop-by-hop coding", data, (either(posted(inner)),))
    yield Case("a hop-by-hop Host", get(b"Connection: Host, close"), (either(Forwarded()),))
    yield Case("a hop-by-hop credential", get(b"Connection: Authorization, close"), (passed(Forwarded()),))
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket")
    yield Case("WebSocket with content", post(*upgrade, length, body=inner), (REFUSED,))
    yield Case("WebSocket in chunks", post(*upgrade, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), (REFUSED,))
    yield Case(
        "cleartext HTTP/2",
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        (either(Forwarded()),),
    )
    # A server that makes variables of field names reads these as the fields that they look like.
    for name in (
        b"Content_Length",
        b"Transfer_Encoding",
        b"AUTHORIZATION",
        b"X_Amz_Cognito-Security_Token",
        b"x_api_key",
    ):
        value = {b"Content_Length": b"3", b"Transfer_Encoding": b"chunked"}.get(name, CANARY)
        yield Case(f"look-alike {name.decode()}", get(name + b": " + value), (either(Forwarded()),), hidden=True)


FAMILIES = {
    "lengths": [*_lengths()],
    "codings": [*_codings()],
    "chunks": [*_chunks()],
    "lines": [*_lines()],
    "request lines": [*_request_lines()],
    "targets": [*_targets()],
    "hosts": [*_hosts()],
    "sizes": [*_sizes()],
    "smuggling": [*_smuggling()],
}
