"""What can be seen of requests from outside: their ids, their log lines, and the metrics, over real sockets."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.origin import OK, Origin, Recorded
from support.rig import converse
from support.stack import closing, direct_options, options_for, talk

from proxy.app import App
from proxy.identity.profile import DEFAULT_PROFILE
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.observe.logs import AccessLog
from proxy.settings.options import ServeOptions

if TYPE_CHECKING:
    from proxy.model import RequestRecord

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
MADE = r"[0-9a-f]{12}-[0-9a-f]{3,}"


class Observed:
    """A proxy and the log lines of its requests."""

    def __init__(self, options: ServeOptions) -> None:
        self._text: list[str] = []
        self.app = App(options, access=AccessLog(self._text.append, "json", least="debug"), lines_dropped=lambda: 4)

    async def ask(self, method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
        return await talk(self.app.urls[0], closing(method, target, *headers, body=body))

    async def metrics(self, name: str) -> dict[str, float]:
        """The samples of one name by what their labels say, in the order of the labels' names."""
        text = (await self.ask("GET", "/-/metrics")).partition(b"\r\n\r\n")[2].decode()
        return {
            "|".join(value for _, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"ul_proxy_{name}"
        }

    @property
    def lines(self) -> list[dict[str, Any]]:
        self.app.request_log.flush()
        return [json.loads(line) for line in "".join(self._text).splitlines()]


@asynccontextmanager
async def observed(options: ServeOptions) -> AsyncIterator[Observed]:
    made = Observed(options)
    async with made.app:
        yield made


# ---- ids


@pytest.mark.parametrize(
    ("headers", "upstream", "logged"),
    [
        ([], [MADE], MADE),
        (["X-Request-Id: abc-1"], ["abc-1"], "abc-1"),
        (["x-request-id:  abc-1"], ["abc-1"], "abc-1"),
        ([f"traceparent: {PARENT}"], [], TRACE),
        (["X-Request-Id: a b"], ["a b"], MADE),
        (["X-Request-Id: abc-1", "X-Request-Id: abc-2"], ["abc-1", "abc-2"], MADE),
        (["X-Request-Id: " + "x" * 300], ["x" * 300], MADE),
    ],
)
async def test_ids(headers: Sequence[str], upstream: list[str], logged: str, origin: Origin) -> None:
    """An id that a caller gives passes as it is; else one is made, logged, and told to the upstream."""
    async with observed(direct_options(origin.url)) as proxy:
        await proxy.ask("GET", "/v1/job", *headers)
        await proxy.ask("GET", "/v1/job", *headers)
        lines = proxy.lines
    for request, line in zip(origin.requests, lines, strict=True):
        got = [value.decode() for value in request.values(b"x-request-id")]
        assert len(got) == len(upstream)
        assert all(re.fullmatch(pattern, value) for pattern, value in zip(upstream, got, strict=True))
        assert re.fullmatch(logged, line["request_id"])
        if upstream == [MADE]:
            assert got == [line["request_id"]]
    if logged == MADE:
        assert lines[0]["request_id"] != lines[1]["request_id"]


async def test_an_id_is_sent_again_with_its_request(origin: Origin, cognito_url: str) -> None:
    """A request that goes upstream twice has one id, and one line."""
    origin.answers = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", OK]
    async with observed(options_for(cognito_url, origin.url)) as proxy:
        assert b" 200 OK" in await proxy.ask("GET", "/v1/job")
        (line,) = proxy.lines
    first, second = origin.requests
    assert first.values(b"x-request-id") == second.values(b"x-request-id") == [line["request_id"].encode()]


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/v1/job", [], 502),
        ("/v1/job", ["X-Request-Id: abc-1"], 502),
        ("/v1/../x", [], 400),
        ("/v1/job", ["Origin: https://evil.example", "X-Request-Id: abc-1"], 403),
        ("/v1/job", ["X-Request-Id: <b>", "Origin: https://evil.example"], 403),
        ("/-/nothing", [], 404),
        ("/v1/job", ["Transfer-Encoding: gzip"], 501),
    ],
)
async def test_an_error_names_its_request(target: str, headers: Sequence[str], status: int) -> None:
    """Every answer that the proxy makes of an error says by what id its line is found."""
    async with observed(direct_options("http://127.0.0.1:9")) as proxy:
        head, _, body = (await proxy.ask("GET", target, *headers)).partition(b"\r\n\r\n")
        (line,) = proxy.lines
    assert line["status"] == status
    document = json.loads(body)
    assert document["request_id"] == line["request_id"]
    assert f"\r\nX-Request-Id: {line['request_id']}".encode() in head
    assert re.fullmatch("abc-1" if "X-Request-Id: abc-1" in headers else MADE, line["request_id"])


