"""From a request target to a route and the target to send: bytes are compared and kept, never interpreted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kinds import Auth

from proxy.errors import BadRequest, NoRoute
from proxy.forward.route import Route
from proxy.forward.routes import RouteTable, parse_target
from proxy.http.address import Upstream

REST = Upstream.parse("https://api.unleashlive.com")
GRAPHQL = Upstream.parse("https://mediadrive-api.unleashlive.com/graphql")
FLIGHTS = Upstream.parse("https://flights.unleashlive.com")
STAGING = Upstream.parse("http://localhost:9000/base/v2")

EVERYTHING = Route("", REST, Auth.REST)
ANALYTICS = Route("/v1/analytics", REST, Auth.ANALYTICS)
TO_GRAPHQL = Route("/graphql", GRAPHQL, Auth.GRAPHQL, graphql=True)
CDN = Route("/cdn/flights", FLIGHTS, Auth.NONE)
BUILT_IN = (EVERYTHING, TO_GRAPHQL, CDN)

OWN_V1 = Route("/v1", STAGING, Auth.BEARER)
OWN_DEEP = Route("/v1/job/special", STAGING, Auth.NONE)

TABLE = RouteTable((OWN_V1, OWN_DEEP), BUILT_IN)
DEFAULT = RouteTable((), BUILT_IN)


@pytest.mark.parametrize(
    ("path", "route", "target"),
    [
        pytest.param("/v1/job", EVERYTHING, "/v1/job", id="the route of everything"),
        pytest.param("/", EVERYTHING, "/", id="the root"),
        pytest.param("/?", EVERYTHING, "/?", id="the root with an empty query"),
        pytest.param("/graphql", TO_GRAPHQL, "/graphql", id="a whole prefix"),
        pytest.param("/graphql?query=x", TO_GRAPHQL, "/graphql?query=x", id="a prefix and a query"),
        pytest.param("/graphql?", TO_GRAPHQL, "/graphql?", id="a prefix and an empty query"),
        pytest.param("/graphql/", TO_GRAPHQL, "/graphql/", id="a prefix and a slash"),
        pytest.param("/graphql/more", TO_GRAPHQL, "/graphql/more", id="below a prefix"),
        pytest.param("/graphqlx", EVERYTHING, "/graphqlx", id="half a segment"),
        pytest.param("/graphql%2F", EVERYTHING, "/graphql%2F", id="an encoded slash ends no segment"),
        pytest.param("/graphql;x", EVERYTHING, "/graphql;x", id="a parameter ends no segment"),
        pytest.param("/GraphQL", EVERYTHING, "/GraphQL", id="case matters"),
        pytest.param("/%67raphql", EVERYTHING, "/%67raphql", id="encoded letters are other letters"),
        pytest.param("//graphql", EVERYTHING, "//graphql", id="an empty segment before a prefix"),
        pytest.param("/./graphql", EVERYTHING, "/./graphql", id="a dot before a prefix"),
        pytest.param("/cdn/flights/a/b.json", CDN, "/a/b.json", id="a prefix goes"),
        pytest.param("/cdn/flights", CDN, "/", id="nothing after a prefix that goes"),
        pytest.param("/cdn/flights?x=1", CDN, "/?x=1", id="only a query after a prefix that goes"),
        pytest.param("/cdn/flights//x", CDN, "//x", id="an empty segment after a prefix"),
        pytest.param("/cdn/flights/..", CDN, "/..", id="dots after a prefix"),
        pytest.param("/cdn/other", EVERYTHING, "/cdn/other", id="half of a prefix"),
    ],
)
def test_built_in(path: str, route: Route, target: str) -> None:
    """A prefix matches whole segments; what follows it is appended to the upstream's own path."""
    assert DEFAULT.match(path) == (route, target)


@pytest.mark.parametrize(
    ("path", "route", "target"),
    [
        pytest.param("/v1/analytics/version", OWN_V1, "/base/v2/analytics/version", id="shorter, but own"),
        pytest.param("/v1", OWN_V1, "/base/v2", id="nothing after an upstream with a path"),
        pytest.param("/v1?a", OWN_V1, "/base/v2?a", id="a query after an upstream with a path"),
        pytest.param("/v1/job/special/x", OWN_DEEP, "/base/v2/x", id="the longer of two own ones"),
        pytest.param("/v1/job/specialx", OWN_V1, "/base/v2/job/specialx", id="the shorter on half a segment"),
        pytest.param("/v2", EVERYTHING, "/v2", id="a built-in one where no own one matches"),
    ],
)
def test_own_before_built_in(path: str, route: Route, target: str) -> None:
    """A route of the user's own is tried before every built-in one, and the longest own one first."""
    table = RouteTable((OWN_V1, OWN_DEEP), (*BUILT_IN, ANALYTICS))
    assert table.match(path) == (route, target)


