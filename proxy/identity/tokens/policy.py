"""When what was issued is renewed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RenewalPolicy:
    """When a token is renewed and how failures are spaced. Durations in seconds."""

    renew_at: float = 0.8
    """Share of its life after which a token is renewed."""
    jitter: float = 0.05
    """Share of its life by which that is drawn earlier, so that many proxies do not renew in step."""
    margin: float = 30.0
    """A renewal is due at least this long before the end."""
    leeway: float = 5.0
    """A token counts as ended this long before its end: it has a way to go."""
    patient_tries: int = 3
    """After so many failures in a row, those who wait for want of any token hear of it."""
    backoff_base: float = 1.0
    backoff_cap: float = 60.0
    forced_interval: float = 30.0
    """At most one renewal that an upstream's refusal forces within this time."""
    new: float = 5.0
    """One that arrived within this time is new for those who ask for a new token."""
