"""An aiohttp application on a socket, for as long as a block runs."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from proxy.http.address import bracketed

_SHUTDOWN = 1.0
"""Seconds that answers under way get once the server is told to stop."""


@asynccontextmanager
async def running(
    app: web.Application,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tls: ssl.SSLContext | None = None,
    release: Callable[[], None] | None = None,
) -> AsyncIterator[str]:
    """Serve `app` on `host` and `port` (0 picks one) inside the block; yields its base URL without a trailing slash.

    `release` is called before the server stops, to let go of answers that are being held.
    """
    # A peer that hangs up ends its handler, and bodies are counted as they came: both are what a real service does.
    runner = web.AppRunner(
        app, access_log=None, auto_decompress=False, handler_cancellation=True, shutdown_timeout=_SHUTDOWN
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        bound_port = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://{bracketed(host)}:{bound_port}"
    finally:
        if release is not None:
            release()
        await runner.cleanup()
