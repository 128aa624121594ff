"""Connections, their reuse, and what crosses them in both directions, on both event loops."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy, timeouts
from support.wire import PATIENCE, Message, Peer, Script, Scripted, answer, answering, caller, request, upstream

loop_factories = EVERY_LOOP

OK = answer()
OK_LINE = b"HTTP/1.1 200 "


async def ask(url: str, data: bytes, *, bodiless: bool = False) -> Message:
    """One request on a connection of its own."""
    async with caller(url) as peer:
        await peer.send(data)
        return await peer.message(bodiless=bodiless)


# The pool.


async def test_connections_are_kept() -> None:
    """Requests one after the other share one upstream connection, whichever caller they come from."""
    async with upstream(answering(OK)) as origin, running_proxy(direct_options(origin.url)) as app:
        for _ in range(3):
            assert (await ask(app.urls[0], request())).status == 200
            async with caller(app.urls[0]) as peer:
                for _ in range(2):
                    await peer.send(request("POST", body=b"abc"))
                    assert (await peer.message()).body == b"ok"
        assert origin.connections == 1


async def test_simultaneous_requests_have_connections_of_their_own() -> None:
    """An answer under way delays nobody else's."""
    release, all_asked = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.message()
            if peer.number == 5:
                all_asked.set()
            await asyncio.wait_for(release.wait(), PATIENCE)
            await peer.send(OK)

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        asked = [asyncio.create_task(ask(app.urls[0], request())) for _ in range(5)]
        await asyncio.wait_for(all_asked.wait(), PATIENCE)
        release.set()
        assert [message.status for message in await asyncio.gather(*asked)] == [200] * 5
        for _ in range(5):
            await ask(app.urls[0], request())
        assert origin.connections == 5


NOT_KEPT = {
    "Connection: close": answer(200, b"Connection: close"),
    "a promise of no time": answer(200, b"Keep-Alive: timeout=0"),
    "close among others": answer(200, b"Connection: X-Hop, Close"),
    "HTTP/1.0": answer().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "close-delimited": b"HTTP/1.1 200 OK\r\n\r\nok",
    "surplus bytes": answer() + b"surplus",
    "a second answer": answer() + answer(500, body=b"poison"),
    "bytes behind the last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nsurplus",
    "bytes behind a 204": b"HTTP/1.1 204 No Content\r\n\r\nsurplus",
}


