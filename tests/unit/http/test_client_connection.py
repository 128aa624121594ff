"""A connection to an upstream on a transport that is only pretended: its states, and what changes them."""

import asyncio
from collections.abc import Callable

import pytest
from support.pretended import PretendedTransport, settled
from support.states import Recorder, promised

from proxy.http.batching import WriteBatcher
from proxy.http.buffers import Buffers
from proxy.http.client import connection
from proxy.http.client.connection import UpstreamConnection
from proxy.http.client.exchange import Exchange

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Trial:
    """A connection, and what its owner is told of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        loop = asyncio.get_running_loop()
        self.connection = UpstreamConnection(
            "http://a", owner=self, idle_timeout=30.0, batcher=WriteBatcher(loop.call_soon), buffers=Buffers(64 << 20)
        )
        self.transport = PretendedTransport(self.connection)

    def put(self, _: UpstreamConnection, *, rests: bool) -> None:
        self.calls.append("rests" if rests else "kept")

    def spoke(self, _: UpstreamConnection) -> None:
        self.calls.append("spoke")

    def lost(self, _: UpstreamConnection, *, silently: bool) -> None:
        assert not silently
        self.calls.append("lost")

    def begin(self, *, upgrade: bool = False) -> Exchange:
        return self.connection.begin("GET", HEAD, upgrade=upgrade, inform=lambda _: None)

    def receive(self, data: bytes) -> None:
        self.connection.get_buffer(-1)[: len(data)] = data
        self.connection.buffer_updated(len(data))


def kept(trial: Trial) -> None:
    """After a whole response the connection carries another request."""
    for number in (1, 2):
        exchange = trial.begin()
        trial.receive(EMPTY)
        exchange.close()
        assert trial.transport.written == HEAD * number
    assert trial.connection.usable


def rests(trial: Trial) -> None:
    """After a response without content it rests."""
    exchange = trial.begin()
    trial.receive(NO_CONTENT)
    exchange.close()


def dropped(trial: Trial) -> None:
    """A response that is not read to its end drops the connection."""
    exchange = trial.begin()
    trial.receive(EMPTY[:-4])
    exchange.close()


def tunnel(trial: Trial) -> None:
    """After a tunnel it is closed."""
    exchange = trial.begin(upgrade=True)
    trial.receive(SWITCHING)
    assert trial.connection.eof_received() is True
    assert exchange.ended
    exchange.close()


def unasked(trial: Trial) -> None:
    """What comes while it is idle ends it, since it would be taken for the next response."""
    trial.receive(EMPTY)


def closed_by_the_upstream(trial: Trial) -> None:
    """The upstream may close it while it is idle."""
    assert trial.connection.eof_received() is False
    trial.connection.connection_lost(None)


def broken_off(trial: Trial) -> None:
    """The upstream may break it off amid a response, which is an error for the sender of the request."""
    exchange = trial.begin()
    trial.connection.connection_lost(ConnectionResetError())
    assert exchange.answered.exception() is not None
    exchange.close()


COURSES: dict[Callable[[Trial], None], list[str]] = {
    kept: ["kept", "kept"],
    rests: ["rests"],
    dropped: ["lost"],
    tunnel: ["lost"],
    unasked: ["spoke", "lost"],
    closed_by_the_upstream: ["lost"],
    broken_off: ["lost"],
}


@pytest.mark.parametrize(("course", "calls"), COURSES.items())
async def test_courses(course: Callable[[Trial], None], calls: list[str]) -> None:
    """The owner learns what becomes of a connection."""
    trial = Trial()
    course(trial)
    await settled()
    assert trial.calls == calls


async def test_the_table_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of state that the table has happens, and no other."""
    recorder = Recorder(monkeypatch, UpstreamConnection, "_state")
    for course in COURSES:
        course(Trial())
        await settled()
    assert recorder.changes == promised(connection)
