"""The pace of a connection, with an event loop that really reads."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import pytest
from support.loops import EVERY_LOOP
from support.wire import PATIENCE

from proxy.http.batching import WriteBatcher
from proxy.http.buffers import SMALL, Buffers
from proxy.http.server.flow import Flow, Hold

loop_factories = EVERY_LOOP
LIMIT = 64 << 20
SENT = 200_000


class Reader(asyncio.Protocol):
    """Notes what the transport calls, and can hold reading after each piece."""

    def __init__(self, buffers: Buffers) -> None:
        loop = asyncio.get_running_loop()
        self.flow = Flow(loop, buffers, WriteBatcher(loop.call_soon))
        self.holds = False
        self.sizes: list[int] = []
        self.come = asyncio.Event()
        self.calls: list[str] = []
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.flow.begin(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))
        self.come.set()
        if self.holds:
            self.flow.hold(Hold.BODY)

    def eof_received(self) -> None:
        self.calls.append("end")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.lost.set()

    def has_read(self, pieces: int) -> bool:
        return len(self.sizes) >= pieces

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not reached():
                self.come.clear()
                await self.come.wait()


@asynccontextmanager
async def connected(buffers: Buffers) -> AsyncIterator[tuple[Reader, socket.socket]]:
    """A reader, and the socket of the peer."""
    own, peer = socket.socketpair()
    peer.setblocking(False)
    with peer:
        transport, reader = await asyncio.get_running_loop().create_connection(lambda: Reader(buffers), sock=own)
        yield reader, peer
        transport.abort()


async def send(peer: socket.socket, size: int = SENT) -> None:
    async with asyncio.timeout(PATIENCE):
        await asyncio.get_running_loop().sock_sendall(peer, bytes(size))


async def test_as_much_as_comes_is_read_at_a_time() -> None:
    """Where little waits, pieces are as large as the event loop makes them."""
    async with connected(Buffers(LIMIT)) as (reader, peer):
        await send(peer)
        await reader.until(lambda: sum(reader.sizes) == SENT)
        assert max(reader.sizes) > SMALL


async def test_a_connection_that_begins_where_much_waits() -> None:
    """It is read from in small portions, whatever has come."""
    buffers = Buffers(LIMIT)
    buffers.waiting = LIMIT
    async with connected(buffers) as (reader, peer):
        await send(peer)
        await reader.until(lambda: sum(reader.sizes) == SENT)
        assert max(reader.sizes) <= SMALL


async def test_a_connection_that_is_held_where_much_waits() -> None:
    """What comes after it was held for the first time is read in small portions."""
    buffers = Buffers(LIMIT)
    async with connected(buffers) as (reader, peer):
        buffers.waiting = LIMIT
        reader.holds = True
        sending = asyncio.create_task(send(peer, 4 * SENT))
        for count in range(1, 5):
            await reader.until(partial(reader.has_read, count))
            reader.flow.release(Hold.BODY)
        sending.cancel()
        assert reader.sizes[0] > SMALL
        assert max(reader.sizes[1:]) <= SMALL


async def test_small_portions_become_large_ones() -> None:
    """Once little waits, such a connection is read from like any other."""
    buffers = Buffers(LIMIT)
    buffers.waiting = LIMIT
    async with connected(buffers) as (reader, peer):
        buffers.waiting = 0
        await send(peer)
        await reader.until(lambda: sum(reader.sizes) == SENT)
        assert max(reader.sizes) > SMALL


@pytest.mark.parametrize("waiting", [0, LIMIT])
async def test_whatever_else_happens_is_told(waiting: int) -> None:
    """The end, a peer that takes nothing or takes it again, and the loss of the connection are always passed on."""
    buffers = Buffers(LIMIT)
    buffers.waiting = waiting
    loop = asyncio.get_running_loop()
    async with connected(buffers) as (reader, peer):
        transport = reader.flow._transport
        assert transport is not None
        transport.write(bytes(8 << 20))
        assert reader.calls == ["pause"]
        async with asyncio.timeout(PATIENCE):
            while reader.calls == ["pause"]:
                await loop.sock_recv(peer, 1 << 20)
        peer.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(PATIENCE):
            await reader.lost.wait()
        assert reader.calls == ["pause", "resume", "end", "lost"]
