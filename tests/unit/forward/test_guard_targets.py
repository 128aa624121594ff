"""Methods and paths: what is judged here is what the upstream reads, in whatever way it reads."""

import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.kinds import Auth

from proxy.errors import BadRequest, NoRoute, NotPermitted
from proxy.forward.guard import OWN_PATHS, Permissions, check_method, check_route, readings
from proxy.forward.route import Route
from proxy.forward.routes import RouteTable
from proxy.http.address import Upstream

REST = Upstream.parse("https://rest.test")
TABLE = RouteTable(
    (Route("/staging", Upstream.parse("https://staging.test/base"), Auth.BEARER),),
    (
        Route("/graphql", Upstream.parse("https://graphql.test/graphql"), Auth.GRAPHQL, graphql=True),
        Route("/v1/analytics", Upstream.parse("https://rest.test/v1/analytics"), Auth.ANALYTICS),
        Route("/cdn/library", Upstream.parse("https://library.test"), Auth.NONE),
        Route("", REST, Auth.REST),
    ),
)


def route_of(path: str) -> Route:
    return TABLE.match(path)[0]


def judge(path: str) -> None:
    """What the proxy does with a path before it forwards it as it is."""
    check_route(readings(path), route_of)


# ---- methods


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_refuses_methods(method: str) -> None:
    """TRACE would echo the credential, CONNECT asks for a tunnel: both are refused."""
    with pytest.raises(BadRequest, match=method):
        check_method(method)


@pytest.mark.parametrize("method", ["get", "Get", "GEt", "post", "trace", "Connect", "x", "M-search"])
def test_refuses_lowercase(method: str) -> None:
    """A method with a lowercase letter is another method to some servers and the same to others."""
    with pytest.raises(BadRequest) as caught:
        check_method(method)
    assert method not in caught.value.detail.split()


@pytest.mark.parametrize(
    "method",
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "M-SEARCH", "!#$%&'*+.^_`|~1"],
)  # fmt: skip
def test_lets_other_methods_through(method: str) -> None:
    """Every other method is the upstream's business."""
    check_method(method)


# ---- paths


@pytest.mark.parametrize(
    "path",
    ["/", "/v1/job", "/v1/job/", "/a..b", "/a./b", "/a,b:c@d!$&'()*+=~-_", "/graphql", "/-/status", "/a.b/c..",
     '/[x]|{y}^`"<>'],
)  # fmt: skip
def test_one_reading(path: str) -> None:
    """What every server reads alike costs no more than one look."""
    assert readings(path) == (path,)
    judge(path)


@pytest.mark.parametrize(
    ("path", "also"),
    [
        ("/v1/a%20b", {"/v1/a b"}),
        ("/v1/%6aob", {"/v1/job"}),
        ("/v1%2Fjob", {"/v1/job"}),
        ("/v1%2fjob", {"/v1/job"}),
        ("/v1//job", {"/v1/job"}),
        ("/v1\\job", {"/v1/job"}),
        ("/v1%5Cjob", {"/v1\\job", "/v1/job"}),
        ("/v1;a=1/job", {"/v1/job"}),
        ("/v1%3Ba/job", {"/v1;a/job", "/v1/job"}),
        ("/v1/job%3Fa", {"/v1/job?a", "/v1/job"}),
        ("/v1/job%23a", {"/v1/job#a", "/v1/job"}),
        ("/v1/%256aob", {"/v1/%6aob", "/v1/job"}),
        ("/a%20b%2Fc", {"/a b%2Fc", "/a b/c"}),
        ("//a%2Fb", {"/a%2Fb", "//a/b", "/a/b"}),
        ("/caf%C3%A9", {"/café"}),
        ("/100%25", {"/100%"}),
        ("/100%25zz", {"/100%zz"}),
        ("/.well-known", set()),
    ],
)
def test_readings(path: str, also: set[str]) -> None:
    """A path is read as it is written, and in every way in which some server decodes or tidies it."""
    first, *others = readings(path)
    assert first == path
    assert set(others) == also


