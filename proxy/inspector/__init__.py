"""The live inspector: a page at `/-/` that shows requests as they come, and what went over the wire for each.

`page` is what a browser loads, `desk` knows who looks on, `feed` tells them, `recorder` listens in on requests
meanwhile, `wire` is what it hears, `told` what becomes of that for the page: `fields`, `contents` and `curl`, none of
which shows what `masks` hides. All of it is imported by the first page that asks, and nothing is kept for nobody.
"""

import asyncio
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from proxy.forward import Tap
from proxy.journal import Journal, Recent
from proxy.model import Headers, ServeOptions
from proxy.problem import Answer

__all__ = ["Inspector"]

RECENT = 100
"""Requests before the first look that are shown, without what went over the wire."""
GRACE = 5.0
"""Seconds for which everything is kept when the last page has gone: it may be loading again."""


class Inspector:
    """Answers for the page, from the first request on; until then it is hardly there."""

    def __init__(self, journal: Journal, look_on: Callable[[Tap | None], None], *, grace: float = GRACE) -> None:
        """`look_on` has requests tapped, or not any more; `grace` in seconds."""
        self._recent = Recent(RECENT)
        self._journal = journal
        self._look_on = look_on
        self._grace = grace
        self._desk: Any = None
        self._closed = False
        journal.follow(self._recent)

    def adopt(self, options: ServeOptions) -> None:
        """Go by the settings as they are now."""
        self._options = options
        self._masks: Any = None

    async def __call__(self, path: str, headers: Headers) -> Answer:
        """The answer to GET on `/-/` or below `/-/inspector/`.

        Raises NoRoute, OriginNotAllowed, Overloaded or Draining.
        """
        if self._desk is None:
            # In a thread: what is imported, and the files that are read, would hold up requests.
            made = await asyncio.to_thread(self._made)
            self._desk = self._desk or made
        if self._closed:
            self._desk.close()
        if self._masks is None:
            self._masks = importlib.import_module("proxy.inspector.masks").Masks(_secrets_in(self._options))
        secure, with_token = self._options.tls is not None, self._options.policy.client_token is not None
        answer: Answer = self._desk.answer(path, headers, masks=self._masks, secure=secure, with_token=with_token)
        return answer

    def close(self) -> None:
        """End what pages are told: the proxy drains."""
        self._closed = True
        if self._desk is not None:
            self._desk.close()

    def _made(self) -> Any:
        desk = importlib.import_module("proxy.inspector.desk")
        return desk.Desk(self._journal, self._recent, self._look_on, grace=self._grace)


def _secrets_in(value: Any) -> Iterator[str]:
    """Every secret in settings, however deep."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets_in(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _secrets_in(item)
    elif dataclasses.is_dataclass(value):
        for known in dataclasses.fields(value):
            yield from _secrets_in(getattr(value, known.name))
