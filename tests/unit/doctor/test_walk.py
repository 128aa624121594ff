"""The doctor's plan, the walk along it, and what is written down of it."""

import asyncio
import dataclasses
import itertools
import json
import re
from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr
from support.kinds import Auth
from support.stack import options_for

from proxy.doctor.findings import Finding, HopState, Kind, Result, Step, fail, not_tried, ok, warn
from proxy.doctor.hops import CheckedRequest, Hop, plan, requests_of
from proxy.doctor.report import CheckReport, document, summary
from proxy.doctor.walk import walk
from proxy.forward.route import Route
from proxy.http.address import Bind, Upstream
from proxy.http.options import OutboundProxies, OutboundProxy
from proxy.identity.credentials import CredentialKind
from proxy.identity.profile import Profile
from proxy.settings.options import ServeOptions
from proxy.settings.quantities import exact_duration

COGNITO = Upstream.parse("https://cognito.example")
OK = ok("fine")


class Notes:
    """Probes that note what they are asked."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.requests: list[CheckedRequest] = []

    def _note(self, *words: object) -> Finding:
        self.seen.append(" ".join(map(str, words)))
        return OK

    async def listen(self, bind: Bind, setting: str) -> Finding:
        return self._note("listen", bind)

    async def resolve(self, host: str, port: int, setting: str) -> Finding:
        return self._note("resolve", host, port, setting)

    async def reach_proxy(self, via: OutboundProxy) -> Finding:
        return self._note("reach", via.host, via.port)

    async def connect(self, upstream: Upstream, setting: str) -> Finding:
        return self._note("connect", upstream.origin, setting)

    async def secure(self, upstream: Upstream, setting: str) -> Finding:
        return self._note("secure", upstream.origin, setting)

    async def fetch_keys(self) -> Finding:
        return self._note("keys")

    async def tell_time(self) -> Finding:
        return self._note("time")

    async def sign_in(self) -> Finding:
        return self._note("sign in")

    async def ask(self, request: CheckedRequest) -> Finding:
        self.requests.append(request)
        return self._note("ask", request.method, request.route.upstream.origin + request.target, request.setting)


def options(**changes: object) -> ServeOptions:
    return options_for("http://127.0.0.1:9", "https://api.example", **changes)


def planned(made: ServeOptions) -> list[Hop]:
    return plan(made, made.profile, COGNITO, Notes())


def titles(hops: list[Hop]) -> list[str]:
    return [hop.step.title for hop in hops]


def one(hops: list[Hop], title: str) -> Hop:
    (found,) = [hop for hop in hops if hop.step.title == title]
    return found


# ---- the plan


def test_the_way_of_a_login() -> None:
    """Each name, connection and handshake once, then Cognito, then every route, as one would look for a fault."""
    assert titles(planned(options())) == [
        "listen 127.0.0.1:0",
        "DNS cognito.example",
        "DNS api.example",
        "connect cognito.example:443",
        "connect api.example:443",
        "TLS cognito.example:443",
        "TLS api.example:443",
        "user pool ap-southeast-2_UnpJmDeN5",
        "clock",
        "sign-in",
        "POST /graphql → api.example",
        "GET /v1/analytics/version → api.example",
        "GET /cdn/flights → api.example",
        "GET /v1/job → api.example",
    ]


def test_what_needs_what() -> None:
    """A route needs the way to its upstream and, where it wants a token, the sign-in; that needs the user pool."""
    hops = planned(options())
    tls, sign_in, keys = (
        one(hops, title) for title in ("TLS api.example:443", "sign-in", "user pool ap-southeast-2_UnpJmDeN5")
    )
    assert one(hops, "GET /v1/job → api.example").needs == (tls, sign_in)
    assert one(hops, "GET /cdn/flights → api.example").needs == (tls,)
    assert sign_in.needs == (keys,)
    assert keys.needs == (one(hops, "TLS cognito.example:443"),)
    assert tls.needs == (one(hops, "connect api.example:443"),)
    assert tls.needs[0].needs == (one(hops, "DNS api.example"),)
    assert one(hops, "DNS api.example").needs == ()
    assert (one(hops, "clock").needs, one(hops, "clock").after) == ((), (keys,))


def test_where_the_own_endpoints_are() -> None:
    """An admin_listen is a place to listen like the others."""
    hops = planned(options(admin_listen=(Bind("127.0.0.1", 9090), Bind(path="/s"))))
    assert titles(hops)[:3] == ["listen 127.0.0.1:0", "listen 127.0.0.1:9090", "listen unix:/s"]


def test_a_personal_access_token_needs_no_cognito() -> None:
    """Nobody signs in, so nothing of Cognito is looked at; the time is what any upstream says."""
    hops = planned(options(personal_access_token=SecretStr("pat")))
    assert not [title for title in titles(hops) if "cognito" in title or title == "sign-in" or "pool" in title]
    assert len(one(hops, "clock").after) == 4


def test_addresses_have_no_names() -> None:
    """What is given as an address is not looked up, and http has no handshake."""
    made = options_for("http://127.0.0.1:9", "http://[::1]:8000", personal_access_token=SecretStr("pat"))
    assert titles(planned(made))[1:3] == ["connect ::1:8000", "clock"]


def test_an_outbound_proxy_on_the_way() -> None:
    """Behind an outbound proxy names are its business; whom NO_PROXY names is reached directly."""
    outbound = OutboundProxies(https=OutboundProxy("proxy.example", 3128), bypass="cognito.example")
    hops = planned(options(outbound=outbound))
    assert titles(hops)[1:8] == [
        "DNS cognito.example",
        "DNS proxy.example",
        "outbound proxy proxy.example:3128",
        "connect cognito.example:443",
        "tunnel to api.example:443",
        "TLS cognito.example:443",
        "TLS api.example:443",
    ]
    tunnel = one(hops, "tunnel to api.example:443")
    assert tunnel.needs[0].needs == (one(hops, "DNS proxy.example"),)


async def test_what_the_hops_do() -> None:
    """Each hop does what it is called, and knows the setting that its address comes from."""
    probes, made = Notes(), options()
    for hop in plan(made, made.profile, COGNITO, probes):
        assert await hop.probe() is OK
    assert probes.seen == [
        "listen 127.0.0.1:0",
        "resolve cognito.example 443 cognito.endpoint_url",
        "resolve api.example 443 upstreams.graphql",
        "connect https://cognito.example cognito.endpoint_url",
        "connect https://api.example upstreams.graphql",
        "secure https://cognito.example cognito.endpoint_url",
        "secure https://api.example upstreams.graphql",
        "keys",
        "time",
        "sign in",
        "ask POST https://api.example/graphql upstreams.graphql",
        "ask GET https://api.example/v1/analytics/version upstreams.rest",
        "ask GET https://api.example/ upstreams.flights_cdn",
        "ask GET https://api.example/v1/job upstreams.rest",
    ]
    assert [request.body for request in probes.requests if request.body] == [b'{"query":"{ __typename }"}']


def own(path: str, upstream: str, kind: CredentialKind) -> Route:
    return Route(path, Upstream.parse(upstream), kind, graphql=kind.graphql)


def test_requests_for_routes_of_ones_own() -> None:
    """A route of one's own is asked for its upstream's own address; one of GraphQL for the name of its type."""
    routes = (
        own("/staging", "https://staging.example/base", Auth.REST),
        own("/gql", "https://gql.example", Auth.GRAPHQL),
    )
    made = options(own_routes=routes)
    asked = [request for request in requests_of(made, made.profile) if request.route in routes]
    assert [(request.method, request.target, request.local, request.known) for request in asked] == [
        ("GET", "/base", "/staging", False),
        ("POST", "/", "/gql", True),
    ]
    assert asked[0].setting == "the upstream of the route /staging"
    key_only = dataclasses.replace(made.profile, api_key=SecretStr("k"))
    analytics = next(r for r in requests_of(made, key_only) if r.route.path == "/v1/analytics")
    assert (analytics.credential.name, analytics.local) == ("api_key", "/v1/analytics/version")


def test_routes_that_nobody_can_take() -> None:
    """A built-in route that one of one's own hides is not asked."""
    made = options(own_routes=(own("/graphql", "https://mine.example", Auth.NONE),))
    asked = requests_of(made, made.profile)
    assert [str(request.route.upstream) for request in asked if request.route.path == "/graphql"] == [
        "https://mine.example"
    ]