def test_order_of_declaration_does_not_matter() -> None:
    """The longest prefix wins, in whatever order the routes were written."""
    for built_in in ((EVERYTHING, ANALYTICS), (ANALYTICS, EVERYTHING)):
        assert RouteTable((), built_in).match("/v1/analytics/x")[0] is ANALYTICS


def test_first_of_two_equal_prefixes() -> None:
    """Of two routes with the same prefix the first one counts."""
    first, second = Route("/a", REST, Auth.REST), Route("/a", FLIGHTS, Auth.NONE)
    assert RouteTable((first, second), ()).match("/a")[0] is first


@pytest.mark.parametrize("path", ["/", "/v1", "/graphqlx", "/?/graphql"])
def test_no_route(path: str) -> None:
    """Where no route matches there is none: nothing is guessed."""
    with pytest.raises(NoRoute):
        RouteTable((), (TO_GRAPHQL,)).match(path)


KEPT = [
    "/v1/job",
    "/v1/job?a=1&b=2",
    "/v1/a%2Fb",
    "/v1/a%2fb",
    "/v1/%zz",
    "/v1/%",
    "/v1/a+b%20c",
    "/v1/../etc/passwd",
    "/v1/./a/../b",
    "/..",
    "//double//slashes//",
    "//evil.com/x",
    "/v1/job?",
    "/v1/job??",
    "/v1/job?a=/b?c",
    "/v1/job;v=1,2",
    "/a:b@c",
    "/v1/http://example.com/",
    '/[x]|{y}^`"<>\\',
    "/~!$&'()*",
    "/%00",
    "/%0d%0aX:%20y",
    "/%ff%fe",
]


@pytest.mark.parametrize("target", KEPT)
def test_keeps_every_byte(target: str) -> None:
    """A target goes to the upstream as the caller wrote it: not decoded, not encoded, not normalised."""
    parsed = parse_target(target)
    assert (parsed.path, parsed.authority) == (target, None)
    assert DEFAULT.match(parsed.path)[1] == target


@pytest.mark.parametrize(
    ("target", "path", "authority"),
    [
        ("http://localhost:8080/v1/job?a=1", "/v1/job?a=1", "localhost:8080"),
        ("https://localhost/", "/", "localhost"),
        ("HTTP://LocalHost/A%2f", "/A%2f", "LocalHost"),
        ("http://localhost", "/", "localhost"),
        ("http://localhost?a=1", "/?a=1", "localhost"),
        ("http://localhost?", "/?", "localhost"),
        ("http://[::1]:8080//x", "//x", "[::1]:8080"),
        ("http://user:pw@localhost/x", "/x", "user:pw@localhost"),
        ("http://evil.com/x", "/x", "evil.com"),
        ("http:///x", "/x", ""),
        ("http://a/http://b/", "/http://b/", "a"),
    ],
)
def test_absolute_form(target: str, path: str, authority: str) -> None:
    """An absolute target is split and its authority handed on, for `guard` to judge like a Host."""
    assert parse_target(target) == (path, authority)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "v1/job",
        "?a",
        "localhost:8080",
        "example.com:443",
        "ftp://localhost/x",
        "file:///etc/passwd",
        "ws://localhost/",
        "http:/x",
        "http:x",
        " /x",
        "/a b",
        "/a\tb",
        "/a\r\nX: y",
        "/a\x00",
        "/a\x7f",
        "/a#fragment",
        "/#",
        "/é",
        "/\udce9",
        "/a\u2028",
        "http://localhost/a b",
        "http://localhost/#x",
        "http://localhost#x",
        "http://localhost/é",
    ],
    ids=ascii,
)
def test_refuses_other_targets(target: str) -> None:
    """Targets of other forms, and characters that a peer could read differently, are refused."""
    with pytest.raises(BadRequest):
        parse_target(target)


segments = st.text(st.sampled_from("aZ0%2F./?&=;:@~-_+,\\"), max_size=30)


@given(st.sampled_from([*BUILT_IN, OWN_V1, OWN_DEEP]), segments)
def test_target_ends_with_the_rest(route: Route, text: str) -> None:
    """What is sent ends with exactly what the caller wrote behind the prefix, and begins with the upstream's path."""
    path = f"{route.path}/{text}"
    found, target = TABLE.match(parse_target(path).path)
    rest = path[len(found.path) :]
    assert target == found.upstream.path + rest
    assert rest.endswith(text)


@given(st.text(max_size=20))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Whatever arrives for a target is a path that begins with a slash, or a BadRequest."""
    for target in (text, "/" + text, "http://localhost" + text):
        try:
            path = parse_target(target).path
        except BadRequest:
            continue
        assert path.startswith("/")
        assert target.endswith(path) or path == "/" + target.partition("?")[1] + target.partition("?")[2]
