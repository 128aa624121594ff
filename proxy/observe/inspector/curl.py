"""A request as a line for a POSIX shell, to be sent through this proxy once more; no secret is in it."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from proxy.observe.inspector.contents import as_written, is_plain
from proxy.observe.inspector.fields import FieldLine, came, value_of
from proxy.observe.inspector.masks import HIDDEN, Masks
from proxy.observe.inspector.wire import RecordedRequest
from proxy.observe.urls import curl

_LEFT_OUT = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "referer",
        "te",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-request-id",
    )
)
"""What curl writes itself, what frames a message, and what says who asks and from where."""
_ANY = "*/*"


class CurlTarget(NamedTuple):
    """Where the proxy is called, and what that takes."""

    origin: str
    trusting: str = ""
    """The option that trusts its certificate."""
    with_token: bool = False
    """Callers must present the client token."""


def curl_line(place: CurlTarget, request: RecordedRequest, content: bytes | None, masks: Masks) -> str:
    """The line that sends a request to the proxy.

    `content` is None where not all of it is known: the line then reads it from a file. Masked values are left for a
    person to fill in, and fields with such are left out: the proxy adds its credential by itself.
    """
    lines = [line for line in came(request.fields, masks) if _is_sent(line)]
    words = _method(request.method, has_content=content != b"")
    words += ["-g"] if set("[]{}") & set(request.target) else []
    for line in lines:
        words += ["-H", f"{line.name}: {line.value}" if line.value else f"{line.name};"]
    if content != b"":
        named = any(line.name.lower() == "content-type" for line in lines)
        words += [
            *([] if named else ["-H", "Content-Type:"]),
            *_data(content, value_of(request.fields, b"content-type").lower(), masks),
        ]
    options = " ".join(filter(None, (place.trusting, shlex.join(words))))
    return curl(place.origin, masks.form(request.target), options, with_token=place.with_token)


def _method(method: str, *, has_content: bool) -> list[str]:
    if method == "HEAD" and not has_content:
        return ["-I"]
    return [] if method == ("POST" if has_content else "GET") else ["-X", method]


def _is_sent(line: FieldLine) -> bool:
    name = line.name.lower()
    if name in _LEFT_OUT or name.startswith(("sec-", "proxy-")) or (name, line.value) == ("accept", _ANY):
        return False
    # A secret is not to be had from here; of what a terminal would act on, nothing is pasted.
    return HIDDEN not in line.value and is_plain(line.value)


def _data(content: bytes | None, media_type: str, masks: Masks) -> Sequence[str]:
    try:
        text = None if content is None else content.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or not is_plain(text):
        return ["--data-binary", "@content"]
    return ["--data-raw", as_written(text, media_type, masks)]
