"""Exceptions that nobody expected: how many there were, and whether requests still go well in spite of them."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

log = logging.getLogger(__name__)

TOO_MANY = 3
"""Requests in a row that met a defect, after which the proxy is not ready."""


class Where(StrEnum):
    """What was being done."""

    ANSWERING = "answering"
    """A request that is forwarded."""
    OWN_ENDPOINTS = "own_endpoints"
    """A request about the proxy itself."""
    RENEWING = "renewing"
    """Signing in, renewing tokens or AWS credentials, saving a session."""
    EVENT_LOOP = "event_loop"
    """A callback, or a task that nobody waits for: mostly of a connection."""


class Defects:
    """What a process has met of them.

    One caller's odd request may meet the same defect again and again while all others go well. So `in_a_row` counts
    requests that met one since one went well: since an upstream's answer was passed on to its end. What neither met a
    defect nor went that far says nothing: a request that was refused, or one about the proxy itself, such as a probe.
    """

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Where, 0)
        self.in_a_row = 0

    @property
    def lasting(self) -> bool:
        """Whether so many requests have met one, and none has gone well since, that others had better not come."""
        return self.in_a_row >= TOO_MANY

    def met(self, where: Where, *, request: bool = False) -> None:
        """Count one, which has been logged; `request` where a request that is forwarded met it, or may have."""
        self.counts[where] += 1
        if request:
            self.in_a_row += 1
            if self.in_a_row == TOO_MANY:
                log.error("%d requests in a row met a defect: not ready until one goes well", TOO_MANY)

    def count(self, context: Mapping[str, Any]) -> None:
        """Count what reaches an event loop's exception handler, unless it is of the network, or no exception."""
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, OSError):
            # A task that nobody has waited for, which has a future there, is none that answers.
            self.met(Where.EVENT_LOOP, request="future" not in context)

    def went_well(self) -> None:
        """A request was forwarded, and its answer passed on to its end."""
        if self.lasting:
            log.warning("a request went well again after %d that met a defect: ready", self.in_a_row)
        self.in_a_row = 0
