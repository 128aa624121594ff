"""What goes upstream and what comes back, byte for byte, over real sockets."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from support.kinds import Auth
from support.loops import EVERY_LOOP
from support.origin import OK, Origin, Recorded
from support.stack import closing, options_for, running_proxy, talk
from support.wire import PATIENCE

from proxy.app import App
from proxy.demo.cognito import EmbeddedCognito
from proxy.forward.route import Route
from proxy.http.address import Upstream
from proxy.http.server.connection import CallerConnection

loop_factories = EVERY_LOOP


@pytest.fixture
async def proxy(cognito_url: str, origin: Origin) -> AsyncIterator[App]:
    async with running_proxy(options_for(cognito_url, origin.url)) as app:
        yield app


async def id_token(app: App) -> bytes:
    return (await app.tokens.get("default")).id_token.get_secret_value().encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def test_rest_carries_the_id_token_in_its_own_header(proxy: App, origin: Origin) -> None:
    """REST gets `X-Amz-Cognito-Security-Token: <ID token>` and no `authorization`."""
    assert status_of(await talk(proxy.urls[0], closing("GET", "/v1/job"))) == 200
    (request,) = origin.requests
    assert request.values(b"X-Amz-Cognito-Security-Token") == [await id_token(proxy)]
    assert request.values(b"authorization") == []


async def test_graphql_carries_the_bare_id_token(proxy: App, origin: Origin) -> None:
    """GraphQL gets `authorization: <ID token>` without a scheme word."""
    await talk(proxy.urls[0], closing("POST", "/graphql", body=b'{"query":"{x}"}'))
    (request,) = origin.requests
    assert request.request_line == b"POST /graphql HTTP/1.1"
    assert request.values(b"authorization") == [await id_token(proxy)]
    assert request.values(b"X-Amz-Cognito-Security-Token") == []


async def test_analytics_carries_the_api_key_where_there_is_one(cognito_url: str, origin: Origin) -> None:
    """Analytics gets `x-api-key` and no Cognito token once a key is set, and no sign-in waits for it."""
    options = options_for(cognito_url, origin.url, api_key=SecretStr("key-1"))
    async with running_proxy(options) as app:
        await talk(app.urls[0], closing("GET", "/v1/analytics/version"))
    (request,) = origin.requests
    assert request.values(b"x-api-key") == [b"key-1"]
    assert request.values(b"X-Amz-Cognito-Security-Token") == []


async def test_analytics_falls_back_to_the_id_token(proxy: App, origin: Origin) -> None:
    """Without a key, analytics is a REST route like any other."""
    await talk(proxy.urls[0], closing("GET", "/v1/analytics/version"))
    assert origin.requests[0].values(b"X-Amz-Cognito-Security-Token") == [await id_token(proxy)]


@pytest.mark.parametrize("path", ["/v1/job", "/graphql", "/v1/analytics/version"])
async def test_a_personal_access_token_takes_the_place_of_cognito(path: str, origin: Origin) -> None:
    """With a personal access token set, Cognito is not asked and every surface gets it as a Bearer token."""
    options = options_for("http://127.0.0.1:9", origin.url, personal_access_token=SecretStr("ul_pat_1"))
    async with running_proxy(options) as app:
        assert status_of(await talk(app.urls[0], closing("GET", path))) == 200
    assert origin.requests[0].values(b"authorization") == [b"Bearer ul_pat_1"]


async def test_the_cdn_gets_nothing_added(proxy: App, origin: Origin) -> None:
    """A route with `auth = none` carries no credential of the proxy's, and loses its local prefix."""
    await talk(proxy.urls[0], closing("GET", "/cdn/flights/a/b.csv"))
    (request,) = origin.requests
    assert request.target == b"/a/b.csv"
    assert await id_token(proxy) not in request.head


async def test_a_route_of_the_users_own_names_its_header(cognito_url: str, origin: Origin) -> None:
    """A configured route comes before the built-in ones and may name the header for its credential."""
    own = Route("/v1/staging", Upstream.parse(origin.url + "/base"), Auth.REST, header="X-Staging-Token")
    async with running_proxy(options_for(cognito_url, origin.url, own_routes=(own,))) as app:
        await talk(app.urls[0], closing("GET", "/v1/staging/x?y"))
        token = await id_token(app)
    (request,) = origin.requests
    assert request.target == b"/base/x?y"
    assert request.values(b"X-Staging-Token") == [token]


