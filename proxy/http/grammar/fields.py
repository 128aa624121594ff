"""Parse field sections (RFC 9110 section 5, RFC 9112 section 5)."""

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Header: TypeAlias = tuple[bytes, bytes]
"""One field line (RFC 9110 section 5), name and value exactly as on the wire."""
Headers: TypeAlias = Sequence[Header]

MAX_HEAD = 64 * 1024
"""Bytes of a head, and of a trailer section."""

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
SECTION = rb"(?:" + TOKEN + rb":" + VALUE + rb"\r\n)*+"

BARE_LF = re.compile(rb"(?<!\r)\n")
_SECTION = re.compile(SECTION)
_LINE = re.compile(rb"([^:]++):[\t ]*+((?:[\t ]*+[^\t \r]++)*+)[\t ]*+\r\n")
_PROXY_FIELDS = re.compile(
    rb"\n(con(?:nection|tent-length)|host|keep-alive|t(?:e|ransfer-encoding)|upgrade|proxy-[^:]*|location"
    rb"|access-control-[^:]*):[\t ]*([^\r]*)"
)


class FramingError(ValueError):
    """Says why what the peer sent is no message, or one that can be read in two ways."""


def lines_of(section: bytes) -> list[Header]:
    """Split a well-formed section into its field lines, without the white space around values."""
    return _LINE.findall(section)


def checked_lines(section: bytes) -> list[Header]:
    """Split a section into its field lines; raises FramingError where it is malformed."""
    if _SECTION.fullmatch(section) is None:
        raise FramingError("a malformed field line")
    return lines_of(section)


def proxy_fields_of(section: bytes) -> list[Header]:
    """Find the lines of a section that frame a message, concern one connection or are rewritten, in lower case."""
    return _PROXY_FIELDS.findall((b"\n" + section).lower())


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    """Find the values of the field lines called `name`, given in lower case, without the white space behind them."""
    return [value.rstrip(b" \t") for line, value in headers if line.lower() == name]


def options_of(values: Iterable[bytes]) -> frozenset[bytes]:
    """Read the options in values of `Connection`, given in lower case (RFC 9110 section 7.6.1)."""
    return frozenset(option.strip(b" \t") for value in values for option in value.split(b","))


def persists(options: frozenset[bytes], minor: int) -> bool:
    """Return whether a connection may carry another message after one with these options (RFC 9112 section 9.3)."""
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)


def field_lines(headers: Headers) -> bytes:
    """Write field lines as they stand on the wire."""
    return b"".join([b"%b: %b\r\n" % line for line in headers])
