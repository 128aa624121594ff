"""Connections that wait for their next request: what may come on them meanwhile, and when they are given up."""

import asyncio

import pytest
from support.clock import FakeClock
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy
from support.wire import PATIENCE, Message, Peer, answer, answering, caller, request, upstream

loop_factories = EVERY_LOOP

OK = answer()
POISON = answer(200, body=b"poison")


async def ask(url: str, data: bytes, *, bodiless: bool = False) -> Message:
    async with caller(url) as peer:
        await peer.send(data)
        return await peer.message(bodiless=bodiless)


BODILESS = {
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(POISON)),
    "HEAD and chunked": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "204": ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "204 with a length": ("DELETE", b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(POISON)),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "304 with a length": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: %d\r\n\r\n" % len(POISON)),
}


@pytest.mark.parametrize("late", [0.0, 0.03])
@pytest.mark.parametrize(("method", "head"), BODILESS.values(), ids=BODILESS)
async def test_a_content_that_nobody_asked_for(method: str, head: bytes, late: float) -> None:
    """It reaches no other request, though it comes a while behind a head that has none."""

    async def script(peer: Peer) -> None:
        while True:
            message = await peer.message()
            if b"/v1/bare" not in message.head:
                await peer.send(answer(body=message.start_line.split()[1]))
                continue
            await peer.send(head)
            await asyncio.sleep(late)
            await peer.send(POISON)

    async def others(url: str) -> None:
        async with caller(url) as peer:
            for number in range(10):
                target = b"/v1/%d" % number
                await peer.send(request(target=target.decode()))
                assert (await peer.message()).body == target
                await asyncio.sleep(0.01)

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        url = app.urls[0]
        for _ in range(2):
            bare = asyncio.create_task(ask(url, request(method, "/v1/bare"), bodiless=True))
            await asyncio.gather(others(url), others(url))
            assert (await bare).head[:12] == head[:12]
            await others(url)


@pytest.mark.parametrize("name", ["HEAD", "204", "304"])
async def test_a_connection_that_has_rested(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a head without content it is used again, though not at once."""
    monkeypatch.setattr("proxy.http.client.pool.REST", 0.1)
    method, head = BODILESS[name]
    async with upstream(answering(head, OK)) as origin, running_proxy(direct_options(origin.url)) as app:
        await ask(app.urls[0], request(method), bodiless=True)
        assert (await ask(app.urls[0], request())).body == b"ok"
        assert origin.connections == 2
        await asyncio.sleep(0.2)
        async with caller(app.urls[0]) as one, caller(app.urls[0]) as other:
            for peer in (one, other):
                await peer.send(request())
            for peer in (one, other):
                assert (await peer.message()).body == b"ok"
        assert origin.connections == 2


async def test_an_upstream_that_knows_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once content came where there is none, its connections are closed at once behind such answers."""
    monkeypatch.setattr("proxy.http.client.pool.REST", 0.02)
    closed = asyncio.Event()
    _, head = BODILESS["HEAD"]

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(head)
        if peer.number == 1:
            await asyncio.sleep(0.1)
            await peer.send(POISON)
        await peer.ends()
        if peer.number == 2:
            closed.set()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        await ask(app.urls[0], request("HEAD"), bodiless=True)
        await asyncio.sleep(0.2)
        monkeypatch.setattr("proxy.http.client.pool.REST", PATIENCE)
        await ask(app.urls[0], request("HEAD"), bodiless=True)
        await asyncio.wait_for(closed.wait(), PATIENCE / 2)


async def test_a_machine_that_slept() -> None:
    """What nobody remembers at the other end is not used any more."""
    clock = FakeClock()
    async with upstream(answering(OK)) as origin, running_proxy(direct_options(origin.url), clock) as app:
        for _ in range(2):
            assert (await ask(app.urls[0], request("POST", body=b"abc"))).status == 200
        assert origin.connections == 1
        clock.suspend(600)
        assert (await ask(app.urls[0], request("POST", body=b"abc"))).status == 200
        assert origin.connections == 2


async def test_the_greatest_age_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is old enough makes way for another."""
    monkeypatch.setattr("proxy.http.client.pool.MAX_AGE", 0.2)
    async with upstream(answering(OK)) as origin, running_proxy(direct_options(origin.url)) as app:
        for _ in range(2):
            await ask(app.urls[0], request())
        assert origin.connections == 1
        await asyncio.sleep(0.25)
        await ask(app.urls[0], request())
        assert origin.connections == 2
