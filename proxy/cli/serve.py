"""`ul-proxy serve`: run the proxy until a signal ends it."""

import asyncio
import gc
import importlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy import __version__
from proxy.app import App
from proxy.cli import signals
from proxy.cli.banner import banner, start_warnings
from proxy.cli.limits import leave_no_core, make_room_for
from proxy.cli.reloading import Watch
from proxy.cli.systemd import Notifier, passed_sockets
from proxy.observe import logs
from proxy.observe.logs import Logs
from proxy.settings import Loaded, bears_colours, load, refuse_exposed
from proxy.settings.options import ServeOptions

log = logging.getLogger(__name__)

_LOOKED_FOR = 50


def run(flags: Mapping[str, Any], config: str | None) -> int:
    leave_no_core()
    loaded = load(flags, config)
    output = start_logging(loaded)
    make_room_for(loaded.settings.max_connections)
    sockets = [passed.sock for passed in passed_sockets(os.environ, os.getpid())]

    def reread() -> Loaded:
        """The settings as they are now, where the sockets may be served by them."""
        found = load(flags, config, loaded.pipes)
        refuse_exposed(found.settings, sockets)
        return found

    try:
        refuse_exposed(loaded.settings, sockets)
        run_in_loop(_serve(loaded, reread, output, sockets))
    finally:
        output.close()
    return 0


def start_logging(loaded: Loaded) -> Logs:
    """Begin to log as the settings say."""
    options = loaded.log_options()
    output = logs.configure(options.log_format, options.log_level, access=options.access_log, colour=bears_colours())
    for warning in loaded.warnings:
        log.warning(warning)
    return output


def run_in_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop where it is installed, else on asyncio's own loop."""
    # Requests come and go by the thousand and leave no cycles: looking for some after every 700 objects costs a tenth
    # of the speed, and what start-up made never needs to be looked at.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


async def _serve(loaded: Loaded, reread: Callable[[], Loaded], output: Logs, sockets: Sequence[socket.socket]) -> None:
    options, watch, notifier = loaded.options(), Watch(loaded, reread), Notifier(os.environ, os.getpid())

    def look_again() -> None:
        log.info("SIGHUP: reading the settings again")
        notifier.reloading()
        # Then, so that nobody shows a password once more that has just been replaced.
        watch.look(then=app.try_again)

    beating = asyncio.create_task(notifier.keep_alive(), name="telling the watchdog")
    app = App(
        options,
        sockets=sockets,
        access=output.access,
        lines_dropped=lambda: output.dropped,
        on_login_required=lambda _: watch.look(),
    )
    async with ended_by_signals(app), app:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, look_again)
        sessions = await sessions_of(app, options)
        if output.format == "text":
            output.say(
                banner(
                    app.urls,
                    options.profiles,
                    app.routes.routes,
                    options.policy,
                    sessions,
                    tls=options.tls,
                    admin_urls=app.admin_urls,
                    page=app.page_url,
                )
            )
        else:
            log.info("listening", extra={"fields": _listening(app, options, loaded.config)})
        warn(app, options, sessions)
        watching = asyncio.create_task(watch.run(app.reload, notifier.reloaded), name="watching the settings' files")
        notifier.ready(f"listening on {', '.join(app.urls)}")
        try:
            await app.stopping.wait()
        finally:
            watching.cancel()
        notifier.stopping(f"draining, {app.in_flight} requests under way")
    beating.cancel()
    log.info("stopped")


async def sessions_of(app: App, options: ServeOptions) -> frozenset[str]:
    """The names of the profiles that lack a login, and have a session that was kept."""
    lacking = [profile.name for profile in options.profiles.values() if profile.login_lacks]
    # Nobody reads a warning about hundreds, and looking for their sessions would hold up the start.
    found = [name for name in lacking[:_LOOKED_FOR] if await app.tokens.has_session(name)]
    return frozenset([*found, *lacking[_LOOKED_FOR:]])


def _listening(app: App, options: ServeOptions, config: Path | None) -> dict[str, Any]:
    """What the banner and `ul-proxy config` tell a person, for a machine."""
    return {
        "urls": app.urls,
        "admin_urls": app.admin_urls or None,
        "inspector": app.page_url,
        "version": __version__,
        "config": config,
        "username": options.profile.username,
        "pool": options.profile.pool.user_pool_id,
        "profiles": list(options.profiles),
        "upstreams": {route.path or "/": str(route.upstream) for route in app.routes.routes},
    }


def warn(app: App, options: ServeOptions, sessions: Collection[str] = ()) -> None:
    """Log what a person should know from the start; `sessions` are the profiles that need no login for now."""
    warnings = start_warnings(
        options.profiles, app.routes.routes, urls=app.urls, policy=options.policy, sessions=sessions
    )
    for warning in warnings:
        log.warning(warning)


@asynccontextmanager
async def ended_by_signals(app: App) -> AsyncIterator[None]:
    """Inside, SIGTERM and SIGINT stop the proxy; once it stops, a second signal ends the draining at once.

    To be entered before the proxy listens: what it has begun is then brought to its end, whenever a signal comes.
    """

    def signalled(number: int) -> None:
        if app.stopping.is_set():
            app.hurry()
        else:
            log.info("%s: draining", signal.Signals(number).name)
            app.stop()

    loop = asyncio.get_running_loop()
    with signals.heard(lambda number: loop.call_soon_threadsafe(signalled, number)):
        yield
