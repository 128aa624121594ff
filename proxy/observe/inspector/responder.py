"""The answers to the inspector's page, which end with the last page that asks."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from proxy.errors import Draining, NoRoute, OriginNotAllowed, Overloaded
from proxy.forward.forwarder import Interceptor
from proxy.http.grammar.fields import Headers
from proxy.http.response import Response, json_response
from proxy.observe.inspector.curl import CurlTarget
from proxy.observe.inspector.feed import Watcher, event
from proxy.observe.inspector.fields import value_of
from proxy.observe.inspector.masks import Masks, secrets_in
from proxy.observe.inspector.options import InspectorOptions
from proxy.observe.inspector.page import PAGE
from proxy.observe.inspector.recorder import REQUESTS
from proxy.observe.inspector.session import InspectorSession
from proxy.observe.request_log import Recent, RequestLog
from proxy.observe.urls import curl, trust

WATCHERS = 4
"""Pages that may look on at a time."""
_EVENTS, _REQUEST = "/-/inspector/events", "/-/inspector/requests/"
_GUARDED = ((b"X-Content-Type-Options", b"nosniff"), (b"Cross-Origin-Resource-Policy", b"same-origin"))
_FEED = ((b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store"), *_GUARDED)


class InspectorResponder:
    """Answers the page's requests."""

    def __init__(
        self, request_log: RequestLog, recent: Recent, look_on: Callable[[Interceptor | None], None], *, grace: float
    ) -> None:
        """`look_on` sets the interceptor of requests, or removes it; `grace` in seconds."""
        self._request_log = request_log
        self._recent = recent
        self._look_on = look_on
        self._grace = grace
        self._watchers: set[Watcher] = set()
        self._session: InspectorSession | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._closed = False
        self._options: InspectorOptions  # adopted before anybody asks

    def adopt(self, options: InspectorOptions) -> None:
        """Go by the settings as they are now.

        Where another client token is wanted, pages that look on are told their end: they have to come with that one.
        """
        if self._watchers and options.client_token != self._options.client_token:
            for watcher in self._watchers:
                watcher.end()
        self._options = options
        self._masks = Masks(secrets_in(options.secrets), options.credential_fields)
        if self._session is not None:
            self._session.masks = self._masks

    def answer(self, path: str, headers: Headers) -> Response:
        """The answer to GET on one of the inspector's paths.

        Raises NoRoute, OriginNotAllowed, Overloaded or Draining.
        """
        _check_own_page(headers)
        if path == "/-/":
            return PAGE
        if path == _EVENTS:
            return self._feed(self._place(headers))
        if path.startswith(_REQUEST):
            return self._details(path.removeprefix(_REQUEST), self._place(headers))
        raise NoRoute("the inspector has nothing there", hint="Open /-/ in a browser.")

    def close(self) -> None:
        """Nobody is told anything any more."""
        self._closed = True
        for watcher in self._watchers:
            watcher.end()
        self._end()

    def _place(self, headers: Headers) -> CurlTarget:
        """Where whoever looks calls the proxy: by the name that they look at it by, where it is there."""
        tls = self._options.tls
        here = f"{'http' if tls is None else 'https'}://{value_of(headers, b'host')}"
        origin = self._options.callers_url or here
        return CurlTarget(origin, trust(origin, tls), self._options.client_token is not None)

    def _feed(self, place: CurlTarget) -> Response:
        if self._closed:
            raise Draining("the proxy is draining")
        if len(self._watchers) >= WATCHERS:
            raise Overloaded(f"{WATCHERS} pages look on already", hint="Close one of them.", retry_after=1)
        return Response(200, _FEED, b"", self._watched(place))

    async def _watched(self, place: CurlTarget) -> AsyncGenerator[bytes, None]:
        """What one page is sent, for as long as it is there."""
        if self._leaving is not None:
            self._leaving.cancel()
        if self._session is None:
            self._session = InspectorSession(self._request_log, self._recent, self._look_on, self._tell, self._masks)
        watcher = Watcher()
        watcher.tell(self._session.lines)
        self._watchers.add(watcher)
        try:
            yield event({"try": curl(place.origin, "/v1/job", place.trusting, with_token=place.with_token)})
            async for news in watcher.events():
                yield news
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._leaving = asyncio.get_running_loop().call_later(self._grace, self._end)

    def _tell(self, lines: list[str], more: int) -> None:
        for watcher in self._watchers:
            watcher.tell(lines, more)

    def _end(self) -> None:
        """Nobody looks on, and nothing is kept."""
        if self._leaving is not None:
            self._leaving.cancel()
        if self._session is not None:
            self._session.end()
            self._session = None

    def _details(self, wanted: str, place: CurlTarget) -> Response:
        view = None if self._session is None else self._session.details(wanted, place)
        if view is None:
            raise NoRoute(
                "what went over the wire for this request is not kept",
                hint=f"It is for the last {REQUESTS} requests that end while a page looks on.",
            )
        return json_response(200, view, *_GUARDED)


def _check_own_page(headers: Headers) -> None:
    """Keep out pages of other origins, those of `allowed_origins` too: they may use the login, not look at others.

    A page's own GET names no origin. Raises OriginNotAllowed.
    """
    if any(name.lower() == b"origin" for name, _ in headers):
        raise OriginNotAllowed("the inspector is for no page but its own", hint="Open it from the address bar.")
