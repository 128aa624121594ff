"""Run work that blocks in threads that need not be waited for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result], name: str) -> Result:
    """Run `work` in a thread of its own, and return its result.

    The threads of asyncio and uvloop are few, so that some that hang hold up all others, and the interpreter waits for
    them at its end.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()
    threading.Thread(target=_run, args=(work, loop, done), name=name, daemon=True).start()
    try:
        return await done
    finally:
        # An error that it has refers to this frame: only the garbage collector would free such a circle.
        del done


def _run(work: Callable[[], Result], loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Result]") -> None:
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - raised where it is awaited
        _report(loop, done, error=error)
    else:
        _report(loop, done, result)
    finally:
        del done  # as above


def _report(
    loop: asyncio.AbstractEventLoop,
    done: "asyncio.Future[Any]",
    result: object = None,
    *,
    error: Exception | None = None,
) -> None:
    def conclude() -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)

    with suppress(RuntimeError):  # the loop has been closed
        loop.call_soon_threadsafe(conclude)
