"""Make the responses that come from this proxy itself."""

import json
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from proxy.http.grammar.fields import Header


class Response(NamedTuple):
    """Holds a response that this proxy makes itself."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    pieces: AsyncGenerator[bytes, None] | None = None
    """The content where it is made while it is sent; then `headers` have no Content-Length, and `body` is empty."""


def json_response(status: int, value: Any, *extra: Header, media_type: bytes = b"application/json") -> Response:
    """Make a response of `value` in JSON; it is never cached, since it describes the present."""
    body = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"
    headers = (
        (b"Content-Type", media_type),
        (b"Content-Length", str(len(body)).encode()),
        (b"Cache-Control", b"no-store"),
        *extra,
    )
    return Response(status, headers, body)
