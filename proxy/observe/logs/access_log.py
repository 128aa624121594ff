"""A line for every request."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json import JSONEncoder

from proxy.identity.profile import DEFAULT_PROFILE
from proxy.model import Level, RequestRecord
from proxy.observe.logs import style
from proxy.observe.logs.records import printable

LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
_REMEMBERED = 4096
_quoted = JSONEncoder().encode


class AccessLog:
    """A reader of the request log, whose lines go out a batch at a time and past `logging`, which would take long."""

    def __init__(
        self, write: Callable[[str], object], log_format: str, *, least: str = "info", colour: bool = False
    ) -> None:
        """`write` takes whole lines; requests below the level `least` are left out."""
        self._write = write
        silent = frozenset(LEVELS[: LEVELS.index(least)])
        self._lines = _JsonLines(silent) if log_format == "json" else _TextLines(silent, colour=colour)

    def __call__(self, entries: Sequence[RequestRecord], offset: float) -> None:
        """Write what happened; `offset` makes wall time of the entries' own."""
        if text := self._lines.of(entries, offset):
            self._write(text)


class _Hundredths(dict[int, str]):
    """Milliseconds as text, by their hundredths: the same few come again and again."""

    def __missing__(self, hundredths: int) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        made = self[hundredths] = f"{hundredths / 100:.2f}"
        return made


_ms = _Hundredths()


class _JsonLines:
    """Objects, whose fields are put in by hand: `json` would take ten times as long."""

    def __init__(self, silent: frozenset[Level]) -> None:
        self._silent = silent
        self._known: dict[tuple[str, int, str, str, str, str], tuple[str, str] | None] = {}

    def of(self, entries: Sequence[RequestRecord], offset: float) -> str:
        """Runs for every request: hence no calls that could be spared."""
        lines = []
        known = self._known
        moment, stamp = 0, ""
        for entry in entries:
            key = (entry.method, entry.status, entry.route, entry.source, entry.code, entry.profile)
            try:
                common = known[key]
            except KeyError:
                common = self._first(key, entry.level)
            if common is None:
                continue
            before, behind = common
            began, asked, ended = entry.began, entry.asked, entry.ended
            now = int((ended + offset) * 1e3)
            if now != moment:
                moment, stamp = now, _stamp(now)
            path = _quoted(entry.path)
            overhead = (entry.relaying or ended) - began
            if asked:
                waited = entry.answered - asked
                durations = f'{_ms[int((overhead - waited) * 1e5)]}, "upstream_ms": {_ms[int(waited * 1e5)]}'
            else:
                durations = _ms[int(overhead * 1e5)]
            operation = f', "operation": "{entry.operation}"' if entry.operation else ""
            # The request id and the operation are of letters that need no quoting.
            lines.append(
                f'{{"time": "{stamp}{before}{path[1:-1]}{behind}{path}{operation}'
                f', "ms": {_ms[int((ended - began) * 1e5)]}, "overhead_ms": {durations}'
                f', "received": {entry.received}, "sent": {entry.sent}, "request_id": "{entry.request_id}"}}\n'
            )
        return "".join(lines)

    def _first(self, key: tuple[str, int, str, str, str, str], level: Level) -> tuple[str, str] | None:
        """What lines have in common that differ in path and numbers alone, before and behind the message's path.

        None where nobody wants them.
        """
        if len(self._known) >= _REMEMBERED:
            # Strangers choose methods, and an upstream chooses statuses.
            self._known.clear()
        method, status, route, source, code, profile = key
        common = None
        if level not in self._silent:
            given = {"source": source, "code": code, "route": route, "profile": profile}
            facts = "".join([f', "{name}": {_quoted(value)}' for name, value in given.items() if value])
            # The method is a token (RFC 9110 section 9.1): it needs no quoting.
            before = f'+00:00", "level": "{level}", "logger": "proxy.access", "message": "{method} '
            common = before, f' {status}", "method": "{method}", "status": {status}{facts}, "path": '
        self._known[key] = common
        return common


class _TextLines:
    """`12:30:01 GET /v1/job 200 upstream 12.3 ms (0.12 overhead) 42 B 3f9a1c2e5b6d-1f`."""

    def __init__(self, silent: frozenset[Level], *, colour: bool) -> None:
        self._silent = silent
        self._colour = colour

    def of(self, entries: Sequence[RequestRecord], offset: float) -> str:
        return "".join([self._line(entry, offset) for entry in entries if entry.level not in self._silent])

    def _line(self, entry: RequestRecord, offset: float) -> str:
        path = entry.path if entry.path.isprintable() else printable(entry.path)
        clock, status = _clock(int(entry.ended + offset)), str(entry.status)
        code = f" ({entry.code})" if entry.code else ""
        operation = f" {entry.operation}" if entry.operation else ""
        profile = f" @{entry.profile}" if entry.profile not in ("", DEFAULT_PROFILE) else ""
        received = f"{entry.received} B in, " if entry.received else ""
        overhead = f" ({entry.overhead * 1e3:.2f} overhead)" if entry.asked else ""
        request_id = entry.request_id
        if self._colour:
            clock, request_id, overhead = style.dim(clock), style.dim(request_id), style.dim(overhead)
            status = style.status(entry.status, entry.level)
        return (
            f"{clock} {entry.method} {path}{operation} {status} {entry.source}{code}{profile}"
            f" {(entry.ended - entry.began) * 1e3:.1f} ms{overhead} {received}{entry.sent} B {request_id}\n"
        )


@lru_cache(maxsize=1)
def _clock(second: int) -> str:
    return datetime.fromtimestamp(second).astimezone().strftime("%H:%M:%S")


def _stamp(millisecond: int) -> str:
    """As RFC 3339 has it, without the offset from UTC."""
    return f"{_date(millisecond // 1000)}.{millisecond % 1000:03d}"


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
