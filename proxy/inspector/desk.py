"""Who looks on, what they are shown, and what that takes: it is there only while somebody does."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from time import perf_counter, time
from typing import Any

from proxy.access import OWN, AccessEntry
from proxy.errors import Draining, NoRoute, OriginNotAllowed, Overloaded
from proxy.forward import Tap
from proxy.inspector.feed import Watcher
from proxy.inspector.fields import value_of
from proxy.inspector.masks import Masks, secrets_in
from proxy.inspector.page import PAGE
from proxy.inspector.recorder import REQUESTS, Recorder
from proxy.inspector.told import details, id_of, line, unfinished
from proxy.journal import Journal, Recent
from proxy.model import Headers, ServeOptions
from proxy.problem import Answer, json_answer

WATCHERS = 4
"""Pages that may look on at a time."""
_BATCH = 200
"""Requests of one batch that are told: where there are more, nobody reads them one by one."""
_TICK = 0.2
"""Seconds between two looks at what is under way: most requests have ended before, and are told once."""
_EVENTS, _REQUEST = "/-/inspector/events", "/-/inspector/requests/"
_GUARDED = ((b"X-Content-Type-Options", b"nosniff"), (b"Cross-Origin-Resource-Policy", b"same-origin"))
_FEED = ((b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store"), *_GUARDED)


class Desk:
    """Answers the page's requests."""

    def __init__(
        self, journal: Journal, recent: Recent, look_on: Callable[[Tap | None], None], *, grace: float
    ) -> None:
        """`look_on` has requests tapped, or not any more; `grace` in seconds."""
        self._journal = journal
        self._recent = recent
        self._look_on = look_on
        self._grace = grace
        self._watchers: set[Watcher] = set()
        self._recorder: Recorder | None = None
        self._lines: deque[str] = deque(maxlen=REQUESTS)
        self._announced: set[AccessEntry] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def adopt(self, options: ServeOptions) -> None:
        """Go by the settings as they are now."""
        self._masks = Masks(secrets_in(options))
        self._scheme = "http" if options.tls is None else "https"
        self._with_token = options.policy.client_token is not None

    def answer(self, path: str, headers: Headers) -> Answer:
        """The answer to GET on one of the inspector's paths.

        Raises NoRoute, OriginNotAllowed, Overloaded or Draining.
        """
        _check_own_page(headers)
        if path == "/-/":
            return PAGE
        if path == _EVENTS:
            return self._feed()
        if path.startswith(_REQUEST):
            return self._details(path.removeprefix(_REQUEST), f"{self._scheme}://{value_of(headers, b'host')}")
        raise NoRoute("the inspector has nothing there", hint="Open /-/ in a browser.")

    def close(self) -> None:
        """Nobody is told anything any more."""
        self._closed = True
        for watcher in self._watchers:
            watcher.end()
        self._stop()

    def _feed(self) -> Answer:
        if self._closed:
            raise Draining("the proxy is draining")
        if len(self._watchers) >= WATCHERS:
            raise Overloaded(f"{WATCHERS} pages look on already", hint="Close one of them.", retry_after=1)
        return Answer(200, _FEED, b"", self._watched())

    async def _watched(self) -> AsyncGenerator[bytes, None]:
        """What one page is sent, for as long as it is there."""
        watcher = Watcher()
        self._begin()
        watcher.tell([*self._lines, *self._told_unfinished(self._announced)])
        self._watchers.add(watcher)
        try:
            async for event in watcher.events():
                yield event
        finally:
            self._watchers.discard(watcher)
            if not self._watchers and not self._closed:
                self._rest(self._grace, self._stop)

    def _begin(self) -> None:
        """Somebody looks on."""
        if self._recorder is None:
            recorder = self._recorder = Recorder()
            self._journal.flush()
            for entries, offset in self._recent:
                self._note(entries, offset)
            self._journal.follow(self._hear)
            self._look_on(recorder)
        self._rest(_TICK, self._tick)

    def _stop(self) -> None:
        """Nobody looks on, and nothing is kept."""
        if self._timer is not None:
            self._timer.cancel()
        if self._recorder is not None:
            self._recorder = None
            self._look_on(None)
            self._journal.leave(self._hear)
            self._lines.clear()
            self._announced.clear()

    def _rest(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _tick(self) -> None:
        """Tell of requests that take long."""
        if self._recorder is not None:
            known = self._announced
            self._announced = set(self._recorder.under_way())
            self._tell(self._told_unfinished(self._announced - known))
        self._rest(_TICK, self._tick)

    def _hear(self, entries: Sequence[AccessEntry], offset: float) -> None:
        """Requests have ended."""
        lines = self._note(entries, offset)
        self._announced.difference_update(entries)
        self._tell(lines, dropped=sum(entry.route != OWN for entry in entries) - len(lines))

    def _note(self, entries: Sequence[AccessEntry], offset: float) -> list[str]:
        """The lines of requests that have ended, but for those about the proxy itself; they are kept."""
        recorder = self._recorder
        if recorder is None:
            return []
        for entry in entries:
            recorder.end(entry)
        told = [entry for entry in entries if entry.route != OWN][-_BATCH:]
        lines = [_json(line(entry, recorder.wire(entry), self._masks, offset)) for entry in told]
        self._lines.extend(lines)
        return lines

    def _told_unfinished(self, entries: set[AccessEntry]) -> list[str]:
        offset = time() - perf_counter()
        return [_json(unfinished(entry, offset)) for entry in sorted(entries, key=lambda entry: entry.began)]

    def _tell(self, lines: list[str], dropped: int = 0) -> None:
        if lines or dropped:
            for watcher in self._watchers:
                watcher.tell(lines, dropped)

    def _details(self, wanted: str, origin: str) -> Answer:
        kept = () if self._recorder is None else self._recorder.kept
        for entry, wire in kept:
            if id_of(entry) == wanted:
                told = details(entry, wire, self._masks, origin=origin, with_token=self._with_token)
                return json_answer(200, told, *_GUARDED)
        raise NoRoute(
            "what went over the wire for this request is not kept",
            hint=f"It is for the last {REQUESTS} requests that end while a page looks on.",
        )


def _check_own_page(headers: Headers) -> None:
    """Keep out pages of other origins, those of `allowed_origins` too: they may use the login, not look at others.

    A page's own GET names no origin. Raises OriginNotAllowed.
    """
    if any(name.lower() == b"origin" for name, _ in headers):
        raise OriginNotAllowed("the inspector is for no page but its own", hint="Open it from the address bar.")


def _json(value: Any) -> str:
    """In ASCII, so that no line of it can end too early."""
    return json.dumps(value, separators=(",", ":"))
