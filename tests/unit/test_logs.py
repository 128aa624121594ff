"""Log lines: one record is one line, for people and for machines, whatever a stranger put into it."""

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.wire import PATIENCE

from proxy import logs
from proxy.logs import AccessEntry, AccessLog, JsonFormatter, TextFormatter, printable
from proxy.model import Auth, Route, Upstream

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


@pytest.fixture
def _restored() -> Iterator[None]:
    """`configure` is for a whole process: its traces go away with the test."""
    names = ("proxy", "proxy.access", "botocore", "aiobotocore", "aiohttp", "asyncio")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


class TestText:
    @pytest.mark.parametrize(
        ("level", "shown"), [(logging.INFO, ""), (logging.WARNING, "WARNING "), (logging.ERROR, "ERROR ")]
    )
    def test_level(self, level: int, shown: str) -> None:
        """Every level but the usual one is named."""
        assert TextFormatter().format(record("hello", level=level))[9:] == f"{shown}hello"

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


@pytest.mark.usefixtures("_restored")
class TestConfigure:
    @pytest.mark.parametrize(("terminal", "chosen"), [(True, "text"), (False, "json")])
    def test_auto(self, terminal: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """`auto` is text for a person at a terminal and JSON for whatever collects the lines otherwise."""
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
        assert logs.configure("auto", "info") == chosen

    def test_goes_to_stdout(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The log goes to stdout, one line a record."""
        logs.configure("json", "info")
        logging.getLogger("proxy.test").info("one\ntwo")
        logging.getLogger("proxy.test").debug("not this")
        out, err = capsys.readouterr()
        assert [json.loads(line)["message"] for line in out.splitlines()] == ["one\ntwo"]
        assert err == ""

    @pytest.mark.parametrize(
        ("level", "logged"),
        [
            ("debug", ["debug", "info", "warning"]),
            ("info", ["info", "warning"]),
            ("warning", ["warning"]),
            ("error", []),
        ],
    )
    def test_levels(self, level: str, logged: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """`log_level` is the least that is logged."""
        logs.configure("json", level)
        log = logging.getLogger("proxy.test")
        log.debug("debug")
        log.info("info")
        log.warning("warning")
        assert [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()] == logged

    @pytest.mark.parametrize("library", ["botocore.endpoint", "aiobotocore", "aiohttp.client", "asyncio", "urllib3"])
    def test_libraries_stay_quiet(self, library: str, capsys: pytest.CaptureFixture[str]) -> None:
        """At debug level, too, libraries that would log whole requests with their secrets do not."""
        logs.configure("text", "debug")
        logging.getLogger(library).debug("AuthParameters: …")
        logging.getLogger(library).info("AuthParameters: …")
        assert capsys.readouterr().out == ""


ROUTE = Route("", Upstream.parse("http://localhost"), Auth.REST)
ENTRY = AccessEntry("GET", "/v1/job", 200, ROUTE, "upstream", "", 0.01234, 7, 42)


def access_line(log_format: str, entry: AccessEntry) -> str:
    async def logged() -> str:
        stream = io.StringIO()
        log = AccessLog(stream, log_format)
        log(entry)
        log.flush()
        return stream.getvalue()

    return asyncio.run(logged())


class TestAccessLog:
    def test_text(self) -> None:
        """An access line shows time, request, status, who answered, how long it took and how much was sent."""
        line = access_line("text", ENTRY)
        assert re.fullmatch(r"\d\d:\d\d:\d\d GET /v1/job 200 upstream 12\.3 ms 42 B\n", line)

    def test_text_of_an_error(self) -> None:
        """An answer that the proxy made itself shows the error's code."""
        line = access_line("text", replace(ENTRY, status=503, source="cognito", code="login_required"))
        assert line.endswith(" GET /v1/job 503 cognito (login_required) 12.3 ms 42 B\n")

    def test_json(self) -> None:
        """For machines every fact is a field; what does not apply is left out."""
        document = json.loads(access_line("json", ENTRY))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", document.pop("time"))
        assert document == {
            "level": "info",
            "logger": "proxy.access",
            "message": "GET /v1/job 200",
            "method": "GET",
            "path": "/v1/job",
            "status": 200,
            "route": "/",
            "source": "upstream",
            "ms": 12.3,
            "received": 7,
            "sent": 42,
        }

    def test_json_of_an_error(self) -> None:
        """The code of an error, and the lack of a route, show."""
        document = json.loads(access_line("json", replace(ENTRY, route=None, code="no_route")))
        assert document["code"] == "no_route"
        assert "route" not in document

    @hostile
    @pytest.mark.parametrize("log_format", ["text", "json"])
    def test_injection(self, log_format: str, text: str) -> None:
        """Nothing in a path ends its line or reaches the terminal as a control sequence."""
        line = access_line(log_format, replace(ENTRY, path=f"/a{text}12:00:00 forged"))
        assert line.endswith("\n")
        assert line[:-1].isprintable()

    async def test_lines_go_out_by_themselves(self) -> None:
        """Lines are written in batches, without anybody asking."""
        written = asyncio.Event()

        class Stream(io.StringIO):
            def flush(self) -> None:
                written.set()

        stream = Stream()
        log = AccessLog(stream, "text")
        log(ENTRY)
        log(ENTRY)
        assert stream.getvalue() == ""
        await asyncio.wait_for(written.wait(), PATIENCE)
        assert stream.getvalue().count("\n") == 2

    @pytest.mark.parametrize(
        ("level", "enabled", "logs_access"),
        [
            ("debug", True, True),
            ("info", True, True),
            ("warning", True, True),
            ("error", True, False),
            ("info", False, False),
        ],
    )
    def test_switches(self, level: str, enabled: bool, logs_access: bool) -> None:
        """`access_log` is a switch of its own, and `log_level = error` means errors alone."""
        assert (logs.access_log("text", level, enabled=enabled) is not None) is logs_access
