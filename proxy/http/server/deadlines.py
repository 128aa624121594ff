"""Give up callers that are too slow, and close connections that are not used any more."""

from proxy.errors import RequestTimeout
from proxy.http.server.connection import HALF_CLOSED, SILENCE, TUNNEL, CallerConnection

_KEPT = 3600.0
"""Seconds that a connection without requests is kept: longer than any client does."""
_KEPT_REFUSED = 10.0
"""The same after a request that was not let in."""


def check_progress(connection: CallerConnection, now: float, *, head: float, idle: float) -> None:
    """Give up a caller that is too slow: `head` seconds for a request's head, `idle` for content to move."""
    flow = connection.flow
    if connection.state is TUNNEL:
        # It may be silent, and held up, for as long as both ends like; but they must be there.
        if flow.unheard(now, SILENCE) and connection.transport is not None:
            connection.transport.abort()
        return
    if flow.reading and connection.state is not HALF_CLOSED:
        _check_reading(connection, now, head, idle)
    if flow.stuck_since is not None and now - flow.stuck_since > idle:
        flow.abort()


def _check_reading(connection: CallerConnection, now: float, head: float, idle: float) -> None:
    parser, silent_for = connection.parser, now - connection.heard
    if connection.partial_since is not None and now - connection.partial_since > head:
        connection.partial_since = None
        _give_up_head(connection)
    elif (
        connection.idle
        and connection.flow.stuck_since is None
        and silent_for > (_KEPT_REFUSED if connection.refused else _KEPT)
    ):
        connection.force_close()
    elif parser.body is not None and parser.body.awaited and silent_for > idle:
        parser.fail_body(RequestTimeout(f"the request's content did not go on within {idle:g} s"))


def _give_up_head(connection: CallerConnection) -> None:
    if not connection.parser.blank:
        late = connection.parser.give_up(RequestTimeout("the request's head did not arrive in time"))
        connection.turns.add([late])
        connection.turns.go_on()
    elif connection.idle:
        # There is nothing to answer; an empty line behind a request that is being answered means nothing.
        connection.force_close()
