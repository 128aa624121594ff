"""The pools' published keys (JWKS, RFC 7517), fetched when a token is signed with one that is not known."""

import json
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from cachetools import TTLCache

from proxy.http.address import Upstream
from proxy.http.client.outbound import choose, url_of
from proxy.http.options import OutboundProxies
from proxy.identity.claims import ClaimsError, UnknownKey, verify
from proxy.identity.profile import CognitoPool
from proxy.model import Clock

log = logging.getLogger(__name__)

KeySet = Mapping[str, Any]

_KEEP = 24 * 3600.0
_PAUSE = 60.0
"""Seconds before keys that could not be fetched are asked for again: meanwhile nobody waits for them."""
_MAX_BYTES = 1 << 20


class KeysUnavailable(ClaimsError):
    """The keys that a token is to be verified with cannot be had for now."""


class KeySets:
    """Verifies tokens against the key sets of their pools."""

    def __init__(self, *, clock: Clock, timeout: float, outbound: OutboundProxies, ca_file: Path | None = None) -> None:
        """`timeout` in seconds is for fetching a whole key set; `ca_file` replaces the system's authorities."""
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._outbound = outbound
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file is not None else True
        self._sets: TTLCache[str, KeySet] = TTLCache(256, _KEEP, timer=lambda: clock.now().monotonic)
        self._missing: TTLCache[str, bool] = TTLCache(256, _PAUSE, timer=lambda: clock.now().monotonic)

    async def verify(self, pool: CognitoPool, id_token: str, access_token: str) -> dict[str, Any]:
        """The claims of the ID token of a sign-in, both tokens checked; raises ClaimsError.

        Where no keys of the pool can be fetched the signatures are left unchecked, with a warning. Where some are
        known, a token that is signed with another one is not believed until they have been fetched anew.
        """
        known = self._sets.get(pool.jwks_url)
        if known is not None:
            try:
                return _verify_both(known, pool, id_token, access_token)
            except UnknownKey:
                log.info("the user pool has new keys")
        keys = await self._fetch(pool)
        if keys is None and known is not None:
            raise KeysUnavailable("the token is signed with a new key, and the user pool's keys cannot be fetched")
        return _verify_both(keys, pool, id_token, access_token)

    async def _fetch(self, pool: CognitoPool) -> KeySet | None:
        """The pool's key set, None where it cannot be fetched; raises KeysUnavailable where it is nonsense."""
        url = pool.jwks_url
        if url in self._missing:
            return None
        try:
            body = await self._get(url)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._missing[url] = True
            then = "" if url in self._sets else ": token signatures go unchecked"
            log.warning("the key set %s cannot be fetched (%s)%s", url, type(error).__name__, then)
            return None
        try:
            keys = json.loads(body)
        except (ValueError, RecursionError):
            keys = None
        if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
            raise KeysUnavailable("the user pool's key set is not one")
        self._sets[url] = keys
        return keys

    async def _get(self, url: str) -> bytes:
        via = choose(self._outbound, Upstream.parse(url))
        # Without trust_env: it would also send what ~/.netrc holds for this host.
        async with (
            aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(
                url, allow_redirects=False, proxy=url_of(via) if via is not None else None, ssl=self._tls
            ) as response,
        ):
            if response.status != 200:  # noqa: PLR2004
                raise aiohttp.ClientPayloadError(f"status {response.status}")
            body = b""
            while len(body) <= _MAX_BYTES and (chunk := await response.content.readany()):
                body += chunk
        return body


def _verify_both(keys: KeySet | None, pool: CognitoPool, id_token: str, access_token: str) -> dict[str, Any]:
    claims = verify(id_token, keys, pool=pool, token_use="id")
    verify(access_token, keys, pool=pool, token_use="access")
    return claims
