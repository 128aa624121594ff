"""`allow`, `deny` and `read_only`: what is forwarded at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import NotPermitted, ReadOnly
from proxy.forward.guard import Pattern, Permissions, check_read_only, readings
from proxy.forward.policy import EVERYTHING


def permitted(method: str, path: str, *, allow: tuple[str, ...] = (EVERYTHING,), deny: tuple[str, ...] = ()) -> bool:
    try:
        Permissions(allow, deny).check(method, readings(path))
    except NotPermitted:
        return False
    return True


MATCHES = [
    ("GET /v1/job", "GET", "/v1/job", True),
    ("GET /v1/job", "HEAD", "/v1/job", True),
    ("HEAD /v1/job", "HEAD", "/v1/job", True),
    ("HEAD /v1/job", "GET", "/v1/job", False),
    ("GET /v1/job", "POST", "/v1/job", False),
    ("GET /v1/job", "GET", "/v1/jobs", False),
    ("GET /v1/job", "GET", "/v1/job/1", False),
    ("GET /v1/job", "GET", "/x/v1/job", False),
    ("* /v1/job", "PATCH", "/v1/job", True),
    ("* /v1/job", "X-ODD", "/v1/job", True),
    ("X-ODD /v1/job", "X-ODD", "/v1/job", True),
    ("DELETE /v1/job/*", "DELETE", "/v1/job/1", True),
    ("DELETE /v1/job/*", "DELETE", "/v1/job/", True),
    ("DELETE /v1/job/*", "DELETE", "/v1/job", False),
    ("DELETE /v1/job/*", "DELETE", "/v1/job/1/task", False),
    ("DELETE /v1/*/1", "DELETE", "/v1/job/1", True),
    ("DELETE /v1/*/1", "DELETE", "/v1/job/a/1", False),
    ("GET /v1/job-*-x", "GET", "/v1/job-1-x", True),
    ("GET /v1/job-*-x", "GET", "/v1/job--x", True),
    ("GET /v1/job-*-x", "GET", "/v1/job-x", False),
    ("GET /v1/*.json", "GET", "/v1/a.json", True),
    ("GET /v1/*.json", "GET", "/v1/a_json", False),
    ("GET /a.b", "GET", "/axb", False),
    ("GET /*/b", "GET", "//b", True),
    ("* /v1/analytics/**", "GET", "/v1/analytics/a/b/c", True),
    ("* /v1/analytics/**", "GET", "/v1/analytics/", True),
    ("* /v1/analytics/**", "GET", "/v1/analytics", True),
    ("* /v1/analytics/**", "GET", "/v1/analyticsx", False),
    ("* /v1/**", "GET", "/v1/a%0Ab/%0D", True),
    ("* /**", "GET", "/", True),
    ("* /**", "PUT", "/any/thing", True),
    ("GET /", "GET", "/", True),
    ("GET /", "GET", "/x", False),
    ("GET /a b", "GET", "/a%20b", True),
    ("GET /café", "GET", "/caf%C3%A9", True),
    ("GET  /padded ", "GET", "/padded", True),
    ("GET /a+b(c)[d]$^|{2}", "GET", "/a+b(c)[d]$^|{2}", True),
]


@pytest.mark.parametrize(("pattern", "method", "path", "covered"), MATCHES)
def test_deny(pattern: str, method: str, path: str, covered: bool) -> None:
    """What a pattern of `deny` covers is refused, and nothing else."""
    assert permitted(method, path, deny=(pattern,)) is not covered


@pytest.mark.parametrize(
    ("pattern", "method", "path", "covered"),
    [case for case in MATCHES if "%" not in case[2] and "//" not in case[2]],
)
def test_allow(pattern: str, method: str, path: str, covered: bool) -> None:
    """What a pattern of `allow` covers is forwarded, and nothing else."""
    assert permitted(method, path, allow=(pattern,)) is covered


@pytest.mark.parametrize(
    "path",
    ["/v1/secret", "/v1/secret/", "/v1/SECRET", "/V1/Secret/", "/v1//secret", "//v1/secret", "/v1%2Fsecret",
     "/v1/%73ecret", "/v1/%2573ecret", "/v1\\secret", "/v1%5csecret", "/v1/secret;x", "/v1;x/secret", "/v1/secret%3Bx",
     "/v1/secret%3Fx", "/v1/secret%23", "//v1;a%2F%73ecret%2f", "/v1/secret%2F"],
)  # fmt: skip
def test_deny_cannot_be_spelt_around(path: str) -> None:
    """However a path is written: where some server takes it for what `deny` covers, it is refused."""
    assert not permitted("DELETE", path, deny=("DELETE /v1/secret",))


@pytest.mark.parametrize(
    "path", ["/v1/job/", "/V1/job", "/v1//job", "/v1/job;x", "/v1/%6aob", "/v1%2Fjob", "/v1/job%3F"]
)
def test_allow_wants_every_reading(path: str) -> None:
    """What `allow` does not cover in every reading is refused."""
    assert not permitted("GET", path, allow=("GET /v1/job",))


def test_allow_covers_encoded_paths() -> None:
    """A file's key may be encoded as its client likes where the whole folder is allowed."""
    assert permitted("GET", "/cdn/library/a%2Fb%20c//d;e", allow=("GET /cdn/library/**",))


