"""The inspector on real sockets: who may look, what is told and when, what is kept meanwhile, and for how long."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from support.environment import guarded_environment
from support.kinds import Auth
from support.loops import EVERY_LOOP
from support.machine import program
from support.origin import OK, Origin, Slow
from support.stack import PASSWORD, closing, direct_options, options_for, pool_of, talk, timeouts
from support.wire import PATIENCE, Peer, answer, caller, request

import proxy.app
from proxy.app import App
from proxy.demo.cognito import EmbeddedCognito
from proxy.forward.route import Route
from proxy.http.address import Bind, Upstream
from proxy.observe.inspector import Inspector
from proxy.observe.inspector.feed import Watcher
from proxy.observe.inspector.recorder import Recorder
from proxy.observe.request_log import RequestLog
from proxy.settings.options import ServeOptions

loop_factories = EVERY_LOOP

CLIENT_TOKEN = "0123456789abcdef"
EVENTS = "/-/inspector/events"
PATHS = ("/-/", EVENTS, "/-/inspector/requests/1")
ANYWHERE = Bind("0.0.0.0", 0)  # noqa: S104
HERE = Bind("127.0.0.1", 0)


class Feed:
    """What a page that looks on is told."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.told: list[dict[str, Any]] = []
        self.dropped = 0
        self.line = ""
        """To try the proxy with."""
        self._text = ""

    async def more(self) -> None:
        """Wait for the next event."""
        while "\n\n" not in self._text:
            piece = await self.peer.chunk()
            if not piece:
                raise EOFError
            self._text += piece.decode()
        event, _, self._text = self._text.partition("\n\n")
        if event.startswith("data: "):
            document = json.loads(event.removeprefix("data: "))
            self.told += document.get("requests", [])
            self.dropped += document.get("dropped", 0)
            self.line = document.get("try", self.line)

    async def of(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first request told that is wanted."""
        async with asyncio.timeout(PATIENCE):
            while not (found := [told for told in self.told if wanted(told)]):
                await self.more()
        return found[0]

    async def ended(self, target: str) -> dict[str, Any]:
        """The request for `target`, once it has ended."""
        return await self.of(lambda told: told["target"] == target and "status" in told)


@asynccontextmanager
async def watching(url: str, *lines: str) -> AsyncIterator[Feed]:
    """A page that looks on, and has heard the first event."""
    async with caller(url) as peer:
        await peer.send(request("GET", EVENTS, *lines))
        head = await peer.head()
        assert head.status == 200
        assert head.values(b"content-type") == [b"text/event-stream"]
        assert head.values(b"transfer-encoding") == [b"chunked"]
        feed = Feed(peer)
        await feed.more()
        yield feed


def status_of(data: bytes) -> int:
    return int(data.split(b" ", 2)[1])


def document_of(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data.partition(b"\r\n\r\n")[2])
    return document


async def ask(app: App, target: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    url = app.urls[0].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    return await talk(url, closing(method, target, *lines, body=body))


async def details(app: App, told: dict[str, Any]) -> dict[str, Any]:
    data = await ask(app, f"/-/inspector/requests/{told['id']}")
    assert status_of(data) == 200
    return document_of(data)


def is_tapped(app: App) -> bool:
    """Whether anybody listens in on callers' requests."""
    return any(forwarder.interceptor is not None for forwarder in app._forwarders.values())


def watchers(app: App) -> set[Watcher]:
    """The pages that look on, as the proxy knows them."""
    assert app._inspector is not None
    found: set[Watcher] = app._inspector._responder._watchers
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def stuffed(app: App, feed: Feed) -> Watcher:
    """The one page that looks on, which reads no more and has been told more than is kept for it."""
    feed.peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    (watcher,) = watchers(app)
    long = json.dumps({"target": "/" + "a" * 16_000})

    def is_full() -> bool:
        # The sockets take some megabytes first.
        watcher.tell([long] * 50)
        return watcher._dropped > 0

    await until(is_full)
    return watcher


@asynccontextmanager
async def running(options: ServeOptions) -> AsyncIterator[App]:
    async with App(options) as app:
        yield app


@asynccontextmanager
async def behind(slow: Slow) -> AsyncIterator[App]:
    """A proxy whose upstream takes its time."""
    async with Origin(responder=slow).running() as origin, running(direct_options(origin.url)) as app:
        yield app


@pytest.fixture
def without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept once the last page has gone."""

    class Hasty(Inspector):
        def __init__(self, request_log: RequestLog, look_on: Any) -> None:
            super().__init__(request_log, look_on, grace=0)

    monkeypatch.setattr(proxy.app, "Inspector", Hasty)


# ---- what is told


async def test_requests_as_they_come(origin: Origin) -> None:
    """A page is told of requests that were before it, and at once of those that come, with what the query was."""
    async with running(direct_options(origin.url)) as app:
        await ask(app, "/v1/before?secret=1")
        async with watching(app.urls[0]) as feed:
            before = await feed.ended("/v1/before")
            assert (before["status"], before["source"], before["kept"]) == (200, "upstream", False)
            await ask(app, "/v1/now?a=1&token=abc")
            now = await feed.ended("/v1/now?a=1&token=•••")
            assert (now["route"], now["profile"], now["kept"], now["sent"]) == ("/", "default", True, 2)
            assert 0 < now["upstream_ms"] < now["ms"]
            await ask(app, "/v1/job", "Origin: https://evil.example")
            refused = await feed.ended("/v1/job")
            assert (refused["status"], refused["code"], refused["source"]) == (403, "origin_not_allowed", "client")
            assert "allowed_origins" in refused["hint"]


async def test_what_is_not_a_request_through_the_proxy(origin: Origin) -> None:
    """Looks at the proxy's own endpoints are not told: not the page's own, and no probe's."""
    async with running(direct_options(origin.url)) as app, watching(app.urls[0]) as feed:
        for path in ("/-/live", "/-/status", "/-/nothing", "/-/", "/-/inspector/requests/1"):
            await ask(app, path)
        await ask(app, "/v1/last")
        await feed.ended("/v1/last")
        assert [told["target"] for told in feed.told] == ["/v1/last"]


async def test_what_went_over_the_wire(origin: Origin) -> None:
    """Of a request there is what the caller sent, what the upstream was sent, and both of the answer."""
    content = b'{"IdToken": "abc", "n": 1}'
    origin.answers = [answer(201, b"Content-Type: application/json", b"Set-Cookie: a=b", b"X-A: 1", body=content)]
    async with running(direct_options(origin.url)) as app, watching(app.urls[0]) as feed:
        lines = ("Content-Type: application/json", "Authorization: Bearer own", "X-Mine: 1")
        await ask(app, "/v1/job", *lines, method="POST", body=b'{"title": "Tower", "password": "x"}')
        told = await details(app, await feed.ended("/v1/job"))
        sent = {(mark, name): value for mark, name, value in told["request"]["fields"]}
        assert told["request"]["line"] == "POST /v1/job"
        assert told["request"]["asked"] == f"POST {origin.url}/v1/job"
        assert sent["-", "Authorization"] == "Bearer •••"
        assert sent["+", "Authorization"] == "Bearer •••"
        assert sent[" ", "X-Mine"] == "1"
        assert sent["+", "Host"] == origin.url.removeprefix("http://")
        assert told["request"]["content"]["text"] == '{\n  "title": "Tower",\n  "password": "•••"\n}'
        assert told["answer"]["line"] == "HTTP/1.1 201 OK"
        assert [" ", "Set-Cookie", "•••"] in told["answer"]["fields"]
        assert ["+", "Via", "1.1 ul-proxy"] in told["answer"]["fields"]
        assert ["+", "Connection", "close"] in told["answer"]["fields"]
        assert told["answer"]["content"]["text"] == '{\n  "IdToken": "•••",\n  "n": 1\n}'
        assert "--data-raw" in told["curl"]


async def test_a_refusal(origin: Origin) -> None:
    """Of a request that never went on there is the proxy's own answer."""
    options = direct_options(origin.url, deny=("* /v1/secret",))
    async with running(options) as app, watching(app.urls[0]) as feed:
        await ask(app, "/v1/secret", "Cookie: abc", method="POST", body=b"never read")
        told = await details(app, await feed.ended("/v1/secret"))
        assert told["request"]["asked"] == ""
        assert [" ", "Cookie", "•••"] in told["request"]["fields"]
        assert '"code": "not_permitted"' in told["answer"]["content"]["text"]
        assert told["curl"].endswith(" --data-binary @content " + told["curl"].split()[-1])


async def test_a_token_that_was_refused(cognito_url: str, origin: Origin) -> None:
    """A request that went out twice says so; the credential of neither time is shown."""
    origin.answers = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", OK]
    async with running(options_for(cognito_url, origin.url)) as app:
        token = await app.tokens.get("default")
        async with watching(app.urls[0]) as feed:
            await ask(app, "/v1/job", method="POST", body=b"content")
            told = await details(app, await feed.ended("/v1/job"))
    assert told["request"]["refusals"] == [401]
    assert (told["request"]["content"]["text"], told["answer"]["content"]["text"]) == ("content", "ok")
    assert ["+", "X-Amz-Cognito-Security-Token", "•••"] in told["request"]["fields"]
    assert token.id_token.get_secret_value()[-20:] not in json.dumps(told)
    assert PASSWORD not in json.dumps(told)


async def test_while_it_is_under_way() -> None:
    """A request that takes long is told while it does, also to a page that comes meanwhile, and when it has ended."""
    slow = Slow()
    async with behind(slow) as app, watching(app.urls[0]) as feed:
        asking = asyncio.create_task(ask(app, "/v1/slow"))
        begun = await feed.of(lambda told: told["target"] == "/v1/slow")
        assert "status" not in begun
        async with watching(app.urls[0]) as other:
            assert await other.of(lambda told: told["id"] == begun["id"]) == begun
        slow.let.set()
        await asking
        assert (await feed.ended("/v1/slow"))["id"] == begun["id"]


async def test_a_long_content(origin: Origin) -> None:
    """Of a long content the beginning is shown; all of it passes."""
    body = b"a" * (3 << 20)
    origin.answers = [answer(200, b"Content-Type: text/plain", body=body)]
    async with running(direct_options(origin.url)) as app, watching(app.urls[0]) as feed:
        heard = await ask(app, "/v1/long", method="POST", body=body)
        assert heard.endswith(b"\r\n\r\n" + body)
        assert origin.requests[-1].body == body
        told = await details(app, await feed.ended("/v1/long"))
        for side in ("request", "answer"):
            assert told[side]["content"] == {
                "kind": "text",
                "text": "a" * (16 << 10),
                "note": "the first 16 KiB of 3 MiB",
            }
        assert "@content" in told["curl"]


async def test_a_caller_who_leaves() -> None:
    """A request whose caller left is told, with what went out before."""
    slow = Slow()
    async with behind(slow) as app, watching(app.urls[0]) as feed:
        async with caller(app.urls[0]) as peer:
            await peer.send(request("GET", "/v1/left"))
            await slow.asked.wait()
        left = await feed.ended("/v1/left")
        assert (left["status"], (await details(app, left))["answer"]["line"]) == (499, "")


async def test_nonsense(origin: Origin) -> None:
    """What was no request is told as such."""
    async with running(direct_options(origin.url)) as app, watching(app.urls[0]) as feed:
        await talk(app.urls[0], b"c4n4ry\r\n\r\n")
        told = await feed.of(lambda told: told["code"] == "bad_request")
        assert (told["method"], told["target"], told["kept"]) == ("-", "-", False)


async def test_the_line_for_curl(origin: Origin) -> None:
    """Pasted into a shell, the line sends the same request through the proxy, credential and all."""
    program("curl")
    body = b'{"title": "Tower \\"7\\"", "note": "it\'s $HOME"}'
    async with running(direct_options(origin.url)) as app, watching(app.urls[0]) as feed:
        await ask(app, "/v1/job?x={1}&y='2'", "Content-Type: application/json", "X-A: it's", method="PUT", body=body)
        told = await details(app, await feed.ended("/v1/job?x={1}&y='2'"))
        # The request for the details was made at localhost.
        line = told["curl"].replace("http://localhost", app.urls[0])
        run = ["sh", "-c", line]
        done = await asyncio.to_thread(subprocess.run, run, capture_output=True, env=guarded_environment(), timeout=60)
        assert (done.stdout, done.returncode) == (b"ok", 0), done.stderr
    first, again = origin.requests
    assert (again.request_line, again.body) == (first.request_line, first.body)
    for name in (b"Content-Type", b"X-A", b"Authorization"):
        assert again.values(name) == first.values(name)


async def test_aws_credentials(cognito: EmbeddedCognito, cognito_url: str, origin: Origin) -> None:
    """What is asked of the proxy itself is kept nowhere, whatever came of it."""
    config = cognito.pool.config
    pool = pool_of(config, cognito_url, identity_pool_id=config.identity_pool_id)
    options = options_for(cognito_url, origin.url, pool=pool, aws_credentials_token=SecretStr(CLIENT_TOKEN))
    async with running(options) as app, watching(app.urls[0]) as feed:
        assert status_of(await ask(app, "/-/aws-credentials", f"Authorization: {CLIENT_TOKEN}")) == 200
        assert status_of(await ask(app, "/-/aws-credentials", "Authorization: wrong")) == 401
        await ask(app, "/v1/last")
        await feed.ended("/v1/last")
        (recorder,) = {forwarder.interceptor for forwarder in app._forwarders.values()} - {None}
        assert isinstance(recorder, Recorder)
        assert [entry.path for entry, _ in recorder.kept] == ["/v1/last"]


# ---- what it costs


@pytest.mark.one_loop
def test_start(guarded_env: Callable[..., dict[str, str]]) -> None:
    """Whoever never looks does not wait for what a look takes."""
    script = (
        "import sys, proxy.cli.serve;"
        " loaded = {name for name in sys.modules if name.startswith('proxy.observe.inspector.')};"
        " sys.exit(loaded != {'proxy.observe.inspector.options'})"
    )
    done = subprocess.run([sys.executable, "-c", script], env=guarded_env(), check=False, timeout=60)
    assert done.returncode == 0


async def test_nobody_looks(origin: Origin, without_grace: None) -> None:
    """Nothing is listened in on before the first page looks, nor after the last one has gone."""
    async with running(direct_options(origin.url)) as app:
        assert status_of(await ask(app, "/-/")) == 200
        assert not is_tapped(app)
        async with watching(app.urls[0]) as feed:
            async with watching(app.urls[0]):
                assert is_tapped(app)
            await ask(app, "/v1/a")
            told = await feed.ended("/v1/a")
            assert is_tapped(app)
        await until(lambda: not is_tapped(app))
        missing = await ask(app, f"/-/inspector/requests/{told['id']}")
        assert (status_of(missing), document_of(missing)["code"]) == (404, "no_route")
        async with watching(app.urls[0]) as feed:
            assert (await feed.ended("/v1/a"))["kept"] is False


async def test_a_page_that_loads_again(origin: Origin) -> None:
    """What was kept is still there for a page that comes back soon."""
    async with running(direct_options(origin.url)) as app:
        async with watching(app.urls[0]) as feed:
            for target in ("/v1/a", "/v1/b"):
                await ask(app, target)
                await feed.ended(target)
        async with watching(app.urls[0]) as feed:
            told = await feed.ended("/v1/b")
            assert told["kept"]
            assert (await details(app, told))["request"]["line"] == "GET /v1/b"


async def test_two_first_pages(origin: Origin) -> None:
    """Pages that come at the same time are told the same."""
    async with running(direct_options(origin.url)) as app, AsyncExitStack() as stack:
        one, other = await asyncio.gather(*(stack.enter_async_context(watching(app.urls[0])) for _ in range(2)))
        await ask(app, "/v1/a")
        assert await one.ended("/v1/a") == await other.ended("/v1/a")
        assert len(watchers(app)) == 2


async def test_many_pages(origin: Origin) -> None:
    """A few pages look on at a time; the next one is told so, and gets in when one has gone."""
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(running(direct_options(origin.url)))
        for _ in range(3):
            await stack.enter_async_context(watching(app.urls[0]))
        async with watching(app.urls[0]):
            full = await ask(app, EVENTS)
            assert (status_of(full), document_of(full)["code"]) == (503, "overloaded")
            assert "Close" in document_of(full)["hint"]
        await until(lambda: len(watchers(app)) == 3)
        async with watching(app.urls[0]):
            pass


async def test_a_page_that_does_not_read(origin: Origin) -> None:
    """Requests go on when a page reads nothing: for it some are kept, and the others counted."""
    async with running(direct_options(origin.url)) as app, watching(app.urls[0]) as feed:
        watcher = await stuffed(app, feed)
        assert len(watcher._waiting) == 500
        assert status_of(await ask(app, "/v1/last")) == 200
        feed.peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await feed.ended("/v1/last")
        assert feed.dropped > 0


async def test_head_and_other_methods(origin: Origin) -> None:
    """HEAD of a feed is its head alone; to anything but a look the inspector says no."""
    async with running(direct_options(origin.url)) as app:
        for path in ("/-/", EVENTS):
            head = await ask(app, path, method="HEAD")
            assert (status_of(head), head.partition(b"\r\n\r\n")[2]) == (200, b"")
            assert status_of(await ask(app, path, method="POST")) == 400
        assert not is_tapped(app)
        assert status_of(await ask(app, "/-/inspector/nothing")) == 404


async def test_http10(origin: Origin) -> None:
    """A client of HTTP/1.0 is told as well, up to the end of the connection."""
    async with running(direct_options(origin.url)) as app, caller(app.urls[0]) as peer:
        await peer.send(request("GET", EVENTS, version="1.0"))
        assert (await peer.head()).values(b"transfer-encoding") == []
        assert await peer.exactly(6) == b"data: "


# ---- the end


async def test_draining(origin: Origin) -> None:
    """A page that looks on does not hold up the end, is told its end in order, and gets no new feed."""
    options = direct_options(origin.url, timeouts=timeouts(drain=PATIENCE), drain_delay=0.2)
    async with App(options) as app, watching(app.urls[0]) as feed:
        ending = asyncio.create_task(app.__aexit__(None, None, None))
        with pytest.raises(EOFError):
            await feed.of(lambda _: False)
        late = await ask(app, EVENTS)
        assert (status_of(late), document_of(late)["code"]) == (503, "draining")
        await asyncio.wait_for(ending, PATIENCE / 2)


async def test_draining_while_a_page_does_not_read(origin: Origin) -> None:
    """A page that takes nothing, in a tab that was put to sleep, is not waited for."""
    async with App(direct_options(origin.url, timeouts=timeouts(drain=PATIENCE))) as app, watching(app.urls[0]) as feed:
        await stuffed(app, feed)
        await asyncio.wait_for(app.__aexit__(None, None, None), PATIENCE / 2)


async def test_the_page_is_loaded_while_draining(origin: Origin) -> None:
    """The first look may come when the proxy ends."""
    async with App(direct_options(origin.url, drain_delay=0.5)) as app:
        ending = asyncio.create_task(app.__aexit__(None, None, None))
        await asyncio.sleep(0)
        assert status_of(await ask(app, "/-/")) == 200
        assert status_of(await ask(app, EVENTS)) == 503
        await ending


async def test_settings_that_change(origin: Origin) -> None:
    """With new settings the pages that look on go on, and the new secrets are hidden, too."""
    options = direct_options(origin.url)
    async with running(options) as app, watching(app.urls[0]) as feed:
        app.reload(direct_options(origin.url, api_key=SecretStr("brand-new-key")))
        assert is_tapped(app)
        await ask(app, "/v1/echo", "X-Note: the brand-new-key, again")
        told = await details(app, await feed.ended("/v1/echo"))
        assert [" ", "X-Note", "the •••, again"] in told["request"]["fields"]


async def test_a_client_token_that_changes(origin: Origin) -> None:
    """Who looked on with another client token is told nothing more, also where there is no inspector any more."""
    options = direct_options(origin.url, client_token=SecretStr(CLIENT_TOKEN), listen=(ANYWHERE,))
    token = f"X-UL-Proxy-Token: {CLIENT_TOKEN}"
    for changed in (SecretStr("fedcba9876543210"), None):
        async with running(options) as app, watching(app.urls[0].replace("0.0.0.0", "127.0.0.1"), token) as feed:  # noqa: S104
            app.reload(direct_options(origin.url, client_token=changed, listen=(ANYWHERE,)))
            with pytest.raises(EOFError):
                await feed.of(lambda _: False)


async def test_a_header_of_a_route_of_ones_own(origin: Origin) -> None:
    """What a caller sends in the header that a route has for its credential is hidden, also where it stays."""
    upstream = Upstream.parse(origin.url)
    route = Route("/own", upstream, Auth.BEARER, "X-Staging")
    async with running(direct_options(origin.url, own_routes=(route,))) as app, watching(app.urls[0]) as feed:
        await ask(app, "/own/a", "X-Staging: c4n4ry")
        told = await details(app, await feed.ended("/own/a"))
    assert ["-", "X-Staging", "•••"] in told["request"]["fields"]
    assert "c4n4ry" not in json.dumps(told)


# ---- who may look


@pytest.mark.parametrize(
    "lines",
    [
        ["Origin: https://evil.example"],
        ["Origin: null"],
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"],
        ["Sec-Fetch-Site: same-site"],
        # One that may use the proxy may not look at what others send.
        ["Origin: https://app.example"],
        ["Origin: https://app.example", "Sec-Fetch-Site: cross-site"],
    ],
    ids=" ".join,
)
async def test_other_pages(lines: list[str], origin: Origin) -> None:
    """No page but its own gets anything of the inspector."""
    options = direct_options(origin.url, allowed_origins=frozenset(("https://app.example",)))
    async with running(options) as app:
        for path in PATHS:
            refused = await ask(app, path, *lines)
            assert (status_of(refused), document_of(refused)["code"]) == (403, "origin_not_allowed"), path


async def test_a_rebound_name(origin: Origin) -> None:
    """A name that was rebound to the proxy gets nothing of it."""
    async with running(direct_options(origin.url)) as app:
        for path in PATHS:
            data = closing("GET", path).replace(b"Host: localhost", b"Host: evil.example")
            assert status_of(await talk(app.urls[0], data)) == 403, path


async def test_client_token(origin: Origin) -> None:
    """Where callers need a token, so does who looks: a browser asks for it, and the line for curl leaves it a place."""
    async with running(direct_options(origin.url, client_token=SecretStr(CLIENT_TOKEN))) as app:
        for path in PATHS:
            refused = await ask(app, path)
            assert status_of(refused) == 401
            assert b"WWW-Authenticate: Basic" in refused
        token = f"X-UL-Proxy-Token: {CLIENT_TOKEN}"
        assert status_of(await ask(app, "/-/", token)) == 200
        async with watching(app.urls[0], token) as feed:
            await ask(app, "/v1/job", token, f"X-Note: {CLIENT_TOKEN}")
            told = await feed.ended("/v1/job")
            data = await ask(app, f"/-/inspector/requests/{told['id']}", token)
    assert CLIENT_TOKEN.encode() not in data
    assert "$UL_PROXY_CLIENT_TOKEN" in document_of(data)["curl"]


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({"inspector": False}, False),
        ({"listen": (ANYWHERE,)}, False),
        ({"listen": (HERE, ANYWHERE)}, False),
        ({"listen": (ANYWHERE,), "client_token": SecretStr(CLIENT_TOKEN)}, True),
        ({}, True),
    ],
)
async def test_where_it_is(changes: dict[str, Any], there: bool, origin: Origin) -> None:
    """What callers send is not for strangers: beyond loopback it takes a token, and it can be switched off."""
    token = [f"X-UL-Proxy-Token: {CLIENT_TOKEN}"] if "client_token" in changes else []
    async with running(direct_options(origin.url, **changes)) as app:
        assert (app.page_url is not None) == there
        for path in PATHS[:2]:
            data = await ask(app, path, *token, method="HEAD")
            assert status_of(data) == (200 if there else 404)
        listed = document_of(await ask(app, "/-/nothing", *token))["hint"]
        assert listed.endswith(", /-/.") == there
        if not there:
            hint = document_of(await ask(app, "/-/"))["hint"]
            assert "inspector = true" in hint
            assert "client_token" in hint


