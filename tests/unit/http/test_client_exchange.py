"""One exchange with a connection that is only pretended: where an answer is cut makes no difference to it."""

import asyncio
import math
from dataclasses import dataclass, field

import pytest
from support.pieces import byte_by_byte, every_cut
from support.states import Recorder, promised
from support.wire import PATIENCE

from proxy.errors import BadRequest, ProxyError, UpstreamBroken, UpstreamTimeout
from proxy.http.buffers import LARGE, Buffers
from proxy.http.client import exchange
from proxy.http.client.exchange import Exchange, ExchangeState
from proxy.http.client.link import Disconnected, Fate
from proxy.http.client.receiving import receive, receive_end
from proxy.http.grammar import MANY_CHUNKS, MAX_HEAD, Head, chunk, last_chunk
from proxy.http.grammar.fields import Header

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"
DELIMITED_BY_CLOSE = OK + b"\r\nhello"
EMPTY = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


@dataclass
class Link:
    """The connection; it delivers nothing more once it has been aborted."""

    loop: asyncio.AbstractEventLoop
    deadline: float = math.inf
    idle_timeout: float = 30.0
    buffers: Buffers = field(default_factory=lambda: Buffers(64 << 20))
    sent: bytes = b""
    aborted: bool = False
    calls: list[str] = field(default_factory=list)
    allowance: float = math.inf
    released: list[Fate] = field(default_factory=list)
    congested: bool = False
    drained: list[bool] = field(default_factory=list)
    """Whether it was a tunnel that had ended."""

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self, *, tunnel_ended: bool) -> None:
        self.drained.append(tunnel_ended)

    def write_eof(self) -> None:
        self.calls.append("end")

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.aborted = True

    def release(self, fate: Fate) -> None:
        self.released.append(fate)


class Trial:
    """An exchange, its link and the interim responses that it handed on."""

    def __init__(self, method: str = "GET", *, upgrade: bool = False) -> None:
        self.link = Link(asyncio.get_running_loop())
        self.interim: list[tuple[int, bytes]] = []
        self.exchange = Exchange(self.link, method, self._inform, upgrade=upgrade)

    def _inform(self, head: Head) -> None:
        self.interim.append((head.status, head.section))

    def receive(self, *pieces: bytes) -> "Trial":
        for piece in pieces:
            if not self.link.aborted:
                receive(self.exchange, piece)
        return self

    def end(self, *, in_order: bool = True) -> "Trial":
        if not self.link.aborted:
            receive_end(self.exchange, in_order=in_order)
        return self

    def error(self) -> BaseException | None:
        """Why there is no answer, None where there is one or may still be."""
        return self.exchange.answered.exception() if self.exchange.answered.done() else None


@dataclass(frozen=True)
class Result:
    """What became of an answer."""

    interim: tuple[tuple[int, bytes], ...]
    status: int
    content: bytes
    trailers: tuple[Header, ...]
    fate: Fate
    """Of its connection."""


async def content_of(exchange: Exchange) -> bytes:
    content = b""
    while data := await asyncio.wait_for(exchange.read(), PATIENCE):
        content += data
    return content


async def result(trial: Trial) -> Result:
    exchange = trial.exchange
    await exchange.answered
    content = await content_of(exchange)
    assert exchange.ended
    assert not trial.link.released
    exchange.close()
    exchange.close()
    [fate] = trial.link.released
    return Result(
        tuple(trial.interim),
        exchange.head.status,
        content,
        tuple(exchange.trailers),
        Fate.DROPPED if trial.link.aborted else fate,
    )


def outcome(
    status: int = 200,
    content: bytes = b"hello",
    *,
    interim: tuple[tuple[int, bytes], ...] = (),
    trailers: tuple[Header, ...] = (),
    fate: Fate = Fate.KEPT,
) -> Result:
    return Result(interim, status, content, trailers, fate)


