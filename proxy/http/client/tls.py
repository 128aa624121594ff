"""Encrypt a connection to an upstream, as the transport of its protocol.

Event loops have TLS of their own, which keeps a buffer of 256 KiB for each connection, and reads on until as much again
waits to be decrypted, whatever the protocol wants. This one has one buffer for all, and reads no more at a time than
the protocol wants.

| state | what the upstream sends | next state |
|---|---|---|
| SHAKING | is its part of the handshake | OPEN: the handshake is done |
| | | ENDED: the handshake is not waited for any more |
| OPEN | is content | ENDED: `close_notify` or the end of its direction has come, or the protocol closes |
| ENDED | is dropped | LOST: the upstream has ended its direction |
| SHAKING, OPEN | breaks off, or is no handshake | LOST: the transport below is closed |
"""

import asyncio
import ssl
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Protocol, cast

from proxy.http.buffers import LARGE

_SPACE = memoryview(bytearray(LARGE))
"""The buffer of all connections, one after the other: what has come is taken out before the next one reads."""
_PIECE = 64 * 1024
"""Bytes that a `MemoryBIO` is given at a time: it remains as large as it once was."""
_NOTHING = memoryview(b"")


class TlsState(Enum):
    """Names the states of a connection; see the table above."""

    SHAKING = auto()
    OPEN = auto()
    ENDED = auto()
    LOST = auto()


class Reader(Protocol):
    """Reads what has been decrypted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...

    def get_buffer(self, sizehint: int) -> memoryview: ...

    def buffer_updated(self, nbytes: int) -> None: ...

    def eof_received(self) -> bool | None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class TlsTransport(asyncio.BufferedProtocol, asyncio.Transport):
    """Encrypts for `protocol`, whose transport it is; a protocol to the transport below."""

    _raw: asyncio.Transport

    def __init__(
        self, protocol: asyncio.BufferedProtocol, context: ssl.SSLContext, host: str, shaken: asyncio.Future[None]
    ) -> None:
        """`shaken` is done when the handshake is; its exception says why it failed."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol: Reader | None = cast("Reader", protocol)  # whose buffer has a length
        self._shaken: asyncio.Future[None] | None = shaken
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._state = TlsState.SHAKING
        self._paused = False
        self._error: Exception | None = None
        """Why the connection is given up."""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self._shake()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._state is TlsState.OPEN and self._protocol is not None:
            return _SPACE[: len(self._protocol.get_buffer(sizehint))]
        return _SPACE[:_PIECE]

    def buffer_updated(self, nbytes: int) -> None:
        if self._state in _ALIVE:
            if self._state is TlsState.SHAKING:
                self._incoming.write(_SPACE[:nbytes])
                self._shake()
            else:
                self._read(_SPACE[:nbytes])

    def eof_received(self) -> bool:
        # The `MemoryBIO` does not learn of it: an end without `close_notify` would look like one with it.
        if self._state is TlsState.OPEN:
            self._read()
            self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = TlsState.LOST
        error = self._error or exc
        # Neither of them is to refer to this any more: only the garbage collector would free such a circle.
        protocol, self._protocol = self._protocol, None
        shaken, self._shaken = self._shaken, None
        self._error = None
        if shaken is None and protocol is not None:
            protocol.connection_lost(error)
        elif shaken is not None and not shaken.done():
            shaken.set_exception(error or ConnectionResetError("the upstream ended the handshake"))

    def pause_writing(self) -> None:
        if self._state is not TlsState.SHAKING and self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._state is not TlsState.SHAKING and self._protocol is not None:
            self._protocol.resume_writing()

    # What the protocol calls.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return self._raw.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._state is not TlsState.OPEN or self._raw.is_closing()

    def close(self) -> None:
        """Send no more, and close once the upstream does the same: to close at once would be a reset for what it sends.

        What calls this does not wait for ever, and aborts.
        """
        if self._state is TlsState.OPEN:
            self._say_farewell()
            if not self._raw.is_closing():
                self._raw.resume_reading()

    def abort(self) -> None:
        if self._state in _ALIVE:
            self._state = TlsState.ENDED
        self._raw.abort()

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._state is not TlsState.OPEN:
            return
        view = memoryview(data)
        try:
            for start in range(0, len(view), _PIECE):
                piece = view[start : start + _PIECE]
                while piece:
                    piece = piece[self._tls.write(piece) :]
                self._flush()
        except ssl.SSLError as error:
            self._fail(error)

    def pause_reading(self) -> None:
        self._paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        # Not at once: the protocol that asks for more is not ready for it yet.
        self._loop.call_soon(self._read_on)

    # Between the two.

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._flush()
            self._begin()

    def _begin(self) -> None:
        self._state = TlsState.OPEN
        shaken, self._shaken = self._shaken, None
        if self._protocol is None or shaken is None or shaken.done():
            self.abort()  # the connection is not waited for any more
            return
        self._protocol.connection_made(self)
        shaken.set_result(None)
        self._read()

    def _read_on(self) -> None:
        if self._paused or self._state is not TlsState.OPEN:
            return
        self._read()
        if not self._paused and not self.is_closing():
            self._raw.resume_reading()

    def _read(self, came: memoryview = _NOTHING) -> None:
        """Pass on what has come, now and before, as long as the protocol wants it."""
        more = True
        while more and not self._paused and self._state is TlsState.OPEN and self._protocol is not None:
            more = self._read_once(self._protocol, came)
            came = _NOTHING
        if came:
            self._incoming.write(came)
        self._flush()

    def _read_once(self, protocol: "Reader", came: memoryview) -> bool:
        """Fill the protocol's buffer once; return whether there may be more."""
        tls, incoming, space = self._tls, self._incoming, protocol.get_buffer(-1)
        room, filled, size = len(space), 0, 1
        error = None
        while filled < room and size:
            try:
                # What is asked before reading costs less than an exception that says that there is nothing.
                if incoming.pending or tls.pending():
                    size = cast("int", tls.read(room - filled, space[filled:]))
                    filled += size
                    continue
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as failed:
                error = failed
                break
            if not came:
                break
            incoming.write(came[:_PIECE])
            came = came[_PIECE:]
        if came:
            incoming.write(came)
        if filled:
            protocol.buffer_updated(filled)
        if error is not None:
            self._fail(error)
        elif not size:
            self._end()
        return filled == room

    def _end(self) -> None:
        """Close, since nothing more will come: the other direction cannot stay open, TLS has no half-close here."""
        if self._state is TlsState.OPEN and self._protocol is not None:
            self._protocol.eof_received()
            self._say_farewell()
            self._raw.close()

    def _say_farewell(self) -> None:
        """Send `close_notify` (RFC 8446 section 6.1). That of the upstream is not waited for."""
        self._state = TlsState.ENDED
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def _fail(self, error: ssl.SSLError) -> None:
        """Give up, and let the upstream know why."""
        self._error = error.with_traceback(None)
        if self._state is not TlsState.SHAKING:
            self._state = TlsState.ENDED
        self._flush()
        self._raw.close()


_ALIVE = (TlsState.SHAKING, TlsState.OPEN)
