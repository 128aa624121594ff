"""Callers who each ask one thing after the other and take the time of each answer.

`python -m bench.caller PORT SECONDS CONNECTIONS SPREAD`: of several, the last one begins `SPREAD` seconds after the first,
so that they do not ask all at once. wrk's percentiles are none of answers: of one that took long it makes as many as there would have been meanwhile, and a
machine that stands still for some milliseconds in each second has its p99 made of those. Run as a program it prints p50
and p99 in microseconds; it is a process of its own, since whatever else it did would show.
"""

import gc
import selectors
import socket
import sys
import time

REQUEST = b"GET /v1/job HTTP/1.1\r\nHost: localhost\r\n\r\n"


def main() -> None:
    port, seconds, connections, spread = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    gc.disable()
    socks = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(connections)]
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        size = _first(sock)
    if connections == 1:
        took = _times(socks[0], size, time.perf_counter() + seconds)
    else:
        took = _times_of_many(socks, size, seconds, spread)
    took.sort()
    print(took[len(took) // 2] * 1e6, took[len(took) * 99 // 100] * 1e6)


def _first(sock: socket.socket) -> int:
    """How long an answer is, head and content."""
    sock.sendall(REQUEST)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(sock)
    head, _, content = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields[b"content-length"]) - len(content)
    while left:
        left -= len(_some(sock))
    return len(head) + 4 + int(fields[b"content-length"])


def _times(sock: socket.socket, size: int, end: float) -> list[float]:
    """Seconds that each answer took; all are as long as the first."""
    took = []
    while (start := time.perf_counter()) < end:
        sock.sendall(REQUEST)
        data = _some(sock)
        while len(data) < size:
            data += _some(sock)
        took.append(time.perf_counter() - start)
        if len(data) != size or data[9:12] != b"200":
            sys.exit(f"not the answer that came first: {data[:100]!r}")
    return took


def _times_of_many(socks: list[socket.socket], size: int, seconds: float, spread: float) -> list[float]:
    """The same of several callers: these share their own processor time, which shows in all that they measure."""
    took = []
    started: dict[socket.socket, float] = {}
    waiting = selectors.DefaultSelector()
    for sock in socks:
        waiting.register(sock, selectors.EVENT_READ)
        started[sock] = time.perf_counter()
        sock.sendall(REQUEST)
        time.sleep(spread / len(socks))
    come = dict.fromkeys(socks, b"")
    began = time.perf_counter()
    end = began + seconds
    while time.perf_counter() < end:
        for key, _ in waiting.select():
            sock = key.fileobj  # type: ignore[assignment]  # what was registered
            data = come[sock] + _some(sock)
            if len(data) < size:
                come[sock] = data
                continue
            now = time.perf_counter()
            if len(data) != size or data[9:12] != b"200":
                sys.exit(f"not the answer that came first: {data[:100]!r}")
            if started[sock] > began:
                # The first ones have waited for the last caller to begin.
                took.append(now - started[sock])
            come[sock] = b""
            started[sock] = now
            sock.sendall(REQUEST)
    return took


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        sys.exit("the connection was closed")
    return data


if __name__ == "__main__":
    main()
