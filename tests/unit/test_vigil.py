"""Vigils: awake for what comes at once, and soon not at all for what does not."""

from typing import TYPE_CHECKING

import pytest

from proxy.vigil import FORGIVEN, LONGEST, MOST_SKIPPED, Vigil

if TYPE_CHECKING:
    from collections.abc import Callable

TURN = LONGEST / 10
"""Seconds that a turn of the event loop takes here."""


class Night:
    """A vigil, and an event loop whose clock goes on with its turns."""

    def __init__(self, *, meanwhile: bool = True) -> None:
        self._calls: list[Callable[[], None]] = []
        self.time = 0.0
        self.gave_way = 0
        self.done: list[float] = []
        """When there was time for other work."""
        self.vigil = Vigil(
            self._calls.append,
            now=lambda: self.time,
            give_way=self._give_way,
            meanwhile=(lambda: self.done.append(self.time)) if meanwhile else None,
        )

    def _give_way(self) -> None:
        self.gave_way += 1

    def wait(self, seconds: float) -> int:
        """Wait for what takes so long; in how many turns of the loop somebody was awake."""
        began, turns = self.time, 0
        self.vigil.keep(lambda: self.time >= began + seconds)
        while self._calls:
            calls, self._calls[:] = tuple(self._calls), ()
            self.time += TURN
            turns += 1
            for call in calls:
                call()
        return turns


def test_what_comes_at_once() -> None:
    """It is looked for in every turn until it comes, every time, and others may have the processor between."""
    night = Night()
    for _ in range(50):
        assert night.wait(4.5 * TURN) == 5
    assert night.gave_way == 50 * 4


def test_what_takes_its_time() -> None:
    """No vigil is longer than LONGEST; a few in vain are forgiven, and then they become rare."""
    night = Night()
    kept = [number for number in range(3 * MOST_SKIPPED) if night.wait(1.0) > 1]
    assert night.gave_way <= len(kept) * LONGEST / TURN
    assert kept[: FORGIVEN + 3] == [*range(FORGIVEN), 4, 7, 12]
    assert len(kept) < FORGIVEN + 16
    assert kept[-1] - kept[-2] == MOST_SKIPPED + 1


def test_years_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many vigils were in vain, they are kept as rarely, and nothing grows with their number."""
    monkeypatch.setattr("proxy.vigil.MOST_SKIPPED", 1)
    night = Night()
    for _ in range(1000):
        night.wait(1.0)
    assert night.vigil._in_vain < 64


def test_what_comes_at_once_again() -> None:
    """One vigil that was not in vain makes up for all that were."""
    night = Night()
    for _ in range(FORGIVEN + 2):
        night.wait(1.0)
    before = night.gave_way
    for _ in range(20):
        night.wait(TURN / 2)
    assert night.gave_way == before
    assert night.wait(2.5 * TURN) == 3
    assert night.gave_way == before + 2


@pytest.mark.parametrize("seconds", [TURN, 1.0])
def test_work_meanwhile(seconds: float) -> None:
    """There is time for other work whenever something is waited for, whether or not a vigil is kept."""
    night = Night()
    for _ in range(100):
        night.wait(seconds)
    assert len(night.done) == 100


def test_nothing_to_do_meanwhile() -> None:
    """Where there is no other work, the loop is asked for nothing but vigils."""
    night = Night(meanwhile=False)
    turns = [night.wait(1.0) for _ in range(100)]
    assert turns.count(0) > 90


def test_one_at_a_time() -> None:
    """Who comes while a vigil is kept begins no other."""
    calls: list[Callable[[], None]] = []
    vigil = Vigil(calls.append, now=lambda: 0.0, give_way=lambda: None)
    vigil.keep(lambda: False)
    vigil.keep(lambda: False)
    assert len(calls) == 1
