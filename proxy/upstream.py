"""The transport: one request goes to an upstream and its answer streams back.

`Transport` and `UpstreamAnswer` are all that the rest of the program knows of it.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proxy.errors import BadRequest, UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.model import Header, Headers, Timeouts, Upstream

_READ_SIZE = 1 << 18


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request as it goes out: `headers` are complete but for framing, `target` is sent as it stands.

    `body` is None where there is none; its length is what a Content-Length among `headers` says, else it is chunked.
    """

    method: str
    upstream: Upstream
    target: str
    headers: list[Header]
    body: AsyncIterator[bytes] | None


class UpstreamAnswer(Protocol):
    """An answer whose head has arrived."""

    @property
    def status(self) -> int: ...

    @property
    def reason(self) -> bytes: ...

    @property
    def headers(self) -> Headers: ...

    async def read(self) -> bytes:
        """The next piece of content, empty at its end; raises UpstreamError where it breaks off or stands still."""

    def close(self) -> None:
        """Let go: the connection is kept where the body was read to its end, else dropped."""


class Transport(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """The answer's head; raises UpstreamUnreachable, UpstreamBroken, UpstreamTimeout."""

    async def close(self) -> None: ...


class AiohttpTransport:
    """aiohttp's client with everything turned off that would change a message."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._headers_timeout = timeouts.headers
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=timeouts.idle),
            read_bufsize=_READ_SIZE,
        )

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        # The whole target goes in as a path: yarl would drop the question mark of an empty query.
        url = URL.build(
            scheme=request.upstream.scheme,
            host=request.upstream.host,
            port=request.upstream.port,
            path=request.target,
            encoded=True,
        )
        try:
            async with asyncio.timeout(self._headers_timeout) as timer:
                response = await self._session.request(
                    request.method,
                    url,
                    headers=_decoded(request.headers),
                    data=None if request.body is None else self._watched(request.body, timer),
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error) from error
        return _AiohttpAnswer(response)

    async def close(self) -> None:
        await self._session.close()

    async def _watched(self, body: AsyncIterator[bytes], timer: asyncio.Timeout) -> AsyncIterator[bytes]:
        """The body; an upstream's time to answer counts from the last byte that it was sent."""
        loop = asyncio.get_running_loop()
        async for chunk in body:
            yield chunk
            if not timer.expired():
                timer.reschedule(loop.time() + self._headers_timeout)


class _AiohttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.reason = (response.reason or "").encode("latin-1", "replace")
        self.headers: Headers = response.raw_headers

    async def read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error) from error

    def close(self) -> None:
        # The connection of a whole body has been given back by now; this drops that of a partial one.
        self._response.close()


def _decoded(headers: list[Header]) -> CIMultiDict[str]:
    try:
        return CIMultiDict((name.decode("ascii"), value.decode("utf-8")) for name, value in headers)
    except UnicodeDecodeError:
        raise BadRequest("a header holds bytes that are not UTF-8", hint="Encode them.") from None


def _translated(error: Exception) -> UpstreamError:
    """The one place where the client's exceptions become this program's."""
    kind = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return UpstreamUnreachable("the upstream's name cannot be resolved")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return UpstreamUnreachable("the upstream's certificate cannot be verified")
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamUnreachable(f"no connection to the upstream ({kind})")
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("the upstream took too long")
    return UpstreamBroken(f"the upstream broke off or answered nonsense ({kind})")
