"""Origins for uploads: one swallows them as fast as a kernel gives them, the other reads none. A thread a connection."""

import socket
import ssl
import threading

_BUFFER = 1 << 20
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def start(context: ssl.SSLContext | None = None, *, deaf: bool = False) -> int:
    """Listen on a free port of loopback, which is returned. Where `deaf`, no more is read of a POST than its beginning."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=_accept, args=(listener, context, deaf), daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def _accept(listener: socket.socket, context: ssl.SSLContext | None, deaf: bool) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_serve, args=(sock, context, deaf), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext | None, deaf: bool) -> None:
    try:
        with plain, context.wrap_socket(plain, server_side=True) if context else plain as sock:
            while head := _head(sock):
                if deaf and head.startswith(b"POST"):
                    _UNREAD.append(socket.socket(fileno=sock.detach()))
                elif _swallow(sock, head):
                    sock.sendall(_ANSWER)
                    continue
                return
    except OSError:
        pass  # whoever sent this has had enough


_UNREAD: list[socket.socket] = []


def _head(sock: socket.socket) -> bytes:
    """The head of a request, and what has come with it; nothing at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b""
        data += more
    return data


def _swallow(sock: socket.socket, data: bytes) -> bool:
    """Read the rest of a request; False where the connection ends amid it."""
    head, _, rest = data.partition(b"\r\n\r\n")
    lowered = head.lower()
    buffer = bytearray(_BUFFER)
    if b"transfer-encoding: chunked" in lowered:
        tail = rest[-5:]
        while not tail.endswith(b"0\r\n\r\n"):
            size = sock.recv_into(buffer)
            if not size:
                return False
            tail = (tail + bytes(buffer[max(0, size - 5) : size]))[-5:]
        return True
    _, _, length = lowered.partition(b"content-length:")
    left = int(length.split(b"\r\n")[0] or 0) - len(rest)
    while left > 0:
        size = sock.recv_into(buffer)
        if not size:
            return False
        left -= size
    return True
