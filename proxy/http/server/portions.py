"""Read a little at a time, where much waits for callers already."""

import asyncio

from proxy.http.buffers import LARGE, Buffers

_SPACE = memoryview(bytearray(LARGE))
"""The buffer of all such connections, one after the other: what has come is taken out before the next one reads."""


class Portions(asyncio.BufferedProtocol):
    """Stands between a transport and its protocol, and reads no more at a time than a portion of `buffers`.

    An event loop reads up to 256 KiB for any other protocol, which is a lot where many callers send at the same time.
    """

    def __init__(self, protocol: asyncio.Protocol, buffers: Buffers) -> None:
        self._protocol = protocol
        self._buffers = buffers

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        return _SPACE[: self._buffers.portion]

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what has been read."""
        self._protocol.data_received(bytes(_SPACE[:nbytes]))

    def eof_received(self) -> bool | None:
        """Pass on the end."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the connection is gone."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on that the peer takes no more for now."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the peer takes more."""
        self._protocol.resume_writing()
