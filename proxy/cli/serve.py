"""`ul-proxy serve`: run the proxy until a signal ends it."""

import asyncio
import importlib
import logging
import signal
from collections.abc import Coroutine, Mapping
from typing import Any

from proxy import logs
from proxy.app import App
from proxy.banner import banner
from proxy.logs import AccessLog
from proxy.model import ServeOptions
from proxy.settings import Loaded, load, serve_options

log = logging.getLogger(__name__)


def run(flags: Mapping[str, Any], config: str | None) -> int:
    loaded = load(flags, config)
    log_format, access = start_logging(loaded)
    run_in_loop(_serve(serve_options(loaded.settings, loaded.outbound), log_format, access))
    return 0


def start_logging(loaded: Loaded) -> tuple[str, AccessLog | None]:
    """Configure logging as the settings say; the format that was chosen, and the access log where there is one."""
    settings = loaded.settings
    log_format = logs.configure(settings.log_format, settings.log_level)
    for warning in loaded.warnings:
        log.warning(warning)
    return log_format, logs.access_log(log_format, settings.log_level, enabled=settings.access_log)


def run_in_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop where it is installed, else on asyncio's own loop."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


async def _serve(options: ServeOptions, log_format: str, access: AccessLog | None) -> None:
    async with App(options, access=access) as app:
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