@pytest.mark.parametrize(("host", "there"), [("127.0.0.1", True), ("0.0.0.0", False)])  # noqa: S104
async def test_at_a_socket_that_was_passed(host: str, there: bool, origin: Origin) -> None:
    """A socket that a service manager passes is judged as any other."""
    with socket.create_server((host, 0)) as passed:
        async with App(direct_options(origin.url), sockets=[passed]) as app:
            assert (status_of(await ask(app, "/-/")) == 200) == there
            assert (app.page_url is not None) == there


async def test_at_an_address_of_its_own(origin: Origin) -> None:
    """At an admin address on loopback it is there, whoever the callers are; beyond loopback it is not."""
    options = direct_options(origin.url, listen=(ANYWHERE,), admin_listen=(HERE, ANYWHERE))
    async with running(options) as app:
        here, beyond = (url.replace("0.0.0.0", "127.0.0.1") for url in app.admin_urls)  # noqa: S104
        assert app.page_url == f"{here}/-/"
        assert status_of(await ask(app, "/-/")) == 404
        for path in PATHS:
            assert status_of(await talk(beyond, closing("GET", path))) == 404
        assert status_of(await talk(here, closing("GET", "/-/"))) == 200
        async with watching(here) as feed:
            assert feed.line == app.urls[0].join(("curl -sS ", "/v1/job")).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
            await ask(app, "/v1/job")
            told = await feed.ended("/v1/job")
            found = await talk(here, closing("GET", f"/-/inspector/requests/{told['id']}"))
            assert document_of(found)["curl"] == feed.line
