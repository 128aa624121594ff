"""The callers' side stands on aiohttp's public names: what aiohttp keeps to itself may change with its next release."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy
from support.wire import Peer, answer, caller, request, upstream

from proxy.http.server.connection import CallerConnection
from proxy.http.server.server import Server

loop_factories = EVERY_LOOP


def private_names(kind: type) -> set[str]:
    """The names that aiohttp's classes keep to themselves."""
    return {
        name
        for base in kind.__mro__
        if base.__module__.startswith("aiohttp")
        for name in vars(base)
        if name.startswith("_") and not name.startswith("__")
    }


def guarded(access: Callable[..., Any], names: set[str]) -> Callable[..., Any]:
    """Attribute access for which the private names are not there, when the proxy asks."""

    def guard(self: object, name: str, *value: Any) -> Any:
        if name in names and sys._getframe(1).f_globals["__name__"].startswith("proxy."):
            raise AttributeError(f"aiohttp has no {name}")
        return access(self, name, *value)

    return guard


@pytest.fixture
def only_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp's server without its private names, as far as the proxy can see."""
    for kind, ours in ((web.RequestHandler, CallerConnection), (web.Server, Server)):
        names = private_names(kind) - set(vars(ours))
        assert names
        for attribute in ("__getattribute__", "__setattr__"):
            monkeypatch.setattr(ours, attribute, guarded(getattr(kind, attribute), names), raising=False)


@pytest.mark.parametrize(("ours", "theirs"), [(CallerConnection, web.RequestHandler), (Server, web.Server)])
def test_no_name_is_shared(ours: type, theirs: type) -> None:
    """What the proxy adds to aiohttp's classes bears no name that they keep for themselves."""
    added = set(getattr(ours, "__slots__", ())) | set(vars(ours))
    assert not {name for name in added if name.startswith("_") and not name.startswith("__")} & private_names(theirs)


async def test_nothing_changes_without_the_private_names(only_public: None) -> None:
    """Requests, uploads, a tunnel, a refusal and the end go their way where aiohttp's private names are gone."""

    async def script(peer: Peer) -> None:
        while True:
            head = await peer.head()
            if head.values(b"upgrade"):
                await peer.send(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                )
                await peer.send(await peer.exactly(4))
                peer.close()
                return
            message = await peer.message(head)
            await peer.send(answer(200, body=b"%d" % len(message.body)))

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        async with caller(app.urls[0]) as peer:
            await peer.send(request() * 40)
            assert {(await peer.message()).body for _ in range(40)} == {b"0"}
            await peer.send(request("POST", "/v1/x", f"Content-Length: {1 << 20}"), bytes(1 << 20))
            assert (await peer.message()).body == b"%d" % (1 << 20)
            await peer.send(request("GET", "/v1/x", "Connection: upgrade", "Upgrade: websocket"))
            assert (await peer.head()).status == 101
            await peer.send(b"ping")
            assert await peer.exactly(4) == b"ping"
        async with caller(app.urls[0]) as peer:
            await peer.send(b"GET /v1/x HTTP/1.1\r\nHost: a\x01\r\n\r\n")
            assert (await peer.message()).status == 400
    await asyncio.sleep(0)
