"""A caller who sends no more may still wait for its answer, or may have gone: plain TCP says the same of both."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy
from support.wire import PATIENCE, Peer, answer, request, upstream

from proxy.app import App
from proxy.http.address import Bind
from proxy.http.server.request import ServerRequest

loop_factories = EVERY_LOOP
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the two apart over TCP")


class Slow:
    """An upstream that answers when it is told to, and notes who breaks off."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.message()
            self.asked.set()
            leaving = asyncio.create_task(peer.ends())
            going_on = asyncio.create_task(self.go_on.wait())
            await asyncio.wait((leaving, going_on), return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.left.set()
                return
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            await peer.send(answer(200, body=b"ok"))


@pytest.fixture
async def slow() -> Slow:
    return Slow()


@pytest.fixture(params=["TCP", "Unix"])
async def app(slow: Slow, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    bind = Bind("127.0.0.1", 0) if request.param == "TCP" else Bind(path=f"{tmp_path}/s")
    async with upstream(slow) as origin, running_proxy(direct_options(origin.url, listen=(bind,))) as app:
        yield app


async def connect(app: App) -> Peer:
    url = app.urls[0]
    if url.startswith("unix:"):
        return Peer(*await asyncio.open_unix_connection(url.removeprefix("unix:")))
    return Peer(*await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2])))


async def test_who_ends_its_direction_is_answered(app: App, slow: Slow) -> None:
    """`printf … | nc` and socat get the answers to all that they sent, and then the end."""
    peer = await connect(app)
    await peer.send(request(), request())
    peer.end()
    await asyncio.wait_for(slow.asked.wait(), PATIENCE)
    await asyncio.sleep(0.2)  # longer than it takes to look whether they have gone
    slow.go_on.set()
    first, second = await peer.message(), await peer.message()
    assert (first.body, second.body) == (b"ok", b"ok")
    assert second.values(b"connection") == [b"close"]
    assert await peer.rest() == b""
    peer.close()


@pytest.mark.parametrize("target", ["/-/live", "/v1/x"])
async def test_an_end_that_comes_with_the_request(target: str, app: App, slow: Slow) -> None:
    """A request and the end of its caller's direction in one piece: the answer comes, and then the connection's end."""
    slow.go_on.set()
    for _ in range(5):
        peer = await connect(app)
        peer.writer.write(request(target=target))
        peer.end()
        assert (await peer.message()).status == 200
        assert await peer.rest() == b""
        peer.close()


async def test_an_end_that_comes_as_the_answer_goes_out(app: App, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a caller's direction that is read between the answer and its task's end is not overlooked."""
    peer = await connect(app)
    answered = ServerRequest.finish

    def finish(self: ServerRequest, *parts: Any) -> None:
        answered(self, *parts)
        # Now, and not in the next turn of the event loop.
        sock = peer.writer.get_extra_info("socket")
        with suppress(OSError), socket.fromfd(sock.fileno(), sock.family, socket.SOCK_STREAM) as same:
            same.shutdown(socket.SHUT_WR)

    monkeypatch.setattr(ServerRequest, "finish", finish)
    slow.go_on.set()
    await peer.send(request())
    assert (await peer.message()).body == b"ok"
    assert await peer.rest() == b""
    peer.close()


async def test_who_has_gone_ends_the_work_of_the_upstream(app: App, slow: Slow) -> None:
    """A caller who closes its socket while the upstream works sends the same FIN, and is noticed all the same."""
    peer = await connect(app)
    await peer.send(request())
    await asyncio.wait_for(slow.asked.wait(), PATIENCE)
    peer.close()
    await asyncio.wait_for(slow.left.wait(), PATIENCE)


async def test_who_ends_its_direction_and_goes_later_is_noticed(app: App, slow: Slow) -> None:
    """A half-closed caller is looked for again and again."""
    peer = await connect(app)
    await peer.send(request())
    peer.end()
    await asyncio.wait_for(slow.asked.wait(), PATIENCE)
    await asyncio.sleep(0.2)
    assert not slow.left.is_set()
    peer.close()
    await asyncio.wait_for(slow.left.wait(), PATIENCE)


async def test_who_ends_amid_its_content_has_gone(app: App, slow: Slow) -> None:
    """Half a content is no request: nobody waits for an answer to it."""
    peer = await connect(app)
    await peer.send(request("POST", "/v1/x", "Content-Length: 9"), b"abc")
    peer.end()
    assert await peer.rest() == b""
    assert not slow.asked.is_set()
    peer.close()


async def test_who_ends_without_a_request_has_gone(app: App) -> None:
    """There is nothing to wait for."""
    peer = await connect(app)
    peer.end()
    assert await peer.rest() == b""
    peer.close()
