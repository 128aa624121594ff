"""Log lines: one record, or one request, is one line, for people and for machines, whatever strangers put into it."""

import json
import logging
import re
import sys
from typing import Any

import pytest

from proxy.model import OWN, RequestRecord
from proxy.observe.logs import AccessLog, JsonFormatter, TextFormatter, printable

# What ends a line somewhere, moves a terminal's cursor, hides text, or cannot be written as UTF-8.
HOSTILE = {
    "newline": "\n",
    "carriage return": "\r",
    "escape": "\x1b[2J",
    "backspace": "\b",
    "NUL": "\0",
    "DEL": "\x7f",
    "C1 control sequence": "\x9b31m",
    "next line": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "lone surrogate": "\udcff",
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())


def record(message: str, *args: object, level: int = logging.INFO, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("proxy.test", level, __file__, 1, message, args, None)
    made.created = 1_700_000_000.123
    made.fields = fields
    return made


def failed(error: Exception) -> logging.LogRecord:
    made = record("it failed", level=logging.ERROR)
    try:
        raise error
    except type(error):
        made.exc_info = sys.exc_info()
    return made


class TestText:
    @pytest.mark.parametrize(
        ("level", "shown"), [(logging.INFO, ""), (logging.WARNING, "WARNING "), (logging.ERROR, "ERROR ")]
    )
    def test_level(self, level: int, shown: str) -> None:
        """Every level but the usual one is named."""
        assert TextFormatter().format(record("hello", level=level))[9:] == f"{shown}hello"

    @pytest.mark.parametrize(
        ("level", "shown"),
        [
            (logging.DEBUG, "\x1b[2mDEBUG\x1b[0m hello"),
            (logging.INFO, "hello"),
            (logging.WARNING, "\x1b[33mWARNING\x1b[0m hello"),
            (logging.ERROR, "\x1b[31mERROR\x1b[0m hello"),
        ],
    )
    def test_colours(self, level: int, shown: str) -> None:
        """Where colours are wanted, the time is dim, and a level's name has the colour of its urgency."""
        line = TextFormatter(colour=True).format(record("hello", level=level))
        assert re.fullmatch(r"\x1b\[2m\d\d:\d\d:\d\d\x1b\[0m " + re.escape(shown), line)

    def test_other_fields(self) -> None:
        """Fields of another kind of line are for machines alone."""
        assert TextFormatter().format(record("listening", urls=["x"]))[9:] == "listening"

    @hostile
    def test_injection(self, text: str) -> None:
        """Nothing in a message ends its line or reaches the terminal as a control sequence."""
        line = TextFormatter().format(record("GET %s 200", f"/a{text}12:00:00 forged"))
        assert line.isprintable()
        assert line.endswith("12:00:00 forged 200")

    @hostile
    def test_injection_by_exception(self, text: str) -> None:
        """A traceback has lines of its own; each is indented and printable, so that none passes for a log line."""
        first, *rest = TextFormatter().format(failed(ValueError(f"bad{text}12:00:00 forged"))).split("\n")
        assert first.endswith("ERROR it failed")
        assert rest[0] == "  Traceback (most recent call last):"
        assert all(line.isprintable() and (line.startswith("  ") or not line) for line in rest)


class TestJson:
    def test_fields(self) -> None:
        """A record's facts are fields of their own; what is not known is left out."""
        document = json.loads(JsonFormatter().format(record("listening", urls=["x"], username=None)))
        assert document == {
            "time": "2023-11-14T22:13:20.123+00:00",
            "level": "info",
            "logger": "proxy.test",
            "message": "listening",
            "urls": ["x"],
        }

    def test_exception(self) -> None:
        """A traceback is a field."""
        document = json.loads(JsonFormatter().format(failed(ValueError("why"))))
        assert document["exception"].endswith("ValueError: why")
        assert (document["level"], document["message"]) == ("error", "it failed")

    @hostile
    def test_injection(self, text: str) -> None:
        """A line is plain ASCII without control characters, and gives back exactly what was logged."""
        line = JsonFormatter().format(record("GET %s", f"/{text}", path=f"/{text}"))
        assert line.isascii()
        assert line.isprintable()
        document = json.loads(line)
        assert (document["message"], document["path"]) == (f"GET /{text}", f"/{text}")

    def test_unknown_types(self) -> None:
        """A value that JSON has no form for is written as text."""
        assert json.loads(JsonFormatter().format(record("x", value=OSError("why"))))["value"] == "why"


@pytest.mark.parametrize("text", ["", "plain", "über ♥ 漢字", "a b\\n"])
def test_printable_keeps(text: str) -> None:
    """What is already printable stays as it is, in every script."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", r"a\nb"), ("\x1b[0m", r"\x1b[0m"), ("\x85", r"\x85"), ("\u2028", r"\u2028"), ("\udcff", r"\udcff")],
)
def test_printable_spells_out(text: str, shown: str) -> None:
    """What is not printable is shown by its number."""
    assert printable(text) == shown


# ---- requests

WALL = 1_700_000_000.0


def entry(**facts: Any) -> RequestRecord:
    """A request that took 20 ms, 12 of which the upstream needed for the head of its answer."""
    made = RequestRecord(facts.pop("method", "GET"), 100.0)
    usual = {
        "path": "/v1/job",
        "status": 200,
        "route": "/v1",
        "source": "upstream",
        "profile": "default",
        "request_id": "abc-01",
        "asked": 100.001,
        "answered": 100.013,
        "ended": 100.0205,
        "received": 0,
        "sent": 42,
    }
    for name, value in (usual | facts).items():
        setattr(made, name, value)
    return made


OWN_ANSWER: dict[str, Any] = {"source": "proxy", "profile": "", "asked": 0.0, "answered": 0.0, "ended": 100.0005}
REFUSED: dict[str, Any] = OWN_ANSWER | {
    "status": 403,
    "route": "",
    "source": "client",
    "code": "host_not_allowed",
}
FAILED: dict[str, Any] = {"status": 502, "code": "upstream_unreachable", "sent": 300}
PROBE: dict[str, Any] = OWN_ANSWER | {"route": OWN, "path": "/-/live"}


def lines_of(log_format: str, *entries: RequestRecord, **options: Any) -> str:
    written: list[str] = []
    AccessLog(written.append, log_format, **options)(entries, WALL - 100.0)
    return "".join(written)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "GET /v1/job 200 upstream 20.5 ms (8.50 overhead) 42 B abc-01"),
        ({"relaying": 100.0135}, "GET /v1/job 200 upstream 20.5 ms (1.50 overhead) 42 B abc-01"),
        ({"received": 7}, "GET /v1/job 200 upstream 20.5 ms (8.50 overhead) 7 B in, 42 B abc-01"),
        ({"profile": "north"}, "GET /v1/job 200 upstream @north 20.5 ms (8.50 overhead) 42 B abc-01"),
        (
            {"method": "POST", "path": "/graphql", "operation": "List"},
            "POST /graphql List 200 upstream 20.5 ms (8.50 overhead) 42 B abc-01",
        ),
        (FAILED, "GET /v1/job 502 upstream (upstream_unreachable) 20.5 ms (8.50 overhead) 300 B abc-01"),
        (REFUSED, "GET /v1/job 403 client (host_not_allowed) 0.5 ms 42 B abc-01"),
        (
            OWN_ANSWER | {"method": "POST", "route": OWN, "path": "/-/refresh"},
            "POST /-/refresh 200 proxy 0.5 ms 42 B abc-01",
        ),
    ],
    ids=["usual", "streamed", "upload", "profile", "operation", "failed", "refused", "own"],
)
def test_text_of_a_request(facts: dict[str, Any], line: str) -> None:
    """A line for people says what was asked, what came of it, whose doing that was, and how long it took."""
    found = re.fullmatch(r"(\d\d:\d\d:\d\d) (.*)\n", lines_of("text", entry(**facts)))
    assert found is not None
    assert found[2] == line


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        (101, "", "\x1b[36m101"),
        (200, "", "\x1b[32m200"),
        (302, "", "\x1b[36m302"),
        (404, "", "\x1b[33m404"),
        (500, "", "\x1b[31m500"),
        (502, "upstream_broken", "\x1b[31m502"),
        (999, "", "\x1b[31m999"),
    ],
)
def test_colours_of_a_request(status: int, code: str, shown: str) -> None:
    """On a terminal a status has the colour of its class, and what is only looked up is dim."""
    line = lines_of("text", entry(status=status, code=code), colour=True)
    assert f" {shown}\x1b[0m upstream" in line
    assert line.endswith("\x1b[2mabc-01\x1b[0m\n")
    assert line.startswith("\x1b[2m")


COMMON = {
    "time": "2023-11-14T22:13:20.020+00:00",
    "level": "info",
    "logger": "proxy.access",
    "message": "GET /v1/job 200",
    "method": "GET",
    "path": "/v1/job",
    "status": 200,
    "route": "/v1",
    "source": "upstream",
    "profile": "default",
    "ms": 20.5,
    "overhead_ms": 8.5,
    "upstream_ms": 12.0,
    "received": 0,
    "sent": 42,
    "request_id": "abc-01",
}
NOTHING_ASKED = {
    "upstream_ms": None,
    "profile": None,
    "ms": 0.5,
    "overhead_ms": 0.5,
    "time": "2023-11-14T22:13:20.000+00:00",
}


@pytest.mark.parametrize(
    ("facts", "changes"),
    [
        ({}, {}),
        ({"relaying": 100.0135}, {"overhead_ms": 1.5}),
        ({"operation": "List"}, {"operation": "List"}),
        ({"received": 7, "profile": "north"}, {"received": 7, "profile": "north"}),
        (
            FAILED,
            {
                "level": "error",
                "message": "GET /v1/job 502",
                "status": 502,
                "code": "upstream_unreachable",
                "sent": 300,
            },
        ),
        (
            REFUSED,
            NOTHING_ASKED
            | {
                "level": "warning",
                "message": "GET /v1/job 403",
                "status": 403,
                "code": "host_not_allowed",
                "source": "client",
                "route": None,
            },
        ),
        (
            PROBE,
            NOTHING_ASKED
            | {"level": "debug", "message": "GET /-/live 200", "path": "/-/live", "route": OWN, "source": "proxy"},
        ),
    ],
    ids=["usual", "streamed", "operation", "upload", "failed", "refused", "own"],
)
def test_json_of_a_request(facts: dict[str, Any], changes: dict[str, Any]) -> None:
    """For machines every fact is a field; what does not apply is left out."""
    document = json.loads(lines_of("json", entry(**facts), least="debug"))
    expected = {name: value for name, value in (COMMON | changes).items() if value is not None}
    assert {name: pytest.approx(value, abs=0.011) if "ms" in name else value for name, value in document.items()} == (
        expected
    )


@hostile
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_injection_by_path(log_format: str, text: str) -> None:
    """Nothing in a path ends its line or reaches the terminal as a control sequence."""
    line = lines_of(log_format, entry(path=f"/a{text}12:00:00 forged"))
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    ("least", "logged"),
    [
        ("debug", ["/probe", "/fine", "/refused", "/failed"]),
        ("info", ["/fine", "/refused", "/failed"]),
        ("warning", ["/refused", "/failed"]),
        ("error", ["/failed"]),
    ],
)
def test_levels_of_requests(log_format: str, least: str, logged: list[str]) -> None:
    """`log_level` is the least that is logged of requests as well; no level silences those that the proxy failed."""
    entries = [
        entry(**PROBE | {"path": "/probe"}),
        entry(path="/fine"),
        entry(**REFUSED | {"path": "/refused"}),
        entry(**FAILED | {"path": "/failed"}),
    ]
    assert re.findall(r"GET (/\w+) ", lines_of(log_format, *entries, least=least)) == logged


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_to_say(log_format: str) -> None:
    """A batch of which nobody wants to hear is not written at all."""
    written: list[str] = []
    AccessLog(written.append, log_format)([entry(**PROBE)], 0.0)
    assert written == []


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_many_kinds_of_requests(log_format: str) -> None:
    """Whatever strangers think of as methods, and however long, each request has its own line."""
    entries = [entry(method=f"M{n}", ended=100.0 + n) for n in range(5000)]
    lines = lines_of(log_format, *entries).splitlines()
    assert len(lines) == 5000
    assert all(f"M{n} /v1/job" in line for n, line in enumerate(lines))
