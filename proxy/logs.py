"""Log lines on stdout: for people on a terminal, JSON for machines."""

import json
import logging
import sys
import textwrap
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["auto", "text", "json"]


class TextFormatter(logging.Formatter):
    """`12:30:01 GET /v1/job 200 upstream 12.3 ms`; the level only where it is not info."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        text = printable(f"{time} {level}{record.getMessage()}{_tail(fields_of(record))}")
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


def configure(log_format: LogFormat, level: str, *, access_log: bool) -> str:
    """Send the program's log to stdout, and return the format that `auto` stands for."""
    if log_format == "auto":
        log_format = "text" if sys.stdout.isatty() else "json"
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(TextFormatter() if log_format == "text" else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("proxy").setLevel(level.upper())
    logging.getLogger("proxy.access").setLevel(logging.INFO if access_log else logging.WARNING)
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


def _tail(fields: dict[str, Any]) -> str:
    if "ms" not in fields:
        return ""
    code = f" ({fields['code']})" if fields["code"] else ""
    return f" {fields['source']}{code} {fields['ms']} ms {fields['sent']} B"
