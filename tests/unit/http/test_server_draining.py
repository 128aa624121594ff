"""How a server comes to its end, with connections that are only pretended: which are closed, and what is waited for."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from support.states import Recorder, promised

from proxy.errors import ProxyError
from proxy.http.buffers import Buffers
from proxy.http.server import draining
from proxy.http.server.draining import GRACE, drain
from proxy.http.server.request import ServerRequest
from proxy.http.server.server import Limits, Server


@dataclass(eq=False)
class Connection:
    """Notes when it is closed; `request` is whether the one that is being answered is about the proxy itself."""

    quiet: bool = True
    own: bool = False
    request: Any = None
    flow: Any = field(default_factory=lambda: SimpleNamespace(stuck_since=None))
    closed: bool = False
    since: float | None = None
    """When it fell quiet, in seconds before now; None where that is to be found out."""

    def force_close(self) -> None:
        self.closed = True


def about_the_proxy(stuck_since: float | None = None) -> dict[str, Any]:
    return {
        "quiet": False,
        "request": SimpleNamespace(own=True),
        "flow": SimpleNamespace(stuck_since=stuck_since),
    }


CONNECTIONS: dict[str, tuple[Connection, bool, bool]] = {
    "quiet for long": (Connection(since=GRACE), True, True),
    "quiet for a moment": (Connection(since=0.0), False, True),
    "just found quiet": (Connection(), False, True),
    "a request is coming": (Connection(quiet=False, since=GRACE), False, True),
    "its last request was about the proxy": (Connection(own=True, since=GRACE), False, False),
    "such a one, and another request is coming": (Connection(own=True, quiet=False), False, True),
    "a request is being answered": (Connection(quiet=False, request=SimpleNamespace(own=False)), False, True),
    "one about the proxy": (Connection(**about_the_proxy()), False, True),
    "one about the proxy, and the caller does not read": (Connection(**about_the_proxy(stuck_since=1.0)), False, False),
}
"""Of each: whether it is closed at once, and whether its end is waited for."""


@pytest.mark.parametrize(("connection", "closed", "waits"), CONNECTIONS.values(), ids=CONNECTIONS)
async def test_which_connections_end(connection: Connection, closed: bool, waits: bool) -> None:
    """Only connections that are quiet for long enough are closed, and all are waited for that others still use."""
    now = asyncio.get_running_loop().time()
    quiet_since = {connection: None if connection.since is None else now - connection.since}
    left = asyncio.Event()
    draining_ = asyncio.create_task(drain(quiet_since, left, now + 60))
    for _ in range(3):
        await asyncio.sleep(0)
    assert (connection.closed, draining_.done()) == (closed, not waits)
    quiet_since.clear()
    left.set()
    await draining_


async def test_time_is_up() -> None:
    """Nothing is waited for beyond the end that was given."""
    busy = Connection(quiet=False, request=SimpleNamespace(own=False))
    await drain({busy: None}, asyncio.Event(), asyncio.get_running_loop().time())
    assert not busy.closed


async def test_the_table_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of state that the table has happens, and no other."""

    async def handle(_: ServerRequest) -> None: ...

    def refuse(_: ServerRequest, __: ProxyError) -> None: ...

    recorder = Recorder(monkeypatch, Server)
    for hurries in (False, True):
        server = Server(handle, refuse, Limits(connections=1, head=1.0, idle=1.0), Buffers(1 << 20))
        server.begin_draining()
        if not hurries:
            await server.drain(1.0)
        await server.cut_off()
    assert recorder.changes == promised(draining)
