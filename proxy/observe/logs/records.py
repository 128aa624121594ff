"""What the program itself has to say, as lines: for people on a terminal, JSON for machines."""

import json
import logging
import textwrap
from datetime import UTC, datetime
from typing import Any

from proxy.observe.logs import style


class TextFormatter(logging.Formatter):
    """`12:30:01 signed in`; the level only where it is not info."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        message = printable(record.getMessage())
        if self._colour:
            time, level = style.dim(time), style.level(level[:-1]) + level[-1:]
        text = f"{time} {level}{message}"
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
