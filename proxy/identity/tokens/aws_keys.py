"""AWS credentials of the identity pool: kept while they are good, and in the forms that AWS's own tools read.

AWS: "Sourcing credentials with an external process" (AWS CLI User Guide) and "Container credential provider" (AWS SDKs
and Tools Reference Guide).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC

from cachetools import LRUCache

from proxy.errors import InternalError, ProxyError, SignInFailed, SignInTimeout
from proxy.errors.defects import Defects, Where
from proxy.identity.issued import AwsCredentials
from proxy.identity.renewal_policy import RenewalPolicy
from proxy.identity.tokens import lifetime
from proxy.model import Clock, Instant, elapsed

log = logging.getLogger(__name__)

Document = dict[str, str | int]

_MARGIN = 1200.0
"""Seconds before their end from which on credentials are renewed: AWS's tools want new ones 15 minutes before it."""
_MOST = 1024
_NEVER = Instant(0.0, 0.0)


@dataclass(slots=True)
class _Slot:
    """What is known of one profile."""

    credentials: AwsCredentials | None = None
    flight: asyncio.Task[AwsCredentials | ProxyError] | None = None
    failures: int = 0
    failed_at: Instant = _NEVER
    pause: float = 0.0
    """Seconds after `failed_at` before the next try."""
    error: ProxyError | None = None


class AwsKeys:
    """Good credentials for every profile, whoever wants them: one flight a profile fetches them, ahead of their end."""

    def __init__(
        self,
        obtain: Callable[[str], Awaitable[AwsCredentials]],
        *,
        clock: Clock,
        draw: Callable[[], float],
        policy: RenewalPolicy,
        patience: float,
        defects: Defects | None = None,
    ) -> None:
        """`obtain` fetches those of a profile and raises a CredentialError or IncompatibleLibrary.

        `draw` returns uniform randoms in [0, 1); `patience` is how many seconds a caller waits. `defects` is
        told of exceptions that nobody expected.
        """
        self._defects = defects or Defects()
        self._obtain = obtain
        self._clock = clock
        self._draw = draw
        self._policy = replace(policy, margin=max(policy.margin, _MARGIN))
        self._patience = patience
        self._slots: LRUCache[str, _Slot] = LRUCache(_MOST)
        self._flights: set[asyncio.Task[AwsCredentials | ProxyError]] = set()

    async def get(self, name: str) -> AwsCredentials:
        """Credentials of a profile that are good now; suspends only where there are none. Raises what `obtain` does."""
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = _Slot()
        now = self._clock.now()
        kept = slot.credentials
        age = elapsed(kept.arrived, now) if kept else 0.0
        if kept is not None and age < lifetime.renew_after(kept.lifetime, 0.0, self._policy):
            return kept
        refusal = self._refusal(slot, now)
        if slot.flight is None and refusal is None:
            self._take_off(name, slot)
        if kept is not None and age < lifetime.usable(kept.lifetime, self._policy):
            return kept
        if slot.flight is None and refusal is not None:
            raise refusal
        return await self._landed(slot.flight or self._take_off(name, slot))

    def forget(self) -> None:
        """Keep nothing: the logins may be other people's now."""
        self._slots.clear()

    async def close(self) -> None:
        """End all flights."""
        flights = tuple(self._flights)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _landed(self, flight: asyncio.Task[AwsCredentials | ProxyError]) -> AwsCredentials:
        try:
            async with asyncio.timeout(self._patience):
                outcome = await asyncio.shield(flight)
        except TimeoutError:
            raise SignInTimeout("the identity pool did not answer in time", retry_after=self._patience) from None
        if isinstance(outcome, ProxyError):
            raise _told(outcome, outcome.retry_after)
        return outcome

    def _refusal(self, slot: _Slot, now: Instant) -> ProxyError | None:
        """Why nothing is fetched now."""
        rest = slot.pause - elapsed(slot.failed_at, now)
        if slot.error is None or rest <= 0:
            return None
        return _told(slot.error, rest)

    def _take_off(self, name: str, slot: _Slot) -> "asyncio.Task[AwsCredentials | ProxyError]":
        slot.flight = asyncio.create_task(self._fly(name, slot), name=f"AWS credentials of profile {name}")
        self._flights.add(slot.flight)
        slot.flight.add_done_callback(self._flights.discard)
        return slot.flight

    async def _fly(self, name: str, slot: _Slot) -> AwsCredentials | ProxyError:
        try:
            slot.credentials = await self._obtain(name)
        except ProxyError as error:
            return self._failed(name, slot, error)
        except Exception:  # a defect must not be met again at every call
            log.exception("fetching the AWS credentials of profile %s met a defect", name)
            self._defects.met(Where.RENEWING)
            defect = SignInFailed("fetching the AWS credentials met a defect", hint=InternalError.default_hint)
            return self._failed(name, slot, defect)
        finally:
            slot.flight = None
        slot.failures, slot.error = 0, None
        log.info("profile %s has AWS credentials good for %d s", name, slot.credentials.lifetime)
        return slot.credentials

    def _failed(self, name: str, slot: _Slot, error: ProxyError) -> ProxyError:
        slot.failures += 1
        slot.failed_at = self._clock.now()
        slot.pause = max(lifetime.backoff(slot.failures, self._draw(), self._policy), error.retry_after or 0.0)
        slot.error = error
        log.warning("no new AWS credentials for profile %s: %s. %s", name, error.detail, error.hint)
        return _told(error, slot.pause)


def _told(error: ProxyError, retry_after: float | None) -> ProxyError:
    """The same failure for whoever meets it next, with when to try again, if that can help."""
    return error.again(retry_after if error.transient else None)


def process_document(credentials: AwsCredentials) -> Document:
    """What a `credential_process` prints."""
    return {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key.get_secret_value(),
        "SessionToken": credentials.session_token.get_secret_value(),
        "Expiration": _expiration(credentials),
    }


def container_document(credentials: AwsCredentials) -> Document:
    """What a container credentials endpoint answers."""
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key.get_secret_value(),
        "Token": credentials.session_token.get_secret_value(),
        "Expiration": _expiration(credentials),
    }


def _expiration(credentials: AwsCredentials) -> str:
    return credentials.expiration.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
