"""A proxy between a caller who sends any bytes and an upstream that reads strictly, and what may pass between them."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from proxy.app import App
from proxy.observe.logs import AccessLog
from support.oracle import ANSWERED, Read, StrictOrigin, ambiguity, head_fault, readings
from support.stack import direct_options, timeouts
from support.wire import PATIENCE

CREDENTIAL = b"Bearer pat-1"
"""What `direct_options` adds on every route that adds a credential."""
GOOD = b"GET /v1/good HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BARE_ROUTE = b"/cdn/flights"
"""The route that adds no credential; its prefix stays here."""

_STATUS = re.compile(rb"^HTTP/1\.1 (\d\d\d) ", re.MULTILINE)
_ABSOLUTE = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
_OWN = (200, 400, 401, 403, 404, 405, 408, 413, 414, 417, 431, 501, 503, 505)


class Heard(NamedTuple):
    """What a caller got back."""

    data: bytes
    closed: bool
    """The proxy ended the connection."""

    @property
    def statuses(self) -> list[int]:
        """Of the final answers, in their order."""
        return [status for status in map(int, _STATUS.findall(self.data)) if status >= 200]


class _CallerProtocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.closed = False
        self.news = asyncio.Event()
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.news.set()

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self.lost.set_result(None)

    def _end(self) -> None:
        self.closed = True
        self.news.set()


async def converse(url: str, *pieces: bytes, quiet: float | None = None) -> Heard:
    """Send `pieces` one by one and hear what comes back until the proxy closes, or for PATIENCE seconds.

    `quiet` is how many seconds of silence are enough, once a request that h11 can read has been answered.
    """
    owed = quiet is None or bool(readings(b"".join(pieces))[0])
    host, _, port = url.removeprefix("http://").rpartition(":")
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(_CallerProtocol, host, int(port))
    try:
        for piece in pieces:
            transport.write(piece)
            # Both ends run on this loop: the proxy reads this piece before the next is written.
            await asyncio.sleep(0)
            if protocol.closed:
                break
        deadline = loop.time() + PATIENCE
        while not protocol.closed and (left := deadline - loop.time()) > 0:
            protocol.news.clear()
            waiting = owed and (quiet is None or not protocol.data)
            try:
                await asyncio.wait_for(protocol.news.wait(), left if waiting else quiet)
            except TimeoutError:
                break
        return Heard(protocol.data, protocol.closed)
    finally:
        transport.abort()
        await protocol.lost


class Forwarded(NamedTuple):
    """A request as an upstream must have read it."""

    target: bytes = b"/v1/x"
    method: bytes = b"GET"
    body: bytes = b""


class Rig:
    """A proxy, the upstream behind it and what was logged of requests."""

    def __init__(self, app: App, origin: StrictOrigin, access: io.StringIO) -> None:
        self._app = app
        self.origin = origin
        self._access = access

    def logged(self) -> str:
        """The log lines of all requests so far."""
        self._app.request_log.flush()
        return self._access.getvalue()

    @property
    def forwarded(self) -> list[Forwarded]:
        return [Forwarded(read.target, read.method, read.body) for read in self.origin.requests]

    async def send(self, *pieces: bytes, quiet: float | None = None) -> Heard:
        """What a caller hears; the upstream remembers this conversation alone."""
        self.origin.forget()
        heard = await converse(self._app.urls[0], *pieces, quiet=quiet)
        await self._settle()
        return heard

    async def _settle(self) -> None:
        """Wait until nothing of the last conversation is under way any more, wherever it was left."""
        async with asyncio.timeout(PATIENCE):
            for _ in range(5):
                await asyncio.sleep(0)
                while self._app.in_flight:  # noqa: ASYNC110 - the proxy tells nobody when it falls idle
                    await asyncio.sleep(0.001)

    async def good_request_passes(self) -> bool:
        """Whatever came before, the next one is answered, and its upstream reads it as it is."""
        heard = await self.send(GOOD)
        return (
            heard == Heard(heard.data, True)
            and heard.statuses == [ANSWERED]
            and self.forwarded == [Forwarded(b"/v1/good")]
        )


@asynccontextmanager
async def running_rig() -> AsyncIterator[Rig]:
    access = io.StringIO()
    async with StrictOrigin().running() as origin:
        options = direct_options(origin.url, timeouts=timeouts(drain=0.2))
        async with App(options, access=AccessLog(access.write, "text", least="debug")) as app:
            rig = Rig(app, origin, access)
            # The first request pays for much that is made on the way.
            assert await rig.good_request_passes()
            yield rig


def disagreements(sent: bytes, heard: Heard, origin: StrictOrigin) -> Iterator[str]:
    """How the upstream read what a caller `sent` differently from h11, and what else must not be.

    Every request that went upstream must be one that h11 reads in the caller's bytes, in their order, and none of
    those may have another reading. Of what has no strict head, no byte goes upstream.
    """
    yield from origin.violations
    yield from (f"answered {status}" for status in heard.statuses if status not in (ANSWERED, *_OWN))
    if heard.statuses.count(ANSWERED) > len(origin.requests):
        yield "more answers than requests"
    reads, rest = readings(sent)
    left = iter(reads)
    for seen in origin.requests:
        read = next((read for read in left if _same(read, seen)), None)
        if read is None:
            yield f"the upstream read {seen.raw!r}, h11 does not"
            continue
        if fault := ambiguity(read.raw):
            yield f"let in {fault}: {read.raw!r}"
        if seen.credentials != [CREDENTIAL] and not _is_bare(read):
            yield f"the upstream got {seen.credentials} with {seen.raw!r}"
    # A request whose content has not come, or is no good, may have begun.
    may_begin = any(head_fault(raw) is None and ambiguity(raw) for raw in (rest, *(read.raw for read in reads)))
    if origin.stray and not may_begin:
        yield f"the upstream saw {origin.stray} bytes of what is no request: {rest!r}"


def _is_bare(read: Read) -> bool:
    """Whether a request takes the route that adds no credential."""
    rest = _local(read.target)
    return rest.startswith(BARE_ROUTE) and rest[len(BARE_ROUTE) :][:1] in (b"", b"/", b"?")


def _same(read: Read, seen: Read) -> bool:
    """Whether a caller's request is the one that an upstream saw."""
    target = _local(read.target)
    if _is_bare(read):
        target = target.removeprefix(BARE_ROUTE)
        target = target if target.startswith(b"/") else b"/" + target
    return (read.method, target, read.body) == (seen.method, seen.target, seen.body)


def _local(target: bytes) -> bytes:
    """A target in origin form."""
    absolute = _ABSOLUTE.match(target)
    rest = target[absolute.end() :] if absolute else target
    return rest if rest.startswith(b"/") or not absolute else b"/" + rest
