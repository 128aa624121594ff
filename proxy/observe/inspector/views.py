"""Show requests to the page, as values that JSON can carry: a line of each, and all details of one."""

from typing import Any

from proxy.http.grammar import lines_of
from proxy.http.grammar.fields import Headers
from proxy.model import RequestRecord
from proxy.observe.inspector.contents import ShownContent, shown
from proxy.observe.inspector.curl import CurlTarget, curl_line
from proxy.observe.inspector.fields import came, compared, value_of
from proxy.observe.inspector.masks import Masks
from proxy.observe.inspector.wire import Wire

_LONGEST = 512
"""Letters of a target that are shown in a line."""


def id_of(entry: RequestRecord) -> str:
    """By what the page knows a request: no two begin in the same nanosecond."""
    return f"{int(entry.began * 1e9):x}"


def line(entry: RequestRecord, wire: Wire | None, masks: Masks, offset: float) -> dict[str, Any]:
    """A request that has ended; `offset` makes wall time of the entry's own. Durations are in milliseconds."""
    view: dict[str, Any] = {
        **_beginning(entry, entry.path if wire is None else wire.request.target, masks, offset),
        "status": entry.status,
        "source": entry.source,
        "ms": _ms(entry.ended - entry.began),
        "overhead_ms": _ms(entry.overhead),
        "received": entry.received,
        "sent": entry.sent,
        "level": entry.level,
        "kept": wire is not None,
    }
    if entry.asked:
        view["upstream_ms"] = _ms(entry.answered - entry.asked)
    facts = {"code": entry.code, "detail": entry.detail, "hint": entry.hint, "request_id": entry.request_id}
    return view | {name: masks.text(value) for name, value in facts.items() if value}


def unfinished(entry: RequestRecord, masks: Masks, offset: float) -> dict[str, Any]:
    """A request that is still under way."""
    return _beginning(entry, entry.path, masks, offset)


def _beginning(entry: RequestRecord, target: str, masks: Masks, offset: float) -> dict[str, Any]:
    # Cut before it is masked, which is no place to spend time, and once more behind what masks have made shorter.
    target = masks.form(target[: 2 * _LONGEST])
    view: dict[str, Any] = {
        "id": id_of(entry),
        "time": round((entry.began + offset) * 1e3),
        "method": entry.method,
        "target": target if len(target) <= _LONGEST else target[:_LONGEST] + "…",
    }
    facts = {"route": entry.route, "profile": entry.profile, "operation": entry.operation}
    return view | {name: masks.text(value) for name, value in facts.items() if value}


def details(entry: RequestRecord, wire: Wire, masks: Masks, place: CurlTarget) -> dict[str, Any]:
    """All that went over the wire for a request, and what would send it again to the proxy at `place`."""
    request, answer, fields = wire.request, wire.answer, wire.request.fields
    sent_line, sent = _parted(wire.sent)
    passed_line, passed = _parted(wire.passed_on)
    content = bytes(wire.request_content)
    whole = len(content) >= entry.received and (content != b"" or not request.has_content)
    return {
        "id": id_of(entry),
        "request": {
            "line": f"{request.method} {masks.form(request.target)}",
            "asked": masks.form(_absolute(sent_line, wire.origin)),
            "fields": compared(fields, sent, masks, credential=True) if wire.sent else came(fields, masks),
            "content": _content(content, entry.received, fields, masks)._asdict(),
            "refusals": wire.refusals,
        },
        "answer": {
            "line": masks.text(passed_line),
            "fields": came(passed, masks) if answer is None else compared(answer.headers, passed, masks),
            "content": _content(bytes(wire.answer_content), entry.sent, passed, masks)._asdict(),
        },
        "curl": curl_line(place, request, content if whole else None, masks),
    }


def _parted(head: bytes) -> tuple[str, Headers]:
    """The first line of a head, and its fields."""
    line, _, section = head.partition(b"\r\n")
    return line.decode("latin-1"), lines_of(section.removesuffix(b"\r\n"))


def _absolute(line: str, origin: str) -> str:
    """A request line without its version, with the address of the upstream that it went to."""
    method, _, target = line.removesuffix(" HTTP/1.1").partition(" ")
    return f"{method} {origin}{target}" if method else ""


def _content(data: bytes, total: int, fields: Headers, masks: Masks) -> ShownContent:
    media_type, coding = (value_of(fields, name).lower() for name in (b"content-type", b"content-encoding"))
    return shown(data, total, media_type, coding, masks)


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 2)
