"""A Location on the upstream's origin, as the caller of the proxy must see it."""

from typing import TYPE_CHECKING

import pytest
from support.kinds import Auth

from proxy.forward.route import Route
from proxy.forward.routes import RouteTable
from proxy.http.address import Upstream

if TYPE_CHECKING:
    from proxy.http.grammar.fields import Header

REST = Route("", Upstream.parse("https://api.example"), Auth.REST)
GRAPHQL = Route("/graphql", Upstream.parse("https://drive.example/graphql"), Auth.GRAPHQL, graphql=True)
FLIGHTS = Route("/cdn/flights", Upstream.parse("https://flights.example"), Auth.NONE)
LIBRARY = Route("/cdn/library", Upstream.parse("https://library.example:8443/base"), Auth.NONE)
STAGING = Route("/staging", Upstream.parse("https://stage.example/api/v2"), Auth.REST)
STAGING_MEDIA = Route("/staging-media", Upstream.parse("https://stage.example/api/v2/media"), Auth.NONE)
TWIN = Route("/twin", Upstream.parse("https://api.example"), Auth.NONE)
TABLE = RouteTable((STAGING, STAGING_MEDIA), (REST, GRAPHQL, FLIGHTS, LIBRARY))

HOST = b"127.0.0.1:8080"
HERE = b"http://" + HOST


def localised(location: bytes, route: Route, table: RouteTable = TABLE) -> bytes:
    ((_, value),) = table.localised([(b"Location", location)], route, here=HERE)
    return value


@pytest.mark.parametrize(
    ("route", "location", "expected"),
    [
        pytest.param(REST, b"https://api.example/v1/y", HERE + b"/v1/y", id="absolute"),
        pytest.param(REST, b"HTTPS://API.example/v1/Y", HERE + b"/v1/Y", id="in any case"),
        pytest.param(REST, b"https://api.example", HERE + b"/", id="the bare origin"),
        pytest.param(REST, b"https://api.example?x=1", HERE + b"/?x=1", id="a query behind the origin"),
        pytest.param(REST, b"https://api.example/a%2Fb?x=%zz#f%", HERE + b"/a%2Fb?x=%zz#f%", id="nothing decoded"),
        pytest.param(REST, b"https://api.example/caf\xe9", HERE + b"/caf\xe9", id="bytes beyond ASCII"),
        pytest.param(REST, b"/v1/y?z#f", b"/v1/y?z#f", id="a path"),
        pytest.param(REST, b"/", b"/", id="the root"),
        pytest.param(FLIGHTS, b"/a/b.csv", b"/cdn/flights/a/b.csv", id="a path below a prefix"),
        pytest.param(FLIGHTS, b"/", b"/cdn/flights/", id="the root below a prefix"),
        pytest.param(FLIGHTS, b"https://flights.example/a", HERE + b"/cdn/flights/a", id="absolute below a prefix"),
        pytest.param(LIBRARY, b"https://library.example:8443/base/a", HERE + b"/cdn/library/a", id="a base goes"),
        pytest.param(LIBRARY, b"/base", b"/cdn/library", id="the base itself"),
        pytest.param(STAGING, b"/api/v2/job", b"/staging/job", id="a base in a path"),
        pytest.param(STAGING, b"/api/v2/media/1", b"/staging-media/1", id="the most exact route"),
        pytest.param(STAGING, b"/api/v2/mediation", b"/staging/mediation", id="half a segment is no base"),
        pytest.param(REST, b"/cdn/x", b"/cdn/x", id="half of another prefix"),
    ],
)
def test_local(route: Route, location: bytes, expected: bytes) -> None:
    """What leads to the upstream's origin leads to the proxy's own route to it."""
    assert localised(location, route) == expected


@pytest.mark.parametrize(
    ("route", "location"),
    [
        pytest.param(REST, b"https://elsewhere.example/v1", id="another host"),
        pytest.param(REST, b"http://api.example/v1", id="another scheme"),
        pytest.param(REST, b"https://api.example:8443/v1", id="another port"),
        pytest.param(REST, b"https://api.example.evil.example/v1", id="a longer host"),
        pytest.param(REST, b"https://api.example@evil.example/v1", id="a user name"),
        pytest.param(REST, b"https://api.example\\@evil.example/", id="a backslash"),
        pytest.param(REST, b"//api.example/v1", id="a network path"),
        pytest.param(REST, b"//evil.example/v1", id="somebody else's network path"),
        pytest.param(REST, b"https://flights.example/a", id="the origin of another route"),
        pytest.param(REST, b"y/z", id="a relative path"),
        pytest.param(REST, b"?y", id="a query"),
        pytest.param(REST, b"#y", id="a fragment"),
        pytest.param(REST, b"", id="nothing"),
        pytest.param(REST, b"https://api.example/graphql", id="what another route would answer"),
        pytest.param(STAGING, b"https://stage.example/other", id="outside the base"),
    ],
)
def test_left_alone(route: Route, location: bytes) -> None:
    """What leads elsewhere, or would lead to another upstream if it were local, stays as it is."""
    assert localised(location, route) == location


@pytest.mark.parametrize(
    ("route", "location", "expected"),
    [
        pytest.param(REST, b"/graphql/x?y#z", b"https://api.example/graphql/x?y#z", id="covered by another route"),
        pytest.param(STAGING, b"/login", b"https://stage.example/login", id="outside the base"),
    ],
)
def test_a_path_that_no_route_leads_to(route: Route, location: bytes, expected: bytes) -> None:
    """A path of the upstream's that the proxy has no way to is given its origin: here it would mean something else."""
    assert localised(location, route) == expected


@pytest.mark.parametrize(("route", "expected"), [(REST, b"/v1/y"), (TWIN, b"/twin/v1/y")])
def test_two_routes_to_one_place(route: Route, expected: bytes) -> None:
    """Of two routes that lead there, it is the one that the caller took."""
    assert localised(b"/v1/y", route, RouteTable((), (REST, TWIN, GRAPHQL))) == expected


def test_a_way_around() -> None:
    """Where the caller's own route is covered by another one, a second way to the same place serves as well."""
    assert localised(b"/graphql", REST, RouteTable((), (REST, TWIN, GRAPHQL))) == b"/twin/graphql"


def test_no_path_turns_into_a_host() -> None:
    """What is left of a path without its base may begin with two slashes, and must not be read as a host."""
    route = Route("", Upstream.parse("https://api.example/base"), Auth.REST)
    assert localised(b"/base//evil.example/x", route, RouteTable((), (route,))) == HERE + b"//evil.example/x"


def test_only_locations_change() -> None:
    """Other fields keep their place and bytes, and every Location is seen to, in any case."""
    lines: list[Header] = [(b"A", b"/x"), (b"LOCATION", b"/a"), (b"Content-Location", b"/a"), (b"location", b"/b")]
    assert TABLE.localised(lines, FLIGHTS, here=HERE) == [
        (b"A", b"/x"),
        (b"LOCATION", b"/cdn/flights/a"),
        (b"Content-Location", b"/a"),
        (b"location", b"/cdn/flights/b"),
    ]
