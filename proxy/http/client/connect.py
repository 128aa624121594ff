"""Open connections to upstreams: names, happy eyeballs, TLS, outbound proxies, and more tries while one restarts."""

import asyncio
import random
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohappyeyeballs

from proxy.errors import SettingsError, UpstreamAway
from proxy.http.address import Upstream
from proxy.http.client.connection import UpstreamConnection
from proxy.http.client.dns import Names, Resolve
from proxy.http.client.faults import passes, reason, translated
from proxy.http.client.outbound import choose
from proxy.http.client.tls import TlsTransport
from proxy.http.client.tunnel import failed, open_tunnel
from proxy.http.options import OutboundProxies
from proxy.http.sockets import hold_little, keep_alive

_HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds before the next address is tried as well (RFC 8305 section 5)."""
TRYING = 2.0
"""Seconds for which an upstream that restarts is tried again."""
_PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds between two tries, at most; the last one again and again."""
SILENCE = 20.0
"""Seconds after which a connection is dead when nothing is heard of the other end."""

Result = TypeVar("Result")
Protocol = TypeVar("Protocol", bound=asyncio.BufferedProtocol)


class Connector:
    """Opens connections to upstreams within `timeout` seconds, TLS and proxies included."""

    def __init__(
        self,
        *,
        timeout: float,
        ca_file: Path | None,
        outbound: OutboundProxies,
        silence: float = SILENCE,
        draw: Callable[[], float] = random.random,
        resolve: Resolve | None = None,
    ) -> None:
        """`ca_file` takes the place of the system's certificate authorities. Raises SettingsError where it is none.

        A connection ends when its other end is silent for `silence` seconds. `draw` is uniform in [0, 1). `resolve`
        takes the place of `socket.getaddrinfo`, and may block.
        """
        self._timeout = timeout
        self._outbound = outbound
        self.silence = silence
        self._draw = draw
        self._ca_file = ca_file
        self._names = Names(resolve)
        self._tls: ssl.SSLContext | None = None
        self.reload()

    def reload(self) -> None:
        """Trust from the next connection on what `ca_file`, or the system, holds now.

        Raises SettingsError, and goes on as before.
        """
        self._tls = None if self._ca_file is None else _tls_context(self._ca_file)

    async def connect(self, upstream: Upstream, new: Callable[[], UpstreamConnection]) -> UpstreamConnection:
        """Open a connection that is ready for its first request; raises UpstreamUnreachable or UpstreamTimeout.

        Nothing of the request has been sent when it fails, so it is tried again, whatever the request.
        """
        return await self._in_time(self._try(upstream, new), upstream.host)

    # The steps of `connect` one by one, to find the one that fails. They raise what it does.

    async def addresses(self, host: str, port: int) -> list[str]:
        """Look up the addresses of a name."""
        return [entry[4][0] for entry in await self._in_time(self._names.addresses(host, port), host)]

    async def dial(self, host: str, port: int) -> socket.socket:
        """Connect a socket to `host` itself, whatever outbound proxies there are."""
        return await self._in_time(self._dial(host, port), host)

    async def open_socket(self, upstream: Upstream) -> socket.socket:
        """Connect a socket to `upstream`, through the outbound proxy where there is one."""
        return await self._in_time(self._open_socket(upstream), upstream.host)

    async def secure(self, sock: socket.socket, upstream: Upstream, new: Callable[[], Protocol]) -> Protocol:
        """Make the protocol of a connection on `sock`, with TLS where `upstream` has it."""
        return await self._in_time(self._secure(sock, upstream, new), upstream.host)

    async def _in_time(self, work: Awaitable[Result], host: str) -> Result:
        # No context manager of contextlib's would do: it keeps what it turns into another error for ever.
        try:
            async with asyncio.timeout(self._timeout):
                return await work
        except (OSError, UnicodeError) as error:
            raise translated(error, host) from error

    async def _try(self, upstream: Upstream, new: Callable[[], UpstreamConnection]) -> UpstreamConnection:
        """Connect, and try again while the upstream is away."""
        loop = asyncio.get_running_loop()
        until = loop.time() + min(TRYING, self._timeout)
        tries = 0
        while True:
            try:
                return await self._try_once(upstream, new)
            except UpstreamAway:
                pause = _PAUSES[min(tries, len(_PAUSES) - 1)] * (1 + self._draw()) / 2
                if loop.time() + pause >= until:
                    raise
            tries += 1
            await asyncio.sleep(pause)

    async def _try_once(self, upstream: Upstream, new: Callable[[], UpstreamConnection]) -> UpstreamConnection:
        try:
            return await self._secure(await self._open_socket(upstream), upstream, new)
        except (OSError, UnicodeError) as error:
            raise translated(error, upstream.host) from error

    async def _secure(self, sock: socket.socket, upstream: Upstream, new: Callable[[], Protocol]) -> Protocol:
        loop = asyncio.get_running_loop()
        protocol = new()
        try:
            if upstream.scheme == "http":
                await loop.create_connection(lambda: protocol, sock=sock)
            else:
                await self._shake(sock, upstream.host, protocol)
        except BaseException:
            sock.close()
            raise
        return protocol

    async def _shake(self, sock: socket.socket, host: str, protocol: asyncio.BufferedProtocol) -> None:
        """Begin to speak TLS."""
        if self._tls is None:
            self._tls = _tls_context(None)
        loop = asyncio.get_running_loop()
        shaken = loop.create_future()
        tls = TlsTransport(protocol, self._tls, host, shaken)
        await loop.create_connection(lambda: tls, sock=sock)
        try:
            await shaken
        except BaseException:
            tls.abort()
            raise
        finally:
            # An error that it has refers to this frame: only the garbage collector would free such a circle.
            del shaken

    async def _open_socket(self, upstream: Upstream) -> socket.socket:
        via = choose(self._outbound, upstream)
        if via is None:
            return await self._dial(upstream.host, upstream.port)
        try:
            sock = await self._dial(via.host, via.port)
            try:
                await open_tunnel(sock, via, upstream)
            except BaseException:
                sock.close()
                raise
        except (OSError, UnicodeError) as error:
            raise failed(via, f"cannot be reached ({reason(error)})", away=passes(error)) from error
        return sock

    async def _dial(self, host: str, port: int) -> socket.socket:
        addresses = await self._names.addresses(host, port)
        known = asyncio.get_running_loop().time()
        try:
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY, interleave=1
            )
        except (OSError, asyncio.CancelledError) as error:  # cancelled where it took too long
            self._names.forget(host, port, known)
            # The library's frame refers to the error, and it to that frame: such a circle.
            raise error.with_traceback(None) from None
        try:
            keep_alive(sock, self.silence)
            hold_little(sock)
        except OSError:  # it has ended already
            sock.close()
            raise
        self._names.prefer(host, port, sock.family)
        return sock


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"upstreams.ca_file: {ca_file} cannot be used ({error.strerror or error})",
            hint="Check the path: it names a file with certificates in PEM.",
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context
