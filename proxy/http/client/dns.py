"""Look up host names (RFC 1035), once for all requests that need one at the same time.

| what is known of a name | what is returned |
|---|---|
| addresses that came within the last 5 s | those |
| older addresses, of the last hour | what a new lookup finds; where it fails or takes longer than 1 s, the older ones |
| nothing | what a new lookup finds, or its error |
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from socket import getaddrinfo
from typing import Any, TypeAlias

from proxy.http.client.faults import reason
from proxy.http.client.threads import in_thread

log = logging.getLogger(__name__)

Address: TypeAlias = tuple[int, int, int, str, Any]
"""As `getaddrinfo` returns them: family, type, protocol, canonical name, address."""
Resolve: TypeAlias = Callable[..., list[Any]]

_FRESH = 5.0
"""Seconds; many new connections share a lookup, and a change of the name's addresses is noticed soon."""
_KNOWN = 3600.0
"""Seconds for which addresses are used that no lookup has confirmed since."""
_PATIENCE = 1.0
"""Seconds that a lookup may take where addresses are known (RFC 8767 section 5 has 1.8)."""
_FAVOUR = 600.0
"""Seconds for which the address family that answered is tried first."""
_AT_A_TIME = 32
"""Lookups, each in a thread."""


class _Name:
    """Holds what is known of a name."""

    def __init__(self) -> None:
        self.lookup: asyncio.Task[list[Address]] | None = None
        self.asked = 0.0
        self.addresses: list[Address] = []
        self.found = 0.0
        self.failing = False
        self.favourite: int | None = None
        self.favoured_until = 0.0

    def in_order(self, addresses: list[Address], now: float) -> list[Address]:
        """Sort addresses into the order in which to try them."""
        favourite = self.favourite if now < self.favoured_until else None
        if favourite is None:
            return addresses
        return sorted(addresses, key=lambda address: address[0] != favourite)


class Names:
    """Looks up addresses."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        """`resolve` takes the place of `socket.getaddrinfo`; it is called in a thread."""
        self._resolve = resolve
        self._names: dict[tuple[str, int], _Name] = {}
        self._lookups = asyncio.Semaphore(_AT_A_TIME)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Find the addresses of `host`, in the order in which to try them; raises OSError or UnicodeError."""
        name = self._names.get((host, port))
        if name is None:
            name = self._names[host, port] = _Name()
        loop = asyncio.get_running_loop()
        now = loop.time()
        # `name.lookup` is put in no variable: its error refers to this frame, and such a circle is not freed.
        if name.lookup is None or (name.lookup.done() and now - name.asked > _FRESH):
            name.asked = now
            name.lookup = loop.create_task(self._look_up(host, port, name))
            name.lookup.add_done_callback(_retrieve)
        if not name.addresses or now - name.found > _KNOWN:
            # A request that is given up does not cancel the lookup of the others.
            return name.in_order(await asyncio.shield(name.lookup), now)
        if name.lookup.done():
            return name.in_order(name.addresses, now)
        try:
            async with asyncio.timeout_at(name.asked + _PATIENCE):
                await asyncio.shield(name.lookup)
        except (OSError, UnicodeError) as error:
            if not name.failing:
                name.failing = True
                log.warning("%s cannot be looked up (%s): its last addresses are used", host, reason(error))
        return name.in_order(name.addresses, now)

    def forget(self, host: str, port: int, since: float) -> None:
        """Look up again next time: what `addresses` returned at `since`, by the loop's clock, could not be reached."""
        name = self._names.get((host, port))
        if name is not None and name.lookup is not None and name.lookup.done() and name.asked <= since:
            name.lookup = None

    def prefer(self, host: str, port: int, family: int) -> None:
        """Try addresses of `family` first for a while, one of which has answered."""
        name = self._names.get((host, port))
        if name is None or not name.addresses:
            return
        now = asyncio.get_running_loop().time()
        if name.addresses[0][0] == family:
            name.favourite = None
        elif name.favourite != family or now >= name.favoured_until:
            # Not for longer each time: one day the other family works again.
            name.favourite, name.favoured_until = family, now + _FAVOUR

    async def _look_up(self, host: str, port: int, name: _Name) -> list[Address]:
        try:
            found = await self._ask(host, port)
        except BaseException:
            name.lookup = None
            raise
        if name.failing:
            name.failing = False
            log.info("%s can be looked up again", host)
        name.addresses, name.found = found, asyncio.get_running_loop().time()
        return found

    async def _ask(self, host: str, port: int) -> list[Address]:
        resolve: Resolve = self._resolve or getaddrinfo
        if _is_address(host):
            return resolve(host, port, type=socket.SOCK_STREAM)
        async with self._lookups:
            return await in_thread(lambda: resolve(host, port, type=socket.SOCK_STREAM), f"looking up {host}")


def _retrieve(lookup: "asyncio.Task[list[Address]]") -> None:
    """Take the error of a lookup, which is else complained of when all requests that wanted it have gone."""
    if not lookup.cancelled():
        lookup.exception()


def _is_address(host: str) -> bool:
    """Return whether it needs no lookup."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):  # a ValueError is about a NUL, a UnicodeError about what is not ASCII
            continue
        return True
    return False
