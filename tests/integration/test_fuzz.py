"""Mutated requests against the running proxy, and mutated targets and Hosts against the functions that judge them.

FUZZ_EXAMPLES says how many requests there shall be; `make fuzz` runs many. They are the same on every run.
"""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from support.kinds import Auth
from support.loops import EVERY_LOOP
from support.mutations import pieces
from support.rig import Rig, disagreements, running_rig

from proxy.errors import BadRequest, CallerError, NoRoute
from proxy.forward.guard import check_host
from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.forward.routes import RouteTable, parse_target
from proxy.http.address import Upstream

loop_factories = EVERY_LOOP

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "450"))
LANES = 15
"""Requests that are under way at the same time, each with a proxy of its own."""
QUIET = 0.03
"""Seconds of silence after which a request is taken to be incomplete."""


# Requests.


@pytest.fixture
async def rigs() -> AsyncIterator[list[Rig]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_rig()) for _ in range(LANES)]


async def faults(sent: list[bytes], rig: Rig) -> list[str]:
    """What is wrong with how one request went, and with the next."""
    heard = await rig.send(*sent, quiet=QUIET)
    wrong = [f"{fault}\n  of {sent!r}\n  {heard}" for fault in disagreements(b"".join(sent), heard, rig.origin)]
    if not await rig.good_request_passes():
        wrong.append(f"the next request failed\n  after {sent!r}\n  {heard}")
    return wrong


# Half of them on each event loop. What fails is small enough as it is: nothing is shrunk.
@settings(
    max_examples=max(1, EXAMPLES // LANES // len(EVERY_LOOP)),
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(batch=st.lists(pieces(), min_size=LANES, max_size=LANES))
async def test_mutated_requests(batch: list[list[bytes]], rigs: list[Rig], caplog: pytest.LogCaptureFixture) -> None:
    """No request is read differently upstream, none is a defect, and after each a good one passes."""
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    wrong = await asyncio.gather(*map(faults, batch, rigs))
    assert not any(wrong), "\n".join(fault for some in wrong for fault in some)
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


# Targets.

segments = st.sampled_from(
    ("", ".", "..", "v1", "graphql", "cdn", "flights", "-", "%2e%2e", "%2f", "..;", "V1", "v1x", "@x", "a:b", "//", "*")
)
paths = st.lists(segments, min_size=1, max_size=6).map("/".join)
targets = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(("", "/", "http://localhost", "HTTP://localhost:80", "https://evil.example", "//")),
        paths,
        st.sampled_from(("", "?", "?a=b", "?/../x", "?%zz", "#x", " ", "\x00", "é")),
    ),
) | st.text(max_size=20)

ROUTES = RouteTable(
    (Route("/v1/own", Upstream.parse("https://own.example/base"), Auth.REST),),
    (
        Route("/graphql", Upstream.parse("https://graphql.example/graphql"), Auth.GRAPHQL, graphql=True),
        Route("/cdn/flights", Upstream.parse("https://cdn.example"), Auth.NONE),
        Route("", Upstream.parse("https://rest.example/api"), Auth.REST),
    ),
)


@given(targets)
def test_a_target_is_read_as_it_is_written(target: str) -> None:
    """What a target becomes is the end of it, unchanged: printable ASCII without spaces or fragments."""
    try:
        path, authority = parse_target(target)
    except BadRequest:
        return
    assert re.fullmatch(r"/[!-~]*", path)
    assert "#" not in path
    if authority is None:
        assert path == target
    else:
        assert re.fullmatch(r"(?i)https?://", target[: target.index(authority)])
        assert target.endswith((path, authority + path.removeprefix("/")))


@given(targets)
def test_a_route_is_matched_as_it_is_written(target: str) -> None:
    """What goes upstream is the route's own path and the rest as written; the longest prefix of whole segments wins."""
    try:
        path = parse_target(target).path
        route, sent = ROUTES.match(path)
    except (BadRequest, NoRoute):
        return
    assert sent.startswith(route.upstream.path)
    assert sent.removeprefix(route.upstream.path).removeprefix("/") == path.removeprefix(route.path).removeprefix("/")
    bare = path.partition("?")[0]
    longer = [other for other in ROUTES.routes if bare == other.path or bare.startswith(other.path + "/")]
    assert route is max(longer, key=lambda other: len(other.path))


# Hosts.

names = ("localhost", "LOCALHOST", "127.0.0.1", "::1", "[::1]", "0.0.0", "127.1", "2130706433", "a.b", "10.0.0.1")
hosts = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(("", "x", "127.", "[", "user@", " ")),
        st.sampled_from(names),
        st.sampled_from(("", ".", "..", ".0", "]", ".evil.example", "/", "%00", "\t")),
        st.sampled_from(("", ":80", ":", ":x", ":80:80", "@evil.example", ":080000")),
    ),
) | st.text(max_size=20)


@given(hosts)
def test_only_loopback_is_let_in(host: str) -> None:
    """A Host that passes is `localhost` or a loopback address, and no more than a port behind it."""
    assume(host.isascii())
    try:
        check_host([host.encode()], Policy())
    except CallerError:
        return
    match = re.fullmatch(r"(?:\[(.+)\]|([^:\[\]]+?)\.?)(?::\d{1,5})?", host.lower())
    assert match is not None
    assert match[2] == "localhost" or ip_address(match[1] or match[2]).is_loopback


@given(st.lists(hosts, max_size=3).filter(lambda lines: len(lines) != 1))
def test_exactly_one_host(lines: list[str]) -> None:
    """No Host, or several, are refused, whatever they say."""
    with pytest.raises(CallerError):
        check_host([line.encode() for line in lines], Policy(allowed_hosts=frozenset({"a.b"})))
