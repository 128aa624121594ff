"""What a page that looks on is told: at once, whole, and no more than it reads."""

import asyncio
import json
from typing import Any

from support.wire import PATIENCE

from proxy.observe.inspector.feed import Watcher


async def event(watcher_events: Any) -> dict[str, Any]:
    data = await asyncio.wait_for(anext(watcher_events), PATIENCE)
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    assert data.count(b"\n") == 2
    document: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
    return document


async def test_at_once() -> None:
    """The first event comes without delay, though there may be nothing to tell; the next when there is."""
    watcher = Watcher()
    events = watcher.events()
    assert await event(events) == {"requests": [], "dropped": 0}
    waiting = asyncio.create_task(event(events))
    await asyncio.sleep(0)
    watcher.tell(['{"id":"a"}', '{"id":"b"}'])
    watcher.tell(['{"id":"c"}'], dropped=2)
    assert await waiting == {"requests": [{"id": "a"}, {"id": "b"}, {"id": "c"}], "dropped": 2}


async def test_what_was_told_before() -> None:
    """The first event has what was told before anybody read."""
    watcher = Watcher()
    watcher.tell(["1"])
    assert await event(watcher.events()) == {"requests": [1], "dropped": 0}


async def test_a_page_that_does_not_read() -> None:
    """Of more than it may leave waiting, the newest are kept, and the others counted."""
    watcher = Watcher(most=3)
    events = watcher.events()
    await event(events)
    for n in range(10):
        watcher.tell([str(n)])
    assert await event(events) == {"requests": [7, 8, 9], "dropped": 7}
    watcher.tell(["10"])
    assert await event(events) == {"requests": [10], "dropped": 0}


async def test_a_sign_of_life() -> None:
    """With nothing to tell, something is sent from time to time that means nothing."""
    events = Watcher(beat=0.01).events()
    await event(events)
    assert await anext(events) == b":\n\n"
    assert await anext(events) == b":\n\n"


async def test_the_end() -> None:
    """Once there will be no more, the events end, also for a page that waits."""
    watcher = Watcher()
    events = watcher.events()
    await event(events)
    waiting = asyncio.create_task(asyncio.wait_for(anext(events, None), PATIENCE))
    await asyncio.sleep(0)
    watcher.end()
    await waiting
    assert [piece async for piece in events] == []
    assert [piece async for piece in watcher.events()] == []
