"""What host names mean (RFC 1035), asked once for all who want to know at the same time."""

import asyncio
import socket
from typing import Any

_MEMORY = 5.0
"""Seconds; a crowd of new connections asks once, a change of the name's addresses is noticed soon."""


class Names:
    """Looks up addresses, as `getaddrinfo` returns them."""

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], tuple[float, asyncio.Task[list[Any]]]] = {}

    async def addresses(self, host: str, port: int) -> list[Any]:
        """The addresses of `host`; raises OSError or UnicodeError."""
        loop = asyncio.get_running_loop()
        began, lookup = self._lookups.get((host, port), (0.0, None))
        if lookup is None or loop.time() - began > _MEMORY:
            lookup = loop.create_task(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            lookup.add_done_callback(lambda done: self._forget_failure((host, port), done))
            self._lookups[host, port] = loop.time(), lookup
        # Who gives up takes nobody else's answer away.
        return await asyncio.shield(lookup)

    def forget(self, host: str, port: int) -> None:
        """None of the addresses answered: ask again next time."""
        self._lookups.pop((host, port), None)

    def _forget_failure(self, name: tuple[str, int], lookup: "asyncio.Task[list[Any]]") -> None:
        if lookup.cancelled() or lookup.exception() is not None:
            self.forget(*name)
