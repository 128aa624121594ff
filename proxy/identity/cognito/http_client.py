"""The HTTP client that the AWS SDK sends by: one that follows no redirect."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from botocore.httpsession import get_cert_path

from proxy.errors import SignInFailed
from proxy.http.client.outbound import url_of
from proxy.http.options import OutboundProxy

MAX_CONTENT = 1 << 20
"""Bytes of the longest answer: tokens are a few thousand long."""
_CONNECTIONS = 10
"""To one service at a time: as many as the SDK's own client has."""


class HttpClient:
    """Sends the SDK's requests, and hands redirects back: whoever they lead to would be sent the password.

    The SDK's own client follows them, and nothing but its private methods could keep it from that. This one derives
    from nothing of the SDK's: were the SDK to call other methods than these, calls would fail with nothing sent.
    """

    def __init__(self, *, via: OutboundProxy | None, ca_file: Path | None) -> None:
        """`ca_file` replaces the machine's authorities."""
        self._proxy = None if via is None else url_of(via)
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    @property
    def in_use(self) -> bool:
        """Whether an SDK's client has entered it, to send by it."""
        return self._session is not None

    async def __aenter__(self) -> "HttpClient":
        tls = await asyncio.to_thread(_trusting, self._ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # whoever calls the SDK has the only clock
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Any) -> AioAWSResponse:
        """The answer to a request of the SDK's, with all of its content; raises SignInFailed where that is too long."""
        assert self._session is not None  # noqa: S101 - see in_use
        headers = {name: _text(value) for name, value in request.headers.items()}
        headers["Accept-Encoding"] = "identity"
        async with self._session.request(
            request.method, request.url, headers=headers, data=request.body, proxy=self._proxy, allow_redirects=False
        ) as answer:
            fields = {name.lower(): value for name, value in answer.headers.items()}
            content = _Content(await _bounded(answer.content))
        return AioAWSResponse(str(answer.url), answer.status, fields, content)


class _Content:
    """What has been read already, for the SDK to read; it may hold tokens, and shows none."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self) -> bytes:
        return self._content


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    content = b""
    while piece := await stream.readany():
        content += piece
        if len(content) > MAX_CONTENT:
            raise SignInFailed(f"Cognito's answer is longer than {MAX_CONTENT >> 20} MiB")
    return content


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Whose certificates are believed. Reading them takes so long that a thread is to do it."""
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is None:
        # The SDK brings authorities of its own, for machines that have none.
        context.load_verify_locations(get_cert_path(True))
    return context