@pytest.mark.parametrize(
    "path",
    [
        "/cdn/library/ap-southeast-2%3A359c/0b1c/my%20file%20(1).jpg",
        "/cdn/library/a%2Fb%2fc",
        "/cdn/library/a//b///c",
        "/cdn/library//x",
        "/cdn/library/a..b/..c/d..",
        "/cdn/library/...",
        "/cdn/library/a\\b%5Cc",
        "/cdn/library/a;b;c=1",
        "/cdn/library/100%25.txt",
        "/cdn/library/%E2%82%AC",
        "/cdn/library/%e9t%e9",
        "/cdn/library/what%3F%23",
        "/cdn/library/%0a%09",
        "/v1/job/a%2Fb",
        "/v1//job",
        "//v1/job",
        "//evil.test/x",
        "/v1/job;v=1",
        "/x;/graphql",
        "/v1/%6aob",
        "/staging/a//b%2Fc",
        "/graphql/",
        "/.well-known/x",
        "/.hidden",
    ],
)
def test_keys_keep_working(path: str) -> None:
    """A path that leads along the same route in every reading is forwarded as it was written."""
    judge(path)


@pytest.mark.parametrize(
    "path",
    [
        "/..", "/.", "/../x", "/./x", "/x/..", "/x/.", "/x/../y", "/x/./y", "/cdn/library/../../v1/job",
        "/%2e%2e/x", "/%2E./x", "/.%2e", "/%2e", "/x/%2e/y", "/x%2F..%2Fy", "/x/..%2fy", "/x%2f%2e%2e", "/x\\..\\y",
        "/x/..\\y", "/..%5Cx", "/x%5c..", "/..;/x", "/..;a=b", "/.;/x", "/..%3Bx/y", "/..%3Fx", "/..%23x", "/x//..//y",
        "/%252e%252e/x", "/%25252e./x", "/%252e%2e%252fx", "/x%252f..%252fy",
        "/%c0%ae%c0%ae/x", "/%C0%AE./x", "/x%c0%afy", "/%c1%9cx", "/%e0%80%ae/x", "/%f0%80%80%ae", "/%25c0%25ae",
        "/%25c0%ae", "/%c0%25ae",
        "/%00", "/v1/job%00.txt", "/%2500", "/x%00/y",
        "/%", "/%2", "/%zz", "/%2g", "/%u002e", "/a%", "/100%/x", "/%%32%65", "/% 20", "/%-1",
        "/a#b", "/#", "/a%20b#",
    ],
)  # fmt: skip
def test_refuses_everywhere(path: str) -> None:
    """Dot segments, NUL, malformed UTF-8 and broken escapes are refused wherever they stand and however encoded."""
    with pytest.raises(BadRequest) as caught:
        readings(path)
    assert path not in caught.value.detail + caught.value.hint


@pytest.mark.parametrize(
    "path",
    [
        "//graphql", "/%67raphql", "/graphql%2F", "/graphql%2Fx", "/graphql;x", "/graphql%3Bx", "/graphql\\x",
        "/graphql%3Fquery=x", "/graphql%23", "/graphql;/x", "/%2567raphql",
        "/v1%2Fanalytics/devices", "/v1//analytics/devices", "/v1/analytics%2Fdevices", "/v1\\analytics/devices",
        "/v1;x/analytics/devices", "/v1/%61nalytics/devices", "//v1/analytics", "/cdn%2Flibrary/x", "/cdn//library/x",
        "/%73taging/x", "//staging", "/%2fstaging",
        "//-/status", "/%2d/status", "/-%2Fstatus", "/-\\status", "/-;x/status", "/%252d/status", "/%2F-/stop",
    ],
)  # fmt: skip
def test_refuses_where_the_route_would_change(path: str) -> None:
    """What leads along another route once it is decoded or tidied, the proxy's own endpoints included, is refused."""
    with pytest.raises(BadRequest, match="another route"):
        judge(path)


def test_no_route_for_a_reading() -> None:
    """A reading without any route differs from one that has a route; without any route at all there is none."""
    table = RouteTable((), (Route("/a%2Fb", REST, Auth.REST),))
    with pytest.raises(BadRequest):
        check_route(readings("/a%2Fb"), lambda path: table.match(path)[0])
    with pytest.raises(NoRoute):
        check_route(readings("/%61"), lambda path: table.match(path)[0])


