"""The journal: requests reach its readers in batches, by themselves or when somebody asks."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from support.wire import PATIENCE

from proxy.model import RequestRecord
from proxy.observe.request_log import BATCH, Recent, RequestLog


class Reader:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.offsets: list[float] = []
        self.told = asyncio.Event()

    def __call__(self, entries: Sequence[RequestRecord], offset: float) -> None:
        self.batches.append([entry.method for entry in entries])
        self.offsets.append(offset)
        self.told.set()


def entry(method: str) -> RequestRecord:
    return RequestRecord(method, 0.0)


async def test_by_itself() -> None:
    """Entries go out together a moment later, to every reader and in their order; the next ones go out again."""
    one, other = Reader(), Reader()
    request_log = RequestLog(one, other)
    for batch in (["A", "B"], ["C"]):
        one.told.clear()
        for method in batch:
            request_log(entry(method))
        assert batch not in one.batches
        await asyncio.wait_for(one.told.wait(), PATIENCE)
    assert one.batches == other.batches == [["A", "B"], ["C"]]


async def test_a_busy_moment() -> None:
    """Entries do not wait for the moment to pass where they are many: a batch stays small, and what it takes short."""
    reader = Reader()
    request_log = RequestLog(reader)
    for turn in range(2):
        for number in range(BATCH):
            request_log(entry(f"{turn} {number}"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [len(batch) for batch in reader.batches] == [BATCH] * (turn + 1)


async def test_when_asked() -> None:
    """Who needs the numbers now does not wait, and nobody is told twice or of nothing."""
    reader = Reader()
    request_log = RequestLog(reader)
    request_log.flush()
    request_log(entry("A"))
    request_log.flush()
    request_log.flush()
    request_log(entry("B"))
    request_log.flush()
    assert reader.batches == [["A"], ["B"]]


async def test_readers_that_come_and_go() -> None:
    """A reader hears of what ends between its coming and its leaving."""
    late, always = Reader(), Reader()
    request_log = RequestLog(always)
    for method in "ABC":
        if method == "B":
            request_log.follow(late)
        elif method == "C":
            request_log.leave(late)
        request_log(entry(method))
        request_log.flush()
    assert (late.batches, always.batches) == ([["B"]], [["A"], ["B"], ["C"]])


@pytest.mark.parametrize(
    ("batches", "kept"),
    [
        ([], []),
        (["AB", "C"], ["AB", "C"]),
        (["AB", "C", "D"], ["AB", "C", "D"]),
        (["AB", "CD", "E"], ["CD", "E"]),
        (["AB", "CDEFGH"], ["FGH"]),
        (["A", "B", "C", "D", "E"], ["C", "D", "E"]),
    ],
)
def test_recent(batches: list[str], kept: list[str]) -> None:
    """The last requests are kept, a few more than were asked for where they came together."""
    recent = Recent(3)
    for offset, batch in enumerate(batches):
        recent([entry(method) for method in batch], float(offset))
    told = ["".join(one.method for one in entries) for entries, _ in recent]
    assert told == kept
    assert [offset for _, offset in recent] == [float(n) for n in range(len(batches))][len(batches) - len(kept) :]


async def test_wall_time() -> None:
    """Readers learn what makes wall time of the performance counter's."""
    reader = Reader()
    request_log = RequestLog(reader)
    before, counter, after = time.time(), time.perf_counter(), time.time()
    request_log(entry("A"))
    request_log.flush()
    assert before - 1 < reader.offsets[0] + counter < after + 1
