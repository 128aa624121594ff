"""Upstreams that break, talk nonsense or take their time: what the caller is told, on both event loops."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from support.loops import EVERY_LOOP
from support.stack import direct_options, running_proxy, timeouts
from support.wire import PATIENCE, Message, Peer, Version, answer, answering, caller, request, upstream

from proxy.http.grammar import MAX_HEAD

loop_factories = EVERY_LOOP


async def ask(url: str, data: bytes) -> Message:
    async with caller(url) as peer:
        await peer.send(data)
        return await peer.message()


def told(message: Message) -> tuple[int, str]:
    """The status and code of an answer of the proxy's own, which must be an honest one."""
    document: dict[str, Any] = json.loads(message.body)
    assert document["source"] == "upstream"
    assert message.values(b"proxy-status")
    assert document["detail"]
    return message.status, document["code"]


BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "garbage": b"garbage\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an HTTP/2 frame": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "no head": b"<html>hello</html>",
    "an empty line first": b"\r\n" + answer(),
    "no status": b"HTTP/1.1\r\n\r\n",
    "HTTP/1.2": answer().replace(b"HTTP/1.1", b"HTTP/1.2"),
    "bare LF": answer().replace(b"\r\n", b"\n"),
    "obs-fold": answer(200, b"A: b", b" c"),
    "space before a colon": answer(200, b"A : b"),
    "no colon": answer(200, b"A"),
    "NUL": answer(200, b"A: b\x00c"),
    "a control byte": answer(200, b"A: b\x1bc"),
    "a CR inside": answer(200, b"A: b\rC: d"),
    "both lengths": answer(200, b"Transfer-Encoding: chunked"),
    "two lengths": answer(200, b"Content-Length: 3"),
    "the same length twice": answer(200, b"Content-Length: 2"),
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked on HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a head over the limit": answer(200, b"A: " + b"x" * MAX_HEAD),
    "a 101 that nobody asked for": b"HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "an interim answer, then the end": b"HTTP/1.1 100 Continue\r\n\r\n",
}


# After these there may be more to come, for as long as the connection stays.
INCOMPLETE = {"nothing", "half a head", "an interim answer, then the end"}


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "stays"])
async def test_nonsense_before_the_content(ends: bool, subtests: pytest.Subtests) -> None:
    """What is no answer is 502 `upstream_broken`, as soon as that can be told, and its connection is closed."""
    data = b""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(data)
        if not ends:
            await peer.ends()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        for name in BROKEN if ends else BROKEN.keys() - INCOMPLETE:
            with subtests.test(name):
                data, before = BROKEN[name], origin.connections
                async with caller(app.urls[0]) as peer:
                    await peer.send(request())
                    if data.startswith(b"HTTP/1.1 100"):
                        await peer.head()
                    assert told(await peer.message()) == (502, "upstream_broken")
                # Where nothing came at all, the request is sent once more.
                assert origin.connections - before == (1 if data else 2)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reset_before_the_head(method: str) -> None:
    """A connection that is reset instead of an answer is 502 `upstream_broken`."""

    async def script(peer: Peer) -> None:
        await peer.message()
        peer.reset()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        assert told(await ask(app.urls[0], request(method))) == (502, "upstream_broken")


async def test_an_upstream_that_hangs_up_at_once() -> None:
    """A connection that is closed before it was used is 502, without waiting for any timeout."""

    async def script(peer: Peer) -> None:
        peer.reset()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        for _ in range(5):
            assert (await ask(app.urls[0], request())).status == 502


async def test_an_upstream_that_speaks_first() -> None:
    """What an upstream says before it was asked anything is no answer to the first request."""

    async def script(peer: Peer) -> None:
        await peer.send(answer(500, body=b"poison"))
        await peer.rest()

    async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
        message = await ask(app.urls[0], request())
        assert message.status in (500, 502)  # it may have come a moment later, and then nobody can tell


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", id="interim answers"),
        pytest.param(b"A: b\r\n", id="fields"),
        pytest.param(b"x" * 1000, id="one field"),
    ],
)
async def test_an_endless_head(piece: bytes) -> None:
    """A head that never ends is given up at its limit, long before any timeout."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(b"" if piece.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\nA: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                peer.writer.write(piece)
                await peer.writer.drain()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request())
        message = await peer.head()
        while message.status == 103:
            message = await peer.head()
        assert message.status == 502


BREAKS = {
    "short of its length": b"Content-Length: 100\r\n\r\nhello",
    "in the middle of a chunk": b"Transfer-Encoding: chunked\r\n\r\n64\r\nhello",
    "between two chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "in the trailers": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n",
    "no chunk size": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
    "no end of a chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld",
    "a broken trailer": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA : b\r\n\r\n",
}


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("data", BREAKS.values(), ids=BREAKS)
async def test_a_break_in_the_content(data: bytes, version: Version) -> None:
    """Once the head is out, a break upstream is a break for the caller, which no client takes for the end."""

    head, end, content = data.partition(b"\r\n\r\n")
    head_arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + head + end)
        await head_arrived.wait()
        await peer.send(content)
        if b"xyz" in data or b"world" in data or b"A : b" in data:
            await peer.ends()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request(version=version))
        begun = await peer.head()
        assert begun.status == 200
        head_arrived.set()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await peer.message(begun)


@pytest.mark.parametrize("name", ["no chunk size", "no end of a chunk", "a broken trailer"])
async def test_a_malformed_content_that_comes_with_its_head(name: str) -> None:
    """What is found out before anything has gone out is an answer of 502."""
    async with (
        upstream(answering(b"HTTP/1.1 200 OK\r\n" + BREAKS[name])) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request())
        assert (await peer.message()).status == 502


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("size", [5, 300_000], ids=["small", "large"])
async def test_a_reset_of_a_content_without_a_length(size: int, version: Version) -> None:
    """An answer that only the end of its connection delimits breaks where that is a reset."""

    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * size)
        await asyncio.wait_for(begun.wait(), PATIENCE)
        peer.reset()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request(version=version))
        head = await peer.head()
        begun.set()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await peer.message(head)


# Timeouts.

SHORT = 0.8
"""Seconds that stand for a limit, of which a busy machine may waste most."""
STEP = SHORT / 8
"""Ten of them are longer than SHORT."""


async def test_no_connection_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that does not answer is 504 after `timeouts.connect`."""

    async def never(*args: Any, **options: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("aiohappyeyeballs.start_connection", never)
    async with running_proxy(direct_options("http://127.0.0.1:9", timeouts=timeouts(connect=0.1))) as app:
        message = await ask(app.urls[0], request())
    assert told(message) == (504, "upstream_timeout")
    assert b"connection_timeout" in message.values(b"proxy-status")[0]


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
async def test_no_head_in_time(data: bytes) -> None:
    """No final head within `timeouts.headers` is 504, whatever has come instead."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(data)
        await peer.ends()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(headers=SHORT))) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", body=b"abc"))
        if b"103" in data:
            await peer.head()
        message = await peer.message()
        assert told(message) == (504, "upstream_timeout")
        assert b"http_response_timeout" in message.values(b"proxy-status")[0]


async def test_a_slow_upload_is_no_slow_answer() -> None:
    """`timeouts.headers` counts from the last byte of the request, not from its first."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await asyncio.sleep(STEP)
        await peer.send(answer())

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(headers=SHORT))) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", "/v1/x", "Content-Length: 10"))
        for byte in b"1234567890":
            await asyncio.sleep(STEP)
            await peer.send(bytes([byte]))
        assert (await peer.message()).body == b"ok"


