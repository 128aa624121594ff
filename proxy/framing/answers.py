"""Answers (RFC 9112 sections 4 and 6): heads, and how the end of a content is known."""

import re
from enum import Enum, auto
from typing import NamedTuple

from proxy.framing.fields import SECTION, FramingError, lines_of, notable_of, values_of
from proxy.model import Header

_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n(" + SECTION + rb")\r\n")
_DIGITS = 18
"""Of the longest Content-Length."""


class Head(NamedTuple):
    """The head of an answer; `section` as it was written, `notable` the lines of it that concern a proxy."""

    minor: int
    """Of the version: 1 for HTTP/1.1, 0 for HTTP/1.0."""
    status: int
    reason: bytes
    section: bytes
    notable: list[Header]

    def __repr__(self) -> str:
        # A field may hold a secret, such as a cookie.
        return f"Head({self.status})"

    @property
    def headers(self) -> list[Header]:
        """The field lines, without the white space around values."""
        return lines_of(self.section)


class Delimiter(Enum):
    """How the end of a content is known, where it is not by its length."""

    CHUNKED = auto()
    CLOSE = auto()


class Content(NamedTuple):
    """How an answer's content is delimited, and whether its connection can be used again afterwards."""

    delimiter: int | Delimiter
    """The length in bytes, or what ends the content."""
    keeps_alive: bool


def parse_head(data: bytes) -> tuple[Head, int]:
    """The head that `data` begins with, empty line included, and where it ends; raises FramingError."""
    match = _HEAD.match(data)
    if match is None:
        raise FramingError("not the head of an HTTP/1.1 answer")
    minor, status, reason, section = match.groups(b"")
    return Head(int(minor), int(status), reason, section, notable_of(section)), match.end()


def content_of(method: str, head: Head) -> Content:
    """How the content of the answer to a `method` request ends (RFC 9112 sections 6.3, 9.3); raises FramingError."""
    lengths = codings = connections = 0
    length = coding = connection = b""
    for name, value in head.notable:
        if name == b"content-length":
            lengths, length = lengths + 1, value.rstrip(b" \t")
        elif name == b"transfer-encoding":
            codings, coding = codings + 1, value.rstrip(b" \t")
        elif name == b"connection":
            connections, connection = connections + 1, value
    alive = _keeps_alive(head, connection, connections)
    # Judged before HEAD, 204 and 304, which have no content but whose fields are passed on.
    if codings and (lengths or head.minor == 0 or codings > 1 or coding != b"chunked"):
        raise FramingError("a Transfer-Encoding other than chunked, or a Content-Length beside it")
    if lengths and (lengths > 1 or len(length) > _DIGITS or not length.isdigit()):
        raise FramingError("not exactly one Content-Length, or one that is no number")
    if method == "HEAD" or head.status in (204, 304):
        return Content(0, alive)
    if codings:
        return Content(Delimiter.CHUNKED, alive)
    if lengths:
        return Content(int(length), alive)
    return Content(Delimiter.CLOSE, False)


def _keeps_alive(head: Head, connection: bytes, count: int) -> bool:
    if not count:
        return head.minor == 1
    if count > 1:
        connection = b",".join(values_of(b"connection", head.notable))
    elif connection == b"keep-alive":
        return True
    options = [option.strip(b" \t") for option in connection.split(b",")]
    return b"close" not in options and (head.minor == 1 or b"keep-alive" in options)
