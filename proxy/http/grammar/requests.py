"""Parse and write the heads of requests (RFC 9112 sections 3 and 6)."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from proxy.errors import BadRequest, HeadTooLarge, RequestError, TargetTooLong, UnsupportedCoding, UnsupportedVersion
from proxy.http.grammar.fields import (
    BARE_LF,
    MAX_HEAD,
    SECTION,
    TOKEN,
    lines_of,
    options_of,
    persists,
    proxy_fields_of,
    values_of,
)

if TYPE_CHECKING:
    from proxy.http.grammar.fields import Header

MAX_LINE = 16 * 1024
"""Bytes of a request line."""
END_OF_HEAD = b"\r\n\r\n"

_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]++) HTTP/1\.([01])\r\n")
_OTHER_VERSION = re.compile(TOKEN + rb" [\x21-\x7e]++ HTTP/[0-9]\.[0-9]\r\n")
_BEGINNING = re.compile(rb"(?:" + TOKEN + rb"(?: (?:[\x21-\x7e]++(?: (?:[\x21-\x7e]*+\r?)?)?)?)?)?")
_SECTION = re.compile(SECTION)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_REMEMBERED = 4096
"""Bytes of the largest field section that is remembered."""
_REMEMBERED_LINES = 64
"""Lines of the longest one: a hostile caller's thousands of short lines would take a hundred times their bytes."""


class Fields:
    """Holds a caller's field section, and what it says of its message's framing. Compared by identity."""

    __slots__ = ("chunked", "connection", "hosts", "lasting", "length", "lines", "persistent", "upgrade")

    def __init__(self, section: bytes, minor: int = 1) -> None:
        """`minor` is of the request's version, 1 for HTTP/1.1.

        Raises a RequestError where the section is malformed or its framing can be read in two ways.
        """
        if _SECTION.fullmatch(section) is None:
            raise BadRequest("a header line is malformed", hint="Send `Name: value`, ended by CR LF (RFC 9112).")
        proxy_fields = proxy_fields_of(section)
        self.lasting = _lasts(section)
        """Whether results for it are worth keeping: callers send the same short sections again and again."""
        self.lines: tuple[Header, ...] = tuple(lines_of(section))
        self.hosts = tuple(values_of(proxy_fields, b"host"))
        """The values of `Host`, in lower case."""
        self.connection = options_of(values_of(proxy_fields, b"connection"))
        """The options of `Connection`, in lower case."""
        self.persistent = persists(self.connection, minor)
        """Whether the connection may carry another request (RFC 9112 section 9.3)."""
        self.length = _length(values_of(proxy_fields, b"content-length"))
        """Bytes of content, None where that is not said."""
        self.chunked = _chunked(values_of(proxy_fields, b"transfer-encoding"))
        if self.chunked and self.length is not None:
            raise BadRequest("both Transfer-Encoding and Content-Length", hint="Send one of them.")
        if self.chunked and not minor:
            raise BadRequest("HTTP/1.0 knows no Transfer-Encoding", hint="Send Content-Length.")
        upgrades = values_of(proxy_fields, b"upgrade")
        # HTTP/1.0 knows no Upgrade: such a field must be ignored (RFC 9110 section 7.8).
        self.upgrade = minor == 1 and upgrades == [b"websocket"] and b"upgrade" in self.connection
        """It asks for the one protocol that this proxy tunnels (RFC 9110 section 7.8, RFC 6455)."""
        if self.upgrade and (self.chunked or self.length):
            raise BadRequest(
                "a request for a WebSocket must have no content",
                hint="Send it without Content-Length and Transfer-Encoding.",
            )


def _lasts(section: bytes) -> bool:
    return len(section) <= _REMEMBERED and section.count(b"\n") <= _REMEMBERED_LINES


def _length(values: list[bytes]) -> int | None:
    if not values:
        return None
    if len(values) > 1 or not _LENGTH.fullmatch(values[0]):
        raise BadRequest("Content-Length is repeated or no number", hint="Send one Content-Length, in digits.")
    return int(values[0])


def _chunked(codings: list[bytes]) -> bool:
    if not codings:
        return False
    if len(codings) > 1:
        raise BadRequest("Transfer-Encoding is repeated", hint="Send one Transfer-Encoding.")
    if codings[0] != b"chunked":
        raise UnsupportedCoding("Transfer-Encoding is not `chunked`")
    return True


class RequestHead(NamedTuple):
    """Holds the head of a request, as its caller wrote it."""

    method: str
    target: str
    minor: int
    """Of the version: 1 for HTTP/1.1, 0 for HTTP/1.0."""
    fields: Fields

    def __repr__(self) -> str:
        # The target may hold a secret in its query.
        return f"RequestHead({self.method!r})"


def parse_request(data: bytes, start: int, end: int) -> RequestHead:
    """Parse the head in `data` from `start` to `end`, behind its empty line.

    Raises BadRequest, or a more exact RequestError.
    """
    head = data[start:end]
    return _whole_remembered(head) if _lasts(head) else _parse(head)


def _parse(head: bytes) -> RequestHead:
    line = _LINE.match(head)
    if line is None:
        raise _malformed_line(head, 0, len(head))
    if len(head) > MAX_LINE:
        _check_size(line.end(), len(head))
    method, target, version = line.groups()
    minor = int(version)
    section = head[line.end() : -2]
    fields = _remembered(section, minor) if _lasts(section) else Fields(section, minor)
    return RequestHead(method.decode(), target.decode(), minor, fields)


# Callers send the same sections again and again, perhaps a thousand callers each its own; those that poll send the same
# heads.
_remembered = lru_cache(maxsize=1280)(Fields)
_whole_remembered = lru_cache(maxsize=1280)(_parse)


def check_beginning(data: bytes, start: int) -> None:
    """Judge a head whose end has not come: raises what `parse_request` would, where that is certain already."""
    line_end = data.find(b"\n", start) + 1
    size = len(data) - start
    _check_size(line_end - start if line_end else size, size)
    if not line_end:
        if _BEGINNING.fullmatch(data, start) is None:
            raise _malformed_line(data, start, len(data))
    elif _LINE.match(data, start) is None:
        raise _malformed_line(data, start, line_end)
    elif BARE_LF.search(data, start):
        raise BadRequest("a line is not ended by CR LF", hint="End lines with CR LF (RFC 9112 section 2.2).")


def _check_size(line: int, head: int) -> None:
    if line > MAX_LINE:
        raise TargetTooLong(f"the request line is longer than {MAX_LINE} bytes")
    if head > MAX_HEAD:
        raise HeadTooLarge(f"the request's head is larger than {MAX_HEAD} bytes")


def _malformed_line(data: bytes, start: int, end: int) -> RequestError:
    if _OTHER_VERSION.match(data, start, end):
        return UnsupportedVersion("this proxy speaks HTTP/1.1 and HTTP/1.0 only")
    return BadRequest(
        "the request line is malformed", hint="Send `METHOD target HTTP/1.1`, the target percent-encoded (RFC 3986)."
    )


def request_line(method: str, target: str) -> bytes:
    """Write a request line, its end included."""
    return f"{method} {target} HTTP/1.1\r\n".encode()
