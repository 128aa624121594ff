"""The pools' published keys (JWKS, RFC 7517), fetched when a token is signed with one that is not known."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import aiohttp
from cachetools import TTLCache

from proxy.claims import ClaimsError, UnknownKey, verify
from proxy.model import Clock, Pool

log = logging.getLogger(__name__)

_KEEP = 24 * 3600.0
_MAX_BYTES = 1 << 20


class KeySets:
    """Verifies tokens against the key sets of their pools."""

    def __init__(self, *, clock: Clock, timeout: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._sets: TTLCache[str, Mapping[str, Any]] = TTLCache(256, _KEEP, timer=lambda: clock.now().monotonic)

    async def verify(self, token: str, pool: Pool, token_use: str) -> dict[str, Any]:
        """The token's claims; raises ClaimsError. Keys that cannot be fetched leave the signature unchecked."""
        known = self._sets.get(pool.jwks_url)
        if known is not None:
            try:
                return verify(token, known, pool=pool, token_use=token_use)
            except UnknownKey:
                log.info("the user pool has new keys")
        return verify(token, await self._fetch(pool), pool=pool, token_use=token_use)

    async def _fetch(self, pool: Pool) -> Mapping[str, Any] | None:
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, trust_env=True) as session,
                session.get(pool.jwks_url, allow_redirects=False) as response,
            ):
                response.raise_for_status()
                keys = json.loads(await response.content.read(_MAX_BYTES))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning(
                "the key set %s cannot be fetched (%s): token signatures go unchecked",
                pool.jwks_url,
                type(error).__name__,
            )
            return None
        if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
            raise ClaimsError("the user pool's key set has no keys")
        self._sets[pool.jwks_url] = keys
        return keys