async def test_the_callers_own_credential_stays_here(proxy: App, origin: Origin) -> None:
    """On a route that adds a credential the caller's own never goes upstream, in any spelling."""
    hop = "Connection: close, X-Amz-Cognito-Security-Token"
    for name in (
        *("Authorization", "X-Amz-Cognito-Security-Token", "x-api-key"),
        *("x_api_key", "X_Amz_Cognito_Security_Token"),
    ):
        await talk(proxy.urls[0], closing("GET", "/v1/job", f"{name}: mine", hop))
        request = origin.requests.pop()
        assert b"mine" not in request.head, name
        assert request.values(b"X-Amz-Cognito-Security-Token") == [await id_token(proxy)], name


TARGETS = [
    "/v1/job?",
    "/v1/job?a=%2F&b=%zz&c=a+b",
    "/v1/a..b/%2Ex/y.",
    "/v1//job//",
    "/v1/a%2Fb;c=d,e@f:g!$&'()*",
    "/v1/job?x=?&y=/..//",
    "/v1/%E2%82%AC/%ff",
    "/",
    '/v1/[x]{y}|z^`"<>\\',
]


async def test_targets_pass_byte_for_byte(proxy: App, origin: Origin) -> None:
    """Paths and queries arrive as the caller wrote them: not decoded, not encoded, not normalised."""
    for target in TARGETS:
        origin.requests.clear()
        answer = await talk(proxy.urls[0], closing("GET", target))
        if status_of(answer) == 400:
            assert origin.requests == []
            assert any(c in target for c in '[]{}|^`"<>\\')
        else:
            assert origin.requests[0].target == target.encode()


async def test_requests_gain_no_header_but_those_promised(proxy: App, origin: Origin) -> None:
    """Host is the upstream's, Via, the credential and an id are added, hop-by-hop fields go, all else is as it was."""
    await talk(
        proxy.urls[0],
        closing(
            "GET",
            "/v1/job",
            "X-B: 2",
            "x-a: 1",
            "X-B: 3",
            "Keep-Alive: 5",
            "Connection: X-Hop",
            "X-Hop: 1",
            "TE: x",
        ),
    )
    *lines, request_id = [(name.lower(), value) for name, value in origin.requests[0].lines]
    assert request_id[0] == b"x-request-id"
    assert lines == [
        (b"host", origin.url.removeprefix("http://").encode()),
        (b"x-b", b"2"),
        (b"x-a", b"1"),
        (b"x-b", b"3"),
        (b"via", b"1.1 ul-proxy"),
        (b"x-amz-cognito-security-token", await id_token(proxy)),
    ]


async def test_status_codes_and_redirects_pass_unchanged(proxy: App, origin: Origin) -> None:
    """Every final status passes with its reason; a redirect is handed back, not followed."""
    for status in (200, 201, 206, 301, 302, 307, 400, 404, 418, 429, 500, 503, 599):
        origin.requests.clear()
        location = b"Location: https://elsewhere.example/x\r\n"
        origin.answers = [b"HTTP/1.1 %d Odd Reason\r\n%bContent-Length: 3\r\n\r\nabc" % (status, location)]
        answer = await talk(proxy.urls[0], closing("GET", "/v1/job"))
        assert answer.startswith(b"HTTP/1.1 %d Odd Reason\r\n" % status)
        assert location in answer
        assert body_of(answer) == b"abc"
        assert len(origin.requests) == 1


async def test_duplicate_answer_headers_stay_apart_and_in_order(proxy: App, origin: Origin) -> None:
    """Two Set-Cookie lines stay two, and hop-by-hop lines of the upstream stay behind."""
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Between: 1\r\nSet-Cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
    origin.answers = [head + b"Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n"]
    answer = await talk(proxy.urls[0], closing("GET", "/v1/job"))
    assert answer == (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Between: 1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n"
        b"Via: 1.1 ul-proxy\r\nConnection: close\r\n\r\n"
    )


async def test_no_cookie_crosses_to_another_caller(proxy: App, origin: Origin) -> None:
    """A cookie that one caller was given is not sent for the next one."""
    origin.answers = [b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1; Path=/\r\nContent-Length: 0\r\n\r\n"]
    await talk(proxy.urls[0], closing("GET", "/v1/job"))
    await talk(proxy.urls[0], closing("GET", "/v1/job"))
    assert origin.requests[1].values(b"Cookie") == []


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
    ],
    ids=["HEAD", "204", "304"],
)
async def test_answers_without_content_have_none(method: str, answer: bytes, proxy: App, origin: Origin) -> None:
    """HEAD, 204 and 304 pass with their headers and leave the connection usable."""
    origin.answers = [answer, OK]
    ask = closing(method, "/v1/job").replace(b"Connection: close\r\n", b"")
    both = await talk(proxy.urls[0], ask + closing("GET", "/v1/job"))
    first, _, second = both.partition(b"\r\n\r\n")
    assert first.split(b"\r\n")[0] == answer.split(b"\r\n")[0]
    assert b"chunked" not in first.lower()
    assert second.startswith(b"HTTP/1.1 200 OK")