TRAILERS = ((b"A", b"b"),)
ANSWERS: dict[str, tuple[str, bytes, Result]] = {
    "a length": ("GET", SIZED, outcome()),
    "chunks and trailers": ("GET", CHUNKED, outcome(content=b"hello!", trailers=TRAILERS)),
    "the end of the connection": ("GET", DELIMITED_BY_CLOSE, outcome(fate=Fate.DROPPED)),
    "no content": ("GET", EMPTY, outcome(204, b"", fate=Fate.RESTS)),
    "a length of 0": ("GET", OK + b"Content-Length: 0\r\n\r\n", outcome(content=b"")),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", outcome(304, b"", fate=Fate.RESTS)),
    "304 with a length": (
        "GET",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        outcome(304, b"", fate=Fate.DROPPED),
    ),
    "HEAD": ("HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", outcome(content=b"", fate=Fate.RESTS)),
    "interim answers": ("GET", INTERIM + SIZED, outcome(interim=((100, b""), (103, b"Link: a\r\n")))),
    "interim answers and 204": (
        "GET",
        INTERIM + EMPTY,
        outcome(204, b"", interim=((100, b""), (103, b"Link: a\r\n")), fate=Fate.RESTS),
    ),
    "Connection: close": (
        "GET",
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
        outcome(content=b"hi", fate=Fate.DROPPED),
    ),
    "HTTP/1.0": ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", outcome(content=b"hi", fate=Fate.DROPPED)),
    "surplus behind a length": ("GET", SIZED + b"!", outcome(fate=Fate.DROPPED)),
    "surplus behind chunks": ("GET", CHUNKED + b"!", outcome(content=b"hello!", trailers=TRAILERS, fate=Fate.DROPPED)),
    "an empty line behind chunks": (
        "GET",
        CHUNKED + b"\r\n",
        outcome(content=b"hello!", trailers=TRAILERS, fate=Fate.DROPPED),
    ),
    "surplus behind no content": ("GET", EMPTY + b"hello", outcome(204, b"", fate=Fate.DROPPED)),
    "content behind HEAD": ("HEAD", SIZED, outcome(content=b"", fate=Fate.DROPPED)),
    "a second answer": ("GET", SIZED + SIZED, outcome(fate=Fate.DROPPED)),
}


@pytest.mark.parametrize(("method", "data", "expected"), ANSWERS.values(), ids=ANSWERS)
async def test_answers_in_pieces(method: str, data: bytes, expected: Result) -> None:
    """An answer, its interim ones and the fate of its connection are the same however the answer is cut."""
    for pieces in every_cut(data):
        trial = Trial(method).receive(*pieces)
        if data is DELIMITED_BY_CLOSE:
            assert not trial.exchange.ended
            trial.end()
        assert await result(trial) == expected, pieces


@pytest.mark.parametrize("data", [INTERIM + SIZED, CHUNKED])
@pytest.mark.parametrize("in_order", [True, False])
async def test_no_part_of_an_answer_is_whole(data: bytes, in_order: bool) -> None:
    """An answer that stops anywhere before its end is an error, however its connection ended, and never its end."""
    head_end = data.rindex(b"\r\n\r\n", 0, -5) + 4 if data is not CHUNKED else data.index(b"\r\n\r\n") + 4
    for cut in range(len(data)):
        trial = Trial().receive(data[:cut]).end(in_order=in_order)
        if cut < head_end:
            error = trial.error()
            assert isinstance(error, Disconnected), cut
            assert error.answered == (cut > 0), cut
        else:
            assert trial.error() is None
            with pytest.raises(UpstreamBroken):
                await content_of(trial.exchange)
        assert not trial.exchange.ended
        assert trial.link.aborted


async def test_only_an_end_in_order_ends_a_content_without_a_length() -> None:
    """A reset is no end, and what had come before it is read first."""
    trial = Trial().receive(DELIMITED_BY_CLOSE).end(in_order=False)
    assert await trial.exchange.read() == b"hello"
    for _ in range(2):
        with pytest.raises(UpstreamBroken):
            await trial.exchange.read()
    assert not trial.exchange.ended