@pytest.mark.parametrize(
    ("method", "target", "headers", "path"),
    [
        ("GET", "/v1/job?s=4", ["Origin: https://evil.example"], "/v1/job"),
        ("GET", "http://localhost/v1/job?s=4", ["Origin: https://evil.example"], "/v1/job"),
        ("GET", "/@two/v1/../x?s=4", [], "/@two/v1/../x"),
        ("GET", "/@nobody/v1/job?s=4", [], "/@nobody/v1/job"),
        ("DELETE", "/v1/job?s=4", [], "/v1/job"),
        (
            "OPTIONS",
            "/v1/job?s=4",
            ["Origin: https://evil.example", "Access-Control-Request-Method: PUT"],
            "/v1/job",
        ),
        ("GET", "http://elsewhere.example/v1/job?s=4", [], "-"),
        ("TRACE", "/v1/job?s=4", [], "-"),
    ],
)
async def test_the_path_of_what_is_refused(
    method: str, target: str, headers: Sequence[str], path: str, origin: Origin
) -> None:
    """A refused request's line says what it asked for, without the query, unless the target is no one's to judge."""
    async with observed(direct_options(origin.url, deny=("DELETE /**",))) as proxy:
        await proxy.ask(method, target, *headers)
        (line,) = proxy.lines
    assert line["status"] in (400, 403, 404)
    assert line["path"] == path
    assert not origin.requests


async def test_an_error_of_graphql_names_its_request() -> None:
    """So does an answer in GraphQL's own form."""
    async with observed(direct_options("http://127.0.0.1:9")) as proxy:
        answer = await proxy.ask("POST", "/graphql", "Content-Type: application/json", body=b'{"query": "{ a }"}')
        (line,) = proxy.lines
    (error,) = json.loads(answer.partition(b"\r\n\r\n")[2])["errors"]
    assert error["extensions"]["request_id"] == line["request_id"]


async def test_an_answer_of_an_upstream_gains_no_id(origin: Origin) -> None:
    """What an upstream answers is passed on without an id of the proxy's."""
    async with observed(direct_options(origin.url)) as proxy:
        assert b"x-request-id" not in (await proxy.ask("GET", "/v1/job")).lower()


# ---- log lines


