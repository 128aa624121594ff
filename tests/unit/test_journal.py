"""The journal: requests reach its readers in batches, by themselves or when somebody asks."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from support.wire import PATIENCE

from proxy.model import AccessEntry
from proxy.observe.request_log import BATCH, Journal, Recent


class Reader:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.offsets: list[float] = []
        self.told = asyncio.Event()

    def __call__(self, entries: Sequence[AccessEntry], offset: float) -> None:
        self.batches.append([entry.method for entry in entries])
        self.offsets.append(offset)
        self.told.set()


def entry(method: str) -> AccessEntry:
    return AccessEntry(method, 0.0)


async def test_by_itself() -> None:
    """Entries go out together a moment later, to every reader and in their order; the next ones go out again."""
    one, other = Reader(), Reader()
    journal = Journal(one, other)
    for batch in (["A", "B"], ["C"]):
        one.told.clear()
        for method in batch:
            journal(entry(method))
        assert batch not in one.batches
        await asyncio.wait_for(one.told.wait(), PATIENCE)
    assert one.batches == other.batches == [["A", "B"], ["C"]]


async def test_a_busy_moment() -> None:
    """Entries do not wait for the moment to pass where they are many: a batch stays small, and what it takes short."""
    reader = Reader()
    journal = Journal(reader)
    for turn in range(2):
        for number in range(BATCH):
            journal(entry(f"{turn} {number}"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [len(batch) for batch in reader.batches] == [BATCH] * (turn + 1)


async def test_when_asked() -> None:
    """Who needs the numbers now does not wait, and nobody is told twice or of nothing."""
    reader = Reader()
    journal = Journal(reader)
    journal.flush()
    journal(entry("A"))
    journal.flush()
    journal.flush()
    journal(entry("B"))
    journal.flush()
    assert reader.batches == [["A"], ["B"]]


async def test_readers_that_come_and_go() -> None:
    """A reader hears of what ends between its coming and its leaving."""
    late, always = Reader(), Reader()
    journal = Journal(always)
    for method in "ABC":
        if method == "B":
            journal.follow(late)
        elif method == "C":
            journal.leave(late)
        journal(entry(method))
        journal.flush()
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
    journal = Journal(reader)
    before, counter, after = time.time(), time.perf_counter(), time.time()
    journal(entry("A"))
    journal.flush()
    assert before - 1 < reader.offsets[0] + counter < after + 1
