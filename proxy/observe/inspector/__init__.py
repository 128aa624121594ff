"""The live inspector: a page at `/-/` that shows requests as they come, and what went over the wire for each.

`page` is what a browser loads, `responder` answers it, `feed` tells it what is new. A `session` lasts while somebody
looks on: its `recorder` listens in on requests, `wire` is what that hears, `views` what the page is shown of it, by
way of `fields`, `contents` and `curl`, none of which shows what `masks` hide. All of it is imported by the first page
that asks, and for nobody nothing is kept but what the log says of the last requests.
"""

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

from proxy.forward.forwarder import Interceptor
from proxy.http.grammar.fields import Headers
from proxy.http.response import Response
from proxy.observe.inspector.options import InspectorOptions
from proxy.observe.request_log import Recent, RequestLog

__all__ = ["Inspector", "InspectorOptions"]

RECENT = 100
"""Requests before the first look that are shown, without what went over the wire."""
GRACE = 5.0
"""Seconds for which everything is kept when the last page has gone: it may be loading again."""


class Inspector:
    """Answers for the page, from the first request on; until then it is hardly there."""

    def __init__(
        self, request_log: RequestLog, look_on: Callable[[Interceptor | None], None], *, grace: float = GRACE
    ) -> None:
        """`look_on` sets the interceptor of requests, or removes it; `grace` in seconds."""
        self._request_log = request_log
        self._recent = Recent(RECENT)
        self._look_on = look_on
        self._grace = grace
        self._responder: Any = None
        self._closed = False
        request_log.follow(self._recent)

    def adopt(self, options: InspectorOptions) -> None:
        """Go by the settings as they are now, to be told before anybody asks."""
        self._adopted = options
        if self._responder is not None:
            self._responder.adopt(options)

    async def __call__(self, path: str, headers: Headers) -> Response:
        """The answer to GET on `/-/` or below `/-/inspector/`.

        Raises NoRoute, OriginNotAllowed, Overloaded or Draining.
        """
        if self._responder is None:
            # In a thread: what is imported, and the files that are read, would hold up requests.
            module = await asyncio.to_thread(importlib.import_module, "proxy.observe.inspector.responder")
            if self._responder is None:
                responder = self._responder = module.InspectorResponder(
                    self._request_log, self._recent, self._look_on, grace=self._grace
                )
                responder.adopt(self._adopted)
                if self._closed:
                    responder.close()
        answer: Response = self._responder.answer(path, headers)
        return answer

    def close(self) -> None:
        """End what pages are told: the proxy drains."""
        self._closed = True
        if self._responder is not None:
            self._responder.close()
