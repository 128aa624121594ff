"""Which responses say that the token, not the request, is the trouble."""

import re
import zlib
from http import HTTPStatus

from proxy.http.grammar import Head
from proxy.http.grammar.fields import values_of

_PEEK_LIMIT = 4096
# API Gateway's and AWS's own words; an application's invitation token that has expired is none of them.
_EXPIRED = re.compile(
    rb"(?:incoming|identity|security|session|id|access|auth) token\b[^\"]{0,80}\bexpired|\bExpiredToken", re.IGNORECASE
)


def has_short_json(head: Head) -> bool:
    """Tell whether a response is a short 403 in JSON, whose content says what it is about."""
    if head.status != HTTPStatus.FORBIDDEN:
        return False
    lengths, types = values_of(head.headers, b"content-length"), values_of(head.headers, b"content-type")
    length = lengths[-1] if lengths else b""
    return length.isdigit() and int(length) <= _PEEK_LIMIT and bool(types) and b"json" in types[-1].lower()


def refuses_token(head: Head, content: bytes) -> bool:
    """Tell whether a 401, or a 403 with its `content` where that `has_short_json`, refuses the token."""
    if head.status != HTTPStatus.FORBIDDEN:
        return head.status == HTTPStatus.UNAUTHORIZED
    if any(value.lower() == b"gzip" for value in values_of(head.headers, b"content-encoding")):
        try:
            content = zlib.decompressobj(wbits=31).decompress(content, _PEEK_LIMIT)
        except zlib.error:
            return False
    return _EXPIRED.search(content) is not None
