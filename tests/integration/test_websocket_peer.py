"""WebSocket frames (RFC 6455) through the proxy, between a client and a server of wsproto; on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy
from support.wire import PATIENCE, Peer, caller, upstream
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

loop_factories = EVERY_LOOP

BULK = bytes(range(256)) * 8192
"""2 MB: more than all buffers on the way hold."""

Kind = TypeVar("Kind", bound=Event)


class Side:
    """One end of a WebSocket: events in, events out."""

    def __init__(self, peer: Peer, kind: ConnectionType) -> None:
        self.peer = peer
        self.socket = WSConnection(kind)
        self._events: list[Event] = []

    async def send(self, *events: Event) -> None:
        await self.peer.send(*map(self.socket.send, events))

    async def next(self, kind: type[Kind]) -> Kind:
        """The next event, which must be of this kind; raises wsproto's RemoteProtocolError."""
        while not self._events:
            data = await self.peer.some()
            self.socket.receive_data(data or None)
            self._events += self.socket.events()
        event = self._events.pop(0)
        assert isinstance(event, kind), event
        return event

    async def whole(self, kind: type[Message[Any]]) -> bytes:
        """A whole message, whatever frames it comes in."""
        content = b""
        while True:
            part = await self.next(kind)
            content += part.data.encode() if isinstance(part.data, str) else bytes(part.data)
            if part.message_finished:
                return content


Handler = Callable[[Side], Awaitable[None]]


async def echo(server: Side) -> None:
    """Send back every frame as it came, until the client closes."""
    while True:
        event = await server.next(Event)
        if isinstance(event, Message):
            await server.send(event)
        elif isinstance(event, Ping):
            await server.send(event.response())
        elif isinstance(event, CloseConnection):
            if server.socket.state is ConnectionState.REMOTE_CLOSING:
                await server.send(event.response())
            return


@asynccontextmanager
async def websocket(handler: Handler) -> AsyncIterator[Side]:
    """A client that was accepted, and `handler` as the server behind the proxy."""

    async def serve(peer: Peer) -> None:
        server = Side(peer, ConnectionType.SERVER)
        request = await server.next(Request)
        assert request.target == "/v1/ws"
        assert dict(request.extra_headers)[b"authorization"] == b"Bearer pat-1"
        await server.send(AcceptConnection())
        await handler(server)

    async with (
        upstream(serve) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        client = Side(peer, ConnectionType.CLIENT)
        await client.send(Request(host="localhost", target="/v1/ws"))
        await client.next(AcceptConnection)
        yield client


@pytest.mark.parametrize("text", ["", "grüße", "🚁" * 50_000], ids=["empty", "short", "long"])
async def test_text(text: str) -> None:
    """Text arrives as it is."""
    async with websocket(echo) as client:
        await client.send(TextMessage(text))
        assert await client.whole(TextMessage) == text.encode()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 1 << 21])
async def test_bytes(size: int) -> None:
    """Bytes arrive as they are, at every size at which a frame's head changes its form."""
    async with websocket(echo) as client:
        sending = asyncio.create_task(client.send(BytesMessage(BULK[:size])))
        assert await client.whole(BytesMessage) == BULK[:size]
        await sending


async def test_fragments() -> None:
    """The frames of a message arrive one by one, with a ping between them."""
    async with websocket(echo) as client:
        await client.send(TextMessage("be", message_finished=False))
        assert await client.next(TextMessage) == TextMessage("be", frame_finished=True, message_finished=False)
        await client.send(Ping(b"still there?"))
        assert await client.next(Pong) == Pong(b"still there?")
        await client.send(TextMessage("gin", message_finished=False), TextMessage("ning"))
        assert await client.whole(TextMessage) == b"ginning"


async def test_pings_of_the_server() -> None:
    """A server's ping reaches the client, and the answer the server."""
    answered = asyncio.Event()

    async def pinging(server: Side) -> None:
        await server.send(Ping(b"\x00\xff"))
        assert await server.next(Pong) == Pong(b"\x00\xff")
        answered.set()
        await server.next(CloseConnection)

    async with websocket(pinging) as client:
        ping = await client.next(Ping)
        await client.send(ping.response())
        await asyncio.wait_for(answered.wait(), PATIENCE)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (4999, "ü" * 60)])
async def test_a_client_closes(code: int, reason: str) -> None:
    """Code and reason reach the server, its answer the client, and then the connection ends."""
    async with websocket(echo) as client:
        await client.send(CloseConnection(code, reason))
        answer = await client.next(CloseConnection)
        assert (answer.code, answer.reason or "") == (code, reason)
        await client.peer.ends()


async def test_a_server_closes() -> None:
    """What a server sends before it closes arrives first, then its code and reason."""

    async def closing(server: Side) -> None:
        await server.send(TextMessage("last words"), CloseConnection(1011, "out of order"))
        await server.next(CloseConnection)

    async with websocket(closing) as client:
        assert await client.whole(TextMessage) == b"last words"
        close = await client.next(CloseConnection)
        assert (close.code, close.reason) == (1011, "out of order")
        await client.send(close.response())
        await client.peer.ends()


async def test_half_closed_by_the_client() -> None:
    """A client that will send no more still hears all that the server has to say."""

    async def talking(server: Side) -> None:
        assert await server.next(CloseConnection) == CloseConnection(code=1006, reason=None)
        # wsproto takes the end for a close; the other direction is still open, as TCP has it.
        await server.peer.send(b"\x81\x05hello", b"\x88\x02\x03\xe8")

    async with websocket(talking) as client:
        client.peer.end()
        assert await client.whole(TextMessage) == b"hello"
        assert (await client.next(CloseConnection)).code == 1000


async def test_half_closed_by_the_server() -> None:
    """A server that will send no more still hears all that the client has to say."""
    heard = asyncio.Event()

    async def listening(server: Side) -> None:
        server.peer.end()
        assert await server.whole(BytesMessage) == BULK
        heard.set()

    async with websocket(listening) as client:
        await client.peer.ends()
        await client.send(BytesMessage(BULK))
        await asyncio.wait_for(heard.wait(), PATIENCE)


async def test_both_ways_at_once() -> None:
    """Two streams of messages cross without a byte of one in the other."""
    count = 50

    async def sending(side: Side, letter: str) -> None:
        for n in range(count):
            await side.send(TextMessage(letter * (n * 1000 + 1)))

    async def hearing(side: Side, letter: str) -> None:
        for n in range(count):
            assert await side.whole(TextMessage) == letter.encode() * (n * 1000 + 1)

    async def serve(server: Side) -> None:
        await asyncio.gather(sending(server, "s"), hearing(server, "c"))
        await server.next(CloseConnection)

    async with websocket(serve) as client:
        await asyncio.gather(sending(client, "c"), hearing(client, "s"))


async def test_refused_by_the_server() -> None:
    """A server that wants no WebSocket says so in plain HTTP."""

    async def serve(peer: Peer) -> None:
        server = Side(peer, ConnectionType.SERVER)
        await server.next(Request)
        await server.send(RejectConnection(status_code=418, headers=[(b"Content-Length", b"0")]))

    async with (
        upstream(serve) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        client = Side(peer, ConnectionType.CLIENT)
        await client.send(Request(host="localhost", target="/v1/ws"))
        assert (await client.next(RejectConnection)).status_code == 418
