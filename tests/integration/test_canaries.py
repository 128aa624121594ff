"""Secrets are planted everywhere, everything that can go wrong does, and nothing that anybody can read shows one."""

import asyncio
import base64
import io
import json
import logging
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.canaries import Birdwatcher, canary, secret_settings
from support.environment import guarded_environment
from support.origin import OK, Origin, Recorded
from support.rig import converse
from support.stack import SIGNER, USERNAME, options_for, timeouts
from support.wire import caller

from proxy.app import App
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.forward.routes import RouteTable
from proxy.model import RequestRecord
from proxy.observe.logs import AccessLog, JsonFormatter, TextFormatter

PATIENCE = 30.0
PASSWORD = canary("password")
TOKEN = canary("client_token")
# The caller's own: a header, a query and a content.
OWN = (
    b"Host: localhost\r\nConnection: close\r\nX-UL-Proxy-Token: %b\r\nAuthorization: Bearer %b\r\nCookie: %b\r\n"
    % tuple(value.encode() for value in (TOKEN, canary("authorization"), canary("cookie")))
)
CONTENT = b'{"query": "{ x }", "password": "%b"}' % canary("content").encode()
EXPIRED = b'{"message":"The incoming token has expired"}'
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(EXPIRED)
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


def ask(path: str, *lines: str, method: str = "GET", body: bytes = b"", own: bytes = OWN) -> bytes:
    """A request with secrets of its caller's in every place."""
    query = f"?token={canary('query')}"
    more = "".join(f"{line}\r\n" for line in lines)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path}{query} HTTP/1.1\r\n{more}{length}".encode() + own + b"\r\n" + body