@pytest.mark.parametrize("first", NOT_KEPT.values(), ids=NOT_KEPT)
async def test_connections_that_are_not_kept(first: bytes) -> None:
    """An answer that ends its connection, or is followed by what nobody asked for, has it closed."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(first if peer.number == 1 else OK)
        if b"HTTP/1.1 200 OK\r\n\r\n" in first and peer.number == 1:
            return
        await peer.ends()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        async with caller(app.urls[0]) as peer:
            await peer.send(request())
            message = await peer.message()
            assert message.body == (b"" if message.status == 204 else b"ok")
            await peer.send(request())
            assert (await peer.message()).body == b"ok"
        assert origin.connections == 2


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(answer(200, b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 2\r\n\r\nok", id="promised"),
    ],
)
async def test_connections_that_are_kept(kept: bytes) -> None:
    """An answer whose end is known leaves its connection to the next request."""
    async with upstream(answering(kept, OK)) as origin, running_proxy(direct_options(origin.url)) as app:
        assert (await ask(app.urls[0], request())).body == b"ok"
        assert (await ask(app.urls[0], request())).body == b"ok"
        assert origin.connections == 1


def dropping(drop: Callable[[Peer], None], requests: list[Message], *, reading: bool) -> Script:
    """The first connection answers once and is dropped, at once or when the next request has come."""

    async def script(peer: Peer) -> None:
        requests.append(await peer.message())
        await peer.send(OK)
        if peer.number == 1:
            if reading:
                requests.append(await peer.message())
            drop(peer)
            return
        await peer.ends()

    return script


@pytest.mark.parametrize("drop", [Peer.close, Peer.reset], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
async def test_a_connection_that_was_closed_meanwhile_is_replaced(drop: Callable[[Peer], None], method: str) -> None:
    """A pooled connection that is dead before anything was sent is replaced, whatever the method."""
    requests: list[Message] = []
    body = b"abc" if method in ("PUT", "POST", "PATCH") else None
    async with (
        upstream(dropping(drop, requests, reading=False)) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        await ask(app.urls[0], request())
        await asyncio.sleep(0.05)
        assert (await ask(app.urls[0], request(method, body=body), bodiless=True)).status == 200
    assert [message.start_line.split()[0].decode() for message in requests] == ["GET", method]
    assert requests[-1].body == (body or b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_an_idempotent_request_is_sent_again_where_the_connection_died(method: str) -> None:
    """A pooled connection that dies under a request of an idempotent method is replaced, body and all."""
    requests: list[Message] = []
    body = b"abc" if method == "PUT" else None
    async with (
        upstream(dropping(Peer.close, requests, reading=True)) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        await ask(app.urls[0], request())
        assert (await ask(app.urls[0], request(method, body=body), bodiless=True)).status == 200
    assert [message.body for message in requests[1:]] == [body or b""] * 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("drop", [Peer.close, Peer.reset], ids=["closed", "reset"])
async def test_a_post_is_never_sent_twice(method: str, drop: Callable[[Peer], None]) -> None:
    """Once a byte of it went out, a request that is not idempotent gets 502 rather than a second chance."""
    requests: list[Message] = []
    async with (
        upstream(dropping(drop, requests, reading=True)) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        await ask(app.urls[0], request())
        message = await ask(app.urls[0], request(method, body=b"abc"))
        assert message.status == 502
        assert b'"upstream_broken"' in message.body
        assert origin.connections == 1
    assert len(requests) == 2


@pytest.mark.parametrize(("method", "dead", "status"), [("GET", 1, 200), ("GET", 2, 502), ("POST", 1, 502)])
async def test_a_new_connection_that_dies(method: str, dead: int, status: int) -> None:
    """It is replaced by another one, where the request may be repeated; a second that dies is an answer of 502."""

    async def script(peer: Peer) -> None:
        await peer.message()
        if peer.number > dead:
            await peer.send(OK)
            await peer.ends()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        assert (await ask(app.urls[0], request(method, body=b"abc"))).status == status
        assert origin.connections == (2 if method == "GET" else 1)


async def test_an_answer_that_began_is_not_asked_for_again() -> None:
    """A pooled connection that breaks after an interim answer or half a head gets no second request."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(OK)
        await peer.message()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        await ask(app.urls[0], request())
        async with caller(app.urls[0]) as peer:
            await peer.send(request())
            assert (await peer.head()).status == 103
            assert (await peer.message()).status == 502
        assert origin.connections == 1


