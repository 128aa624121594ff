"""Settings that change while the proxy runs: files are looked at every few seconds, and at once where that may help."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from proxy.errors import ProxyError
from proxy.settings import Loaded, Mark, mark
from proxy.settings.options import ServeOptions, changes

log = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two looks at the files."""
_OF_TLS = ("tls_cert", "tls_key")


class Watch:
    """Reads the settings again when they may have changed; those that cannot be used leave the old ones in place."""

    def __init__(self, loaded: Loaded, reread: Callable[[], Loaded], *, interval: float = INTERVAL) -> None:
        """`reread` returns the settings as they are now, or raises SettingsError."""
        self._loaded = loaded
        # From now on: whoever hears that the proxy listens may change a file the next moment.
        self._seen = marks(_files(loaded))
        self._reread = reread
        self._interval = interval
        self._wanted = asyncio.Event()
        self._then: list[Callable[[], None]] = []
        self._complaint = ""

    def look(self, then: Callable[[], None] | None = None) -> None:
        """Read everything again now, whether or not a file has changed, and call `then` once that is done."""
        if then is not None:
            self._then.append(then)
        self._wanted.set()

    async def run(self, apply: Callable[[ServeOptions], None], done: Callable[[], None] = lambda: None) -> None:
        """Until cancelled, hand what has changed to `apply`, which may raise SettingsError.

        `done` is called whenever everything has been read.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._wanted.wait()
            try:
                await self._look(apply, done)
            except Exception:  # a defect must not end the watching for good
                log.exception("reading the settings again met a defect")

    async def _look(self, apply: Callable[[ServeOptions], None], done: Callable[[], None]) -> None:
        wanted, then = self._wanted.is_set(), self._then
        self._wanted.clear()
        self._then = []
        now = marks(self._seen)
        # After a complaint always: what mends it may be a file that nobody knows of.
        if wanted or now != self._seen or self._complaint:
            # As they were before the reading, during which they may change again.
            self._seen = now
            try:
                await self._read(apply)
            finally:
                done()
            files = _files(self._loaded)
            self._seen = marks(files) | {path: mark for path, mark in now.items() if path in files}
            for call in then:
                call()

    async def _read(self, apply: Callable[[ServeOptions], None]) -> None:
        try:
            # Not on the event loop: the files may be on a network.
            loaded = await asyncio.to_thread(self._reread)
            changed = differences(self._loaded, loaded)
            if changed:
                apply(loaded.options())
        except ProxyError as error:
            complaint = f"{error.detail.rstrip('.')}. {error.hint}".rstrip()
            if complaint != self._complaint:
                log.error("the new settings cannot be used, and the old ones stay: %s", complaint)  # noqa: TRY400
            self._complaint = complaint
            return
        for warning in loaded.warnings:
            if warning not in self._loaded.warnings:
                log.warning(warning)
        if changed:
            log.info("new settings: %s", ", ".join(changed))
        elif self._complaint:
            log.info("the settings are as they were")
        if late := changes(self._loaded.log_options(), loaded.log_options()):
            log.warning("restart the proxy: what changed in %s has no effect before", ", ".join(late))
        self._loaded, self._complaint = loaded, ""


def differences(before: Loaded, after: Loaded) -> list[str]:
    """The names of the settings whose values are not the same."""
    old, new = _values(before), _values(after)
    return [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]


def marks(files: Iterable[Path]) -> dict[Path, Mark]:
    """How files are now; None for what is missing, and for pipes, which can be read but once."""
    return {path: mark(path) for path in files}


def _values(loaded: Loaded) -> Mapping[str, Any]:
    values = {leaf.name: loaded.value(leaf) for leaf in loaded.leaves}
    # A profile that names nothing is one all the same.
    profiles = {f"profiles.{name}": True for name in loaded.settings.profiles}
    # New content is a new value.
    certificates = {name: (path, loaded.certificates.get(path)) for name in _OF_TLS if (path := values.get(name))}
    return values | profiles | certificates


def _files(loaded: Loaded) -> list[Path]:
    config = [loaded.config] if loaded.config is not None else []
    return [*config, *loaded.searched, *loaded.secret_files, *loaded.certificates]
