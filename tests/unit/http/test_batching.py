"""Writes that are held until the turn is over."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.http.batching import CROWD, SMALL, WriteBatcher
from proxy.http.buffers import Buffers
from proxy.http.client.connection import UpstreamConnection

if TYPE_CHECKING:
    from collections.abc import Callable


class Turn:
    """An outbox, and the turn of an event loop that it is in."""

    def __init__(self, busy: int = CROWD) -> None:
        self._calls: list[Callable[[], None]] = []
        self.batcher = WriteBatcher(self._calls.append)
        self.batcher.busy = busy
        self.written: list[str] = []

    def put(self, name: str) -> None:
        self.batcher.put(lambda: self.written.append(name))

    def end(self) -> int:
        """End the turn; how many calls the event loop was asked for."""
        calls = list(self._calls)
        self._calls.clear()
        for call in calls:
            call()
        return len(calls)


@pytest.mark.parametrize(
    ("busy", "size", "taken"),
    [(CROWD, SMALL, True), (CROWD + 1, 0, True), (CROWD - 1, 1, False), (0, 1, False), (CROWD, SMALL + 1, False)],
)
def test_takes(busy: int, size: int, taken: bool) -> None:
    """Small messages are held where many exchanges are under way; a lone one never waits."""
    assert Turn(busy).batcher.takes(size) is taken


def test_writes_in_a_row() -> None:
    """What was put in goes out at the end of the turn, in its order, at the price of one call."""
    turn = Turn()
    turn.put("a")
    turn.put("b")
    assert turn.written == []
    assert turn.end() == 1
    assert turn.written == ["a", "b"]


def test_each_turn_has_its_own() -> None:
    """What a write puts in goes out with the next turn, and nothing goes out twice."""
    turn = Turn()
    turn.batcher.put(lambda: turn.put("later"))
    turn.end()
    assert turn.written == []
    turn.end()
    assert turn.end() == 0
    assert turn.written == ["later"]


class Aborting(asyncio.Transport):
    """A transport that refuses writes once it is aborted, as uvloop's do when they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self._aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return self._aborted

    def abort(self) -> None:
        self._aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._aborted:
            raise RuntimeError("the handler is closed")
        self.written.append(bytes(data))


class Nobody:
    """Keeps no connections."""

    def put(self, connection: UpstreamConnection, *, rests: bool) -> None: ...

    def spoke(self, connection: UpstreamConnection) -> None: ...

    def lost(self, connection: UpstreamConnection, *, silently: bool) -> None: ...


async def test_a_request_given_up_holds_up_nobody() -> None:
    """A connection that was dropped before its request went out sends nothing, and the others' requests go out."""
    turn = Turn()

    def begun() -> tuple[UpstreamConnection, Aborting]:
        connection = UpstreamConnection(
            "http://a", owner=Nobody(), idle_timeout=60, batcher=turn.batcher, buffers=Buffers(1 << 20)
        )
        transport = Aborting()
        connection.connection_made(transport)
        connection.begin("GET", b"GET / HTTP/1.1\r\n\r\n", upgrade=False, inform=lambda _: None)
        return connection, transport

    (dropped, nothing), (_, sent) = begun(), begun()
    dropped.abort()
    turn.end()
    assert (nothing.written, sent.written) == ([], [b"GET / HTTP/1.1\r\n\r\n"])