async def test_an_upstream_that_takes_no_upload() -> None:
    """An upstream that stops reading a body is 504 after `timeouts.idle`."""

    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(2 * PATIENCE)

    async def upload(peer: Peer) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                peer.writer.write(bytes(1 << 16))
                await peer.writer.drain()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(idle=SHORT))) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("POST", "/v1/x", f"Content-Length: {1 << 30}"))
        sending = asyncio.create_task(upload(peer))
        assert told(await peer.message()) == (504, "upstream_timeout")
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked", b"X: close-delimited"])
async def test_a_content_that_stops(framing: bytes) -> None:
    """An upstream that goes silent in the middle of its answer is cut off after `timeouts.idle`; so is the caller."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n5\r\nhello\r\n")
        await peer.ends()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(idle=SHORT))) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request())
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await peer.message()


async def test_a_content_that_drips() -> None:
    """Every byte that comes starts `timeouts.idle` anew: there is no limit on a whole transfer."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for byte in b"1234567890":
            await asyncio.sleep(STEP)
            await peer.send(bytes([byte]))

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(idle=SHORT))) as app,
    ):
        assert (await ask(app.urls[0], request())).body == b"1234567890"


async def test_an_upload_that_was_held_up_leaves_the_answers_timeout_alone() -> None:
    """An answer that begins while its request is stuck, and then stops, is cut off after `timeouts.idle` as well."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await asyncio.sleep(0.1)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        await peer.exactly(4 << 20)
        await peer.ends()

    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url, timeouts=timeouts(idle=SHORT))) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request("PUT", "/v1/x", f"Content-Length: {8 << 20}"))
        peer.writer.write(bytes(4 << 20))
        await peer.head()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await peer.exactly(100)


async def test_a_caller_who_breaks_off_an_upload() -> None:
    """A body that the caller does not finish never looks whole upstream."""
    begun, broken = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await peer.head()
            begun.set()
            await peer.message(head)
            raise AssertionError("a whole request")
        broken.set()

    for framing, piece in (("Content-Length: 100", b"hello"), ("Transfer-Encoding: chunked", b"5\r\nhello\r\n")):
        begun.clear()
        broken.clear()
        async with upstream(script) as origin, running_proxy(direct_options(origin.url)) as app:
            async with caller(app.urls[0]) as peer:
                await peer.send(request("PUT", "/v1/x", framing), piece)
                await asyncio.wait_for(begun.wait(), PATIENCE)
            await asyncio.wait_for(broken.wait(), PATIENCE)


@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "one by one"])
@pytest.mark.parametrize("garbage", [b"xyz\r\n", b"0\r\nA : b\r\n\r\n", b"5\r\nhelloworld"])
async def test_malformed_chunks_of_a_caller(garbage: bytes, together: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A body whose chunks are nonsense is 400, never looks whole upstream, and is no defect of the proxy's."""
    heads: list[Message] = []
    broken = asyncio.Event()

    async def script(peer: Peer) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            heads.append(await peer.message())
        broken.set()

    pieces = [request("PUT", "/v1/x", "Transfer-Encoding: chunked"), b"5\r\nhello\r\n", garbage]
    async with (
        upstream(script) as origin,
        running_proxy(direct_options(origin.url)) as app,
        caller(app.urls[0]) as peer,
    ):
        for piece in [b"".join(pieces)] if together else pieces:
            await peer.send(piece)
            await asyncio.sleep(0.05)
        message = await peer.message()
        assert message.status == 400
        assert json.loads(message.body)["code"] == "bad_request"
        if origin.connections:
            await asyncio.wait_for(broken.wait(), PATIENCE)
    assert heads == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
