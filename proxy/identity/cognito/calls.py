"""Cognito's operations as coroutines. The SDK behind them is loaded when the first one is called."""

import asyncio
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.errors import coupling
from proxy.http.options import OutboundProxies
from proxy.identity.cognito.endpoints import Endpoint

if TYPE_CHECKING:
    from proxy.identity.cognito.sdk import Sdk


class Calls:
    """The way to both services."""

    def __init__(self, *, timeout: float, outbound: OutboundProxies, ca_file: Path | None) -> None:
        """`timeout` in seconds is for each call, from connecting to the end of its answer."""
        self._timeout = timeout
        self._outbound = outbound
        self._ca_file = ca_file
        self._sdk: Sdk | None = None

    async def call(self, endpoint: Endpoint, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The answer of one operation; raises Refused for an error answer, SignInFailed where there was none.

        Raises IncompatibleLibrary, before anything is sent, where the SDK is not one that is known.
        """
        if self._sdk is None:
            # Not on the event loop, which serves already.
            module = await asyncio.to_thread(_load)
            self._sdk = self._sdk or module.Sdk(timeout=self._timeout, outbound=self._outbound, ca_file=self._ca_file)
        return await self._sdk.call(endpoint, operation, parameters)

    async def close(self) -> None:
        if self._sdk is not None:
            await self._sdk.close()


def _load() -> Any:
    coupling.check(coupling.Part.SDK)
    return importlib.import_module("proxy.identity.cognito.sdk")