def test_deny_wins() -> None:
    """What both cover is refused; what neither covers is, too."""
    allow, deny = ("GET /v1/**", "DELETE /v1/task/*"), ("GET /v1/secret", "* /v1/task/7")
    verdicts = {
        ("GET", "/v1/job"): True,
        ("GET", "/v1/secret"): False,
        ("HEAD", "/v1/secret"): False,
        ("DELETE", "/v1/task/6"): True,
        ("DELETE", "/v1/task/7"): False,
        ("GET", "/v1/task/7"): False,
        ("POST", "/v1/job"): False,
        ("QUERY", "/v1/job"): False,
        ("GET", "/v2"): False,
    }
    found = {(method, path): permitted(method, path, allow=allow, deny=deny) for method, path in verdicts}
    assert found == verdicts


def test_everything_is_allowed_by_default() -> None:
    """Without patterns of one's own, every method and path passes."""
    permissions = Permissions((EVERYTHING,), ())
    for method, path in (("GET", "/"), ("DELETE", "/v1/job/1"), ("X", "/a//b%2F\n")):
        permissions.check(method, (path,))


def test_refusal_echoes_nothing() -> None:
    """A refusal repeats nothing of the path, and says where to look."""
    with pytest.raises(NotPermitted) as caught:
        Permissions((EVERYTHING,), ("* /**",)).check("GET", ("/c4n4ry",))
    assert "c4n4ry" not in caught.value.detail + caught.value.hint
    assert "ul-proxy config" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write a method and a path"),
        ("GET", "write a method and a path"),
        ("/v1/job", "write a method and a path"),
        ("GET v1/job", "write a method and a path"),
        ("GET https://a.test/", "write a method and a path"),
        ("GET,POST /v1", "in capitals"),
        ("get /v1", "in capitals"),
        ("G*T /v1", "in capitals"),
        ("** /v1", "in capitals"),
        ("GET\t/v1", "write a method and a path"),
        ("GET /v1/a%20b", "written decoded"),
        ("GET /v1?a=b", "written decoded"),
        ("GET /v1#a", "written decoded"),
        ("GET /v1\\a", "written decoded"),
        ("GET /v1\na", "written decoded"),
        ("GET /v1//a", "no empty"),
        ("GET //", "no empty"),
        ("GET /v1/../a", "no empty and no dot"),
        ("GET /v1/.", "no empty and no dot"),
        ("GET /v1/**/a", "last segment"),
        ("GET /v1/a**", "last segment"),
        ("GET /v1/***", "last segment"),
        ("GET /v1/*a*", "once in a segment"),
        ("GET /*-*/a", "once in a segment"),
    ],
)
def test_unusable_patterns(text: str, words: str) -> None:
    """What is no pattern is refused in words that say what to write."""
    with pytest.raises(ValueError, match=words):
        Pattern.parse(text)


@given(st.text(max_size=15))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    """Whatever stands for a pattern, it is one that can be judged by, or a ValueError."""
    for pattern in (text, f"GET {text}", f"GET /{text}"):
        try:
            permissions = Permissions((EVERYTHING,), (pattern,))
        except ValueError:
            continue
        permissions.check("OPTIONS-OF-NOBODY" if pattern.startswith("GET") else "X", ("/\0",))


def test_many_stars_are_judged_quickly() -> None:
    """A long path that almost matches takes no longer for it: each segment has one star at most."""
    pattern = "GET " + "/a*a" * 30 + "/**"
    assert permitted("GET", "/" + "a" * 8000, deny=(pattern,))
    assert permitted("GET", "/aaaaaaaa" * 29 + "/" + "a" * 8000 + "b", deny=(pattern,))


# ---- read-only


@pytest.mark.parametrize(
    ("method", "graphql", "judged"),
    [
        ("GET", False, False),
        ("HEAD", False, False),
        ("OPTIONS", False, False),
        ("OPTIONS", True, False),
        ("GET", True, True),
        ("HEAD", True, True),
        ("POST", True, True),
    ],
)
def test_reads(method: str, graphql: bool, judged: bool) -> None:
    """Methods that only read pass; on a GraphQL route the document decides."""
    assert check_read_only(method, graphql=graphql, upgrade=False) is judged


@pytest.mark.parametrize(
    ("method", "graphql"),
    [("POST", False), ("PUT", False), ("PATCH", False), ("DELETE", False), ("QUERY", False), ("PROPFIND", False),
     ("PUT", True), ("DELETE", True), ("QUERY", True), ("X", True)],
)  # fmt: skip
def test_writes(method: str, graphql: bool) -> None:
    """Every other method is refused, those that nobody knows included."""
    with pytest.raises(ReadOnly):
        check_read_only(method, graphql=graphql, upgrade=False)


@pytest.mark.parametrize("graphql", [True, False])
def test_no_websockets(graphql: bool) -> None:
    """What is said over a WebSocket cannot be judged."""
    with pytest.raises(ReadOnly, match="WebSocket"):
        check_read_only("GET", graphql=graphql, upgrade=True)
