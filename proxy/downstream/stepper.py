"""Running a coroutine without a task, for as long as it waits for nothing of asyncio's.

A task costs a request two turns of the event loop: one to begin, one to go on once the answer's head has come. Most
requests wait for nothing else, and are answered from within the callbacks that bring them and their answer.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Stepper:
    """Runs `coroutine` in the callbacks that wake it, until it awaits something that wants a task: then in one.

    What it may await without one is a future whose class has an attribute `resume`, which whoever sets its result calls
    from a callback of the event loop. Anything else, also a bare `asyncio.sleep(0)`, is left to a task for good.
    """

    __slots__ = ("_awaited", "_coroutine", "_loop", "_on_end", "_task")

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]
    ) -> None:
        """`on_end` is called as soon as the coroutine has ended."""
        self._coroutine = coroutine
        self._loop = loop
        self._on_end = on_end
        self._awaited: Any = None
        self._task: asyncio.Task[None] | None = None

    def step(self, error: BaseException | None = None) -> None:
        """Run as far as possible, from where `error` is raised if there is one."""
        self._awaited = None
        try:
            awaited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except (StopIteration, asyncio.CancelledError):
            self._on_end()
            return
        except Exception as defect:  # noqa: BLE001 - nobody awaits this: the event loop tells of it, as of a task's
            self._met_a_defect(defect)
            return
        # The class is asked: any future takes an attribute, and nobody would call it.
        if hasattr(type(awaited), "resume"):
            awaited.resume = self.step
            # As a task says that it has taken note of what was yielded.
            awaited._asyncio_future_blocking = False
            self._awaited = awaited
        else:
            self._task = self._loop.create_task(_rest(self._coroutine, awaited))
            self._task.add_done_callback(self._task_ended)

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits."""
        if self._task is not None:
            # Not before it has begun: a task that never runs tells its coroutine nothing.
            self._loop.call_soon(self._task.cancel)
        elif (awaited := self._awaited) is not None:
            self._awaited = awaited.resume = None
            if not awaited.cancel():
                # It has failed a moment ago, and nobody will ask how: asyncio would take that for a defect.
                awaited.exception()
            self._loop.call_soon(self.step, asyncio.CancelledError())

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        defect = None if task.cancelled() else task.exception()
        if defect is None:
            self._on_end()
        else:
            self._met_a_defect(defect)

    def _met_a_defect(self, defect: BaseException) -> None:
        self._loop.call_exception_handler({"message": "answering a request met a defect", "exception": defect})
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