def test_two_routes_that_are_called_the_same() -> None:
    """Two routes to the same place are two hops all the same."""
    made = options(own_routes=(own("/v1/job", "https://api.example/v1/job", Auth.NONE),))
    assert titles(planned(made)).count("GET /v1/job → api.example") == 2


# ---- the walk


def hop(
    name: str, finding: Finding | Callable[[], Awaitable[Finding]], *needs: Hop, after: tuple[Hop, ...] = ()
) -> Hop:
    async def found() -> Finding:
        assert isinstance(finding, Finding)
        return finding

    return Hop(Step(Kind.CONNECT, name), found if isinstance(finding, Finding) else finding, needs, after)


async def _watch(_step: Step, task: "asyncio.Task[Result]") -> None:
    await asyncio.wait((task,))


async def walked(*hops: Hop) -> list[Result]:
    now = itertools.count().__next__
    return [result async for result in walk(hops, now=now, watch=_watch)]


async def test_results_come_in_order() -> None:
    """Whoever ends first, results come in the order of the hops, each with its time."""
    released = asyncio.Event()

    async def late() -> Finding:
        await released.wait()
        return OK

    async def soon() -> Finding:
        released.set()
        return OK

    results = await walked(hop("late", late), hop("soon", soon))
    assert [result.title for result in results] == ["connect late", "connect soon"]
    assert all(result.passed and result.seconds is not None and result.seconds > 0 for result in results)


