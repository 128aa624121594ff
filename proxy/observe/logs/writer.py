"""Log lines on their way out of the process, where nobody may be there to take them.

A pipe that nobody reads, a terminal that was stopped and a disk that hangs make `write(2)` wait for as long as they
like. So a thread of its own waits, in front of it lies a buffer with an end, and what does not fit is counted.
`O_NONBLOCK` would be no help: it belongs to the open file, which a shell and other programs share.
"""

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress

LIMIT = 4 << 20
"""Bytes that may wait."""
PATIENCE = 1.0
"""Seconds that the end of the process waits for whoever reads."""
PAUSE = 0.2
"""Seconds for which lines that are not urgent wait for others: each write is in the way of whoever calls just then."""
SLICE = 64 << 10
"""Bytes that one system call writes: for so long it keeps a processor from whoever else is to run there."""


class Writer:
    """Writes text to a file descriptor without ever holding up its caller. For any number of threads."""

    def __init__(
        self,
        fd: int,
        notice: Callable[[int], str],
        *,
        encoding: str = "utf-8",
        limit: int = LIMIT,
        pause: float = PAUSE,
    ) -> None:
        """`notice` is the line that says how many were dropped; it follows once lines go out again."""
        self._fd = fd
        self._notice = notice
        self._encoding = encoding
        self._limit = limit
        self._pause = pause
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._size = 0
        """Of all that has not gone out, what is being written included."""
        self._unreported = 0
        """Lines that were dropped, and that no notice that went out has told."""
        self.dropped = 0
        """Lines that were dropped so far."""
        self._closed = False
        self._hurry = threading.Event()
        """What waits is to go out without a pause."""
        self._thread: threading.Thread | None = None
        self._torn = False
        """What went out last broke off within a line. Only the thread asks."""

    def write(self, text: str, *, urgent: bool = True) -> None:
        """Have whole lines written, at once or with those of the next moments, or count them as dropped."""
        data = self._encoded(text)
        with self._changed:
            if self._closed or self._size + len(data) > self._limit:
                # What fits goes: a batch may hold a stranger's lines of any length, and other people's.
                fits = 0 if self._closed else data.rfind(b"\n", 0, max(0, self._limit - self._size)) + 1
                self._drop(data[fits:])
                data = data[:fits]
            # Even if this line does not fit: where no thread could start, what waits is in its way.
            if self._thread is None and not self._closed:
                self._start()
            if not data:
                return
            self._waiting += data
            self._size += len(data)
            # A reader who keeps up loses no line to the pause.
            if urgent or self._size > self._limit // 4:
                self._hurry.set()
            self._changed.notify_all()

    def flush(self, timeout: float = PATIENCE) -> bool:
        """Wait until all has gone out, for `timeout` seconds at most; whether it has."""
        with self._changed:
            self._hurry.set()
            return self._changed.wait_for(lambda: not self._size, timeout)

    def close(self, timeout: float = PATIENCE) -> None:
        """Write what is left, as far as somebody takes it within `timeout` seconds, and nothing after it."""
        self.flush(timeout)
        with self._changed:
            self._closed = True
            self._hurry.set()
            self._drop(self._waiting)
            self._size -= len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()

    def _start(self) -> None:
        """Have a thread, if one is to be had: else lines wait, and the next one tries again."""
        thread = threading.Thread(target=self._run, name=f"log lines to {self._fd}", daemon=True)
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        """The thread. As a daemon it may be left behind in `write(2)` when the process ends."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                data, self._waiting = self._waiting, bytearray()
                missing = self._unreported
                self._hurry.clear()
            sent = self._send(data)
            with self._changed:
                reported = 0
                if sent == len(data) and not self._closed:
                    # Only now: before the gap come the lines of this batch. What was dropped since it was taken
                    # is missing behind some that wait.
                    reported = missing if self._waiting else self._unreported
                notice = self._encoded(self._notice(reported)) if reported else b""
                self._drop(data[sent:])
                self._size += len(notice) - len(data)
                del data  # up to `limit` bytes, which nobody needs until the next line comes
                self._changed.notify_all()
            if reported:
                self._report(notice, reported)
            self._hurry.wait(self._pause)

    def _report(self, notice: bytes, dropped: int) -> None:
        """Write a notice at once, in front of what waits. If it cannot be written the next one tells its number."""
        whole = self._send(notice) == len(notice)
        with self._changed:
            self._size -= len(notice)
            if whole:
                self._unreported -= dropped
            self._changed.notify_all()

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, "backslashreplace")

    def _drop(self, data: bytes | bytearray) -> None:
        lines = data.count(b"\n")
        self.dropped += lines
        self._unreported += lines

    def _send(self, data: bytes | bytearray) -> int:
        """How many bytes could be written: readers go, disks are full, and both may change."""
        # The newline ends a line that broke off, and is nobody's: neither of these bytes nor of these lines.
        ahead = b"\n" if self._torn else b""
        whole = left = memoryview(ahead + data if ahead else data)
        try:
            while left:
                try:
                    left = left[os.write(self._fd, left[:SLICE]) :]
                    os.sched_yield()
                except BlockingIOError:
                    # Somebody else has made the open file non-blocking.
                    poll = select.poll()
                    poll.register(self._fd, select.POLLOUT)
                    poll.poll()
        except OSError:
            pass
        sent = len(whole) - len(left)
        if sent:
            self._torn = whole[sent - 1] != ord("\n")
        return max(0, sent - len(ahead))
