"""Answer the requests of a connection one after the other, each in a task of its own."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from proxy.http.server.parser import Message
from proxy.http.server.tasks import begin


class RequestQueue:
    """Answers requests in the order in which they came."""

    __slots__ = ("_all_answered", "_loop", "_task", "_work_for", "busy", "waiting")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work_for: Callable[[Message], Coroutine[Any, Any, None]],
        all_answered: Callable[[], None],
    ) -> None:
        """`work_for` makes the coroutine that answers a request, which is cancelled when the caller leaves.

        `all_answered` is called whenever nothing is being done any more and nothing waits.
        """
        self._loop = loop
        self._work_for: Callable[[Message], Coroutine[Any, Any, None]] | None = work_for
        self._all_answered: Callable[[], None] | None = all_answered
        self._task: asyncio.Task[None] | None = None
        self.waiting: deque[Message] = deque()
        """Requests that wait for their turn."""
        self.busy = False
        """A request is being answered. `_task` says so too late: it is set once the task has begun."""

    def add(self, arrived: Iterable[Message]) -> None:
        """Answer these as well, once it is their turn."""
        self.waiting.extend(arrived)

    def go_on(self) -> None:
        """Answer the next request, unless one is being answered."""
        if self.waiting and not self.busy and self._work_for is not None:
            self.busy = True
            task = self._task = begin(self._work_for(self.waiting.popleft()), self._loop)
            if task.done():
                self._ended(task)
            else:
                task.add_done_callback(self._ended)

    def end(self) -> asyncio.Task[None] | None:
        """Answer nothing more, and cancel the task that is under way; return it."""
        for _, body in self.waiting:
            body.drop()
        self.waiting.clear()
        self._work_for = self._all_answered = None
        if self._task is not None:
            # Not at once: a task that is cancelled before it has begun undoes nothing.
            self._loop.call_soon(self._task.cancel)
        return self._task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self.busy = False
        defect = None if task.cancelled() else task.exception()
        if defect is not None:
            self._loop.call_exception_handler({"message": "answering a request met a defect", "exception": defect})
        if self.waiting:
            # Not at once: a caller that sends request upon request would leave no turn to others.
            self._loop.call_soon(self.go_on)
        elif self._all_answered is not None:
            self._all_answered()
