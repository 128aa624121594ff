"""AWS credentials of the identity pool, and the forms in which AWS's own tools read them.

AWS: "Sourcing credentials with an external process" (AWS CLI User Guide) and "Container credential provider" (AWS SDKs
and Tools Reference Guide).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC

from cachetools import LRUCache

from proxy.identity.issued import AwsCredentials
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.single_flight import Renewable, SingleFlight, Terms

log = logging.getLogger(__name__)

Document = dict[str, str | int]

_MARGIN = 1200.0
"""Seconds before their end from which on credentials are renewed: AWS's tools want new ones 15 minutes before it."""
_MOST = 1024


class AwsKeys:
    """Keeps good credentials for every profile."""

    def __init__(self, obtain: Callable[[str], Awaitable[AwsCredentials]], terms: Terms) -> None:
        """Begin with none. `obtain` fetches those of a profile and raises a CredentialError or IncompatibleLibrary."""
        self._obtain = obtain
        self._policy = replace(terms.policy, margin=max(terms.policy.margin, _MARGIN), patient_tries=1)
        self._flight: SingleFlight[Renewable[AwsCredentials], AwsCredentials] = SingleFlight(
            self._fetch,
            self._report,
            replace(terms, policy=self._policy),
            task="fetching the AWS credentials",
            too_slow="the identity pool did not answer in time",
            log=log,
        )
        self._states: LRUCache[str, Renewable[AwsCredentials]] = LRUCache(_MOST)

    async def get(self, name: str) -> AwsCredentials:
        """Return credentials that are good now; suspends only where there are none. Raises what `obtain` does."""
        state = self._states.get(name)
        if state is None:
            state = self._states[name] = Renewable(name)
        return await self._flight.get(state)

    def forget(self) -> None:
        """Keep nothing: the logins may be other people's now."""
        self._states.clear()

    async def close(self) -> None:
        """End what is under way."""
        await self._flight.close()

    async def _fetch(self, state: Renewable[AwsCredentials]) -> AwsCredentials:
        fetched = await self._obtain(state.name)
        return replace(fetched, renew_after=lifetime.renew_after(fetched.lifetime, 0.0, self._policy))

    def _report(self, state: Renewable[AwsCredentials]) -> None:
        if state.error is not None:
            said = (state.name, state.error.detail, state.error.hint)
            log.warning("no new AWS credentials for profile %s: %s. %s", *said)
        elif state.value is not None:
            log.info("profile %s has AWS credentials good for %d s", state.name, state.value.lifetime)


def process_document(credentials: AwsCredentials) -> Document:
    """Return what a `credential_process` prints."""
    return {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key.get_secret_value(),
        "SessionToken": credentials.session_token.get_secret_value(),
        "Expiration": _expiration(credentials),
    }


def container_document(credentials: AwsCredentials) -> Document:
    """Return what a container credentials endpoint answers."""
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key.get_secret_value(),
        "Token": credentials.session_token.get_secret_value(),
        "Expiration": _expiration(credentials),
    }


def _expiration(credentials: AwsCredentials) -> str:
    return credentials.expiration.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