async def test_a_large_put_is_not_sent_again_from_the_middle() -> None:
    """A body that is no longer held whole is not sent again, however idempotent its method."""
    requests: list[Message] = []
    async with (
        upstream(dropping(Peer.close, requests, reading=True)) as origin,
        running_proxy(direct_options(origin.url, replay_limit=1000)) as app,
    ):
        await ask(app.urls[0], request())
        async with caller(app.urls[0]) as peer:
            await peer.send(request("PUT", "/v1/x", "Transfer-Encoding: chunked"))
            for _ in range(3):
                await peer.send(b"3e8\r\n", b"x" * 1000, b"\r\n")
                await asyncio.sleep(0.02)
            await peer.send(b"0\r\n\r\n")
            assert (await peer.message()).status == 502
        assert origin.connections == 1
    assert len(requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_nobody_asked_for_is_no_answer(method: str) -> None:
    """Bytes that come on an idle connection do not become the next request's answer, not even in the same moment."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(OK)
        if peer.number == 1:
            await asyncio.wait_for(speak.wait(), PATIENCE)
            await peer.send(answer(500, body=b"poison"))
            spoken.set()
        await peer.ends()

    for pause in (0.0, 0.05):
        speak, spoken = asyncio.Event(), asyncio.Event()
        async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
            async with caller(app.urls[0]) as peer:
                await peer.send(request())
                assert (await peer.message()).body == b"ok"
                speak.set()
                await spoken.wait()
                await asyncio.sleep(pause)
                await peer.send(request(method))
                assert (await peer.message()).body == b"ok"
            assert origin.connections == 2


@pytest.mark.parametrize("answered", [False, True], ids=["before the answer", "in the middle of it"])
async def test_a_caller_who_leaves_takes_the_connection_along(answered: bool) -> None:
    """What is left of an abandoned answer never reaches the next caller."""
    began, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message()
        if peer.number == 1:
            if answered:
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            began.set()
            await peer.ends()
            gone.set()
        else:
            await peer.send(OK)
            await peer.ends()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        async with caller(app.urls[0]) as peer:
            await peer.send(request())
            await began.wait()
            if answered:
                await peer.head()
        await asyncio.wait_for(gone.wait(), PATIENCE)
        assert (await ask(app.urls[0], request())).body == b"ok"
        assert origin.connections == 2


@pytest.mark.parametrize("ending", ["the caller", "the caller first", "the upstream first"])
@pytest.mark.parametrize("upload", [False, True])
async def test_a_caller_who_leaves_a_kept_connection(
    ending: str, upload: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers come and go as they like, also at the moment at which the upstream goes: it is no defect."""
    began, gone = asyncio.Event(), asyncio.Event()
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    upstreams = []

    async def script(peer: Peer) -> None:
        upstreams.append(peer)
        await peer.message()
        await peer.send(OK)
        await peer.head()
        began.set()
        await peer.rest()
        gone.set()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        async with caller(app.urls[0]) as peer:
            await peer.send(request())
            await peer.message()
            await peer.send(request("POST", "/v1/x", "Content-Length: 9") + b"abc" if upload else request())
            await began.wait()
            await asyncio.sleep(0.05)
            if ending != "the caller":
                # Both within one round of the event loop.
                ends = [peer, upstreams[0]]
                for end in ends if ending == "the caller first" else reversed(ends):
                    shut(end)
        await asyncio.wait_for(gone.wait(), PATIENCE)
        assert (await ask(app.urls[0], request())).body == b"ok"
        # Where the upstream went first, the request may be sent once more before its caller is known to have left.
        assert origin.connections in {2, 3}
    gc.collect()
    await asyncio.sleep(0)
    assert told == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def shut(peer: Peer) -> None:
    """End both directions of a connection, now and not in the next round of the event loop."""
    sock = peer.writer.get_extra_info("socket")
    with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
        same.shutdown(socket.SHUT_RDWR)


async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that nobody has used for a while is closed."""
    monkeypatch.setattr("proxy.http.client.pool.MAX_IDLE", 0.1)
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(OK)
        await peer.ends()
        closed.set()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(idle=0.4))) as app,
    ):
        await ask(app.urls[0], request())
        await asyncio.wait_for(closed.wait(), PATIENCE)


def sockets() -> int:
    """How many this process has open."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(link.readlink()).startswith("socket:")
    return count


async def exchanges_of_every_kind() -> None:
    """Answers taken and half taken, requests unanswered and half sent, and then the end."""

    async def script(peer: Peer) -> None:
        while b"/v1/kept" in (message := await peer.head()).head:
            await peer.send(OK)
        if b"/v1/half" in message.head:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await peer.rest()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(drain=0.1))) as app,
    ):
        await asyncio.gather(*(ask(app.urls[0], request(target="/v1/kept")) for _ in range(10)))
        async with caller(app.urls[0]) as one, caller(app.urls[0]) as two, caller(app.urls[0]) as three:
            await one.send(request(target="/v1/half"))
            await one.head()
            await two.send(request(target="/v1/never"))
            await three.send(request("POST", "/v1/upload", "Content-Length: 1000"), b"abc")
            await asyncio.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
async def test_nothing_is_left_behind() -> None:
    """After the end there is neither a socket nor a task of the proxy's, whatever was going on."""
    tasks = len(asyncio.all_tasks())
    await exchanges_of_every_kind()  # uvloop and the resolver's threads open some of their own
    await asyncio.sleep(0.1)
    before = sockets()
    await exchanges_of_every_kind()
    async with asyncio.timeout(PATIENCE):
        while sockets() > before or len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110 - neither tells when it ends
            await asyncio.sleep(0.02)


# Fidelity.


@pytest.mark.parametrize(
    "value", [b"caf\xe9", "café €".encode(), b"\xff\xfe\x80", b"a\tb", b"  inner  spaces ", b"", b'"q\\']
)
async def test_header_bytes_pass_unchanged_both_ways(value: bytes) -> None:
    """A value is bytes, whatever encoding somebody may see in it; only white space around a caller's goes."""
    received: list[Message] = []
    script = answering(answer(200, b"X-Odd: " + value), requests=received)
    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        message = await ask(app.urls[0], request().replace(b"\r\n\r\n", b"\r\nX-Odd: " + value + b"\r\n\r\n"))
    assert b"\r\nX-Odd: " + value.strip() + b"\r\n" in received[0].head
    assert b"\r\nX-Odd: " + value + b"\r\n" in message.head


