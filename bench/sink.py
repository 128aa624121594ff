"""An origin that swallows uploads as fast as a kernel gives them: a thread a connection, plain or TLS."""

import socket
import ssl
import threading

_BUFFER = 1 << 20
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def start(context: ssl.SSLContext | None = None) -> int:
    """Listen on a free port of loopback, which is returned."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threading.Thread(target=_accept, args=(listener, context), daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def _accept(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_serve, args=(sock, context), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext | None) -> None:
    try:
        with plain, context.wrap_socket(plain, server_side=True) if context else plain as sock:
            while _swallow(sock):
                sock.sendall(_ANSWER)
    except OSError:
        pass  # whoever sent this has had enough


def _swallow(sock: socket.socket) -> bool:
    """Read one request; False at the end of the connection."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(65536)
        if not data:
            return False
        head += data
    head, _, rest = head.partition(b"\r\n\r\n")
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
