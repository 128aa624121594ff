"""Answer the messages of a caller's connection, and close it after the last one."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from proxy.errors import ProxyError, RequestError
from proxy.http.server.body import NO_BODY, IncomingBody
from proxy.http.server.connection import HALF_CLOSED, OPEN, CallerConnection
from proxy.http.server.draining import ServerState
from proxy.http.server.parser import Message
from proxy.http.server.request import ServerRequest

LINGER = 2.0
"""Seconds that a caller whose request could not be read has to read the response."""
_READ_OUT = 10.0
"""Seconds for which content that was not wanted is read, so that the next request can be."""
_SERVING = ServerState.SERVING


def work_for(connection: CallerConnection, message: Message) -> Coroutine[Any, Any, None]:
    """Make the coroutine that answers a request, or what could not be read as one."""
    head, body = message
    if isinstance(head, ProxyError):
        return _refuse(connection, head, body)
    # Not in the task, which may begin later: until then the connection would pass for idle.
    request = connection.request = ServerRequest(connection, head, body, closing=connection.over_limit)
    request.over_limit = connection.over_limit
    connection.host.batcher.busy += 1
    return _answer(connection, request, body)


async def _refuse(connection: CallerConnection, error: ProxyError, body: IncomingBody) -> None:
    """Answer what could not be read as a request, and close the connection."""
    try:
        connection.host.refuse(ServerRequest(connection, None, body, closing=True), error)
        await _linger(connection)
    finally:
        connection.end()


async def _answer(connection: CallerConnection, request: ServerRequest, body: IncomingBody) -> None:
    """Answer a request, and close the connection unless others may follow. Cancelled when the caller leaves."""
    host, flow = connection.host, connection.flow
    lasts = False
    try:
        connection.make_room()
        try:
            await host.answer(request)
        finally:
            host.batcher.busy -= 1
            connection.request = None
            connection.own = request.own
            connection.refused = request.refused
        if body is not NO_BODY:
            await _read_out(connection, body)
        if not request.keep_alive:
            if host.state is not _SERVING:
                await _linger(connection)
        elif flow.stuck_since is not None:
            # A caller that sends request after request and reads no response must not fill the memory with them.
            with suppress(ConnectionError):  # it may have left, which is no defect
                await flow.drained()
        half_closed = connection.state is HALF_CLOSED and connection.turns.waiting
        lasts = request.keep_alive and (connection.state is OPEN or bool(half_closed))
    finally:
        body.drop()
        if not lasts:
            connection.end()


async def _read_out(connection: CallerConnection, body: IncomingBody) -> None:
    """Read the rest of a content that was not wanted, for a while, so that the next request can be read."""
    if body.at_hand() is not None:
        return
    try:
        async with asyncio.timeout(_READ_OUT):
            while await body.read():
                pass
    except (TimeoutError, ConnectionError, RequestError):
        await _linger(connection)
        connection.drop_input()


async def _linger(connection: CallerConnection) -> None:
    """Wait until the caller has closed: a reset could overtake the response (RFC 9112 section 9.6)."""
    transport, tunnel = connection.transport, connection.tunnel
    if transport is None or transport.is_closing() or not transport.can_write_eof():
        return
    if connection.state is HALF_CLOSED or (tunnel is not None and tunnel.ended):
        # The caller has ended its direction already: there is no further end to wait for.
        return
    # What still comes is read: what the kernel holds unread at the end makes it send a reset.
    connection.drop_input()
    connection.flow.flush()
    with suppress(OSError):  # reset a moment ago
        transport.write_eof()
    # Cancelled when the connection is lost.
    await asyncio.sleep(LINGER)
