"""Find out how an upstream ended a connection, and read what it had sent before."""

import asyncio
import errno
import os
import ssl
from contextlib import suppress

from proxy.http.buffers import LARGE
from proxy.http.sockets import socket_of

_SILENT = frozenset((errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN))
"""How the kernel ends a connection whose other end is not heard of any more."""


def is_silence(error: Exception | None) -> bool:
    """Return whether a connection was lost because nothing was heard of the other end."""
    return isinstance(error, OSError) and error.errno in _SILENT


def said_farewell(tls: ssl.SSLObject) -> bool:
    """Return whether the peer's `close_notify` has come.

    Without it TLS cannot tell the end of a content from a cut (RFC 9112 section 9.8).
    """
    try:
        return not tls.read(1)
    except ssl.SSLError:
        return False


def read_rest(transport: asyncio.Transport) -> bytes:
    """Read the response of an upstream that did not wait for the whole request (RFC 9112 section 9.5).

    A write that fails ends the transport, though the kernel may hold a response that came before.
    """
    sock = socket_of(transport)
    if sock is not None and transport.get_extra_info("ssl_object") is None:
        with suppress(OSError):  # nothing is left, or a reset has taken it
            return os.read(sock.fileno(), LARGE)
    return b""
