"""The short form of `make soak`: hours in seconds, with trouble on both sides, and nothing is left over."""

import pytest
from support.environment import guarded_environment

from bench.soak import soak

SECONDS, HOURS = 8.0, 1.6


@pytest.mark.timeout(180)
async def test_nothing_is_left_over() -> None:
    """Renewals, faults and rude callers cost neither file descriptors nor tasks nor objects, and no answer is wrong."""
    outcome = await soak(seconds=SECONDS, hours=HOURS, callers=8, seed=3, env=guarded_environment())
    assert outcome.complaints(trends=False) == []
    # It has been through something.
    assert outcome.seen["200"] > 50
    assert outcome.seen["502"] + outcome.seen["504"] > 0
    assert outcome.calls["GetTokensFromRefreshToken"] + outcome.calls["InitiateAuth"] > 3
    assert len(outcome.samples) > 5
