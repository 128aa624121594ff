"""An origin that is some milliseconds away: it waits before each answer. `python -m bench.delay PORT SECONDS`

A network that is slow would be better; Linux's `netem` makes one, where the kernel has it. To a proxy it is the same but
for the time that opening a connection takes: here connections are kept.

It is one thread that sleeps by `select`, which keeps time to some tens of microseconds: `epoll` in Python does to a
millisecond.
"""

import select
import socket
import sys
import time
from collections import deque

from bench.origin import ANSWER

SECONDS = 0.005
_END = b"\r\n\r\n"
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)


def serve(port: int, seconds: float) -> None:
    """Answer requests without content, one after the other on each connection, each `seconds` after it has come."""
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    sockets = [listener]
    due: deque[tuple[float, socket.socket]] = deque()
    while True:
        timeout = max(0.0, due[0][0] - time.perf_counter()) if due else None
        readable, _, _ = select.select(sockets, [], [], timeout)
        now = time.perf_counter()
        while due and due[0][0] <= now:
            _answer(due.popleft()[1])
        for sock in readable:
            if sock is listener:
                sockets.append(listener.accept()[0])
                sockets[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            elif (requests := _read(sock)) is None:
                sockets.remove(sock)
                sock.close()
            else:
                due.extend((now + seconds, sock) for _ in range(requests))


def _read(sock: socket.socket) -> int | None:
    """How many heads have ended; None where the connection has."""
    try:
        data = sock.recv(65536)
    except OSError:
        return None
    return data.count(_END) if data else None


def _answer(sock: socket.socket) -> None:
    try:
        if sock.fileno() >= 0:
            sock.sendall(_RESPONSE)
    except OSError:
        pass  # whoever asked has gone, which `_read` hears of


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
