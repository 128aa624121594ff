"""The response to `/-/metrics`: `report` is the state of the process, `families` writes it in Prometheus's format.

`families` needs prometheus-client, which is loaded only when somebody asks for metrics.
"""

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

from proxy.errors import coupling
from proxy.http.grammar.fields import Headers
from proxy.http.response import Response
from proxy.observe.prometheus.report import ProcessReport

__all__ = ["Exposition", "ProcessReport"]

OPEN_METRICS = b"application/openmetrics-text"


class Exposition:
    """Makes the answer. What takes long is done in a thread, so that requests need not wait for it."""

    def __init__(self, report: Callable[[], ProcessReport]) -> None:
        """`report` says how things stand now."""
        self._report = report
        self._families: Any = None

    async def __call__(self, headers: Headers) -> Response:
        """The metrics in the form that `Accept` among `headers` asks for: text for Prometheus, or OpenMetrics."""
        # The library would believe all else that a caller says of a form, repeat it, or trip over it.
        accept = any(name.lower() == b"accept" and OPEN_METRICS in value.lower() for name, value in headers)
        if self._families is None:
            self._families = await asyncio.to_thread(_load)
        families = self._families.families(self._report())
        body, media_type = await asyncio.to_thread(self._families.encoded, families, open_metrics=accept)
        lines = (
            (b"Content-Type", media_type.encode()),
            (b"Content-Length", str(len(body)).encode()),
            (b"Cache-Control", b"no-store"),
        )
        return Response(200, lines, body)


def _load() -> Any:
    coupling.check(coupling.Part.METRICS)
    return importlib.import_module("proxy.observe.prometheus.families")
