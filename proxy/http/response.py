"""Responses that a server makes itself."""

import json
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from proxy.http.grammar.fields import Header


class Response(NamedTuple):
    """An answer that this proxy makes itself."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    pieces: AsyncGenerator[bytes, None] | None = None
    """The content where it comes to be as time goes on; then `headers` have no Content-Length, and `body` is empty."""


def json_response(status: int, value: Any, *extra: Header, media_type: bytes = b"application/json") -> Response:
    """`value` as an answer; never cached, since it says what is so now."""
    body = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"
    headers = (
        (b"Content-Type", media_type),
        (b"Content-Length", str(len(body)).encode()),
        (b"Cache-Control", b"no-store"),
        *extra,
    )
    return Response(status, headers, body)
