"""Where log lines go: which format, which levels, and to whom errors are shown besides."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from support.wire import PATIENCE

from proxy.model import RequestRecord
from proxy.observe import logs


@pytest.fixture(autouse=True)
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


@pytest.mark.parametrize(("terminal", "chosen"), [(True, "text"), (False, "json")])
def test_auto(terminal: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is text for a person at a terminal and JSON for whatever collects the lines otherwise."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert logs.configure("auto", "info").format == chosen


def test_goes_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    """The log goes to stdout, one line a record, and what is told to people stands in its place between them."""
    told = logs.configure("json", "info")
    log = logging.getLogger("proxy.test")
    log.info("one\ntwo")
    log.debug("not this")
    told.say("banner")
    log.error("three")
    told.close()
    out, err = capfd.readouterr()
    first, banner, last = out.splitlines()
    assert (json.loads(first)["message"], banner, json.loads(last)["message"]) == ("one\ntwo", "banner", "three")
    assert err == ""
    assert told.dropped == 0


def test_what_the_program_says_goes_at_once(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the lines of requests wait for each other: whoever waits for "listening" is told when it is so."""
    monkeypatch.setattr(logs, "Writer", partial(logs.Writer, pause=3600.0))
    told = logs.configure("json", "info")
    log = logging.getLogger("proxy.test")
    out = ""
    for number in range(3):
        log.info("listening %d", number)
        end = time.monotonic() + PATIENCE
        while f"listening {number}" not in out and time.monotonic() < end:
            time.sleep(0.001)
            out += capfd.readouterr().out
        assert f"listening {number}" in out
    for status in (200, 201):
        request = RequestRecord("GET", 1.0)
        request.status = status
        told.access([request], 0.0)
        time.sleep(0.02)
    waits = capfd.readouterr().out
    told.close()
    assert '"status": 201' not in waits
    assert '"status": 201' in capfd.readouterr().out


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(level: str, logged: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """`log_level` is the least that is logged; errors always are."""
    told = logs.configure("json", level)
    log = logging.getLogger("proxy.test")
    log.debug("debug")
    log.info("info")
    log.warning("warning")
    log.error("error")
    told.close()
    assert [json.loads(line)["message"] for line in capfd.readouterr().out.splitlines()] == logged


def test_a_line_that_cannot_be_made(capfd: pytest.CaptureFixture[str]) -> None:
    """A defect in a log call costs its line, and is told on stderr."""
    told = logs.configure("json", "info")
    logging.getLogger("proxy.test").info("%d", "one")
    logging.getLogger("proxy.test").info("two")
    told.close()
    out, err = capfd.readouterr()
    assert [json.loads(line)["message"] for line in out.splitlines()] == ["two"]
    assert "TypeError" in err


@pytest.mark.parametrize("library", ["botocore.endpoint", "aiobotocore", "aiohttp.client", "asyncio", "urllib3"])
def test_libraries_stay_quiet(library: str, capfd: pytest.CaptureFixture[str]) -> None:
    """At debug level, too, libraries that would log whole requests with their secrets do not."""
    told = logs.configure("text", "debug")
    logging.getLogger(library).debug("AuthParameters: …")
    logging.getLogger(library).info("AuthParameters: …")
    told.close()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("level", "access", "logged"),
    [("info", True, [200, 502]), ("warning", True, [502]), ("error", True, [502]), ("debug", False, [502])],
)
def test_requests(level: str, access: bool, logged: list[int], capfd: pytest.CaptureFixture[str]) -> None:
    """Neither a level nor `access_log = false` silences the requests that the proxy failed."""
    told = logs.configure("json", level, access=access)
    fine, failed = RequestRecord("GET", 1.0), RequestRecord("GET", 1.0)
    fine.status, failed.status, failed.code = 200, 502, "upstream_broken"
    told.access([fine, failed], 0.0)
    told.close()
    assert [json.loads(line)["status"] for line in capfd.readouterr().out.splitlines()] == logged


@pytest.mark.parametrize(
    ("stdout", "stderr", "log_format", "shown"),
    [
        (False, False, "auto", ""),
        (True, True, "auto", ""),
        (False, True, "auto", "ERROR it failed"),
        (False, True, "json", '"message": "it failed"'),
    ],
)
def test_errors_are_seen(
    *,
    stdout: bool,
    stderr: bool,
    log_format: logs.LogFormat,
    shown: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who looks at stderr on a terminal while stdout goes elsewhere sees errors there as well, and nothing else."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: stdout)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: stderr)
    told = logs.configure(log_format, "info")
    logging.getLogger("proxy.test").warning("beware")
    logging.getLogger("proxy.test").error("it failed")
    told.close()
    out, err = capfd.readouterr()
    assert ("beware" in out, "it failed" in out, "beware" in err) == (True, True, False)
    assert shown in err
    assert bool(shown) == bool(err)


def test_errors_are_seen_where_the_log_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    """A stdout that is the null device shows nothing to anybody: errors go to stderr."""
    null = os.open(os.devnull, os.O_WRONLY)
    before = os.dup(1)
    try:
        os.dup2(null, 1)
        told = logs.configure("auto", "info")
        logging.getLogger("proxy.test").info("hello")
        logging.getLogger("proxy.test").error("it failed")
        told.close()
    finally:
        os.dup2(before, 1)
        for fd in (null, before):
            with suppress(OSError):
                os.close(fd)
    assert json.loads(capfd.readouterr().err)["message"] == "it failed"


@pytest.mark.parametrize(("log_format", "told"), [("json", '"dropped": 2}'), ("text", "and were dropped: 2")])
def test_lines_that_nobody_took(log_format: logs.LogFormat, told: str, tmp_path: Path) -> None:
    """Once lines go out again, one in the log's own form says how many did not."""
    reading, writing = os.pipe()
    before = os.dup(1)
    with (tmp_path / "log").open("w") as file:
        try:
            os.dup2(writing, 1)
            os.close(reading)
            log = logs.configure(log_format, "info")
            log.say("one\ntwo")
            assert log.writers[0].flush(PATIENCE)
            os.dup2(file.fileno(), 1)
            log.say("three")
            log.close()
        finally:
            os.dup2(before, 1)
            os.close(before)
            os.close(writing)
    assert log.dropped == 2
    three, notice = (tmp_path / "log").read_text().splitlines()
    assert three == "three"
    assert notice.endswith(told)
    assert "warning" in notice.lower()


@pytest.mark.parametrize(
    ("terminal", "bears", "log_format", "coloured"),
    [
        (True, True, "auto", True),
        (True, False, "auto", False),
        (True, True, "json", False),
        (False, True, "text", False),
    ],
)
def test_colours(
    *,
    terminal: bool,
    bears: bool,
    log_format: logs.LogFormat,
    coloured: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Colours are for terminals, for text, and for users who bear them."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    told = logs.configure(log_format, "info", colour=bears)
    logging.getLogger("proxy.test").warning("beware")
    told.close()
    assert ("\x1b[" in capfd.readouterr().out) is coloured
