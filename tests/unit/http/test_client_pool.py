"""Which connection a request gets: the pool, with connections that are only pretended and clocks that are set."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy.http.client.pool import MAX_AGE, MAX_IDLE, MOST_RESTING, REST, ConnectionPool
from proxy.model import Instant

if TYPE_CHECKING:
    import asyncio

    from proxy.http.client.connection import UpstreamConnection

ORIGIN, OTHER = "https://a", "https://b"


@dataclass(eq=False)
class Pretended:
    """A connection."""

    made: float
    origin: str
    allowance: float = math.inf
    deadline: float = math.inf
    idle_since: float = 0.0
    idle_until: float = 0.0
    rests: bool = False
    usable: bool = True
    input: bool = False
    calls: list[str] = field(default_factory=list)

    def has_input(self) -> bool:
        self.calls.append("asked")
        return self.input

    def abort(self) -> None:
        self.usable = False
        self.calls.append("abort")

    def check(self, now: float, silence: float) -> None:
        if self.deadline <= now:
            self.calls.append(f"late, silent after {silence:g} s")
            self.abort()


class Trial:
    """A pool, and the time."""

    def __init__(self) -> None:
        self.passed = 1000.0
        self.slept = 0.0
        self.wall = 0.0
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self.pool = ConnectionPool(cast("asyncio.AbstractEventLoop", self), self.now, silence=20.0)

    def now(self) -> Instant:
        monotonic = self.passed + self.slept
        return Instant(monotonic, monotonic + self.wall)

    # The event loop.

    def time(self) -> float:
        return self.passed

    def call_later(self, delay: float, call: Callable[..., None], *arguments: Any) -> None:
        self._timers.append((self.passed + delay, lambda: call(*arguments)))

    # What a test does.

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        due = [timer for timer in self._timers if timer[0] <= self.passed]
        self._timers = [timer for timer in self._timers if timer not in due]
        for _, call in due:
            call()

    def look(self) -> None:
        """What the transport does now and then."""
        self.pool.check(self.passed)

    def new(self, origin: str = ORIGIN, **facts: Any) -> Pretended:
        """A connection that carries a request."""
        made = Pretended(self.passed, origin, **facts)
        self.pool.add(real(made))
        return made

    def put(self, connection: Pretended, *, rests: bool = False) -> Pretended:
        """Its answer has been read to its end."""
        self.pool.put(real(connection), rests=rests)
        return connection

    def idle(self, origin: str = ORIGIN, **facts: Any) -> Pretended:
        return self.put(self.new(origin, **facts))

    def resting(self, origin: str = ORIGIN) -> Pretended:
        return self.put(self.new(origin), rests=True)

    def take(self, *, repeatable: bool = True, origin: str = ORIGIN) -> "UpstreamConnection | None":
        return self.pool.take(origin, repeatable=repeatable)


def real(connection: Pretended) -> "UpstreamConnection":
    return cast("UpstreamConnection", connection)


def test_the_one_that_was_used_last_comes_first() -> None:
    """Of an origin's connections, and of no other origin's."""
    trial = Trial()
    first, last = trial.idle(), trial.idle()
    trial.idle(OTHER)
    assert [trial.take(), trial.take(), trial.take()] == [real(last), real(first), None]


@pytest.mark.parametrize(
    ("repeatable", "idle", "asked"), [(True, 0.05, False), (True, 0.2, True), (False, 0.05, True), (False, 0.2, True)]
)
def test_the_socket_is_asked(repeatable: bool, idle: float, asked: bool) -> None:
    """Unless the connection was in use a moment ago, and the request can be sent again."""
    trial = Trial()
    connection = trial.idle()
    trial.wait(idle)
    assert trial.take(repeatable=repeatable) is real(connection)
    assert ("asked" in connection.calls) is asked


@pytest.mark.parametrize("facts", [{"input": True}, {"usable": False}])
def test_those_that_are_of_no_use_are_passed_over(facts: dict[str, bool]) -> None:
    """One that has something to read, or ends, makes way for the next."""
    trial = Trial()
    good, bad = trial.idle(), trial.idle()
    for name, value in facts.items():
        setattr(bad, name, value)
    assert trial.take(repeatable=False) is real(good)


@pytest.mark.parametrize(
    ("allowance", "kept"),
    [
        (math.inf, MAX_IDLE),
        (60.0, MAX_IDLE),
        (31.0, 30.0),
        (30.0, 29.0),
        (5.0, 4.0),
        (1.0, 0.5),
        (0.2, 0.1),
        (0.0, 0.0),
    ],
)
@pytest.mark.parametrize("look", [True, False])
def test_how_long_a_connection_is_idle(allowance: float, kept: float, look: bool) -> None:
    """No longer than the upstream keeps it, with time for a request to get there, and never longer than 30 s."""
    trial = Trial()
    connection = trial.idle(allowance=allowance)
    if kept:
        trial.wait(kept - 0.01)
        trial.look()
        assert trial.take() is real(connection)
        trial.put(connection)
        trial.wait(kept + 0.01)
    if look:
        trial.look()
        assert not connection.usable
    assert trial.take() is None
    assert not connection.usable


def test_the_greatest_age_of_a_connection() -> None:
    """However busy it is, it is replaced after an hour, in which the name may have moved."""
    trial = Trial()
    connection = trial.idle()
    for _ in range(int(MAX_AGE) // 10 - 1):
        trial.wait(10)
        trial.look()
        assert trial.take() is real(connection)
        trial.put(connection)
    trial.wait(9)
    assert trial.take() is real(connection)
    trial.wait(2)
    trial.put(connection)
    assert not connection.usable
    assert trial.take() is None


def test_one_that_rests() -> None:
    """Behind an answer without content it is left alone for a while, and then used like any other."""
    trial = Trial()
    resting = trial.resting()
    trial.wait(REST - 0.01)
    assert trial.take() is None
    trial.wait(0.02)
    assert trial.take() is real(resting)


@pytest.mark.parametrize("facts", [{"input": True}, {"usable": False}])
def test_one_that_rested_and_is_of_no_use(facts: dict[str, bool]) -> None:
    """What has come meanwhile, or its end, closes it."""
    trial = Trial()
    resting = trial.resting()
    for name, value in facts.items():
        setattr(resting, name, value)
    trial.wait(REST + 0.01)
    assert trial.take() is None
    assert not resting.usable


def test_one_that_is_lost_while_it_rests() -> None:
    """It does not come back."""
    trial = Trial()
    resting = trial.resting()
    trial.pool.lost(real(resting), silently=False)
    trial.wait(REST + 0.01)
    assert trial.take() is None
    assert resting.calls == []


def test_only_so_many_rest() -> None:
    """Those beyond are closed: each takes a file descriptor."""
    trial = Trial()
    resting = [trial.resting() for _ in range(MOST_RESTING + 1)]
    assert [connection.usable for connection in resting] == [True] * MOST_RESTING + [False]


@pytest.mark.parametrize("rested", [False, True])
def test_an_origin_that_sends_content_where_there_is_none(rested: bool) -> None:
    """Once it has, its connections are closed after such answers for an hour, and those that wait at once."""
    trial = Trial()
    idle, guilty, other = trial.idle(), trial.resting(), trial.resting(OTHER)
    trial.wait(REST + 0.01 if rested else 0.01)
    guilty.abort()
    trial.pool.spoke(real(guilty))
    trial.pool.lost(real(guilty), silently=False)
    assert not idle.usable
    assert other.usable
    assert not trial.resting().usable
    assert trial.idle().usable
    assert trial.resting(OTHER).usable
    trial.wait(3601)
    assert trial.resting().usable


def test_a_parting_word() -> None:
    """What comes on a connection whose last answer had content, such as 408, has no consequences for others."""
    trial = Trial()
    idle = trial.idle()
    idle.abort()
    trial.pool.spoke(real(idle))
    assert trial.resting().usable


def test_one_that_dies_silently() -> None:
    """It takes along those of its origin that wait: what has cut it off has cut off them. Others go on."""
    trial = Trial()
    dead, busy, idle, resting = trial.new(), trial.new(), trial.idle(), trial.resting()
    elsewhere = trial.idle(OTHER), trial.resting(OTHER)
    trial.pool.lost(real(dead), silently=True)
    assert not any(connection.usable for connection in (idle, resting))
    assert busy.usable
    assert all(connection.usable for connection in elsewhere)
    assert trial.take() is None


def test_one_that_ends() -> None:
    """It drops no other connection."""
    trial = Trial()
    ended, idle = trial.idle(), trial.idle()
    trial.pool.lost(real(ended), silently=False)
    assert [trial.take(), trial.take()] == [real(idle), None]


@pytest.mark.parametrize("clock", ["slept", "wall"])
@pytest.mark.parametrize("look", [True, False])
def test_a_machine_that_slept(clock: str, look: bool) -> None:
    """No connection that waited is used any more: the other end may have forgotten it. One under way may go on."""
    trial = Trial()
    busy, idle, resting, other = trial.new(), trial.idle(), trial.resting(), trial.idle(OTHER)
    trial.wait(0.2)
    setattr(trial, clock, 60.0)
    if look:
        trial.look()
    assert trial.take() is None
    assert not any(connection.usable for connection in (idle, resting, other))
    assert busy.usable
    later = trial.idle()
    trial.wait(0.2)
    trial.look()
    assert trial.take() is real(later)


def test_clocks_that_are_set_back_or_slewed() -> None:
    """That is no sleep."""
    trial = Trial()
    idle = trial.idle()
    for change in (-3600.0, 1.0, 4.0):
        trial.wait(1)
        trial.wall += change
        trial.look()
    assert trial.take() is real(idle)


def test_deadlines() -> None:
    """What is late is given up, and nothing else."""
    trial = Trial()
    late, early = trial.new(deadline=1001.0), trial.new(deadline=1002.0)
    trial.wait(1)
    trial.look()
    assert (late.calls, early.calls) == (["late, silent after 20 s", "abort"], [])


def test_the_end() -> None:
    """All are closed, whatever they do, but for those that were lost, or were never good for anything."""
    trial = Trial()
    left = [trial.new(), trial.idle(), trial.resting(), trial.new(OTHER)]
    lost, useless = trial.new(), trial.new(usable=False)
    trial.pool.lost(real(lost), silently=False)
    trial.pool.close()
    assert not any(connection.usable for connection in left)
    assert lost.calls == useless.calls == []
