"""Running a coroutine without a task, for as long as it waits for nothing of asyncio's.

A task costs a request two turns of the event loop: one to begin, one to go on once the answer's head has come. Most
requests wait for nothing else, and are answered from within the callbacks that bring them and their answer.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

Resume = Callable[[], None]


class Stepper:
    """Runs `coroutine` in the callbacks that wake it, until it awaits something that wants a task: then in one.

    What it may await without one is a future with an attribute `resume`, which whoever sets its result calls from a
    callback of the event loop. Anything else, also a bare `asyncio.sleep(0)`, is left to a task for good.
    """

    __slots__ = ("_awaited", "_coroutine", "_loop", "_on_end", "_task")

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]
    ) -> None:
        """`on_end` is called when the coroutine has ended, unless that was in `begin`."""
        self._coroutine = coroutine
        self._loop = loop
        self._on_end = on_end
        self._awaited: Any = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> bool:
        """Run as far as possible; whether the coroutine has ended."""
        return self._step(self._coroutine.send, None)

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits."""
        if self._task is not None:
            self._task.cancel()
        elif (awaited := self._awaited) is not None:
            self._awaited = awaited.resume = None
            self._loop.call_soon(self._throw, asyncio.CancelledError())

    def _resume(self) -> None:
        if self._step(self._coroutine.send, None):
            self._on_end()

    def _throw(self, error: BaseException) -> None:
        if self._step(self._coroutine.throw, error):
            self._on_end()

    def _step(self, advance: Callable[[Any], Any], value: BaseException | None) -> bool:
        self._awaited = None
        try:
            awaited = advance(value)
        except (StopIteration, asyncio.CancelledError):
            return True
        except Exception as error:  # noqa: BLE001 - nobody awaits this: the event loop tells of it, as of a task's
            self._loop.call_exception_handler({"message": "answering a request met a defect", "exception": error})
            return True
        try:
            awaited.resume = self._resume
            # As a task says that it has taken note of what was yielded.
            awaited._asyncio_future_blocking = False
        except AttributeError:
            self._task = self._loop.create_task(_rest(self._coroutine, awaited))
            self._task.add_done_callback(self._task_ended)
        else:
            self._awaited = awaited
        return False

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "answering a request met a defect", "exception": error})
        self._on_end()


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """What is left of a coroutine that has yielded `awaited`."""
    try:
        yield awaited
    except BaseException as error:  # noqa: BLE001 - it goes where it belongs
        try:
            awaited = coroutine.throw(error)
        except StopIteration:
            return
        yield from _rest(coroutine, awaited)
    else:
        yield from coroutine
