"""Requests that hypothesis draws: good ones with a few bytes, lines or numbers of them changed."""

import re
from collections.abc import Callable
from typing import TypeAlias

from hypothesis import strategies as st

_INNER = b"GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


def _request(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line, *fields, b"", body])


SEEDS = (
    _request(b"GET /v1/job?a=b HTTP/1.1", b"Host: localhost", b"Accept: */*", b"X-A: b", b"Connection: close"),
    _request(
        b"POST /graphql HTTP/1.1",
        b"Host: localhost:8080",
        b"Content-Type: application/json",
        b"Content-Length: 15",
        b"Connection: close",
        body=b'{"query":"{x}"}',
    ),
    _request(
        b"POST /v1/job HTTP/1.1",
        b"Host: [::1]",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        body=b"5\r\nhello\r\n10;a=b\r\n0123456789abcdef\r\n0\r\nX-T: u\r\n\r\n",
    ),
    _request(
        b"PUT /v1/job/1 HTTP/1.1",
        b"Host: 127.0.0.1",
        b"Authorization: mine",
        b"x_api_key: mine",
        b"Content-Length: %d" % len(_INNER),
        body=_INNER,
    ),
    _request(
        b"GET http://localhost/cdn/flights/a HTTP/1.1", b"Host: localhost", b"Connection: keep-alive, X-A", b"X-A: b"
    ),
    _request(b"HEAD /v1/analytics/x HTTP/1.0", b"Host: localhost", b"Connection: Keep-Alive"),
    _request(
        b"DELETE /v1/job/1 HTTP/1.1", b"Host: localhost.", b"Expect: 100-continue", b"Content-Length: 2", body=b"ok"
    ),
    _request(b"GET /v1/ws HTTP/1.1", b"Host: localhost", _UPGRADE + b"Sec-WebSocket-Key: x"),
    b"\r\nGET /-/live HTTP/1.1\r\nHost: localhost\r\n\r\nOPTIONS /v1/job HTTP/1.1\r\nHost: localhost\r\n\r\n",
)

_TOKENS = (
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\r\n\t",
    b"\x00",
    b"\x0b",
    b"\x0c",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xa0",
    b"\xff",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"#",
    b"%",
    b"%zz",
    b"%2e%2e/",
    b"../",
    b"//",
    b"\\",
    b"@",
    b"0x",
    b"+",
    b"-",
    b"0",
    b"00000000000000000",
    b"ffffffffffffffff",
    b"4294967296",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"http://evil.example",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content_Length: 5\r\n",
    b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: Content-Length\r\n",
    b"Connection: Transfer-Encoding, Authorization\r\n",
    _UPGRADE,
    b"Host: localhost\r\n",
    b"Host: evil.example\r\n",
    b"Authorization: Bearer mine\r\n",
    b"X-API-Key: mine\r\n",
    b"0\r\n\r\n",
    b"1\r\nx\r\n",
    _INNER,
)
_EDGES = re.compile(rb"\r\n|[ :;,/?=.]|\d+")

Mutation: TypeAlias = Callable[[bytes], bytes]


def _places(data: bytes) -> list[int]:
    """Where parsers make up their mind: before and behind whatever separates."""
    return sorted({0, len(data), *(at for match in _EDGES.finditer(data) for at in match.span())})


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One seed with up to four changes."""
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 4))):
        data = draw(_CHANGES)(draw, data)
    return data


def _place(draw: st.DrawFn, data: bytes) -> int:
    edges = _places(data)
    return draw(st.sampled_from(edges) | st.integers(0, len(data)))


def _insert(draw: st.DrawFn, data: bytes) -> bytes:
    at = _place(draw, data)
    return data[:at] + draw(st.sampled_from(_TOKENS) | st.binary(min_size=1, max_size=3)) + data[at:]


def _replace(draw: st.DrawFn, data: bytes) -> bytes:
    at = _place(draw, data)
    token = draw(st.sampled_from(_TOKENS) | st.binary(min_size=1, max_size=3))
    return data[:at] + token + data[at + draw(st.integers(1, 4)) :]


def _delete(draw: st.DrawFn, data: bytes) -> bytes:
    at = _place(draw, data)
    return data[:at] + data[at + draw(st.integers(1, 8)) :]


def _repeat_line(draw: st.DrawFn, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    at = draw(st.integers(0, len(lines) - 1))
    to = draw(st.integers(0, len(lines)))
    return b"\r\n".join([*lines[:to], lines[at], *lines[to:]])


def _change_case(draw: st.DrawFn, data: bytes) -> bytes:
    at = _place(draw, data)
    end = at + draw(st.integers(1, 20))
    return data[:at] + data[at:end].swapcase() + data[end:]


def _bare_ends(draw: st.DrawFn, data: bytes) -> bytes:
    return data.replace(b"\r\n", draw(st.sampled_from((b"\n", b"\r", b"\n\r", b"\r\r\n"))), draw(st.integers(1, 10)))


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: _place(draw, data)]


def _follow(draw: st.DrawFn, data: bytes) -> bytes:
    return data + draw(st.sampled_from(SEEDS))


_CHANGES = st.sampled_from(
    # The first ones are what parsers stumble over most.
    (_insert, _insert, _insert, _replace, _replace, _delete, _repeat_line, _change_case, _bare_ends, _cut, _follow)
)


@st.composite
def pieces(draw: st.DrawFn) -> list[bytes]:
    """A mutated request, and where the network cuts it."""
    data = draw(mutated())
    cut = draw(st.integers(0, len(data)))
    return [piece for piece in (data[:cut], data[cut:]) if piece] or [data]
