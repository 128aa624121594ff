"""How things stand with a process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.errors.defects import Where
from proxy.identity.tokens.state import Snapshot
from proxy.observe.metrics import RequestMetrics

SHOWN = 100
"""Profiles that are shown one by one; a thousand would make every answer a megabyte."""
OTHERS = "(others)"
"""What stands for the rest of them; no profile has such a name."""
STATES = ("fresh", "stale", "ended", "none", "retrying", "login_required", "credential_missing", "failed")


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What is known at one moment."""

    requests: RequestMetrics
    snapshots: tuple[Snapshot, ...]
    """Of every profile, those first that are to be shown."""
    outcomes: Mapping[tuple[str, str], int]
    """As TokenManager has them."""
    connections: int
    """Of callers."""
    in_flight: int
    draining: bool
    lines_dropped: int
    """Log lines that nobody took."""
    defects: Mapping[Where, int]
    """Exceptions that nobody expected, by what was being done."""


@dataclass(frozen=True, slots=True)
class Login:
    """What is told of one profile, or of the worst of many. In seconds, None where there is no token."""

    name: str
    states: frozenset[str]
    age: float | None
    expires_in: float | None


def state_of(snapshot: Snapshot) -> str:
    """One of STATES."""
    return snapshot.state if snapshot.state in STATES else "failed"


def logins(snapshots: tuple[Snapshot, ...], shown: int = SHOWN) -> list[Login]:
    """Profiles one by one as far as there is room, and what is left of them taken together."""
    result = [Login(one.profile, frozenset((state_of(one),)), one.age, one.expires_in) for one in snapshots[:shown]]
    if rest := snapshots[shown:]:
        age = max(_known(one.age for one in rest), default=None)
        expires_in = min(_known(one.expires_in for one in rest), default=None)
        result.append(Login(OTHERS, frozenset(map(state_of, rest)), age, expires_in))
    return result


def by_state(snapshots: Iterable[Snapshot]) -> dict[str, int]:
    """How many profiles are in each state."""
    counts = dict.fromkeys(STATES, 0)
    for snapshot in snapshots:
        counts[state_of(snapshot)] += 1
    return counts


def outcomes(report: ProcessReport, shown: int = SHOWN) -> dict[tuple[str, str], int]:
    """How often sign-ins and renewals ended in what way, by profile as far as there is room."""
    names = {one.profile for one in report.snapshots[:shown]}
    counts: dict[tuple[str, str], int] = {}
    for (name, outcome), count in report.outcomes.items():
        key = (name if name in names else OTHERS, outcome)
        counts[key] = counts.get(key, 0) + count
    return counts


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