MALFORMED: dict[str, tuple[bytes, bytes]] = {
    "no HTTP": (b"", b"hello"),
    "HTTP/2": (b"", b"HTTP/2 200 OK\r\n\r\n"),
    "LF for CR LF": (b"", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    "an empty line first": (b"", b"\r\n" + SIZED),
    "a malformed field": (b"", OK + b"A : b\r\n\r\n"),
    "both framings": (b"", OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "switching unasked": (b"", SWITCHING),
    "nonsense behind an interim answer": (INTERIM, b"hello"),
    "a malformed chunk": (CHUNKED[: CHUNKED.index(b"5;x")], b"x\r\n"),
    "a chunk longer than its size": (CHUNKED[: CHUNKED.index(b"5;x")], b"5\r\nhello!\r\n"),
    "a malformed trailer": (CHUNKED[: CHUNKED.index(b"A: b")], b"A : b\r\n\r\n"),
}


@pytest.mark.parametrize(("before", "nonsense"), MALFORMED.values(), ids=MALFORMED)
async def test_nonsense_in_pieces(before: bytes, nonsense: bytes) -> None:
    """Nonsense is an error however it is cut: instead of the answer, or within its content where that had begun."""
    for pieces in every_cut(before + nonsense):
        trial = Trial().receive(*pieces)
        error = trial.error()
        if error is None:
            assert b"chunked" in before, pieces
            with pytest.raises(UpstreamBroken):
                await content_of(trial.exchange)
        else:
            assert isinstance(error, UpstreamBroken), pieces
        assert trial.link.aborted
        assert not trial.exchange.ended
        trial.exchange.close()
        assert trial.link.released == [Fate.DROPPED]


@pytest.mark.parametrize("step", [1 << 20, 1000], ids=["at once", "in pieces"])
@pytest.mark.parametrize(("size", "fine"), [(MAX_HEAD, True), (MAX_HEAD + 1, False)])
async def test_the_limit_of_a_head(step: int, size: int, fine: bool) -> None:
    """The limit is the same however the head comes."""
    head = OK + b"Content-Length: 0\r\nA: "
    head += b"x" * (size - len(head) - 4) + b"\r\n\r\n"
    trial = Trial().receive(*(head[at : at + step] for at in range(0, len(head), step)))
    if fine:
        assert await result(trial) == outcome(content=b"")
    else:
        assert isinstance(trial.error(), UpstreamBroken)


async def test_a_head_without_an_end_is_given_up_at_its_limit() -> None:
    """The end of a head that is too large already is not waited for."""
    trial = Trial().receive(OK + b"A: " + b"x" * (MAX_HEAD - len(OK) - 4))
    assert trial.error() is None
    assert isinstance(trial.receive(b"x").error(), UpstreamBroken)


@pytest.mark.parametrize("together", [False, True])
async def test_the_limit_of_interim_answers(together: bool) -> None:
    """An upstream that sends nothing else is given up, at the limit of one head."""
    one = b"HTTP/1.1 102 Still working..\r\n\r\n"
    count = MAX_HEAD // len(one)
    assert count * len(one) == MAX_HEAD
    trial = Trial().receive(*([one * count] if together else [one] * count))
    assert trial.error() is None
    assert trial.interim == [(102, b"")] * count
    trial.receive(one)
    assert isinstance(trial.error(), UpstreamBroken)
    assert len(trial.interim) == count


# States.


async def test_the_table_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of state that the table has happens, and no other."""
    recorder = Recorder(monkeypatch, Exchange)
    for data in (b"", SIZED[:-1], SIZED, SWITCHING):
        for happens in (Trial.receive, Trial.end, lambda trial: trial.exchange.expire()):
            trial = Trial(upgrade=data is SWITCHING).receive(data)
            happens(trial)
            trial.exchange.close()
    Trial().receive(*byte_by_byte(SIZED))
    assert recorder.changes == promised(exchange)


# Tunnels.


async def test_a_tunnel_in_pieces() -> None:
    """Behind the 101 that was asked for, everything is the tunnel's, and its connection is never used again."""
    for pieces in every_cut(INTERIM + SWITCHING + SIZED):
        trial = Trial(upgrade=True).receive(*pieces)
        await trial.exchange.answered
        assert trial.exchange.head.status == 101
        assert trial.exchange.state is ExchangeState.TUNNEL
        assert [status for status, _ in trial.interim] == [100, 103]
        assert trial.link.deadline == math.inf
        assert trial.exchange.take() == SIZED
        await trial.exchange.drain()
        trial.end()
        assert trial.exchange.ended
        await trial.exchange.drain()
        assert trial.link.drained == [False, True]
        trial.exchange.close()
        assert trial.link.released == [Fate.ENDS]


async def test_an_upgrade_that_was_not_granted() -> None:
    """Another answer is an answer like any other."""
    trial = Trial(upgrade=True).receive(SIZED)
    assert trial.exchange.state is not ExchangeState.TUNNEL
    assert await result(trial) == outcome()


# Slow readers, and those that leave.


async def test_an_upstream_waits_for_a_slow_reader() -> None:
    """Content beyond the limit pauses the upstream, and stops its deadline until the reader wants more."""
    trial = Trial().receive(OK + b"Content-Length: %d\r\n\r\n" % (2 * LARGE), b"x" * (LARGE - 1))
    now = trial.link.loop.time()
    assert now < trial.link.deadline <= now + 30
    assert (trial.link.calls, trial.link.buffers.waiting) == ([], LARGE - 1)
    trial.receive(b"y", b"z")
    assert (trial.link.calls, trial.link.deadline) == (["pause"], math.inf)
    assert trial.link.buffers.waiting == LARGE + 1
    assert await trial.exchange.read() == b"x" * (LARGE - 1) + b"yz"
    assert (trial.link.calls, trial.link.deadline) == (["pause"], math.inf)
    assert trial.link.buffers.waiting == 0
    reader = asyncio.create_task(trial.exchange.read())
    await asyncio.sleep(0)
    assert trial.link.calls == ["pause", "resume"]
    assert now + 30 <= trial.link.deadline < math.inf
    trial.receive(b"x")
    assert await reader == b"x"
    trial.receive(b"x" * (LARGE - 2))
    assert trial.link.deadline == math.inf
    assert len(trial.exchange.take()) == LARGE - 2
    assert trial.exchange.take() == b""
    assert trial.exchange.ended


async def test_a_connection_reads_on_after_a_large_answer() -> None:
    """Where the last of an answer paused the upstream, its connection is read from again once it is let go of."""
    trial = Trial().receive(OK + b"Content-Length: %d\r\n\r\n" % LARGE, b"x" * LARGE)
    assert trial.link.calls == ["pause"]
    assert await result(trial) == outcome(content=b"x" * LARGE)
    assert trial.link.calls == ["pause", "resume"]


async def test_a_large_answer_in_one_piece_with_its_head() -> None:
    """An answer that is whole before anybody could take it has no deadline left, and nothing more to hold back."""
    size = 2 * LARGE
    trial = Trial().receive(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
    assert trial.link.deadline == math.inf
    assert await result(trial) == outcome(content=b"x" * size)
    assert trial.link.calls == []


async def test_a_cancelled_reader_loses_nothing() -> None:
    """A reader that stops waiting loses nothing for the next one."""
    trial = Trial().receive(SIZED[:-5])
    reader = asyncio.create_task(trial.exchange.read())
    await asyncio.sleep(0)
    trial.receive(b"he")
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    trial.receive(b"llo")
    assert await result(trial) == outcome()


async def test_an_answer_that_is_not_read_to_its_end_takes_its_connection_along() -> None:
    """Neither half a response nor a whole one that was not taken leaves a connection for others."""
    for data in (b"", OK, SIZED[:-1], SIZED):
        trial = Trial().receive(data)
        trial.exchange.close()
        assert trial.link.released == [Fate.DROPPED]


@pytest.mark.parametrize(
    ("field", "allowance"),
    [(b"", math.inf), (b"Keep-Alive: timeout=5, max=100\r\n", 5.0), (b"Keep-Alive: x\r\n", math.inf)],
)
async def test_how_long_the_upstream_keeps_a_connection(field: bytes, allowance: float) -> None:
    """What it says of that is remembered of the connection."""
    trial = Trial().receive(OK + field + b"Content-Length: 5\r\n\r\nhello")
    assert await result(trial) == outcome()
    assert trial.link.allowance == allowance


# An upstream that sends tiny chunks.

TINY = 8 * 1024
"""How many of them."""


async def turns(trial: Trial) -> list[int]:
    """How much content has come after each turn of the event loop, until no more does."""
    come: list[int] = []
    while len(come) < 2 or come[-1] != come[-2]:
        come.append(come[-1] if come else 0)
        come[-1] += len(trial.exchange.take())
        await asyncio.sleep(0)
    return come


@pytest.mark.parametrize("size", [1, 60])
async def test_tiny_chunks_leave_turns_to_others(size: int) -> None:
    """Of chunks that come at once, others have a turn after no more than 16 KiB, and nothing is lost."""
    trial = Trial().receive(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    trial.receive(chunk(bytes(size)) * TINY + last_chunk([(b"A", b"b")]))
    assert trial.link.calls == ["pause"]
    come = await turns(trial)
    most = max(after - before for before, after in zip([0, *come], come, strict=False))
    assert most <= size * (MANY_CHUNKS + 1) < 16 * 1024
    assert come[-1] == TINY * size
    assert (trial.link.calls[-1], trial.link.aborted) == ("resume", False)
    assert await result(trial) == outcome(content=b"", trailers=TRAILERS)


async def test_what_comes_while_others_have_their_turn() -> None:
    """It waits for its own, and an end in order behind it is one."""
    trial = Trial().receive(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    end = last_chunk()
    trial.receive(chunk(b"x") * TINY, chunk(b"x") * TINY + end[:2], end[2:]).end()
    assert not trial.link.aborted
    assert (await turns(trial))[-1] == 2 * TINY
    assert trial.exchange.ended
    assert not trial.link.aborted


async def test_an_upstream_that_breaks_off_amid_tiny_chunks() -> None:
    """What had come is read before the error is raised."""
    trial = Trial().receive(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"x") * TINY).end(in_order=False)
    assert (await turns(trial))[-1] == TINY
    with pytest.raises(UpstreamBroken):
        await trial.exchange.read()


async def test_nonsense_behind_tiny_chunks() -> None:
    """It is found in its turn, and nothing is read behind it."""
    trial = Trial().receive(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"x") * 1000 + b"nonsense\r\n")
    assert MANY_CHUNKS < (await turns(trial))[-1] <= 1000
    with pytest.raises(UpstreamBroken):
        await trial.exchange.read()
    assert trial.link.aborted
    assert trial.link.calls == ["pause"]


async def test_a_reader_who_leaves_amid_tiny_chunks() -> None:
    """Nothing more is read then."""
    trial = Trial().receive(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"x") * TINY)
    trial.exchange.close()
    assert trial.link.released == [Fate.DROPPED]
    assert (await turns(trial))[-1] == MANY_CHUNKS + 1
    assert trial.link.calls == ["pause"]


@pytest.mark.parametrize("slow", [False, True])
async def test_a_slow_reader_of_tiny_chunks(slow: bool) -> None:
    """The upstream goes on once neither its chunks nor the reader hold it up."""
    trial = Trial().receive(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    trial.receive(chunk(bytes(2 * LARGE)))
    assert trial.link.calls == ["pause"]
    trial.receive(chunk(b"x") * 1000)

    async def read() -> None:
        await trial.exchange.read()
        await trial.exchange.read()

    if not slow:
        reading = asyncio.create_task(read())
        assert "resume" not in trial.link.calls
    for _ in range(10):
        await asyncio.sleep(0)
    if slow:
        assert "resume" not in trial.link.calls
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
    assert trial.link.calls[-1] == "resume"
    reading.cancel()


# Requests that are still going out.


@pytest.mark.parametrize("state", ["under way", "done", "failed", "cancelled"])
async def test_a_connection_is_kept_where_the_request_went_out_whole(state: str) -> None:
    """An answer that came early ends the upload, and the connection with it."""
    sent = asyncio.Event()

    async def upload() -> None:
        await sent.wait()
        if state == "failed":
            trial.exchange.fail(BadRequest("the caller broke off the request's content"))

    trial = Trial("POST").receive(SIZED)
    task = trial.exchange.upload = asyncio.create_task(upload())
    await asyncio.sleep(0)
    if state == "cancelled":
        task.cancel()
    elif state != "under way":
        sent.set()
    if state != "under way":
        await asyncio.gather(task, return_exceptions=True)
    assert trial.exchange.take() == b"hello"
    trial.exchange.close()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled() == (state in ("under way", "cancelled"))
    [fate] = trial.link.released
    assert (fate is Fate.KEPT and not trial.link.aborted) == (state == "done")


async def test_what_is_written_goes_to_the_connection() -> None:
    """More of a request, and its end."""
    trial = Trial("POST")
    trial.exchange.write(b"a")
    trial.exchange.write(b"b")
    trial.exchange.write_eof()
    assert (trial.link.sent, trial.link.calls) == (b"ab", ["end"])


# Deadlines.


async def test_the_deadline_of_a_head() -> None:
    """It can be moved until the answer begins; from then on every byte moves it."""
    trial = Trial()
    trial.exchange.expect_head_by(5.0)
    assert trial.link.deadline == 5.0
    trial.receive(INTERIM, SIZED[:10])
    assert trial.link.deadline == 5.0
    trial.receive(SIZED[10:-5])
    began = trial.link.deadline
    assert began > 30
    trial.exchange.expect_head_by(5.0)
    assert trial.link.deadline == began


@pytest.mark.parametrize("begun", [False, True])
async def test_an_answer_that_is_late(begun: bool) -> None:
    """When the deadline passes, the error is raised where the response is awaited, or more of it."""
    trial = Trial()
    if begun:
        trial.receive(SIZED[:-1])
        assert await trial.exchange.read() == b"hell"
        reader = asyncio.create_task(trial.exchange.read())
        await asyncio.sleep(0)
        trial.exchange.expire()
        with pytest.raises(UpstreamTimeout):
            await reader
    else:
        trial.exchange.expire()
        assert isinstance(trial.error(), UpstreamTimeout)
    assert trial.link.aborted


async def test_the_first_failure_counts() -> None:
    """What follows from a failure does not hide it."""
    trial = Trial().receive(SIZED[:-1])
    trial.exchange.expire()
    receive_end(trial.exchange, in_order=False)
    assert trial.exchange.take() == b"hell"
    with pytest.raises(UpstreamTimeout):
        await trial.exchange.read()


async def test_no_failure_after_the_end() -> None:
    """An answer that has come whole stays whole, whatever becomes of its connection."""
    for happens in (Exchange.expire, lambda exchange: receive_end(exchange, in_order=False)):
        trial = Trial().receive(*byte_by_byte(SIZED))
        happens(trial.exchange)
        assert await trial.exchange.read() == b"hello"
        assert await trial.exchange.read() == b""


async def test_failures_before_the_answer() -> None:
    """Each kind of failure is what `answered` raises."""
    for error in (UpstreamBroken("x"), Disconnected(answered=False)):
        trial = Trial()
        trial.exchange.fail(error)
        with pytest.raises((ProxyError, Disconnected)) as caught:
            await trial.exchange.answered
        assert caught.value is error
        assert trial.link.aborted