@pytest.mark.parametrize("path", ["/%25" * 2000, "/%" + "25" * 4000 + "2e", "/a%2F%5C%3b%3f//;x\\" * 400, "/;" * 4000])
def test_long_paths_end(path: str) -> None:
    """However a path is nested, judging it ends soon: with few readings or a refusal."""
    try:
        assert len(readings(path)) <= 70
    except BadRequest:
        assert "%25" in path or "%5C" in path


# ---- the same with servers that were not written from the same list

SERVERS: dict[str, Callable[[str], str]] = {
    "decodes": lambda path: unquote(path, errors="surrogateescape"),
    "decodes leniently": lambda path: unquote(path, "latin-1"),
    "decodes all but slashes": lambda path: re.sub(
        r"%(?!2f|5c)([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), path, flags=re.IGNORECASE
    ),
    "decodes letters alone": lambda path: re.sub(
        r"%([46][1-9a-f]|[57][0-9a])", lambda match: chr(int(match[1], 16)), path, flags=re.IGNORECASE
    ),
    "turns backslashes": lambda path: path.replace("\\", "/"),
    "drops parameters": lambda path: "/".join(segment.partition(";")[0] for segment in path.split("/")),
    "merges slashes": lambda path: re.sub("/+", "/", path),
    "removes dots": lambda path: "/" + posixpath.normpath("/" + path).lstrip("/"),
    "cuts at a question mark": lambda path: path.partition("?")[0],
    "cuts at a hash": lambda path: path.partition("#")[0],
    "cuts at NUL": lambda path: path.partition("\0")[0],
}
chains = st.lists(st.sampled_from(sorted(SERVERS)), max_size=5)
PIECES = [
    *(
        "/",
        "//",
        "%2F",
        "%2f",
        "\\",
        "%5C",
        ".",
        "..",
        "%2e",
        "%252e",
        "%252F",
        ";x",
        "%3B",
        "%3F",
        "%23",
        "%00",
        "%25",
    ),
    *("v1", "%76%31", "job", "secret", "SECRET", "%73ecret", "graphql", "%67raphql", "analytics", "cdn", "library"),
    *("-", "%2d", "staging", "%20", "%e9", "%c0%ae", "x"),
]
paths = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "/" + "".join(pieces))
PERMISSIONS = Permissions(["GET /v1/**", "* /cdn/**", "GET /x/*/job"], ["* /v1/secret/**", "GET /cdn/*/secret"])


def read_by(path: str, chain: list[str]) -> str:
    """What a server makes of a path that takes these steps."""
    for name in chain:
        path = SERVERS[name](path)
    return path


@given(paths, chains)
@example("//v1/x%2Fy", ["decodes", "merges slashes"])
@example("/x%23%2F%252e.%3Fy", ["decodes", "decodes", "cuts at a question mark"])
@example("/cdn%2Flibrary", ["decodes letters alone", "decodes"])
def test_no_server_reads_another_route(path: str, chain: list[str]) -> None:
    """A path that is let through leads along its route in the eyes of every server, and never to the own endpoints."""
    try:
        judge(path)
    except BadRequest:
        return
    seen = read_by(path, chain)
    assert route_of(seen) is route_of(path)
    assert path.startswith(OWN_PATHS) or not seen.startswith(OWN_PATHS)
    assert posixpath.normpath(seen).strip("/") == re.sub("/+", "/", seen).strip("/") or not seen.strip("/")


@given(paths, chains)
@example("/v1/x/%2573ecret", [])
@example("//v1/secret%2Fx", ["merges slashes"])
def test_no_server_reads_what_is_not_permitted(path: str, chain: list[str]) -> None:
    """A path that is let through is permitted in the eyes of every server."""
    try:
        PERMISSIONS.check("GET", readings(path))
    except (BadRequest, NotPermitted):
        return
    PERMISSIONS.check("GET", [read_by(path, chain)])
