"""When a token, or AWS key, is good, due for renewal or ended, and how long to wait after a failure.

All durations are in seconds. `now` and random draws (uniform in [0, 1)) are arguments.
"""

from enum import Enum, auto

from proxy.identity.issued import Issued
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.model import Instant, elapsed

_MAX_LEEWAY_SHARE = 0.1
_SET_BACK = 60.0
"""Seconds by which the wall clock may fall behind the monotonic one unremarked: it is slewed, and tokens live a day."""


class TokenState(Enum):
    FRESH = auto()
    STALE = auto()
    """Good, but a renewal is due."""
    ENDED = auto()
    """Must not be sent any more."""


def renew_after(lifetime: float, draw: float, policy: RenewalPolicy) -> float:
    """Return the seconds after its arrival from which on a token of that lifetime is due for renewal.

    The margin before the end gives way for lifetimes so short that it would leave nothing to use.
    """
    share = lifetime * (policy.renew_at - policy.jitter * draw)
    return min(share, max(lifetime - policy.margin, lifetime / 2))


def usable(lifetime: float, policy: RenewalPolicy) -> float:
    """Return the seconds after its arrival for which a token of that lifetime may be sent."""
    return lifetime - min(policy.leeway, lifetime * _MAX_LEEWAY_SHARE)


def is_fresh(token: Issued, now: Instant) -> bool:
    """Return whether `token` is good at `now` and not due for renewal."""
    monotonic, wall = now.monotonic - token.arrived.monotonic, now.wall - token.arrived.wall
    return monotonic < token.renew_after and monotonic - _SET_BACK < wall < token.renew_after


def is_trusted(token: Issued, now: Instant) -> bool:
    """Return whether the age of `token` is known.

    It is not once the wall clock was set back: the machine may have slept before that, which neither clock shows.
    """
    return now.monotonic - token.arrived.monotonic - _SET_BACK < now.wall - token.arrived.wall


def state(token: Issued, now: Instant, policy: RenewalPolicy) -> TokenState:
    """Return what `token` is good for at `now`."""
    age = elapsed(token.arrived, now)
    if is_fresh(token, now):
        return TokenState.FRESH
    return TokenState.STALE if age < usable(token.lifetime, policy) else TokenState.ENDED


def backoff(failures: int, draw: float, policy: RenewalPolicy) -> float:
    """Return how long to wait after the `failures`-th failure in a row: full jitter up to a doubling ceiling."""
    exponent = min(failures, 32)
    ceiling = min(policy.backoff_cap, policy.backoff_base * 2.0**exponent)
    return policy.backoff_base + draw * (ceiling - policy.backoff_base)
