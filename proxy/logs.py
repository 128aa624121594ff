"""Log lines on stdout: for people on a terminal, JSON for machines."""

import asyncio
import json
import logging
import sys
import textwrap
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Literal, TextIO

from proxy.model import Route

_BATCH_SECONDS = 0.05

LogFormat = Literal["auto", "text", "json"]


class TextFormatter(logging.Formatter):
    """`12:30:01 signed in`; the level only where it is not info."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        text = printable(f"{time} {level}{record.getMessage()}")
        return f"{text}\n{_indented(self.formatException(record.exc_info))}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One object a line: `time` (RFC 3339), `level`, `logger`, `message`, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in fields_of(record).items() if value is not None},
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        # In ASCII: JSON leaves DEL, C1 controls and U+2028 as they are, and a lone surrogate cannot be written at all.
        return json.dumps(document, default=str)


def configure(log_format: LogFormat, level: str) -> str:
    """Send the program's log to stdout, and return the format that `auto` stands for."""
    if log_format == "auto":
        log_format = "text" if sys.stdout.isatty() else "json"
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(TextFormatter() if log_format == "text" else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("proxy").setLevel(level.upper())
    # At debug level these log requests and answers whole, passwords and tokens included.
    for name in ("botocore", "aiobotocore", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return log_format


def printable(text: str) -> str:
    """`text` on one line: what a terminal would act on, or a reader take for the end of a line, is spelt out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _indented(text: str) -> str:
    """Several lines, none of which can pass for a log line of its own."""
    return textwrap.indent("\n".join(map(printable, text.split("\n"))), "  ")


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a record carries besides its message."""
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


@dataclass(slots=True)
class AccessEntry:
    """What is logged of one request, as far as it has been learned."""

    method: str
    path: str = "-"
    """Without the query, which may hold a secret of the caller's."""
    status: int = 0
    route: Route | None = None
    source: str = "proxy"
    code: str = ""
    """Of the error that the proxy answered with."""
    seconds: float = 0.0
    """From the request's head to the answer's end."""
    received: int = 0
    sent: int = 0
    """Bytes of content."""
    ended: float = 0.0
    """The wall clock's time of the answer's end."""


class AccessLog:
    """A line for every request, written in batches: one by one and through `logging` they would halve the speed."""

    def __init__(self, stream: TextIO, log_format: str) -> None:
        self._stream = stream
        self._line = _text_line if log_format == "text" else _json_line
        self._entries: list[AccessEntry] = []

    def __call__(self, entry: AccessEntry) -> None:
        """Note one request, which has just ended; the lines go out together a moment later."""
        entry.ended = time.time()
        if not self._entries:
            asyncio.get_running_loop().call_later(_BATCH_SECONDS, self.flush)
        self._entries.append(entry)

    def flush(self) -> None:
        entries, self._entries = self._entries, []
        if entries:
            self._stream.write("".join(map(self._line, entries)))
            self._stream.flush()


def access_log(log_format: str, level: str, *, enabled: bool) -> AccessLog | None:
    """The access log on stdout, None where the settings want none."""
    return AccessLog(sys.stdout, log_format) if enabled and level != "error" else None


def _text_line(entry: AccessEntry) -> str:
    code = f" ({entry.code})" if entry.code else ""
    path = entry.path if entry.path.isprintable() else printable(entry.path)
    return (
        f"{_clock(int(entry.ended))} {entry.method} {path} {entry.status} {entry.source}{code}"
        f" {entry.seconds * 1000:.1f} ms {entry.sent} B\n"
    )


def _json_line(entry: AccessEntry) -> str:
    method, status = entry.method, entry.status
    quoted = _quoted(entry.path)
    where = "" if entry.route is None else f', "route": {_quoted(entry.route.path or "/")}'
    why = f', "code": "{entry.code}"' if entry.code else ""
    second = int(entry.ended)
    # The method is a token (RFC 9110 section 9.1): it needs no quoting.
    return (
        f'{{"time": "{_date(second)}.{int((entry.ended - second) * 1000):03d}+00:00", "level": "info"'
        f', "logger": "proxy.access", "message": "{method} {quoted[1:-1]} {status}", "method": "{method}"'
        f', "path": {quoted}, "status": {status}{where}, "source": "{entry.source}"{why}'
        f', "ms": {entry.seconds * 1000:.1f}, "received": {entry.received}, "sent": {entry.sent}}}\n'
    )


@lru_cache(maxsize=1)
def _clock(second: int) -> str:
    return datetime.fromtimestamp(second).astimezone().strftime("%H:%M:%S")


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
