"""Bytes from a caller to their reader: in order, whole, and no faster than they are taken."""

import asyncio
from collections.abc import Awaitable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import PATIENCE

from proxy.errors import BadRequest
from proxy.http.buffers import LARGE, SMALL, Buffers
from proxy.http.server.body import NO_BODY, IncomingBody


class Gate:
    """What an IncomingBody does to its caller."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.buffers = Buffers(64 << 20)
        self.incoming = IncomingBody(
            lambda: self.calls.append("pause"), lambda: self.calls.append("resume"), self.buffers
        )


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def incoming(gate: Gate) -> IncomingBody:
    return gate.incoming


async def soon(awaitable: Awaitable[bytes]) -> bytes:
    return await asyncio.wait_for(awaitable, PATIENCE)


async def waiting(incoming: IncomingBody) -> asyncio.Task[bytes]:
    """A reader that waits for more."""
    task = asyncio.create_task(incoming.read())
    await asyncio.sleep(0)
    assert incoming.awaited
    return task


async def test_what_was_fed_is_read(incoming: IncomingBody) -> None:
    """Whatever has arrived meanwhile comes out at once, in its order; after the end there is nothing."""
    incoming.feed(b"a")
    incoming.feed(b"")
    incoming.feed(b"b")
    assert await soon(incoming.read()) == b"ab"
    incoming.feed(b"c")
    incoming.end()
    assert await soon(incoming.read()) == b"c"
    assert await soon(incoming.read()) == b""
    assert await soon(incoming.read()) == b""


async def test_a_piece_passes_uncopied(incoming: IncomingBody) -> None:
    """The common case costs nothing."""
    data = b"x" * 1000
    incoming.feed(data)
    assert await soon(incoming.read()) is data


async def test_a_reader_waits_for_the_next_piece(incoming: IncomingBody) -> None:
    """A reader that comes first gets the first piece; no bytes are no piece."""
    reader = await waiting(incoming)
    incoming.feed(b"")
    await asyncio.sleep(0)
    assert not reader.done()
    incoming.feed(b"a")
    incoming.feed(b"b")
    assert await soon(reader) == b"ab"
    assert not incoming.awaited


async def test_a_reader_waits_for_the_end(incoming: IncomingBody) -> None:
    """The end wakes the reader, and brings the trailers."""
    reader = await waiting(incoming)
    incoming.end([(b"A", b"b")])
    assert await soon(reader) == b""
    assert incoming.ended
    assert incoming.trailers == [(b"A", b"b")]


def test_at_hand_is_all_or_nothing(incoming: IncomingBody) -> None:
    """A part of a content is not at hand; the whole is, once."""
    assert incoming.at_hand() is None
    incoming.feed(b"a")
    assert incoming.at_hand() is None
    incoming.feed(b"b")
    incoming.end()
    assert incoming.at_hand() == b"ab"
    assert incoming.at_hand() == b""


async def test_what_was_not_at_hand_is_still_there(incoming: IncomingBody) -> None:
    """Asking takes nothing away."""
    incoming.feed(b"a")
    assert incoming.at_hand() is None
    assert await soon(incoming.read()) == b"a"


# The end that is none.


async def test_a_failure_comes_after_what_had_arrived(incoming: IncomingBody) -> None:
    """What came before the failure is read first; then every reader gets the error, and it never looks like an end."""
    error = BadRequest("malformed")
    incoming.feed(b"a")
    incoming.fail(error)
    assert incoming.at_hand() is None
    assert await soon(incoming.read()) == b"a"
    for _ in range(2):
        with pytest.raises(BadRequest) as caught:
            await soon(incoming.read())
        assert str(caught.value) == "malformed"
        # What is kept refers to no frame of a reader's, which would keep all that the reader held.
        assert error.__traceback__ is None
    assert not incoming.ended


async def test_a_failure_wakes_the_reader(incoming: IncomingBody) -> None:
    """What will never come is not waited for."""
    reader = await waiting(incoming)
    incoming.fail(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        await soon(reader)
    assert not incoming.awaited


async def test_the_first_failure_counts(incoming: IncomingBody) -> None:
    """A caller that has gone does not hide that its content was malformed."""
    incoming.fail(BadRequest("malformed"))
    incoming.fail(ConnectionResetError())
    with pytest.raises(BadRequest):
        await soon(incoming.read())


async def test_no_failure_after_the_end(incoming: IncomingBody) -> None:
    """What has arrived whole stays whole, whatever becomes of its caller."""
    incoming.feed(b"a")
    incoming.end()
    incoming.fail(ConnectionResetError())
    assert await soon(incoming.read()) == b"a"
    assert await soon(incoming.read()) == b""


# Back-pressure.


async def test_a_caller_waits_beyond_high_water(gate: Gate, incoming: IncomingBody) -> None:
    """A portion pauses the caller, and so does each piece that comes then; a reader that wants more resumes it, once.

    The content before this one may have let the caller go on meanwhile.
    """
    incoming.feed(b"x" * (LARGE - 1))
    assert (gate.calls, gate.buffers.waiting) == ([], LARGE - 1)
    incoming.feed(b"y")
    incoming.feed(b"z")
    assert (gate.calls, gate.buffers.waiting) == (["pause"] * 2, LARGE + 1)
    assert await soon(incoming.read()) == b"x" * (LARGE - 1) + b"yz"
    assert (gate.calls, gate.buffers.waiting) == (["pause"] * 2, 0)
    reader = await waiting(incoming)
    assert gate.calls == ["pause", "pause", "resume"]
    incoming.feed(b"x" * (LARGE - 1))
    await soon(reader)
    assert gate.calls == ["pause", "pause", "resume"]
    incoming.feed(b"x" * LARGE)
    assert gate.calls == ["pause", "pause", "resume", "pause"]


async def test_a_caller_goes_on_after_a_large_content(gate: Gate, incoming: IncomingBody) -> None:
    """Where the last of a content paused the caller, it is read from again once that has been taken."""
    incoming.feed(b"x" * LARGE)
    incoming.end()
    assert gate.calls == ["pause"]
    await soon(incoming.read())
    assert gate.calls == ["pause", "resume"]


def test_a_caller_waits_sooner_where_much_waits(gate: Gate, incoming: IncomingBody) -> None:
    """Where others are slow as well, a small portion pauses the caller."""
    gate.buffers.waiting = 8 << 20
    incoming.feed(b"x" * SMALL)
    assert gate.calls == ["pause"]


async def test_what_has_failed_is_not_counted(gate: Gate, incoming: IncomingBody) -> None:
    """Content of a caller that has gone is not counted, though what has come can still be read."""
    incoming.feed(b"x" * LARGE)
    incoming.fail(ConnectionResetError())
    assert gate.buffers.waiting == 0
    assert len(await soon(incoming.read())) == LARGE
    assert gate.buffers.waiting == 0


def test_a_content_at_hand_lets_the_caller_go_on(gate: Gate, incoming: IncomingBody) -> None:
    """A large content that arrived whole is taken like any other."""
    incoming.feed(b"x" * LARGE)
    incoming.end()
    assert gate.calls == ["pause"]
    assert incoming.at_hand() == b"x" * LARGE
    assert gate.calls == ["pause", "resume"]


async def test_what_is_read_as_it_comes_pauses_nobody(gate: Gate, incoming: IncomingBody) -> None:
    """Only what waits counts, however much has passed."""
    for _ in range(8):
        incoming.feed(b"x" * (LARGE - 1))
        await soon(incoming.read())
    assert gate.calls == []


# Readers that give up.


async def test_a_cancelled_reader_loses_nothing(incoming: IncomingBody) -> None:
    """A reader that stops waiting loses nothing; the next one gets all of it."""
    reader = await waiting(incoming)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert not incoming.awaited
    incoming.feed(b"a")
    assert await soon(incoming.read()) == b"a"


@pytest.mark.parametrize("fed_first", [False, True])
async def test_a_reader_that_is_cancelled_while_data_arrives_loses_nothing(
    incoming: IncomingBody, fed_first: bool
) -> None:
    """It makes no difference which of the two came first in the same moment."""
    reader = await waiting(incoming)
    if fed_first:
        incoming.feed(b"a")
        reader.cancel()
    else:
        reader.cancel()
        incoming.feed(b"a")
    with pytest.raises(asyncio.CancelledError):
        await reader
    incoming.end()
    assert await soon(incoming.read()) == b"a"
    assert await soon(incoming.read()) == b""


@given(st.lists(st.binary(max_size=3) | st.sampled_from(["read", "cancel"]), max_size=20))
def test_every_byte_comes_out_once(steps: list[bytes | str]) -> None:
    """However it is read, awaited and given up in between, what comes out is what went in."""

    async def play() -> tuple[bytes, bytes]:
        incoming, fed, taken = Gate().incoming, b"", b""
        for step in steps:
            if isinstance(step, bytes):
                incoming.feed(step)
                fed += step
                continue
            reader = asyncio.create_task(incoming.read())
            await asyncio.sleep(0)
            if step == "cancel" or not reader.done():
                reader.cancel()
            [outcome] = await asyncio.gather(reader, return_exceptions=True)
            taken += outcome if isinstance(outcome, bytes) else b""
        incoming.end()
        while data := await soon(incoming.read()):
            taken += data
        return fed, taken

    fed, taken = asyncio.run(play())
    assert taken == fed


# The two kinds that have no caller's content.


async def test_nothing() -> None:
    """A request without content has one that ended before it began, and that no failure reaches."""
    NO_BODY.fail(ConnectionResetError())
    assert NO_BODY.ended
    assert NO_BODY.at_hand() == b""
    assert await soon(NO_BODY.read()) == b""
    assert list(NO_BODY.trailers) == []