OWN_PLACES = ("/-/live", "/-/ready", "/-/status", "/-/metrics", "/-/", "/-/nothing", "/-/aws-credentials")
REQUESTS = (
    ask("/v1/job"),
    ask("/v1/job", method="POST", body=CONTENT),
    ask("/graphql", method="POST", body=CONTENT),
    ask("/v1/analytics/version"),
    ask("/cdn/flights/x"),
    *(ask(path) for path in OWN_PLACES),
    ask("/-/refresh", method="POST"),
    # What is refused.
    ask("/v1/job", own=OWN.replace(TOKEN.encode(), canary("wrong").encode())),
    ask("/v1/job", f"Proxy-Authorization: Basic {base64.b64encode(TOKEN.encode()).decode()}"),
    ask("/v1/job", own=OWN.replace(b"localhost", b"evil.example")),
    ask("/v1/job", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"),
    ask("/v1/job", f"Origin: https://{canary('origin').lower()}.example"),
    ask("/v1/job", method="TRACE"),
    ask("/v1/job", method="POST", body=CONTENT).replace(b"Content-Length: ", b"Content-Length: +"),
    ask("/v1/job", "Transfer-Encoding: gzip"),
    ask(f"/v1/{canary('path')}#"),
    # No name that could be logged.
    ask("/v1/job", f"X-Request-Id: {canary('id')}, {canary('id')}"),
    ask("/v1/job", f"traceparent: 00-{canary('trace')}-00f067aa0ba902b7-01"),
    ask("/v1/job", f"X-Request-Id: {canary('id') * 9}"),
    ask("/v1/job", f"X : {canary('malformed')}"),
    f"{canary('nonsense')}\r\n\r\n".encode(),
    ask("/v1/job", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\n" + CONTENT,
    ask("/v1/job", "X: " + canary("large") * 20_000),
)


class Recording:
    """Everything that the program wrote, in every form that it can write it in."""

    def __init__(self, watcher: Birdwatcher) -> None:
        self.watcher = watcher
        self._streams = {name: io.StringIO() for name in ("text", "json", "text access", "json access")}
        self._logs = [
            AccessLog(self._streams[f"{form} access"].write, form, least="debug", colour=True)
            for form in ("text", "json")
        ]
        self.handlers = []
        for form, formatter in (("text", TextFormatter()), ("json", JsonFormatter())):
            handler = logging.StreamHandler(self._streams[form])
            handler.setFormatter(formatter)
            self.handlers.append(handler)

    def access(self, entries: Sequence[RequestRecord], offset: float) -> None:
        """Log requests in both forms."""
        for log in self._logs:
            log(entries, offset)

    def check(self, app: App) -> str:
        """Nothing shows a secret. Returns what was logged as text."""
        app.request_log.flush()
        for name, stream in self._streams.items():
            assert self.watcher.found_in(stream.getvalue()) is None, name
        assert self._streams["text access"].getvalue()
        return self._streams["text"].getvalue()


@contextmanager
def recording(watcher: Birdwatcher) -> Iterator[Recording]:
    """Logs at debug level; the libraries' own loggers are as `serve` sets them, which a test of the process shows."""
    made = Recording(watcher)
    logger = logging.getLogger("proxy")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    for handler in made.handlers:
        logger.addHandler(handler)
    try:
        yield made
    finally:
        logger.setLevel(before)
        for handler in made.handlers:
            logger.removeHandler(handler)


@pytest.fixture
def watcher() -> Birdwatcher:
    made = Birdwatcher()
    made.learn_encoded(*secret_settings().values())
    return made


@asynccontextmanager
async def running_cognito() -> AsyncIterator[str]:
    """A Cognito whose one user has a canary for a password."""
    cognito = EmbeddedCognito(PoolConfig(), [User(USERNAME, PASSWORD)], signer=SIGNER)
    async with cognito.running() as url:
        yield url


@asynccontextmanager
async def signed_in(
    upstream: str, cognito: str, watcher: Birdwatcher, **changes: Any
) -> AsyncIterator[tuple[App, Recording]]:
    """A proxy that has signed in, all of whose secrets are known to `watcher`."""
    if "UL_PROXY_CLIENT_TOKEN" in secret_settings():
        changes["client_token"] = SecretStr(TOKEN)
    secrets = {"password": SecretStr(PASSWORD), "api_key": SecretStr(canary("api_key"))}
    options = options_for(cognito, upstream, **secrets, timeouts=timeouts(drain=0.2), **changes)
    with recording(watcher) as record:
        async with App(options, access=record.access) as app:
            yield app, record


async def learn_tokens(app: App, watcher: Birdwatcher) -> None:
    token = await app.tokens.get("default")
    known = (token.id_token, token.access_token, token.refresh_token)
    watcher.learn(*(secret.get_secret_value() for secret in known if secret is not None))


async def test_requests_of_every_kind(watcher: Birdwatcher) -> None:
    """Neither log lines nor answers nor the objects that live meanwhile show a secret, whatever is asked."""
    async with (
        Origin([OK, REFUSED + EXPIRED, OK, UNAUTHORIZED, OK]).running() as origin,
        running_cognito() as cognito,
        signed_in(origin.url, cognito, watcher) as (app, record),
    ):
        await learn_tokens(app, watcher)
        for data in REQUESTS:
            heard = await converse(app.urls[0], data)
            assert heard.statuses, data
            assert watcher.found_in(heard.data) is None
            await learn_tokens(app, watcher)
        for accept in ("", "Accept: application/openmetrics-text"):
            heard = await converse(app.urls[0], ask("/-/metrics", accept) if accept else ask("/-/metrics"))
            # All that was asked before has been counted, and could have left something there.
            assert b'method="other"' in heard.data
            assert b'source="client"' in heard.data
            assert b'ul_proxy_renewals_total{outcome="renewed"' in heard.data
            assert watcher.found_in(heard.data) is None
        assert list(watcher.found_in_objects()) == []
        log = record.check(app)
    assert "renew" in log
    assert any(watcher.found_in(request.head) for request in origin.requests), "the watcher is blind"


# What the inspector shows as it is: by these names nobody would know a secret.
SHOWN = [canary(name).lower() for name in ("path", "origin", "id", "trace", "malformed", "nonsense", "large")]
WATCHED = [data for data in REQUESTS if not any(text.encode() in data.lower() for text in SHOWN)]


async def test_while_somebody_looks_on(watcher: Birdwatcher) -> None:
    """The inspector's page, its feed and all that it has of requests of every kind show no secret of anybody's."""
    leaky = CONTENT[:-1] + b', "IdToken": "%b"}' % canary("upstream").encode()
    told = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        canary("set_cookie").encode(),
        len(leaky),
        leaky,
    )
    async with (
        Origin([told, REFUSED + EXPIRED, told]).running() as origin,
        running_cognito() as cognito,
        signed_in(origin.url, cognito, watcher, aws_credentials_token=SecretStr(TOKEN)) as (app, record),
        caller(app.urls[0]) as peer,
    ):
        await learn_tokens(app, watcher)
        await peer.send(ask("/-/inspector/events").replace(b"Connection: close\r\n", b""))
        assert (await peer.head()).status == 200
        for data in WATCHED:
            assert (await converse(app.urls[0], data)).statuses, data
        await converse(app.urls[0], ask("/v1/last"))
        await learn_tokens(app, watcher)
        feed = b""
        while b"/v1/last" not in feed:
            feed += await peer.chunk()
        assert watcher.found_in(feed) is None
        ids = re.findall(rb'"id":"([0-9a-f]+)"', feed)
        assert len(ids) >= 12
        for path in ("/-/", *(f"/-/inspector/requests/{found.decode()}" for found in ids)):
            heard = await converse(app.urls[0], ask(path))
            assert watcher.found_in(heard.data) is None
        assert list(watcher.found_in_objects()) == []
        record.check(app)
    assert any(watcher.found_in(request.head) for request in origin.requests), "the watcher is blind"


async def test_while_a_request_is_under_way(watcher: Birdwatcher) -> None:
    """What carries a request between caller and upstream does not show what it carries."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold(request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        writer.write(OK)

    async with (
        Origin(responder=hold).running() as origin,
        running_cognito() as cognito,
        signed_in(origin.url, cognito, watcher) as (app, record),
    ):
        await learn_tokens(app, watcher)
        caller = asyncio.create_task(converse(app.urls[0], ask("/v1/job", method="POST", body=CONTENT)))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        assert list(watcher.found_in_objects()) == []
        go_on.set()
        assert (await caller).statuses == [200]
        record.check(app)


async def test_upstreams_out_of_reach(watcher: Birdwatcher) -> None:
    """A connection that fails tells neither what should have been sent nor with what."""
    async with running_cognito() as cognito, signed_in("http://127.0.0.1:9", cognito, watcher) as (app, record):
        await learn_tokens(app, watcher)
        for data in REQUESTS[:5]:
            heard = await converse(app.urls[0], data)
            assert heard.statuses == [502]
            assert watcher.found_in(heard.data) is None
        assert list(watcher.found_in_objects()) == []
        record.check(app)


@pytest.mark.parametrize("flow", ["srp", "password"])
async def test_a_cognito_that_tells(flow: str, watcher: Birdwatcher) -> None:
    """A Cognito that repeats what it was sent, or makes it an error's text, makes the proxy repeat nothing."""

    async def tell(request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = {"__type": "NotAuthorizedException", "message": f"{PASSWORD} {request.body.decode()}"}
        body = json.dumps(said).encode()
        kind = b"Content-Type: application/x-amz-json-1.1\r\n"
        writer.write(b"HTTP/1.1 400 Bad\r\n%bContent-Length: %d\r\n\r\n%b" % (kind, len(body), body))

    async with Origin(responder=tell).running() as cognito:
        pool = options_for(cognito.url, "http://127.0.0.1:9").profile.pool
        changed = type(pool)(
            pool.region, pool.user_pool_id, pool.client_id, type(pool.auth_flow)(flow), endpoint_url=cognito.url
        )
        async with signed_in("http://127.0.0.1:9", cognito.url, watcher, pool=changed) as (app, record):
            for data in (ask("/v1/job"), ask("/-/status"), ask("/-/ready")):
                assert watcher.found_in((await converse(app.urls[0], data)).data) is None
            assert cognito.requests
            assert list(watcher.found_in_objects()) == []
            record.check(app)


async def test_a_defect(watcher: Birdwatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback of a defect is logged whole, and shows nothing."""
    async with (
        Origin().running() as origin,
        running_cognito() as cognito,
        signed_in(origin.url, cognito, watcher) as (app, record),
    ):
        await learn_tokens(app, watcher)

        def broken(self: RouteTable, path: str) -> Any:
            raise ZeroDivisionError("out of order")

        monkeypatch.setattr(RouteTable, "match", broken)
        heard = await converse(app.urls[0], ask("/v1/job", method="POST", body=CONTENT))
        assert heard.statuses == [500]
        assert watcher.found_in(heard.data) is None
        log = record.check(app)
    assert "ZeroDivisionError: out of order" in log


# The process.

MAIN = """
import resource, sys
from proxy.__main__ import main
# As on a machine that keeps cores.
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
sys.exit(main())
"""
CRASHING = """
import sys
from proxy.model import RequestRecord
from proxy.app import App
from proxy.__main__ import main
enter = App.__aenter__
async def crash(self):
    await enter(self)
    token = await self.tokens.get("default") if self._live.profile.signs_in else None
    raise ZeroDivisionError("out of order")
App.__aenter__ = crash
sys.exit(main())
"""
LOGIN = ("UL_PROXY_PASSWORD", "UL_PROXY_API_KEY", "UL_PROXY_CLIENT_TOKEN")
"""The secrets beside which a login works; a personal access token would take its place."""


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Settings that lead to an embedded Cognito and an upstream, without a secret among them."""
    async with Origin().running() as origin, running_cognito() as cognito:
        places = {
            f"UL_PROXY_UPSTREAMS__{name}": origin.url for name in ("REST", "GRAPHQL", "FLIGHTS_CDN", "LIBRARY_CDN")
        }
        config = PoolConfig()
        yield guarded_environment(
            HOME=str(tmp_path),
            XDG_CONFIG_HOME=str(tmp_path / "config"),
            XDG_STATE_HOME=str(tmp_path / "state"),
            UL_PROXY_LISTEN="127.0.0.1:0",
            UL_PROXY_USERNAME=USERNAME,
            UL_PROXY_COGNITO__ENDPOINT_URL=cognito,
            UL_PROXY_COGNITO__USER_POOL_ID=config.user_pool_id,
            UL_PROXY_COGNITO__CLIENT_ID=config.client_id,
            **places,
        )


def secrets(*names: str) -> dict[str, str]:
    """The secret settings of these names, or all there are."""
    return {name: value for name, value in secret_settings().items() if not names or name in names}


@asynccontextmanager
async def process(environment: dict[str, str], script: str, *arguments: str) -> AsyncIterator[Process]:
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, env=environment, cwd=environment["HOME"], stdout=PIPE, stderr=PIPE
    )
    try:
        yield made
    finally:
        if made.returncode is None:
            made.kill()
        await made.communicate()


async def ended(process: Process) -> str:
    """All that is left of what a process prints."""
    output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    return output.decode() + errors.decode()


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("names", [LOGIN, ()], ids=["a login", "every secret setting"])
async def test_a_process_at_debug_level(
    names: tuple[str, ...], log_format: str, environment: dict[str, str], watcher: Birdwatcher
) -> None:
    """`serve` prints no secret, answers none, shows none in the list of processes, and leaves no core behind."""
    environment |= secrets(*names)
    arguments = ("serve", "--log-level", "debug", "--log-format", log_format)
    async with process(environment, MAIN, *arguments) as served:
        assert served.stdout is not None
        printed = ""
        while (match := re.search(r"http://127\.0\.0\.1:\d+", printed)) is None:
            line = await asyncio.wait_for(served.stdout.readline(), PATIENCE)
            assert line, printed + await ended(served)
            printed += line.decode()
        for data in REQUESTS:
            heard = await converse(match[0], data)
            assert heard.statuses, data
            # An upstream of the tests' own answers `ok` to whatever reaches it.
            assert watcher.found_in(heard.data) is None
        proc = Path("/proc", str(served.pid))
        if proc.exists():
            assert watcher.found_in((proc / "cmdline").read_bytes()) is None
            limits = (proc / "limits").read_text()
            assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE), limits
        served.terminate()
        printed += await ended(served)
    assert "/v1/job" in printed
    assert watcher.found_in(printed) is None


@pytest.mark.parametrize("names", [LOGIN, ()], ids=["a login", "every secret setting"])
async def test_a_crash(names: tuple[str, ...], environment: dict[str, str], watcher: Birdwatcher) -> None:
    """What Python prints when a defect ends the process shows no secret, though a token was at hand."""
    environment |= secrets(*names)
    async with process(environment, CRASHING, "serve", "--log-level", "debug") as served:
        printed = await ended(served)
        assert served.returncode
    assert "ZeroDivisionError: out of order" in printed
    assert watcher.found_in(printed) is None


async def test_the_settings_in_force(environment: dict[str, str], watcher: Birdwatcher) -> None:
    """`config` names every secret that is set, and shows none."""
    environment |= secrets()
    async with process(environment, MAIN, "config") as config:
        printed = await ended(config)
        assert config.returncode == 0, printed
    assert "api_key" in printed
    assert watcher.found_in(printed) is None


@pytest.mark.parametrize("name", secrets())
async def test_a_secret_that_cannot_be_used(name: str, environment: dict[str, str], watcher: Birdwatcher) -> None:
    """A complaint about a secret's value does not repeat it."""
    environment |= {name: secrets()[name] + "\n\x7f\u20ac" + canary("rest")}
    async with process(environment, MAIN, "config", "--log-level", "debug") as config:
        assert watcher.found_in(await ended(config)) is None
