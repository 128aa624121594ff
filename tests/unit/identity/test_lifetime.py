"""When a token is fresh, stale or ended, and how failures are spaced: tables over a clock that is an argument."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from proxy.identity.issued import Token
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.lifetime import TokenState
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.model import Instant, elapsed

POLICY = RenewalPolicy()
ARRIVED = Instant(1000.0, 1_700_000_000.0)
HOUR = 3600.0

lifetimes = st.floats(min_value=0.001, max_value=1e9)
draws = st.floats(min_value=0, max_value=1, exclude_max=True)


def after(monotonic: float, wall: float | None = None) -> Instant:
    """So many seconds after the arrival by each clock."""
    return Instant(ARRIVED.monotonic + monotonic, ARRIVED.wall + (monotonic if wall is None else wall))


def token(seconds: float = HOUR, renew_after: float | None = None) -> Token:
    due = lifetime.renew_after(seconds, 0.0, POLICY) if renew_after is None else renew_after
    secret = SecretStr("token")
    return Token(secret, secret, None, {}, ARRIVED, seconds, due)


@pytest.mark.parametrize(
    ("monotonic", "wall", "seen"),
    [
        pytest.param(10, 10, 10, id="both clocks run"),
        pytest.param(10, 7200, 7200, id="the monotonic clock stood still while the machine slept"),
        pytest.param(10, -3600, 10, id="the wall clock was set back"),
        pytest.param(10, 90000, 90000, id="the wall clock was set forward"),
        pytest.param(0, 0, 0, id="at once"),
    ],
)
def test_elapsed(monotonic: float, wall: float, seen: float) -> None:
    """An age is what the clock that saw more of it says."""
    assert elapsed(ARRIVED, after(monotonic, wall)) == seen


@pytest.mark.parametrize(
    ("seconds", "draw", "due"),
    [
        pytest.param(3600, 0.0, 2880, id="an hour: at 80 %"),
        pytest.param(3600, 0.5, 2790, id="an hour, jittered halfway: earlier"),
        pytest.param(3600, 1.0, 2700, id="an hour, fully jittered: at 75 %"),
        pytest.param(86400, 0.0, 69120, id="a day: at 80 %"),
        pytest.param(300, 0.0, 240, id="five minutes: at 80 %"),
        pytest.param(150, 0.0, 120, id="exactly where 80 % and the margin meet"),
        pytest.param(100, 0.0, 70, id="the margin of 30 s wins"),
        pytest.param(100, 1.0, 70, id="the margin of 30 s wins over jitter that is later"),
        pytest.param(60, 0.0, 30, id="the margin is half of the life"),
        pytest.param(40, 0.0, 20, id="shorter: the margin gives way at half of the life"),
        pytest.param(5, 0.0, 2.5, id="five seconds: half"),
    ],
)
def test_renew_after(seconds: float, draw: float, due: float) -> None:
    """A renewal is due at 80 % of the life, jittered earlier, and 30 s before the end at the latest."""
    assert lifetime.renew_after(seconds, draw, POLICY) == pytest.approx(due)


@pytest.mark.parametrize(
    ("seconds", "good"),
    [
        pytest.param(3600, 3595, id="an hour: 5 s of leeway"),
        pytest.param(50, 45, id="where the leeway begins to give way"),
        pytest.param(20, 18, id="short: a tenth"),
        pytest.param(1, 0.9, id="a second: a tenth"),
    ],
)
def test_usable(seconds: float, good: float) -> None:
    """A token is not sent in the last seconds of its life, since it has a way to go."""
    assert lifetime.usable(seconds, POLICY) == pytest.approx(good)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(after(0), TokenState.FRESH, id="arrived"),
        pytest.param(after(2879.9), TokenState.FRESH, id="just before renewal is due"),
        pytest.param(after(2880), TokenState.STALE, id="renewal is due"),
        pytest.param(after(3594.9), TokenState.STALE, id="just before the end"),
        pytest.param(after(3595), TokenState.ENDED, id="the end, less the leeway"),
        pytest.param(after(4000), TokenState.ENDED, id="long after"),
        pytest.param(after(60, 4000), TokenState.ENDED, id="slept through its end"),
        pytest.param(after(60, 3000), TokenState.STALE, id="slept past its renewal"),
        pytest.param(after(4000, -90000), TokenState.ENDED, id="ended, and the wall clock was set back"),
        pytest.param(after(60, -90000), TokenState.STALE, id="fresh, but the wall clock was set back: nobody knows"),
        pytest.param(after(2000, 1941), TokenState.FRESH, id="the wall clock is slewed"),
        pytest.param(after(-5, -5), TokenState.FRESH, id="both clocks were set back"),
    ],
)
def test_state(now: Instant, expected: TokenState) -> None:
    """A token of an hour is fresh, then stale, then ended, whatever either clock does on its own."""
    assert lifetime.state(token(), now, POLICY) is expected


def test_state_keeps_the_drawn_moment() -> None:
    """The jitter is drawn once, as the token arrives: a later look does not draw again."""
    early = token(renew_after=100.0)
    assert lifetime.state(early, after(99), POLICY) is TokenState.FRESH
    assert lifetime.state(early, after(100), POLICY) is TokenState.STALE


@given(lifetimes, draws)
def test_every_life_has_all_three_states(seconds: float, draw: float) -> None:
    """However short its life, a token is fresh for a while and stale before it ends."""
    due, good = lifetime.renew_after(seconds, draw, POLICY), lifetime.usable(seconds, POLICY)
    assert 0 < due < good < seconds


@given(lifetimes, draws)
def test_renewal_keeps_its_margin(seconds: float, draw: float) -> None:
    """A renewal begins at least 30 s before the end, or at half of a life too short for that."""
    due = lifetime.renew_after(seconds, draw, POLICY)
    assert due <= max(seconds - POLICY.margin, seconds / 2)


@given(lifetimes, draws, st.floats(0, 1e9), st.floats(0, 1e9))
def test_age_never_refreshes(seconds: float, draw: float, earlier: float, later: float) -> None:
    """A token never becomes better with time."""
    order = [TokenState.FRESH, TokenState.STALE, TokenState.ENDED]
    earlier, later = sorted((earlier, later))
    subject = token(seconds, lifetime.renew_after(seconds, draw, POLICY))
    states = [lifetime.state(subject, after(age), POLICY) for age in (earlier, later)]
    assert order.index(states[0]) <= order.index(states[1])


@pytest.mark.parametrize(
    ("failures", "draw", "pause"),
    [
        (1, 0.0, 1),
        (1, 1.0, 2),
        (2, 0.0, 1),
        (2, 0.5, 2.5),
        (2, 1.0, 4),
        (5, 1.0, 32),
        (6, 1.0, 60),
        (7, 0.5, 30.5),
        (100, 1.0, 60),
        (10_000, 1.0, 60),
        (10**9, 0.0, 1),
    ],
)
def test_backoff(failures: int, draw: float, pause: float) -> None:
    """Pauses are drawn up to a ceiling that doubles from failure to failure, between 1 s and 60 s."""
    assert lifetime.backoff(failures, draw, POLICY) == pytest.approx(pause)


@given(st.integers(min_value=1, max_value=10**6), draws)
def test_backoff_bounds(failures: int, draw: float) -> None:
    """No pause is shorter than 1 s, none longer than 60 s."""
    assert POLICY.backoff_base <= lifetime.backoff(failures, draw, POLICY) <= POLICY.backoff_cap