@pytest.mark.parametrize(
    ("method", "target", "body", "name"),
    [
        ("POST", "/graphql", b'{"operationName": "Items", "query": "query Items { a }"}', "Items"),
        ("POST", "/graphql", b'{"query": "query Items { a }"}', "Items"),
        ("GET", "/graphql?query=%7Ba%7D&operationName=Items", b"", "Items"),
        ("POST", "/graphql", b'{"query": "{ a }"}', None),
        ("POST", "/v1/job", b'{"operationName": "Items", "query": "query Items { a }"}', None),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
async def test_operations(
    *, method: str, target: str, body: bytes, name: str | None, read_only: bool, origin: Origin
) -> None:
    """The line of a GraphQL request has the operation's name, which no other route's has."""
    async with observed(direct_options(origin.url, read_only=read_only)) as proxy:
        await proxy.ask(method, target, "Content-Type: application/json", body=body)
        (line,) = proxy.lines
    assert line.get("operation") == name


async def test_durations(origin: Origin) -> None:
    """The upstream's share is the time until its answer begins; content that comes later is nobody's."""
    waits: list[float] = []
    loop = asyncio.get_running_loop()

    async def slow(request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = loop.time()
        await asyncio.sleep(0.2)
        writer.write(OK[:-1])
        await writer.drain()
        waits.append(loop.time() - began)
        await asyncio.sleep(0.4)
        writer.write(OK[-1:])
        waits.append(loop.time() - began)

    origin.responder = slow
    async with observed(direct_options(origin.url)) as proxy:
        await proxy.ask("GET", "/v1/job")
        (line,) = proxy.lines
        shares = await proxy.metrics("upstream_seconds_sum")
    assert 195 <= line["upstream_ms"] < line["ms"] - 350
    assert line["ms"] >= waits[1] * 1e3 - 5
    assert line["overhead_ms"] <= line["ms"] - line["upstream_ms"] - 350
    assert shares["/"] * 1e3 == pytest.approx(line["upstream_ms"], abs=0.02)


async def test_a_line_has_every_fact(origin: Origin) -> None:
    """A request's line says which route and profile it took, who answered, and what went each way."""
    options = direct_options(origin.url)
    north = replace(options.profile, name="north")
    async with observed(replace(options, profiles={**options.profiles, "north": north})) as proxy:
        await proxy.ask("POST", "/@north/v1/analytics/x?token=c4n4ry", body=b"hello")
        (line,) = proxy.lines
    expected = {
        "level": "info",
        "message": "POST /@north/v1/analytics/x 200",
        "route": "/v1/analytics",
        "profile": "north",
        "source": "upstream",
        "status": 200,
        "received": 5,
        "sent": 2,
    }
    assert {name: line[name] for name in expected} == expected


async def test_a_profile_that_there_is_not(origin: Origin) -> None:
    """A name that a stranger made up is no profile's, and stands in the path alone."""
    async with observed(direct_options(origin.url)) as proxy:
        await proxy.ask("GET", "/@c4n4ry/v1/job")
        (line,) = proxy.lines
        assert "c4n4ry" not in (await proxy.ask("GET", "/-/metrics")).decode()
    assert (line["status"], line["code"]) == (404, "unknown_profile")
    assert "profile" not in line


# ---- metrics


async def test_requests_are_counted(origin: Origin) -> None:
    """Every request counts the moment it has ended, whatever came of it, and whether or not requests are logged."""
    origin.answers = [OK, b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n", b"nonsense\r\n\r\n"]
    options = direct_options(origin.url)
    async with App(options) as app:
        proxy = Observed(options)
        proxy.app = app
        await proxy.ask("GET", "/v1/job")
        await proxy.ask("POST", "/v1/job", body=b"hello")
        await proxy.ask("POST", "/v1/analytics/x", body=b"hello")
        await proxy.ask("BREW", "/v1/job")
        await proxy.ask("GET", "/v1/job", "Origin: https://evil.example")
        await proxy.ask("GET", "/-/live")
        counts = await proxy.metrics("requests_total")
        # The labels are method, route, source and status.
        assert counts == {
            "GET|/|upstream|200": 1,
            "POST|/|upstream|404": 1,
            "POST|/v1/analytics|upstream|502": 1,
            "other|/|upstream|502": 1,
            "GET|none|client|403": 1,
            "GET|/-/|proxy|200": 1,
        }
        assert (await proxy.metrics("requests_total"))["GET|/-/|proxy|200"] == 2
        assert (await proxy.metrics("received_bytes_total"))["/"] == 5
        assert (await proxy.metrics("sent_bytes_total"))["/"] > 5


async def test_what_is_under_way(origin: Origin) -> None:
    """A scrape sees open connections, requests under way but its own, and log lines that were dropped."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold(request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        writer.write(OK)

    origin.responder = hold
    async with observed(direct_options(origin.url)) as proxy:
        pending = asyncio.create_task(proxy.ask("GET", "/v1/job"))
        await asyncio.wait_for(asked.wait(), 10)
        assert await proxy.metrics("requests_in_flight") == {"": 1}
        assert await proxy.metrics("connections") == {"": 2}
        assert await proxy.metrics("draining") == {"": 0}
        assert await proxy.metrics("log_lines_dropped_total") == {"": 4}
        go_on.set()
        await pending
        assert await proxy.metrics("requests_in_flight") == {"": 0}


async def test_sign_ins(cognito_url: str, origin: Origin) -> None:
    """The state of a login, the age of its token and what came of its renewals show, and are kept by a reload."""
    options = options_for(cognito_url, origin.url, renewal=RenewalPolicy(new=0.0))
    async with observed(options) as proxy:
        await proxy.app.tokens.get(DEFAULT_PROFILE)
        assert await proxy.metrics("renewals_total") == {"signed_in|default": 1}
        await proxy.app.tokens.refresh(DEFAULT_PROFILE)
        proxy.app.reload(replace(options, replay_limit=5))
        assert await proxy.metrics("renewals_total") == {"signed_in|default": 1, "renewed|default": 1}
        assert (await proxy.metrics("profiles"))["fresh"] == 1
        (age,) = (await proxy.metrics("token_age_seconds")).values()
        (expires_in,) = (await proxy.metrics("token_expires_in_seconds")).values()
        assert 0 <= age < 60 < expires_in


async def test_a_sign_in_that_fails(origin: Origin) -> None:
    """A Cognito out of reach shows as a failure and a state."""
    options = options_for("http://127.0.0.1:9", origin.url, renewal=RenewalPolicy(patient_tries=1))
    async with observed(options) as proxy:
        assert b" 503 " in await proxy.ask("GET", "/v1/job")
        assert (await proxy.metrics("renewals_total"))["failed|default"] >= 1
        assert (await proxy.metrics("sign_in_state"))["default|retrying"] == 1
        counts = await proxy.metrics("requests_total")
        assert counts["GET|/|cognito|503"] == 1


async def test_a_head_request(origin: Origin) -> None:
    """HEAD has the length of what GET would answer, and nothing of it."""
    async with observed(direct_options(origin.url)) as proxy:
        heard = await converse(proxy.app.urls[0], closing("HEAD", "/-/metrics"))
    assert heard.statuses == [200]
    assert heard.data.endswith(b"\r\n\r\n")
    assert b"Content-Type: text/plain" in heard.data


async def test_many_scrapes_at_once(origin: Origin) -> None:
    """Scrapes that cross each other all come out whole."""
    async with observed(direct_options(origin.url)) as proxy:
        answers = await asyncio.gather(*(proxy.ask("GET", "/-/metrics") for _ in range(10)))
    for answer in answers:
        names = [family.name for family in text_string_to_metric_families(answer.partition(b"\r\n\r\n")[2].decode())]
        assert "ul_proxy_build_info" in names
        assert len(names) == len(set(names))


async def test_metrics_pass_the_same_guards(origin: Origin) -> None:
    """A rebound name reads no metrics."""
    async with observed(direct_options(origin.url)) as proxy:
        answer = await talk(
            proxy.app.urls[0], b"GET /-/metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        )
    assert b" 403 " in answer
    assert b"ul_proxy_" not in answer


async def test_entries_tell_no_secret(origin: Origin) -> None:
    """What is kept of a request until it is written shows neither its query nor its content."""
    kept: list[RequestRecord] = []
    async with App(direct_options(origin.url), access=lambda entries, _: kept.extend(entries)) as app:
        await talk(app.urls[0], closing("POST", "/graphql?x=c4n4ry", body=b'{"query": "{ c4n4ry }"}'))
        app.request_log.flush()
    (entry,) = kept
    facts = {name: getattr(entry, name) for name in dir(entry) if not name.startswith("__")}
    assert "c4n4ry" not in str(facts)


async def test_a_request_is_told_of_while_the_next_is_under_way(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that an upstream takes is when the request log is read, of a caller who is alone."""
    monkeypatch.setattr("proxy.observe.request_log.BATCH_SECONDS", 3600.0)
    told: list[str] = []
    app = App(direct_options(origin.url), access=lambda entries, _: told.extend(entry.path for entry in entries))
    async with app:
        await talk(app.urls[0], closing("GET", "/v1/first"))
        assert told == []
        await talk(app.urls[0], closing("GET", "/v1/second"))
        assert told == ["/v1/first"]
