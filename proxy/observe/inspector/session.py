"""What is known while somebody looks on: which requests there were and are, and what went over the wire for them."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter, time
from typing import Any

from proxy.forward.forwarder import Interceptor
from proxy.model import OWN, RequestRecord
from proxy.observe.inspector.curl import CurlTarget
from proxy.observe.inspector.masks import Masks
from proxy.observe.inspector.recorder import REQUESTS, Recorder
from proxy.observe.inspector.views import details, id_of, line, unfinished
from proxy.observe.request_log import Recent, RequestLog

_TICK = 0.2
"""Seconds between two looks at what is under way: most requests have ended before, and are told once."""
_MOST = 200
"""Requests of that time that are told: where there are more, nobody reads them one by one."""


class InspectorSession:
    """From its making to its end requests are listened in on."""

    def __init__(
        self,
        request_log: RequestLog,
        recent: Recent,
        look_on: Callable[[Interceptor | None], None],
        tell: Callable[[list[str], int], None],
        masks: Masks,
    ) -> None:
        """`look_on` sets the interceptor of requests, or removes it.

        `tell` is told requests, each as JSON on one line, and how many more there were. What `masks` hide is not.
        """
        self.masks = masks
        self._request_log = request_log
        self._look_on = look_on
        self._tell = tell
        self._recorder = Recorder()
        self._lines: deque[str] = deque(maxlen=REQUESTS)
        self._announced: set[RequestRecord] = set()
        self._shown = 0
        """Requests since the last tick."""
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_TICK, self._tick)
        request_log.flush()
        for entries, offset in recent:
            self._note(entries, offset)
        request_log.follow(self._hear)
        look_on(self._recorder)

    def end(self) -> None:
        """Nothing is listened in on any more."""
        self._timer.cancel()
        self._request_log.leave(self._hear)
        self._look_on(None)

    @property
    def lines(self) -> list[str]:
        """The lines of all requests, for a page that opens now."""
        return [*self._lines, *self._under_way(self._announced)]

    def details(self, wanted: str, place: CurlTarget) -> dict[str, Any] | None:
        """As `views.details` for the request with the id `wanted`; None where that is not kept."""
        for entry, wire in self._recorder.kept:
            if id_of(entry) == wanted:
                return details(entry, wire, self.masks, place)
        return None

    def _tick(self) -> None:
        """Tell of requests that take long."""
        self._shown = 0
        known = self._announced
        self._announced = set(self._recorder.under_way())
        if news := self._under_way(self._announced - known):
            self._tell(news, 0)
        self._timer = self._loop.call_later(_TICK, self._tick)

    def _hear(self, entries: Sequence[RequestRecord], offset: float) -> None:
        """Requests have ended."""
        self._announced.difference_update(entries)
        lines, more = self._note(entries, offset)
        if lines or more:
            self._tell(lines, more)

    def _note(self, entries: Sequence[RequestRecord], offset: float) -> tuple[list[str], int]:
        """The lines of requests that have ended, but for those about the proxy itself, and how many more there were."""
        recorder = self._recorder
        for entry in entries:
            recorder.end(entry)
        callers = [entry for entry in entries if entry.route != OWN]
        shown = callers[: max(0, _MOST - self._shown)]
        self._shown += len(shown)
        lines = [_json(line(entry, recorder.wire(entry), self.masks, offset)) for entry in shown]
        self._lines.extend(lines)
        return lines, len(callers) - len(shown)

    def _under_way(self, entries: Iterable[RequestRecord]) -> list[str]:
        offset = time() - perf_counter()
        return [
            _json(unfinished(entry, self.masks, offset)) for entry in sorted(entries, key=lambda entry: entry.began)
        ]


def _json(value: Any) -> str:
    """In ASCII, so that no line of it can end too early."""
    return json.dumps(value, separators=(",", ":"))
