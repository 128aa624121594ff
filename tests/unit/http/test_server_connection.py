"""A caller's connection on a transport that is only pretended: its states, and what changes them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from support.pretended import PretendedTransport, settled
from support.states import Recorder, promised

from proxy.errors import ProxyError
from proxy.http.buffers import Buffers
from proxy.http.response import Response
from proxy.http.server import answering, connection
from proxy.http.server.connection import CallerConnection
from proxy.http.server.deadlines import check_progress
from proxy.http.server.request import ServerRequest
from proxy.http.server.server import Limits, Server

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = Response(200, ((b"Content-Length", b"0"),), b"")
LAST_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Trial:
    """A connection, and requests that are answered when they are told to."""

    def __init__(self) -> None:
        limits = Limits(connections=10, head=10.0, idle=10.0)
        self.server = Server(self._handle, self._refuse, limits, Buffers(64 << 20))
        self.go_on = asyncio.Event()
        self.switch = False
        self.connection = self.server()
        self.transport = PretendedTransport(self.connection)

    @property
    def state(self) -> str:
        return self.connection.state.name

    async def _handle(self, request: ServerRequest) -> None:
        await self.go_on.wait()
        self.go_on.clear()
        if self.switch:
            request.begin(101, b"Switching Protocols", b"", sized=False)
            request.write(b"")
            request.open_tunnel()
            while await request.read_tunnel():
                pass
        else:
            request.answer(OK)

    def _refuse(self, request: ServerRequest, _: ProxyError) -> None:
        request.answer(Response(400, ((b"Content-Length", b"0"),), b""))

    async def answered(self, *, switch: bool = False) -> None:
        """Let the request be answered that is under way, with 101 where it is to `switch`."""
        self.switch = switch
        self.go_on.set()
        await settled()

    async def end(self) -> None:
        self.go_on.set()
        await self.server.cut_off()
        await settled()


@pytest.fixture
async def trial(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trial]:
    monkeypatch.setattr(answering, "LINGER", 0.0)
    trial = Trial()
    yield trial
    await trial.end()


async def an_answer(trial: Trial) -> None:
    trial.connection.data_received(GET)
    await trial.answered()
    assert trial.state == "OPEN"


async def a_last_answer(trial: Trial) -> None:
    trial.connection.data_received(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await trial.answered()
    assert trial.transport.written == LAST_HEAD
    assert trial.state == "LOST"


async def a_tunnel(trial: Trial) -> None:
    trial.connection.data_received(UPGRADE)
    assert trial.state == "SWITCHING"
    await trial.answered(switch=True)
    assert trial.state == "TUNNEL"
    assert trial.connection.eof_received() is True
    assert trial.state == "TUNNEL"
    await settled()
    assert trial.state == "LOST"


async def an_upgrade_that_is_refused(trial: Trial) -> None:
    trial.connection.data_received(UPGRADE + b"early")
    await trial.answered()
    assert trial.state == "LOST"
    assert trial.transport.written == LAST_HEAD


async def a_caller_that_ends_its_direction(trial: Trial) -> None:
    trial.connection.data_received(GET * 2)
    assert trial.connection.eof_received() is True
    assert trial.state == "HALF_CLOSED"
    await trial.answered()
    assert trial.state == "HALF_CLOSED"
    await trial.answered()
    assert trial.state == "LOST"
    assert trial.transport.written.endswith(LAST_HEAD)


async def a_caller_that_ends_and_waits_for_nothing(trial: Trial) -> None:
    assert trial.connection.eof_received() is False


async def nonsense(trial: Trial) -> None:
    trial.connection.data_received(b"\x00\r\n\r\n")
    await settled()
    assert trial.transport.written.startswith(b"HTTP/1.1 400 ")
    assert trial.state == "LOST"


async def a_head_that_is_late(trial: Trial) -> None:
    check_progress(trial.connection, trial.connection.heard + 11, head=10, idle=10)
    assert trial.state == "CLOSING"
    await settled()
    assert trial.state == "LOST"


async def a_caller_that_breaks_off(trial: Trial) -> None:
    trial.transport.abort()
    await settled()
    assert trial.state == "LOST"


async def a_caller_that_breaks_off_a_tunnel(trial: Trial) -> None:
    trial.connection.data_received(UPGRADE)
    await trial.answered(switch=True)
    await a_caller_that_breaks_off(trial)


async def a_caller_that_breaks_off_before_a_tunnel(trial: Trial) -> None:
    trial.connection.data_received(UPGRADE)
    await a_caller_that_breaks_off(trial)


async def a_caller_that_ends_its_direction_and_has_gone(trial: Trial) -> None:
    trial.connection.data_received(GET)
    assert trial.connection.eof_received() is True
    await a_caller_that_breaks_off(trial)


COURSES: tuple[Callable[[Trial], Any], ...] = (
    an_answer,
    a_last_answer,
    a_tunnel,
    an_upgrade_that_is_refused,
    a_caller_that_ends_its_direction,
    a_caller_that_ends_and_waits_for_nothing,
    nonsense,
    a_head_that_is_late,
    a_caller_that_breaks_off,
    a_caller_that_breaks_off_a_tunnel,
    a_caller_that_breaks_off_before_a_tunnel,
    a_caller_that_ends_its_direction_and_has_gone,
)


@pytest.mark.parametrize("course", COURSES)
async def test_courses(trial: Trial, course: Callable[[Trial], Any]) -> None:
    """A connection goes through its states as the table says."""
    await course(trial)


async def test_the_table_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of state that the table has happens, and no other."""
    monkeypatch.setattr(answering, "LINGER", 0.0)
    recorder = Recorder(monkeypatch, CallerConnection)
    for course in COURSES:
        trial = Trial()
        await course(trial)
        await trial.end()
    assert recorder.changes == promised(connection)
