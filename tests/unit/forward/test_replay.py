"""A request body that passes by once and can be sent again for as long as it is held."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import pytest

from proxy.forward.replay import HeldBody
from proxy.http.buffers import Buffers

LIMIT = 10


class Source:
    """A caller's body, piece by piece; counts how often it was asked."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        return self.pieces.pop(0) if self.pieces else b""


async def all_of(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


async def first_of(stream: AsyncIterator[bytes], count: int) -> bytes:
    """The first `count` pieces; the stream is then dropped, as when an upstream answers early."""
    pieces: list[bytes] = []
    async with aclosing(cast("AsyncGenerator[bytes, None]", stream)) as open_stream:
        while len(pieces) < count:
            pieces.append(await anext(open_stream))
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("pieces", "replayable"),
    [
        ([], True),
        ([b"x"], True),
        ([b"x" * LIMIT], True),
        ([b"x" * (LIMIT - 1), b"y"], True),
        ([b"x" * (LIMIT + 1)], False),
        ([b"x" * LIMIT, b"y"], False),
        ([b"x" * LIMIT, b"y", b"z"], False),
    ],
    ids=["empty", "one", "exactly the limit", "the limit in two", "one beyond", "beyond in two", "well beyond"],
)
async def test_passes_through(pieces: list[bytes], replayable: bool) -> None:
    """Every piece goes by as it came; the body can be sent again as long as it is no longer than the limit."""
    body = HeldBody(Source(*pieces).read, LIMIT, Buffers(4 * LIMIT))
    assert [piece async for piece in body.stream()] == pieces
    assert body.replayable == replayable


async def test_streams_as_it_comes() -> None:
    """A piece is handed on before the next one is asked for: constant memory, whatever the length."""
    source = Source(b"a", b"b", b"c")
    stream = HeldBody(source.read, LIMIT, Buffers(4 * LIMIT)).stream()
    assert (await anext(stream), source.reads) == (b"a", 1)
    assert (await anext(stream), source.reads) == (b"b", 2)


async def test_what_has_gone_by_is_let_go_of() -> None:
    """A piece that is not kept is in memory no longer than whoever takes it wants it."""
    gone: list[int] = []

    class Piece(bytes):
        def __del__(self) -> None:
            gone.append(len(self))

    source = Source(*(Piece(LIMIT + size) for size in (1, 2)))
    async for piece in HeldBody(source.read, LIMIT, Buffers(4 * LIMIT)).stream():
        size = len(piece)
        del piece
        assert gone[-1:] == [size]
    assert gone == [LIMIT + 1, LIMIT + 2]


async def test_again_after_the_end() -> None:
    """A body that was sent whole is sent whole again, without asking the caller for what it sent already."""
    source = Source(b"ab", b"cd")
    body = HeldBody(source.read, LIMIT, Buffers(4 * LIMIT))
    assert await all_of(body.stream()) == b"abcd"
    reads = source.reads
    assert await all_of(body.stream()) == b"abcd"
    assert source.reads == reads + 1
    assert await all_of(body.stream()) == b"abcd"


@pytest.mark.parametrize("sent", [0, 1, 2, 3])
async def test_again_from_the_middle(sent: int) -> None:
    """Where the upstream answered early, the second stream is what went by and then the rest."""
    body = HeldBody(Source(b"a", b"b", b"c").read, LIMIT, Buffers(4 * LIMIT))
    assert await first_of(body.stream(), sent) == b"abc"[:sent]
    assert await all_of(body.stream()) == b"abc"


async def test_crosses_the_limit_on_the_second_time() -> None:
    """A body may outgrow the limit while it is sent again: it still goes out whole, but not a third time."""
    body = HeldBody(Source(b"aaaa", b"bbbb", b"cccc").read, LIMIT, Buffers(4 * LIMIT))
    assert await first_of(body.stream(), 1) == b"aaaa"
    assert body.replayable
    assert await all_of(body.stream()) == b"aaaabbbbcccc"
    assert not body.replayable


async def test_limit_zero() -> None:
    """With a limit of zero only an empty body can be sent again."""
    empty, full = HeldBody(Source().read, 0, Buffers(0)), HeldBody(Source(b"a").read, 0, Buffers(0))
    assert (await all_of(empty.stream()), empty.replayable) == (b"", True)
    assert (await all_of(full.stream()), full.replayable) == (b"a", False)


async def test_cancelled_reader_loses_nothing() -> None:
    """A stream that is cancelled while it waits for the caller leaves every byte to the next one."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    arrived.put_nowait(b"a")
    body = HeldBody(arrived.get, LIMIT, Buffers(4 * LIMIT))
    waiting = asyncio.Event()

    async def send() -> None:
        stream = body.stream()
        assert await anext(stream) == b"a"
        waiting.set()
        await anext(stream)

    first = asyncio.create_task(send())
    await waiting.wait()
    first.cancel()
    second = asyncio.create_task(all_of(body.stream()))
    for piece in (b"b", b"c", b""):
        arrived.put_nowait(piece)
    assert await second == b"abc"
    with pytest.raises(asyncio.CancelledError):
        await first