async def test_what_depends_on_a_failure_is_not_tried() -> None:
    """It says which failure that is, however far away; a warning stops nobody."""
    broken = hop("a", fail("broken", "mend it"))
    behind = hop("b", OK, broken)
    far = hop("c", OK, hop("w", warn("odd")), behind)
    results = {result.step.subject: result for result in await walked(broken, behind, *far.needs[:1], far)}
    assert results["w"].passed
    for name in ("b", "c"):
        result = results[name]
        assert (result.passed, result.seconds, result.because) == (False, None, broken.step)
        assert result.finding == not_tried("connect a failed")


async def test_what_depends_on_something_that_is_not_wanted() -> None:
    """Where the reason is no failure, it is handed on as it is."""
    unwanted = hop("a", not_tried("there is no login"))
    results = await walked(unwanted, hop("b", OK, unwanted))
    assert [(result.title, result.finding.detail, result.because) for result in results] == [
        ("connect a", "not tried, because there is no login", None),
        ("connect b", "not tried, because there is no login", None),
    ]
    assert results[0].seconds is None


async def test_one_that_passes_is_enough() -> None:
    """A hop that comes after others waits for one that passes, and for all where none does; then it goes on."""
    never = asyncio.Event()

    async def waits() -> Finding:
        await never.wait()
        return OK

    slow, bad, good = hop("slow", waits), hop("bad", fail("x", "y")), hop("good", OK)
    last = hop("last", OK, after=(slow, bad, good))
    results: list[Result] = []
    async for result in walk([bad, good, last, slow], now=lambda: 0.0, watch=_watch):
        results.append(result)
        if result.title == "connect last":
            never.set()
    assert len(results) == 4
    assert (await walked(bad, hop("last", OK, after=(bad,))))[1].passed


async def test_a_walk_that_is_broken_off() -> None:
    """Who stops listening ends every hop that is under way."""
    ended = asyncio.Event()

    async def waits() -> Finding:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return OK

    results = walk([hop("a", OK), hop("b", waits)], now=lambda: 0.0, watch=_watch)
    assert (await anext(results)).title == "connect a"
    await results.aclose()  # type: ignore[attr-defined]
    assert ended.is_set()


async def test_a_defect_is_not_swallowed() -> None:
    """A hop that raises ends the walk with what it raised."""

    async def defect() -> Finding:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await walked(hop("a", defect))


# ---- what is written down


