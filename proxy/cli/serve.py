"""`ul-proxy serve`: run the proxy until a signal ends it."""

import asyncio
import logging
import signal
from collections.abc import Mapping
from typing import Any

from proxy import logs
from proxy.app import App
from proxy.banner import banner
from proxy.model import ServeOptions
from proxy.settings import Loaded, load, serve_options

log = logging.getLogger(__name__)


def run(flags: Mapping[str, Any], config: str | None) -> int:
    loaded = load(flags, config)
    log_format = start_logging(loaded)
    asyncio.run(_serve(serve_options(loaded.settings, loaded.outbound), log_format))
    return 0


def start_logging(loaded: Loaded) -> str:
    """Configure logging as the settings say and return the format that was chosen."""
    settings = loaded.settings
    log_format = logs.configure(settings.log_format, settings.log_level, access_log=settings.access_log)
    for warning in loaded.warnings:
        log.warning(warning)
    return log_format


async def _serve(options: ServeOptions, log_format: str) -> None:
    async with App(options) as app:
        stop = catch_signals(app)
        if log_format == "text":
            print(banner(app.urls, options.profile, app.routes.routes), flush=True)
        else:
            log.info("listening", extra={"fields": {"urls": app.urls, "username": options.profile.username}})
        await stop.wait()


def catch_signals(app: App) -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; from then on, a second signal ends the draining at once.

    To be called before anybody hears that the proxy listens: who waits for that may signal the next moment.
    """
    stop = asyncio.Event()

    def signalled(name: str) -> None:
        if stop.is_set():
            app.hurry()
        else:
            log.info("%s: draining", name)
            stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled, number.name)
    return stop