async def test_coded_content_passes_as_it_is(proxy: App, origin: Origin) -> None:
    """Gzip is neither unpacked nor repacked, in requests or answers."""
    packed = gzip.compress(b"content" * 100)
    origin.answers = [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed]
    answer = await talk(proxy.urls[0], closing("POST", "/v1/job", "Content-Encoding: gzip", body=packed))
    assert origin.requests[0].body == packed
    assert body_of(answer) == packed


async def test_an_answer_without_length_is_chunked_for_the_caller(proxy: App, origin: Origin) -> None:
    """What an upstream ends by closing reaches an HTTP/1.1 caller in chunks with a proper end."""

    async def until_close(request: Recorded, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        writer.close()

    origin.responder = until_close
    answer = await talk(proxy.urls[0], closing("GET", "/v1/job"))
    assert b"Transfer-Encoding: chunked\r\n" in answer
    assert body_of(answer) == b"5\r\nhello\r\n0\r\n\r\n"


async def test_an_http10_caller_gets_no_chunks(proxy: App, origin: Origin) -> None:
    """HTTP/1.0 knows no chunks: the end of the connection ends the content."""
    origin.answers = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    answer = await talk(proxy.urls[0], b"GET /v1/job HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert body_of(answer) == b"hello"
    assert b"chunked" not in answer


async def test_chunked_uploads_stay_chunked(proxy: App, origin: Origin) -> None:
    """A body of unknown length is passed on as one."""
    await talk(
        proxy.urls[0],
        closing("POST", "/v1/job", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    (request,) = origin.requests
    assert request.values(b"transfer-encoding") == [b"chunked"]
    assert request.values(b"content-length") == []
    assert request.body == b"abcde"


async def test_an_upload_in_tiny_chunks_arrives_whole(proxy: App, origin: Origin) -> None:
    """Chunks of a few bytes, read some at a time, lose nothing, and neither does the request behind them."""
    content = bytes(range(256)) * 400
    chunks = b"".join(b"%x\r\n%b\r\n" % (size, content[at : at + size]) for at, size in _cut(len(content)))
    upload = b"POST /v1/job HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    answers = await talk(proxy.urls[0], upload + closing("GET", "/v1/behind"))
    assert answers.count(b" 200 OK") == 2
    assert [request.body for request in origin.requests] == [content, b""]


async def test_requests_between_tiny_chunks_are_answered(proxy: App) -> None:
    """However many requests and contents in tiny chunks come at once, all are answered, and little of them is held."""
    tiny = b"PUT /v1/job HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 300
    group = b"GET /v1/job HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2 + tiny + b"0\r\n\r\n"
    held: list[int] = []

    async def look() -> None:
        while True:
            served = (found for server in proxy._listeners._servers.values() for found in server.connections)
            connections = [found for found in served if isinstance(found, CallerConnection)]
            held.extend(len(connection.parser._buffer) for connection in connections)
            await asyncio.sleep(0.001)

    looking = asyncio.create_task(look())
    answers = await talk(proxy.urls[0], group * 600 + closing("GET", "/v1/job"))
    looking.cancel()
    assert answers.count(b"HTTP/1.1 200 OK") == 600 * 3 + 1
    assert max(held) < 600_000


def _cut(length: int) -> Iterator[tuple[int, int]]:
    """Where pieces of one to five bytes begin, and how long they are."""
    at = 0
    while at < length:
        size = min(1 + at % 5, length - at)
        yield at, size
        at += size


async def test_events_leave_at_once(proxy: App, origin: Origin) -> None:
    """Each server-sent event reaches the caller before the next one is written."""
    go_on = asyncio.Event()

    async def stream(request: Recorded, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in (b"data: 1\n\n", b"data: 2\n\n"):
            await writer.drain()
            await asyncio.wait_for(go_on.wait(), PATIENCE)
            go_on.clear()
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.wait_for(go_on.wait(), PATIENCE)
        writer.write(b"0\r\n\r\n")

    origin.responder = stream
    async with aiohttp.ClientSession() as session, session.get(proxy.urls[0] + "/v1/events") as response:
        assert response.status == 200
        for expected in (b"data: 1\n\n", b"data: 2\n\n"):
            go_on.set()
            assert await asyncio.wait_for(response.content.readany(), PATIENCE) == expected
        go_on.set()
        assert await response.content.read() == b""


async def test_100_continue_comes_when_the_content_is_wanted(proxy: App, origin: Origin) -> None:
    """A caller who waits for 100 Continue gets it, then the final answer."""
    host, _, port = proxy.urls[0].removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/job HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)).startswith(b"HTTP/1.1 100 Continue\r\n")
    writer.write(b"abc")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)).startswith(b"HTTP/1.1 200")
    assert origin.requests[0].body == b"abc"
    writer.close()


async def test_a_caller_who_leaves_ends_the_upstream_request(proxy: App, origin: Origin) -> None:
    """The upstream's connection is closed when nobody waits for the answer any more."""
    asked = asyncio.Event()

    async def never(request: Recorded, reader: asyncio.StreamReader, writer: Any) -> None:
        asked.set()
        await reader.readexactly(1)

    origin.responder = never
    host, _, port = proxy.urls[0].removeprefix("http://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(closing("GET", "/v1/job"))
    await asyncio.wait_for(asked.wait(), PATIENCE)
    writer.close()
    await asyncio.wait_for(origin.hung_up.wait(), PATIENCE)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n"],
    ids=["Content-Length", "chunked"],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_an_upstream_that_breaks_off_breaks_the_caller(
    head: bytes, version: str, proxy: App, origin: Origin
) -> None:
    """A partial answer never looks whole: the caller's connection breaks too."""

    async def partial(request: Recorded, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + (b"5\r\nhello\r\n" if b"chunked" in head else b"hello"))
        await writer.drain()
        writer.close()

    origin.responder = partial
    ask = closing("GET", "/v1/job").replace(b"HTTP/1.1", b"HTTP/" + version.encode())
    try:
        answer = await talk(proxy.urls[0], ask)
    except ConnectionResetError:
        return
    assert b"\r\n0\r\n\r\n" not in answer
    assert b"chunked" in answer or b"Content-Length: 100" in answer


@pytest.mark.parametrize("size", [10, 1 << 20], ids=["small", "at the limit"])
async def test_a_rejected_token_is_replaced_and_the_request_sent_again(
    size: int, proxy: App, origin: Origin, cognito: EmbeddedCognito
) -> None:
    """On 401 the token is renewed and the request, body included, sent once more."""
    origin.answers = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", OK]
    body = b"x" * size
    answer = await talk(proxy.urls[0], closing("POST", "/v1/job", body=body))
    assert status_of(answer) == 200
    first, second = origin.requests
    assert first.body == second.body == body
    assert first.values(b"X-Amz-Cognito-Security-Token") != second.values(b"X-Amz-Cognito-Security-Token")
    assert cognito.counts["GetTokensFromRefreshToken"] == 1


async def test_an_expired_token_is_a_403_that_says_so(proxy: App, origin: Origin) -> None:
    """API Gateway's 403 about an expired token is treated like a 401."""
    text = b'{"message":"The incoming token has expired"}'
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n"
    packed = gzip.compress(text)
    for content, coding in ((text, b""), (packed, b"Content-Encoding: gzip\r\n")):
        origin.answers = [head + coding + b"Content-Length: %d\r\n\r\n" % len(content) + content, OK]
        assert status_of(await talk(proxy.urls[0], closing("GET", "/v1/job"))) == 200
        proxy.tokens._state("default").forced_at = None


async def test_a_403_about_permission_triggers_nothing(proxy: App, origin: Origin, cognito: EmbeddedCognito) -> None:
    """Being forbidden is an answer like any other, and passes whole."""
    for text in (
        b'{"message":"User is not authorized to access this resource"}' + b" " * 9000,
        b'{"message":"Your invitation token has expired"}',
    ):
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
        origin.answers = [head + text]
        answer = await talk(proxy.urls[0], closing("GET", "/v1/job"))
        assert status_of(answer) == 403
        assert body_of(answer) == text
    assert cognito.counts["GetTokensFromRefreshToken"] == 0


async def test_a_401_after_the_replay_is_passed_on(proxy: App, origin: Origin, cognito: EmbeddedCognito) -> None:
    """An upstream that refuses every token costs one renewal in 30 seconds, and its own 401 is what callers see."""
    origin.answers = [b"HTTP/1.1 401 Unauthorized\r\nX-From: upstream\r\nContent-Length: 0\r\n\r\n"]
    for _ in range(5):
        assert b"X-From: upstream" in await talk(proxy.urls[0], closing("GET", "/v1/job"))
    assert len(origin.requests) == 6
    assert cognito.counts["GetTokensFromRefreshToken"] == 1


async def test_a_body_beyond_the_limit_is_not_sent_again(cognito_url: str, origin: Origin) -> None:
    """What is no longer held cannot be replayed: the 401 passes, and the next request has a new token."""
    origin.answers = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", OK]
    async with running_proxy(options_for(cognito_url, origin.url, replay_limit=1000)) as app:
        assert status_of(await talk(app.urls[0], closing("POST", "/v1/job", body=b"x" * 1001))) == 401
        assert status_of(await talk(app.urls[0], closing("GET", "/v1/job"))) == 200
    tokens = [request.values(b"X-Amz-Cognito-Security-Token") for request in origin.requests]
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize(("path", "graphql"), [("/v1/job", False), ("/graphql", True)])
async def test_an_unreachable_upstream_is_an_honest_502(
    path: str, graphql: bool, cognito_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listening upstream: 502 with Proxy-Status and a problem document, or a GraphQL error."""
    monkeypatch.setattr("proxy.http.client.connect.TRYING", 0.1)
    async with running_proxy(options_for(cognito_url, "http://127.0.0.1:9")) as app:
        answer = await talk(app.urls[0], closing("POST", path, body=b"{}"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status_of(answer) == 502
    assert b"Proxy-Status: ul-proxy; error=connection_refused" in head
    document = json.loads(body)
    facts = document["errors"][0]["extensions"] if graphql else document
    assert facts["code"] == "upstream_unreachable"
    assert facts["source"] == "upstream"
    assert facts["hint"]
    assert (b"application/problem+json" in head) is not graphql


async def test_a_silent_upstream_is_a_504(cognito_url: str, origin: Origin) -> None:
    """An upstream that does not begin to answer within `timeouts.headers`: 504 `upstream_timeout`."""

    async def silence(request: Recorded, reader: asyncio.StreamReader, writer: Any) -> None:
        await reader.read()

    origin.responder = silence
    options = options_for(cognito_url, origin.url)
    timeouts = type(options.timeouts)(connect=1, headers=0.2, idle=1, auth=5, drain=1)
    async with running_proxy(options_for(cognito_url, origin.url, timeouts=timeouts)) as app:
        answer = await talk(app.urls[0], closing("GET", "/v1/job"))
    assert status_of(answer) == 504
    assert json.loads(body_of(answer))["code"] == "upstream_timeout"


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n"], ids=["nothing", "garbage"])
async def test_a_broken_upstream_is_a_502(answer: bytes, proxy: App, origin: Origin) -> None:
    """An upstream that closes without an answer or talks nonsense: 502 `upstream_broken`."""

    async def broken(request: Recorded, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    origin.responder = broken
    document = json.loads(body_of(await talk(proxy.urls[0], closing("POST", "/v1/job", body=b"x"))))
    assert document["code"] == "upstream_broken"


async def test_a_foreign_host_is_refused_before_anything_else(proxy: App, origin: Origin) -> None:
    """A name that is not loopback's is refused with 403: nothing goes upstream or tells of the proxy."""
    for host in ("evil.example", "localhost.evil.example", "127.1", "10.0.0.1", ""):
        for path in ("/v1/job", "/-/live", "/-/ready", "/-/status"):
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            assert status_of(await talk(proxy.urls[0], request.encode())) == 403, request
    assert origin.requests == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 secret-canary\r\n\r\n",
        b"GET /v1/job HTTP/1.1\r\nHost: localhost\r\nsecret-canary\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: [::1]\r\nContent-Length:5\r\nTransfer-Encoding: chunked\r\nX:secret-canary\r\n\r\n",
        b"TRACE /secret-canary HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"CONNECT secret-canary:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
    ids=["TLS", "no colon", "both lengths", "TRACE", "CONNECT"],
)
async def test_what_is_no_request_is_refused_without_an_echo(
    data: bytes, proxy: App, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """Nonsense gets 400 in the proxy's own form, and neither the answer nor the log repeats it."""
    caplog.set_level("DEBUG")
    answer = await talk(proxy.urls[0], data)
    assert status_of(answer) == 400
    assert json.loads(body_of(answer))["code"] == "bad_request"
    assert b"secret-canary" not in answer
    assert "secret-canary" not in caplog.text
    assert origin.requests == []


async def test_pipelined_requests_are_answered_in_order(proxy: App, origin: Origin) -> None:
    """Several requests in one packet are answered one after the other."""
    paths = [f"/v1/{n}" for n in range(5)]
    ask = b"".join(closing("GET", path).replace(b"Connection: close\r\n", b"") for path in paths[:-1])
    answers = await talk(proxy.urls[0], ask + closing("GET", paths[-1]))
    assert answers.count(b"HTTP/1.1 200 OK") == 5
    assert [request.target.decode() for request in origin.requests] == paths
