"""Judge what came of the interpreters, and tell it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

FEWEST = 3
"""Interpreters that must have been tested, where all that are supported were asked for."""


class State(Enum):
    PASSED = "passed"
    FAILED = "FAILED"
    MISSING = "NOT TESTED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one version."""

    version: str
    state: State
    told: str
    """The tests' own last line, or why there was none."""
    release: str = ""
    where: str = ""
    ran: str = ""

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.where, self.ran and f"({self.ran})")))
        return f"Python {self.release or self.version}: {self.state.value}: {self.told}{where and f'; {where}'}"


def complaints(outcomes: Sequence[Outcome], *, of_the_image: str, all_asked_for: bool) -> list[str]:
    """Why the whole has failed; nothing where it has passed."""
    found = [f"the tests failed on Python {outcome.version}" for outcome in outcomes if outcome.state is State.FAILED]
    tested = {outcome.version for outcome in outcomes if outcome.state is not State.MISSING}
    if not all_asked_for:
        missing = [outcome.version for outcome in outcomes if outcome.version not in tested]
        return found + [f"Python {version} was asked for and is nowhere" for version in missing]
    if len(tested) < FEWEST:
        found.append(f"{len(tested)} of {len(outcomes)} interpreters were tested, and {FEWEST} must be")
    if of_the_image not in tested:
        found.append(f"Python {of_the_image} was not tested, which the Dockerfile names")
    return found


def summary(outcomes: Sequence[Outcome], complaining: Sequence[str]) -> str:
    """A line for each version, and one for the whole."""
    return "\n".join(
        [*map(str, outcomes), "matrix: " + (f"FAILED: {'; '.join(complaining)}" if complaining else "passed")]
    )
