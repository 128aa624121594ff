"""A real browser: Debian's Chromium without a window, and web sites on loopback for it to visit."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from aiohttp import web

from support.environment import guarded_environment
from support.machine import program

PATIENCE = 60.0
"""Seconds for a browser to start and to do what a page says."""
_END_SECONDS = 10.0
_ELSEWHERE = "evil.test"
"""A name that leads to loopback, as a name does that was rebound."""

# What the proxy lets pass is to be seen, not what this browser's own defences let pass.
_FEATURES_OFF = (
    "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights,"
    "OptimizationHints,MediaRouter,Translate"
)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-popup-blocking",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--password-store=basic",
    f"--disable-features={_FEATURES_OFF}",
    f"--host-resolver-rules=MAP {_ELSEWHERE} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


@asynccontextmanager
async def visiting(url: str, *flags: str) -> AsyncIterator[Path]:
    """A browser with an empty profile, opened at `url`; where that profile is."""
    browser = program("chromium")
    # Not pytest's folder: the browser puts a socket there, whose path must be short.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, TemporaryFile("w+") as log:
        process = await asyncio.create_subprocess_exec(
            browser,
            *_FLAGS,
            *flags,
            f"--user-data-dir={folder}/profile",
            url,
            env=guarded_environment(HOME=folder, TMPDIR=folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # It has children of its own, which end with their group.
            start_new_session=True,
        )
        try:
            yield Path(folder) / "profile"
        except Exception as error:
            log.seek(0)
            error.add_note(f"the browser said:\n{log.read()[-2000:]}")
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait_for(process.wait(), _END_SECONDS)


@dataclass
class Site:
    """A web site: `pages` by path, and what its pages report. Pages of other sites may report here as well."""

    pages: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """Awaited by pages that ask for `/wait`."""
    reports: "asyncio.Queue[dict[str, str]]" = field(default_factory=asyncio.Queue)

    def origin(self, host: str) -> str:
        return f"http://{host}:{self.port}"

    async def report(self) -> dict[str, str]:
        """What a page said when it was done."""
        return await asyncio.wait_for(self.reports.get(), PATIENCE)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        open_to_all = {"Access-Control-Allow-Origin": "*", "Connection": "close", "Cache-Control": "no-store"}
        if request.path == "/report":
            self.reports.put_nowait(await request.json())
            return web.Response(headers=open_to_all)
        if request.path == "/wait":
            await self.go_on.wait()
            return web.Response(headers=open_to_all)
        if request.path == "/redirect":
            raise web.HTTPTemporaryRedirect(request.query["to"])
        page = self.pages.get(request.path)
        if page is None:
            raise web.HTTPNotFound(headers=open_to_all)
        return web.Response(text=page, content_type="text/html", headers=open_to_all)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["Site"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            self.go_on.set()
            await runner.cleanup()
