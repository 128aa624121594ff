"""Request ids, which stand in logs here and upstream: the caller's own, else one that is made."""

import re
from collections.abc import Iterator

from proxy.http.grammar.fields import Headers, values_of

HEADER = b"X-Request-Id"

_SANE = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
"""Of characters without a meaning in logs, terminals and JSON."""
_TRACE = re.compile(
    rb"(?:00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}"
    rb"|(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?)"
)
_NO_TRACE = b"0" * 32
_TAILS = [(f"{n:02x}", b"%02x\r\n" % n) for n in range(256)]


def given(lines: Headers) -> tuple[str, bool]:
    """Read the id in field lines, empty where they have no good one, and whether they carry any upstream.

    X-Request-Id, else the trace id of `traceparent` (W3C Trace Context section 3.2). What is repeated, too long or of
    other letters gives none: it would be written to logs.
    """
    named = values_of(lines, b"x-request-id")
    if len(named) == 1 and _SANE.fullmatch(named[0]):
        return named[0].decode(), True
    parents = values_of(lines, b"traceparent")
    trace = _TRACE.fullmatch(parents[0]) if len(parents) == 1 else None
    found = trace and (trace[1] or trace[2])
    if found and found != _NO_TRACE:
        return found.decode(), True
    return "", bool(named)


def made(prefix: str) -> Iterator[tuple[str, bytes]]:
    """Ids without end, each with the field line that tells an upstream.

    `prefix` is different for each process, a counter for each of its requests: a UUID would cost ten times as much.
    """
    block = 0
    while True:
        text = f"{prefix}-{block:x}"
        line = b"%b: %b" % (HEADER, text.encode())
        for tail, end in _TAILS:
            yield text + tail, line + end
        block += 1
