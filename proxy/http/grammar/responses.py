"""Parse the heads of responses, and find out how their content ends (RFC 9112 sections 4 and 6)."""

import math
import re
from enum import Enum, auto
from typing import NamedTuple

from proxy.http.grammar.fields import (
    BARE_LF,
    MAX_HEAD,
    SECTION,
    FramingError,
    Header,
    Headers,
    lines_of,
    options_of,
    persists,
    proxy_fields_of,
)

_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n(" + SECTION + rb")\r\n")
_BEGINNING = b"HTTP/1."
_TIMEOUT = re.compile(rb"(?:^|[,;\t ])timeout[\t ]*=[\t ]*\"?([0-9]{1,9})")
SWITCHING_PROTOCOLS = 101
"""The status of a response behind which its connection is a tunnel (RFC 9110 section 15.2.2)."""
_DIGITS = 18
"""Of the longest Content-Length."""


class Head(NamedTuple):
    """Holds the head of a response; `section` as it was written, `proxy_fields` what in it concerns a proxy.

    These are fields by their name in lower case; those of a repeated one are joined by commas (RFC 9110 5.3).
    """

    minor: int
    """Of the version: 1 for HTTP/1.1, 0 for HTTP/1.0."""
    status: int
    reason: bytes
    section: bytes
    proxy_fields: dict[bytes, bytes]

    def __repr__(self) -> str:
        # A field may hold a secret, such as a cookie.
        return f"Head({self.status})"

    @property
    def headers(self) -> list[Header]:
        """The field lines, without the white space around values."""
        return lines_of(self.section)


class Delimiter(Enum):
    """Says how the end of a content is known, where it has no length."""

    CHUNKED = auto()
    CLOSE = auto()


class Content(NamedTuple):
    """Says how a response's content is delimited, and whether its connection can be used again afterwards."""

    delimiter: int | Delimiter
    """The length in bytes, or what ends the content."""
    keeps_alive: bool
    rests: bool = False
    """Whether a content may follow all the same, which some upstreams send."""


def parse_head(data: bytes) -> tuple[Head, int]:
    """Parse the head that `data` begins with, and find where it ends, behind its empty line; raises FramingError."""
    match = _HEAD.match(data)
    if match is None:
        raise FramingError("not the head of an HTTP/1.1 answer")
    minor, status, reason, section = match.groups(b"")
    lines = proxy_fields_of(section)
    proxy_fields = dict(lines)
    if len(proxy_fields) < len(lines):
        proxy_fields = _combined(lines)
    return Head(int(minor), int(status), reason, section, proxy_fields), match.end()


def check_response_beginning(data: bytes) -> None:
    """Judge a head whose end has not come: raises FramingError where it can become none."""
    if len(data) >= MAX_HEAD:
        raise FramingError("its head is too large")
    if not data.startswith(_BEGINNING[: len(data)]) or BARE_LF.search(data):
        raise FramingError("it does not begin like HTTP/1.1")


def _combined(lines: Headers) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in lines:
        fields[name] = fields[name] + b"," + value if name in fields else value
    return fields


def content_of(method: str, head: Head) -> Content:
    """Find how the content of the response to a `method` request ends (RFC 9112 sections 6.3, 9.3).

    Raises FramingError.
    """
    minor, status, _, _, proxy_fields = head
    length, coding = proxy_fields.get(b"content-length"), proxy_fields.get(b"transfer-encoding")
    alive = _keeps_alive(minor, proxy_fields.get(b"connection"))
    # Judged before HEAD, 204 and 304, which have no content but whose fields are passed on.
    if coding is not None and (length is not None or not minor or coding.rstrip(b" \t") != b"chunked"):
        raise FramingError("a Transfer-Encoding other than chunked, or a Content-Length beside it")
    if length is not None:
        length = length.rstrip(b" \t")
        if len(length) > _DIGITS or not length.isdigit():
            raise FramingError("not exactly one Content-Length, or one that is no number")
    if method == "HEAD":
        return Content(0, alive, rests=True)
    if status in (204, 304):
        # A 304 may have a Content-Length, few do, and some send the content as well.
        announced = coding is not None or (length is not None and int(length) > 0)
        return Content(0, alive and not announced, rests=True)
    if coding is not None:
        return Content(Delimiter.CHUNKED, alive)
    if length is not None:
        return Content(int(length), alive)
    return Content(Delimiter.CLOSE, False)


def kept_for(keep_alive: bytes) -> float:
    """Parse the seconds for which a `Keep-Alive` field, in lower case, promises that an idle connection stays open.

    Only RFC 2068 section 19.7.1.1 defines it, and servers send it all the same.
    """
    match = _TIMEOUT.search(keep_alive)
    return math.inf if match is None else float(match[1])


def _keeps_alive(minor: int, connection: bytes | None) -> bool:
    if connection is None:
        return minor == 1
    if connection == b"keep-alive":
        return True
    return persists(options_of((connection,)), minor)
