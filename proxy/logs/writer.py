"""Log lines on their way out of the process, where nobody may be there to take them.

A pipe that nobody reads, a terminal that was stopped and a disk that hangs make `write(2)` wait for as long as they
like. So a thread of its own waits, in front of it lies a buffer with an end, and what does not fit is counted.
`O_NONBLOCK` would be no help: it belongs to the open file, which a shell and other programs share.
"""

import os
import select
import threading
from collections.abc import Callable

LIMIT = 4 << 20
"""Characters that may wait."""
PATIENCE = 1.0
"""Seconds that the end of the process waits for whoever reads."""


class Writer:
    """Writes text to a file descriptor without ever holding up its caller. For any number of threads."""

    def __init__(self, fd: int, notice: Callable[[int], str], *, encoding: str = "utf-8", limit: int = LIMIT) -> None:
        """`notice` is the line that says how many were dropped; it follows once lines go out again."""
        self._fd = fd
        self._notice = notice
        self._encoding = encoding
        self._limit = limit
        self._changed = threading.Condition()
        self._waiting: list[str] = []
        self._size = 0
        """Of all that has not gone out, what is being written included."""
        self._untold = 0
        """Lines that were dropped since the last notice."""
        self.dropped = 0
        """Lines that were dropped so far."""
        self._closed = False
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Have whole lines written, sooner or later, or count them as dropped."""
        with self._changed:
            if self._closed or self._size + len(text) > self._limit:
                # What fits goes: a batch may hold a stranger's lines of any length, and other people's.
                fits = 0 if self._closed else text.rfind("\n", 0, max(0, self._limit - self._size)) + 1
                self._drop(text[fits:])
                text = text[:fits]
            if not text:
                return
            self._waiting.append(text)
            self._size += len(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"log lines to {self._fd}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout: float = PATIENCE) -> bool:
        """Wait until all has gone out, for `timeout` seconds at most; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._size, timeout)

    def close(self, timeout: float = PATIENCE) -> None:
        """Write what is left, as far as somebody takes it within `timeout` seconds, and nothing after it."""
        self.flush(timeout)
        with self._changed:
            self._closed = True
            left = "".join(self._waiting)
            self._waiting.clear()
            self._drop(left)
            self._size -= len(left)
            self._changed.notify_all()

    def _run(self) -> None:
        """The thread. As a daemon it may be left behind in `write(2)` when the process ends."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                text = "".join(self._waiting)
                self._waiting.clear()
            sent = self._send(text)
            with self._changed:
                if not sent:
                    self._drop(text)
                self._size -= len(text)
                if sent and self._untold and not self._waiting and not self._closed:
                    # Only now: before it come the lines that were not dropped.
                    told = self._notice(self._untold)
                    self._untold = 0
                    self._waiting.append(told)
                    self._size += len(told)
                self._changed.notify_all()

    def _drop(self, text: str) -> None:
        lines = text.count("\n")
        self.dropped += lines
        self._untold += lines

    def _send(self, text: str) -> bool:
        """Whether it could be written: readers go, disks are full, and both may change."""
        data = memoryview(text.encode(self._encoding, "backslashreplace"))
        try:
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:
                    # Somebody else has made the open file non-blocking.
                    poll = select.poll()
                    poll.register(self._fd, select.POLLOUT)
                    poll.poll()
        except OSError:
            return False
        return True
