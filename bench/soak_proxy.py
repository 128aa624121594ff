"""The proxy of a soak: a process that reads words from stdin and answers each with a line of JSON."""

import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bench.soak_clock import FastClock
from proxy.app import App
from proxy.cli.serve import run_in_loop
from proxy.demo.protocol import PoolConfig
from proxy.forward.route import Route
from proxy.http.address import Bind, Upstream
from proxy.http.options import Timeouts
from proxy.identity.profile import CognitoPool, Profile
from proxy.settings.kinds import KINDS
from proxy.settings.options import ServeOptions

_TIMEOUTS = Timeouts(connect=2.0, headers=0.4, idle=0.8, auth=2.0, drain=5.0, head=0.5)
"""In real seconds, and short, so that a soak meets each of them."""


def options(configuration: dict[str, Any]) -> ServeOptions:
    config = PoolConfig()
    pool = CognitoPool(config.region, config.user_pool_id, config.client_id, endpoint_url=configuration["cognito"])
    upstream = Upstream.parse(configuration["upstream"])
    password = SecretStr(configuration["password"])
    return ServeOptions(
        listen=(Bind("127.0.0.1", 0),),
        profiles={name: Profile(name, pool, user, password) for name, user in configuration["users"].items()},
        own_routes=(),
        built_in_routes=(
            Route("/graphql", upstream, KINDS["graphql"], graphql=True),
            Route("/cdn/flights", upstream, KINDS["none"]),
            Route("", upstream, KINDS["rest"]),
        ),
        timeouts=_TIMEOUTS,
        replay_limit=1 << 16,
        max_connections=200,
    )


def count() -> dict[str, float]:
    """What the process has now; memory in MiB, with what only the garbage collector would free."""
    memory = _memory()
    gc.collect()
    return {
        "rss": memory / (1 << 20),
        "fds": len(os.listdir("/dev/fd")),  # noqa: PTH208 - a folder of links that are gone by the time one looks
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
    }


def _memory() -> int:
    """Bytes that are resident; where nobody tells, the most that there ever were."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def run(configuration: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    clock = FastClock(configuration["epoch"], configuration["factor"])
    async with App(options(configuration), clock=clock) as app:
        say({"url": app.urls[0]})
        answering = asyncio.create_task(_answer(reader, app, configuration))
        # Whoever asked has gone, perhaps without a word.
        answering.add_done_callback(lambda _: stop.set())
        await stop.wait()
        answering.cancel()


async def _answer(reader: asyncio.StreamReader, app: App, configuration: dict[str, Any]) -> None:
    while word := (await reader.readline()).decode().strip():
        if word == "sample":
            say(count())
        elif word == "busy":
            say({"busy": app.in_flight + app._listeners.connections + len(app.tokens._flight.under_way)})
        elif word == "reload":
            # Everything is made anew, as when a file has changed.
            app.reload(options(configuration))
            say({})


def say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    run_in_loop(run(json.loads(sys.argv[1])))
