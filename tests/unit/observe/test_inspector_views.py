"""What the page is told of requests: facts that its user may see, and nothing that a secret is in."""

import json
from typing import Any

import pytest

from proxy.http.grammar import parse_head
from proxy.model import RequestRecord
from proxy.observe.inspector.curl import CurlTarget
from proxy.observe.inspector.masks import HIDDEN, Masks
from proxy.observe.inspector.views import details, id_of, line, unfinished
from proxy.observe.inspector.wire import RecordedRequest, Wire

MASKS = Masks(["hunter2!"])
HOST = (b"Host", b"localhost")
JSON = (b"Content-Type", b"application/json")


def entry(**facts: Any) -> RequestRecord:
    made = RequestRecord(facts.pop("method", "GET"), facts.pop("began", 100.0))
    for name, value in facts.items():
        setattr(made, name, value)
    return made


FORWARDED = {
    "path": "/v1/job",
    "route": "/",
    "profile": "default",
    "status": 200,
    "source": "upstream",
    "asked": 100.001,
    "answered": 100.011,
    "relaying": 100.012,
    "ended": 100.5,
    "received": 3,
    "sent": 4,
    "request_id": "r-1",
    "operation": "List",
}


def test_line() -> None:
    """A request that was forwarded, with its durations in milliseconds and wall time."""
    assert line(entry(**FORWARDED), None, MASKS, 1000.0) == {
        "id": id_of(entry()),
        "time": 1_100_000,
        "method": "GET",
        "target": "/v1/job",
        "route": "/",
        "profile": "default",
        "operation": "List",
        "status": 200,
        "source": "upstream",
        "ms": 500.0,
        "overhead_ms": 2.0,
        "upstream_ms": 10.0,
        "received": 3,
        "sent": 4,
        "level": "info",
        "kept": False,
        "request_id": "r-1",
    }


def test_line_of_a_refusal() -> None:
    """A request that the proxy answered itself says why, and what mends it."""
    refused = entry(path="/x", status=403, code="read_only", detail="No.", hint="Do.", ended=100.25)
    told = line(refused, None, MASKS, 0.0)
    assert (told["code"], told["detail"], told["hint"], told["level"]) == ("read_only", "No.", "Do.", "warning")
    assert (told["source"], told["ms"], told["overhead_ms"]) == ("proxy", 250.0, 250.0)
    assert "upstream_ms" not in told


def test_target() -> None:
    """With what went over the wire the query is told too, without its secrets; nothing too long is."""
    told = line(entry(**FORWARDED), Wire(RecordedRequest("GET", "/v1?token=x&a=hunter2!", ())), MASKS, 0.0)
    assert (told["target"], told["kept"]) == (f"/v1?token={HIDDEN}&a={HIDDEN}", True)
    assert line(entry(path="/hunter2!", ended=101.0), None, MASKS, 0.0)["target"] == f"/{HIDDEN}"
    assert unfinished(entry(path="/hunter2!"), MASKS, 0.0)["target"] == f"/{HIDDEN}"
    long = line(entry(path="/" + "a" * 9999, ended=101.0), None, MASKS, 0.0)
    assert len(long["target"]) == 513
    assert long["target"].endswith("a…")


def test_unfinished() -> None:
    """Of a request that is under way, what is known so far."""
    told = unfinished(entry(path="/v1/job", route="/"), MASKS, 1000.0)
    assert told == {"id": id_of(entry()), "time": 1_100_000, "method": "GET", "target": "/v1/job", "route": "/"}


def test_ids() -> None:
    """Requests that begin a nanosecond apart are told apart, after months too."""
    months = 2**22 + 0.5
    assert id_of(entry(began=months)) != id_of(entry(began=months + 1e-9))
    assert int(id_of(entry(began=1.5)), 16) == 1_500_000_000


def shown(wire: Wire, **facts: Any) -> dict[str, Any]:
    told = details(entry(**facts), wire, MASKS, CurlTarget("http://localhost:1"))
    document: dict[str, Any] = json.loads(json.dumps(told))
    return document


def test_details() -> None:
    """Heads beside each other, contents set out, and the line that sends it again."""
    wire = Wire(
        RecordedRequest("POST", "/v1/job?sig=x", (HOST, JSON, (b"Authorization", b"Bearer own")), has_content=True),
        origin="https://api.test",
        sent=b"POST /v1/job?sig=x HTTP/1.1\r\n"
        b"Host: api.test\r\nContent-Type: application/json\r\nX-Secret-Name: abc\r\n\r\n",
        refusals=[401],
        answer=parse_head(b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nKeep-Alive: 5\r\n\r\n")[0],
        passed_on=b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nVia: 1.1 ul-proxy\r\n\r\n",
        request_content=bytearray(b'{"password":"a"}'),
        answer_content=bytearray(b"done"),
    )
    told = shown(wire, received=16, sent=4)
    assert told["request"] == {
        "line": f"POST /v1/job?sig={HIDDEN}",
        "asked": f"POST https://api.test/v1/job?sig={HIDDEN}",
        "fields": [
            ["-", "Host", "localhost"],
            [" ", "Content-Type", "application/json"],
            ["-", "Authorization", f"Bearer {HIDDEN}"],
            ["+", "Host", "api.test"],
            ["+", "X-Secret-Name", HIDDEN],
        ],
        "content": {"kind": "json", "text": f'{{\n  "password": "{HIDDEN}"\n}}', "note": "16 B"},
        "refusals": [401],
    }
    assert told["answer"] == {
        "line": "HTTP/1.1 201 Created",
        "fields": [[" ", "Content-Type", "text/plain"], ["-", "Keep-Alive", "5"], ["+", "Via", "1.1 ul-proxy"]],
        "content": {"kind": "text", "text": "done", "note": "4 B"},
    }
    assert told["curl"].startswith("curl -sS -H 'Content-Type: application/json' --data-raw ")


def test_details_of_a_refusal() -> None:
    """Where nothing was asked of an upstream, nothing is compared."""
    wire = Wire(
        RecordedRequest("GET", "/v1/job", (HOST,)), passed_on=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    )
    told = shown(wire)
    assert (told["request"]["asked"], told["request"]["fields"]) == ("", [[" ", "Host", "localhost"]])
    assert told["answer"]["fields"] == [[" ", "Content-Length", "0"]]
    assert told["curl"] == "curl -sS http://localhost:1/v1/job"


def test_details_of_one_who_left() -> None:
    """Where no answer went out, there is none to show."""
    told = shown(Wire(RecordedRequest("GET", "/", ())))
    assert (told["answer"]["line"], told["answer"]["fields"]) == ("", [])


@pytest.mark.parametrize(
    ("content", "received", "data"),
    [(b"abc", 3, "--data-raw abc"), (b"abc", 9, "--data-binary @content"), (b"", 0, "--data-binary @content")],
    ids=["whole", "cut off", "not read"],
)
def test_content_for_curl(content: bytes, received: int, data: str) -> None:
    """The line has a content that is known whole, else it names a file."""
    wire = Wire(RecordedRequest("POST", "/", (JSON,), has_content=True), request_content=bytearray(content))
    assert data in shown(wire, method="POST", received=received)["curl"]
