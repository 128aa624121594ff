"""Log lines on stdout: for people on a terminal, JSON for machines.

`records` formats what the program says, `access_log` makes a line of every request. `writer` writes both without
holding up requests; `style` has the colours.
"""

import logging
import os
import stat
import sys
from dataclasses import dataclass
from functools import partial
from typing import Literal, TextIO

from proxy.observe.logs.access_log import AccessLog
from proxy.observe.logs.records import JsonFormatter, TextFormatter, fields_of, printable
from proxy.observe.logs.writer import Writer

__all__ = ["AccessLog", "JsonFormatter", "Logs", "TextFormatter", "Writer", "configure", "fields_of", "printable"]

LogFormat = Literal["auto", "text", "json"]

_STDOUT, _STDERR = 1, 2


class _Handler(logging.Handler):
    """What the program says, by way of a Writer."""

    def __init__(self, writer: Writer, formatter: logging.Formatter) -> None:
        super().__init__()
        self._writer = writer
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 - what is wrong with a line is told on stderr, and no reason to stop
            self.handleError(record)
        else:
            self._writer.write(text)


@dataclass(frozen=True, slots=True)
class Logs:
    """The log of a process, from `configure` to `close`."""

    format: Literal["text", "json"]
    """What `auto` stands for."""
    access: AccessLog
    writers: tuple[Writer, ...]

    def say(self, text: str) -> None:
        """Tell people something that is no log line, between those that came before and after it."""
        self.writers[0].write(text + "\n")

    @property
    def dropped(self) -> int:
        """Lines that nobody took in time."""
        return sum(writer.dropped for writer in self.writers)

    def close(self) -> None:
        """Let the last lines go out, as far as somebody takes them."""
        for writer in self.writers:
            writer.close()


def configure(log_format: LogFormat, level: str, *, access: bool = True, colour: bool = True) -> Logs:
    """Send the program's log to stdout.

    Without `access` only those requests have a line in which the proxy failed. `colour` says whether the user bears
    colours; only terminals get them. Errors go to stderr as well where somebody looks at that and not at stdout.
    """
    on_terminal = _is_terminal(sys.stdout)
    chosen: Literal["text", "json"] = log_format if log_format != "auto" else "text" if on_terminal else "json"
    colour = colour and on_terminal and chosen == "text"
    formatter = TextFormatter(colour=colour) if chosen == "text" else JsonFormatter()
    writer = _writer(sys.stdout, _STDOUT, formatter)
    root = logging.getLogger()
    root.handlers[:] = [_Handler(writer, formatter)]
    writers = [writer]
    if (_is_terminal(sys.stderr) and not on_terminal) or _is_null(_STDOUT):
        formatter = formatter if log_format != "auto" or not _is_terminal(sys.stderr) else TextFormatter()
        writers.append(_writer(sys.stderr, _STDERR, formatter))
        errors = _Handler(writers[-1], formatter)
        errors.setLevel(logging.ERROR)
        root.addHandler(errors)
    root.setLevel(logging.WARNING)
    logging.getLogger("proxy").setLevel(level.upper())
    # At debug level these log requests and answers whole, passwords and tokens included.
    for name in ("botocore", "aiobotocore", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    requests = AccessLog(partial(writer.write, urgent=False), chosen, least=level if access else "error", colour=colour)
    return Logs(chosen, requests, tuple(writers))


def _writer(stream: TextIO, fd: int, formatter: logging.Formatter) -> Writer:
    def notice(dropped: int) -> str:
        message = f"log lines that nobody read in time, and were dropped: {dropped}"
        facts = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": message}
        return formatter.format(logging.makeLogRecord(facts | {"fields": {"dropped": dropped}})) + "\n"

    return Writer(fd, notice, encoding=stream.encoding or "utf-8")


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def _is_null(fd: int) -> bool:
    """Whether nobody can read what goes there."""
    found = os.fstat(fd)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116 - not a file
