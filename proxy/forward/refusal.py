"""Whether an upstream's refusal is about the token, so that another would help."""

import re
import zlib
from http import HTTPStatus

from proxy.http.client.transport import UpstreamAnswer
from proxy.http.grammar import Head

REFUSALS = (401, 403)
_PEEK_LIMIT = 4096
# API Gateway's and AWS's own words; an application's invitation token that has expired is none of them.
_EXPIRED = re.compile(
    rb"(?:incoming|identity|security|session|id|access|auth) token\b[^\"]{0,80}\bexpired|\bExpiredToken", re.IGNORECASE
)


def may_refuse_token(head: Head) -> bool:
    """Whether the content of an answer must be looked at to know what it is about: a short 403 in JSON."""
    if head.status != HTTPStatus.FORBIDDEN:
        return False
    fields = {name.lower(): value for name, value in head.headers}
    length = fields.get(b"content-length", b"")
    return length.isdigit() and int(length) <= _PEEK_LIMIT and b"json" in fields.get(b"content-type", b"").lower()


async def whole(answer: UpstreamAnswer) -> bytes:
    """All of a short content."""
    content = b""
    while chunk := await answer.read():
        content += chunk
    return content


def refuses_token(head: Head, content: bytes) -> bool:
    """Whether an answer says that the token, not the request, is the trouble. `content` is that of a short 403."""
    if head.status != HTTPStatus.FORBIDDEN:
        return head.status == HTTPStatus.UNAUTHORIZED
    if any(name.lower() == b"content-encoding" and value.lower() == b"gzip" for name, value in head.headers):
        try:
            content = zlib.decompressobj(wbits=31).decompress(content, _PEEK_LIMIT)
        except zlib.error:
            return False
    return _EXPIRED.search(content) is not None