@pytest.mark.parametrize("byte", [0, 1, 8, 11, 12, 27, 127])
async def test_control_bytes_of_a_caller_go_nowhere(byte: int) -> None:
    """A control byte in a header is an answer of 400, and the upstream hears nothing."""
    async with upstream(answering(OK)) as origin, running_proxy(direct_options(origin.url)) as app:
        odd = request("GET", "/v1/x", "Connection: close").replace(
            b"\r\n\r\n", b"\r\nX-Odd: a" + bytes([byte]) + b"b\r\n\r\n"
        )
        assert (await ask(app.urls[0], odd)).status == 400
        assert origin.connections == 0


async def test_header_order_is_kept_both_ways() -> None:
    """Fields cross in their order and their case, between Host and what is added."""
    received: list[Message] = []
    lines = [b"B: 1", b"a: 2", b"B: 3", b"ETag: x", b"b: 4", b"Date: today", b"Server: odd"]
    async with (
        upstream(answering(answer(200, *lines), requests=received)) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        message = await ask(app.urls[0], request("GET", "/v1/x", *(line.decode() for line in lines)))
    assert received[0].head.split(b"\r\n")[2:-5] == lines
    assert message.head.split(b"\r\n")[1:-4] == lines


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, b""),
        (200, b"  two  spaces "),
        (299, b"Odd"),
        (418, b"I'm a teapot"),
        (599, b"Tr\xc3\xa8s \xff"),
        (799, b"x"),
    ],
)
async def test_status_and_reason_pass(status: int, reason: bytes) -> None:
    """Any code and any reason cross unchanged."""
    async with (
        upstream(answering(answer(status, reason=reason))) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        message = await ask(app.urls[0], request())
    assert message.start_line == b"HTTP/1.1 %d %b" % (status, reason)
    assert message.body == b"ok"


async def test_a_status_line_without_a_reason_gains_its_space() -> None:
    """RFC 9112 section 4 wants the space even where no reason follows."""
    async with (
        upstream(answering(answer().replace(b"200 OK", b"200"))) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        assert (await ask(app.urls[0], request())).start_line == b"HTTP/1.1 200 "


BODILESS = {
    "HEAD with a length": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
    "HEAD with chunked": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "HEAD without either": ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "204 with chunked": ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "304 with a length": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
    "304 without": ("POST", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
}


@pytest.mark.parametrize(("method", "data"), BODILESS.values(), ids=BODILESS)
async def test_answers_without_content(method: str, data: bytes) -> None:
    """HEAD, 204 and 304 have a head and no content, and the caller's connection lives on."""
    async with (
        upstream(answering(data, OK)) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request(method))
        message = await peer.head()
        assert message.start_line == data.split(b"\r\n")[0]
        assert message.values(b"transfer-encoding") == []
        assert message.values(b"content-length") == ([b"1000"] if b"1000" in data else [])
        await peer.send(request())
        assert (await peer.message()).body == b"ok"


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhello", id="close-delimited"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nhello", id="HTTP/1.0"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", id="HTTP/1.0 kept"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", id="chunked"),
    ],
)
async def test_every_framing_reaches_every_caller(data: bytes, version: str) -> None:
    """Each way to end an answer is passed on in one that the caller's version knows."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(data)

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        message = await ask(app.urls[0], request(version=version))  # type: ignore[arg-type]
    assert message.body == b"hello"
    assert message.head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (message.values(b"transfer-encoding") == []) == (version == "1.0" or b"Content-Length" in data)


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "one by one"])
async def test_interim_answers_come_in_order(together: bool) -> None:
    """Every 1xx answer is passed on before the final one, with its fields and reason."""
    interim = [
        b"HTTP/1.1 102 Odd\xff\r\n\r\n",
        INTERIM,
        b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\nConnection: x\r\n\r\n",
    ]

    async def script(peer: Peer) -> None:
        await peer.message()
        if together:
            await peer.send(*interim, OK)
            return
        for data in interim:
            await peer.send(data)
            await asyncio.sleep(0.02)
        await peer.send(OK)

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request())
        heads = [await peer.head() for _ in interim]
        assert [head.start_line for head in heads] == [data.split(b"\r\n")[0] for data in interim]
        assert [head.values(b"link") for head in heads] == [[], [b"</a>"], [b"</b>"]]
        assert heads[2].values(b"connection") == []
        assert (await peer.message()).body == b"ok"


async def test_interim_answers_are_unknown_to_http_1_0() -> None:
    """A caller of HTTP/1.0 gets the final answer only."""
    async with upstream(answering(INTERIM + OK)) as origin, running_proxy(direct_options(origin.url)) as app:
        assert (await ask(app.urls[0], request(version="1.0"))).status == 200


@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "one by one"])
async def test_request_trailers_pass(together: bool) -> None:
    """A caller's trailer section is passed on, without what names somebody, frames a message or is for the proxy."""
    received: list[Message] = []
    pieces = [
        request("PUT", "/v1/x", "Transfer-Encoding: chunked", "Trailer: X-Sum"),
        b"5\r\nhello\r\n",
        b"0\r\nX-Sum: 1\r\nAuthorization: x\r\nauthorization: x\r\nX_Api_Key: y\r\nContent-Length: 3\r\n",
        b"X-UL-Proxy-Token: z\r\nHost: h\r\nx-sum: 2\r\n\r\n",
    ]
    async with (
        upstream(answering(OK, requests=received)) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        for piece in [b"".join(pieces)] if together else pieces:
            await peer.send(piece)
            await asyncio.sleep(0.01)
        assert (await peer.message()).status == 200
        await peer.send(request())
        assert (await peer.message()).status == 200
    assert received[0].body == b"hello"
    assert received[0].trailers == b"X-Sum: 1\r\nx-sum: 2\r\n"
    assert received[0].values(b"trailer") == [b"X-Sum"]


async def test_answer_trailers_pass() -> None:
    """A trailer section is passed on, without what names somebody or frames a message."""
    section = (
        b"X-Sum: 1\r\nAuthorization: a\r\nContent-Length: 5\r\nSet-Cookie: c\r\nx-sum: 2\r\nTransfer-Encoding: x\r\n"
    )
    data = (
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + section + b"\r\n"
    )
    received: list[Message] = []
    async with (
        upstream(answering(data, requests=received)) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        message = await ask(app.urls[0], request("GET", "/v1/x", "TE: trailers", "Connection: TE"))
        old = await ask(app.urls[0], request(version="1.0"))
    assert message.trailers == b"X-Sum: 1\r\nx-sum: 2\r\n"
    assert message.values(b"trailer") == [b"X-Sum"]
    assert received[0].values(b"te") == [b"trailers"]
    assert old.body == b"ok"


@pytest.mark.parametrize("final", [False, True], ids=["100, then the content", "a final status instead"])
async def test_expect_100_continue(final: bool) -> None:
    """The caller hears 100 only once the upstream has said it, or the final status that it said instead."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        head = await peer.head()
        assert head.values(b"expect") == [b"100-continue"]
        asked.set()
        await asyncio.wait_for(go_on.wait(), PATIENCE)
        if final:
            await peer.send(answer(417, b"Connection: close", body=b"no"))
            return
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.exactly(5) == b"hello"
        await peer.send(OK)

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", "/v1/x", "Expect: 100-continue", "Content-Length: 5"))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        await peer.silent()
        go_on.set()
        if final:
            assert (await peer.message()).body == b"no"
        else:
            assert (await peer.head()).status == 100
            await peer.send(b"hello")
            assert (await peer.message()).body == b"ok"


async def test_an_upstream_that_ignores_expect() -> None:
    """A caller who sends the content without having been told to is served all the same."""
    async with (
        upstream(answering(OK)) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", "/v1/x", "Expect: 100-continue", "Content-Length: 5"))
        await peer.silent()
        await peer.send(b"hello")
        assert (await peer.message()).body == b"ok"


@pytest.mark.parametrize("framing", ["Content-Length: 6", "Transfer-Encoding: chunked"])
async def test_uploads_stream(framing: str) -> None:
    """The upstream has the first piece of a body before the caller has sent the second."""
    arrived = asyncio.Event()
    chunked = "chunked" in framing

    async def script(peer: Peer) -> None:
        await peer.head()
        for expected in (b"one", b"two"):
            assert (await peer.chunk() if chunked else await peer.exactly(3)) == expected
            arrived.set()
        if chunked:
            assert await peer.chunk() == b""
            assert await peer.exactly(2) == b"\r\n"
        await peer.send(OK)

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", "/v1/x", framing))
        for piece in (b"one", b"two"):
            await peer.send(b"3\r\n" + piece + b"\r\n" if chunked else piece)
            await asyncio.wait_for(arrived.wait(), PATIENCE)
            arrived.clear()
        if chunked:
            await peer.send(b"0\r\n\r\n")
        assert (await peer.message()).body == b"ok"


@pytest.mark.parametrize("ending", ["lingers", "closes", "resets"])
async def test_an_early_answer_reaches_a_caller_who_is_still_sending(ending: str) -> None:
    """413 while 50 MB are on their way: the caller sees it, though the upstream takes no more."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.exactly(1000)
        await peer.send(answer(413, b"Connection: close", body=b"too large"))
        if ending == "lingers":
            await asyncio.sleep(0.5)
        elif ending == "resets":
            await asyncio.sleep(0.05)
            peer.reset()

    async def upload(peer: Peer) -> None:
        with contextlib.suppress(ConnectionError):
            for _ in range(800):
                peer.writer.write(bytes(1 << 16))
                await peer.writer.drain()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", "/v1/x", f"Content-Length: {800 << 16}"))
        sending = asyncio.create_task(upload(peer))
        message = await peer.message()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert message.status == 413
    assert message.body == b"too large"


async def test_an_early_answer_to_a_caller_who_keeps_the_connection() -> None:
    """After an early answer the caller's connection carries the next request, once the rest of the body has gone by."""

    async def script(peer: Peer) -> None:
        message = await peer.head()
        if message.values(b"content-length"):
            await peer.exactly(5)
            await peer.send(answer(403, body=b"no"))
        else:
            await peer.send(OK)
        await peer.ends()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", "/v1/x", "Content-Length: 10"), b"12345")
        assert (await peer.message()).body == b"no"
        await peer.send(b"67890", request())
        assert (await peer.message()).body == b"ok"
        assert origin.connections == 2


async def test_pipelined_requests() -> None:
    """Requests in one packet, bodies between them, are answered in order."""
    received: list[Message] = []

    async def script(peer: Peer) -> None:
        while True:
            received.append(await peer.message())
            await peer.send(answer(body=received[-1].start_line.split()[1]))

    sent = [
        request(target="/v1/1"),
        request("POST", "/v1/2", body=b"abc"),
        request("POST", "/v1/3", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        request(target="/v1/4"),
    ]
    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(*sent)
        assert [(await peer.message()).body for _ in sent] == [b"/v1/1", b"/v1/2", b"/v1/3", b"/v1/4"]
    assert [message.body for message in received] == [b"", b"abc", b"abc", b""]


@pytest.mark.parametrize("target", ["/-/live", "/v1/x"])
async def test_pipelined_requests_leave_turns_to_others(target: str) -> None:
    """A caller who sends a thousand requests at once does not make the next one wait for all of them."""
    heard = bytearray()

    class Greedy(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            heard.extend(data)

    async with upstream(answering(OK)) as origin, running_proxy(direct_options(origin.url)) as app:
        await ask(app.urls[0], request())
        port = int(app.urls[0].rpartition(":")[2])
        greedy, _ = await asyncio.get_running_loop().create_connection(Greedy, "127.0.0.1", port)
        async with caller(app.urls[0]) as peer:
            await peer.send(request(target="/-/live"))
            await peer.message()
            greedy.write(request(target=target) * 1000)
            await peer.send(request(target="/-/live"))
            await peer.message()
            assert heard.count(OK_LINE) < 500
        while heard.count(OK_LINE) < 1000:  # noqa: ASYNC110 - a protocol tells nobody
            await asyncio.sleep(0.01)
        greedy.abort()


async def test_events_leave_at_once() -> None:
    """A server-sent event reaches the caller before the next one is written, also without chunks."""
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            await asyncio.wait_for(go_on.wait(), PATIENCE)
            go_on.clear()
            await peer.send(b"data: %d\n\n" % number)

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request())
        assert (await peer.head()).status == 200
        for number in range(3):
            go_on.set()
            assert await peer.chunk() == b"data: %d\n\n" % number
        assert await peer.chunk() == b""


@pytest.mark.parametrize(
    ("path", "location", "expected"),
    [
        ("/v1/x", "/v1/y?z=%2F", "/v1/y?z=%2F"),
        ("/v1/x", "ORIGIN/v1/y#f", "http://localhost/v1/y#f"),
        ("/v1/x", "ORIGIN", "http://localhost/"),
        ("/v1/x", "ORIGIN.evil.example/", "ORIGIN.evil.example/"),
        ("/v1/x", "https://elsewhere.example/v1", "https://elsewhere.example/v1"),
        ("/v1/x", "//elsewhere.example/v1", "//elsewhere.example/v1"),
        ("/v1/x", "y/z", "y/z"),
        ("/cdn/flights/a", "/b.csv", "/cdn/flights/b.csv"),
        ("/cdn/flights/a", "ORIGIN/b.csv", "http://localhost/cdn/flights/b.csv"),
    ],
)
async def test_a_location_on_the_upstreams_origin_becomes_local(path: str, location: str, expected: str) -> None:
    """A Location that leads to the upstream leads to the proxy, by the caller's own name for it."""
    origin: Scripted
    statuses = [201, 302, 307]

    async def script(peer: Peer) -> None:
        for status in statuses:
            await peer.message()
            await peer.send(answer(status, b"Location: " + location.replace("ORIGIN", origin.url).encode()))

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        for status in statuses:
            message = await ask(app.urls[0], request("GET", path))
            assert message.status == status
            assert message.values(b"location") == [expected.replace("ORIGIN", origin.url).encode()]


async def test_no_header_is_invented() -> None:
    """A bare request gains Host, Via, the credential and an id; a bare answer gains Via and how it ends."""
    received: list[Message] = []
    async with (
        upstream(answering(answer(), requests=received)) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        message = await ask(app.urls[0], request("POST", body=b"x"))
        bare = await ask(app.urls[0], b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    added = [b"Via", b"Authorization", b"X-Request-Id"]
    assert [name for name, _ in received[0].lines] == [b"Host", b"Content-Length", *added]
    assert [name for name, _ in received[1].lines] == [b"Host", *added]
    assert [name for name, _ in message.lines] == [name for name, _ in bare.lines] == [b"Content-Length", b"Via"]


async def test_no_cookie_crosses() -> None:
    """What one caller is given, or sends, no other caller's request carries."""
    received: list[Message] = []
    async with (
        upstream(answering(answer(200, b"Set-Cookie: a=1; Path=/"), requests=received)) as origin,
        running_proxy(direct_options(origin.url)) as app,
    ):
        await ask(app.urls[0], request("GET", "/v1/x", "Cookie: mine=1"))
        await ask(app.urls[0], request())
        assert origin.connections == 1
    assert [message.values(b"cookie") for message in received] == [[b"mine=1"], []]


# Back-pressure.

BULK = 50 << 20


async def test_a_caller_who_stops_reading_makes_the_upstream_wait() -> None:
    """Of 50 MB that nobody reads, the upstream can send but a small part; all of it comes once somebody does."""
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.message()
        peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BULK)
        while sent < BULK:
            peer.writer.write(bytes(1 << 16))
            await peer.writer.drain()
            sent += 1 << 16

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(idle=4.0, headers=0.5))) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request())
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        stalled = -1
        while sent != stalled:
            stalled = sent
            await asyncio.sleep(0.4)
        assert stalled < BULK // 2
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await peer.head()
        left = BULK
        while left:
            left -= len(await peer.some())


async def test_an_upstream_that_stops_reading_makes_the_caller_wait() -> None:
    """Of 50 MB that the upstream does not read, the caller can send but a small part."""
    go_on = asyncio.Event()
    sent = 0

    async def script(peer: Peer) -> None:
        await peer.head()
        await asyncio.wait_for(go_on.wait(), PATIENCE)
        await peer.exactly(BULK)
        await peer.send(OK)

    async def upload(peer: Peer) -> None:
        nonlocal sent
        while sent < BULK:
            peer.writer.write(bytes(1 << 16))
            await peer.writer.drain()
            sent += 1 << 16

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("PUT", "/v1/x", f"Content-Length: {BULK}"))
        sending = asyncio.create_task(upload(peer))
        stalled = -1
        while sent != stalled:
            stalled = sent
            await asyncio.sleep(0.4)
        assert stalled < BULK // 2
        go_on.set()
        assert (await peer.message()).body == b"ok"
        await sending