GOOD = Result(Step(Kind.SETTINGS), ok("config file x"), 0.0031)
BAD = Result(Step(Kind.DNS, "api.example"), fail("does not resolve", "Check it."), 1.26)
UNTRIED = Result(Step(Kind.SIGN_IN), not_tried("DNS api.example failed"), because=BAD.step)


def test_rows() -> None:
    """Columns as wide as the titles need, the time at the right, the fix below; no colours unless asked for."""
    report = CheckReport([result.title for result in (GOOD, BAD, UNTRIED)])
    assert [line for result in (GOOD, BAD, UNTRIED) for line in report.lines(result)] == [
        "ok    settings           3 ms  config file x",
        "FAIL  DNS api.example   1.3 s  does not resolve",
        "      fix: Check it.",
        "-     sign-in                  not tried, because DNS api.example failed",
    ]


def test_long_titles_break_their_own_row_alone() -> None:
    """One long title does not push all rows to the right."""
    assert CheckReport(["x" * 200, "settings"]).lines(GOOD)[0].startswith("ok    settings    3 ms")
    assert CheckReport(["x" * 200]).lines(GOOD)[0].startswith("ok    settings    3 ms")


def test_a_narrow_screen() -> None:
    """What stands below a row is broken where the screen ends, and goes on below itself."""
    long = Result(BAD.step, Finding(HopState.FAIL, "x", "Check this and that and mend-it.", ("a note",)), 0.0)
    assert CheckReport([], columns=30).lines(long)[1:] == [
        "      a note",
        "      fix: Check this and that",
        "           and mend-it.",
    ]


def test_colours() -> None:
    """Marks have colours where they are welcome, and the words stay the same."""
    coloured = "\n".join(CheckReport([BAD.title], colours=True).lines(BAD))
    assert "\x1b[1;31mFAIL\x1b[0m  DNS" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == "\n".join(CheckReport([BAD.title]).lines(BAD))


def test_nothing_acts_on_the_terminal() -> None:
    """Whatever a title, a note or a detail holds, it stays on its line."""
    wild = Finding(HopState.WARN, "a\nb\x1b[2J", "c\rd", ("e\x07",))
    lines = CheckReport(["t\n"]).lines(Result(Step(Kind.DNS, "t\n"), wild, 0.0))
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 3


def test_summaries() -> None:
    """The last line says whether all is well, and what is not."""
    assert summary([GOOD], 1.5) == "All is well: 1 hops in 1.5 s."
    assert summary([GOOD, UNTRIED], 0.2) == "All is well: 1 hops in 200 ms, 1 not tried."
    assert summary([GOOD, BAD, UNTRIED], 1.0) == "1 of 3 hops failed, 1 not tried: DNS api.example."


def test_the_document() -> None:
    """Scripts get the same as people, by names that stay."""
    told = json.loads(json.dumps(document([GOOD, BAD, UNTRIED], profile="survey", seconds=1.23456, status=1)))
    assert (told["profile"], told["ok"], told["status"], told["seconds"]) == ("survey", False, 1, 1.235)
    assert told["hops"][1:] == [
        {
            "kind": "dns",
            "subject": "api.example",
            "state": "fail",
            "seconds": 1.26,
            "detail": "does not resolve",
            "fix": "Check it.",
            "because": None,
            "notes": [],
        },
        {
            "kind": "sign_in",
            "subject": "",
            "state": "not_tried",
            "seconds": None,
            "detail": "not tried, because DNS api.example failed",
            "fix": None,
            "because": "DNS api.example",
            "notes": [],
        },
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.0, "0 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (61.04, "61.0 s")]
)
def test_durations(seconds: float | None, text: str) -> None:
    """Milliseconds below a second, tenths above."""
    assert exact_duration(seconds) == text


def test_every_kind_has_a_title() -> None:
    """Nobody has to read an underscore."""
    assert not [kind for kind in Kind if "_" in Step(kind, "x").title]


def test_profiles_are_named() -> None:
    """A plan is one profile's: the one that signs in."""
    made = options()
    survey = Profile(
        "survey", dataclasses.replace(made.profile.pool, user_pool_id="ap-southeast-2_S", endpoint_url=None)
    )
    hops = plan(made, survey, COGNITO, Notes())
    assert "user pool ap-southeast-2_S" in titles(hops)
