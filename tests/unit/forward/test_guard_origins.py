"""Which web pages may call: what a browser says of them, the preflights it asks first, and what the answers tell it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest, CallerError, HostNotAllowed, OriginNotAllowed
from proxy.forward.guard import check_origin, is_cors_field, parse_origin, preflight
from proxy.forward.guard.origins import confinement, response_fields
from proxy.forward.policy import Policy
from proxy.http.grammar.fields import Header

HOST = b"localhost:8080"
APP = "https://app.example.com"
LISTED = Policy(allowed_origins=frozenset((APP, "http://localhost:3000", "chrome-extension://abcdefghijklmnop")))
NOBODY = Policy()


def lines(text: str) -> tuple[Header, ...]:
    """`Name: value` between bars as field lines."""
    pairs = (line.strip().partition(":") for line in text.split("|") if line.strip())
    return tuple((name.encode(), value.strip().encode("latin-1")) for name, _, value in pairs)


NO_PAGE = {
    "curl": "",
    "curl with fields of its own": "Accept: */* | Referer: https://evil.test/",
    "typed into the address bar": "Sec-Fetch-Site: none | Sec-Fetch-Mode: navigate | Sec-Fetch-Dest: document",
    "typed, in other letters": "sec-fetch-site: None | SEC-FETCH-MODE: navigate",
    "own page fetches": "Sec-Fetch-Site: same-origin | Sec-Fetch-Mode: cors",
    "own page shows an image": "Sec-Fetch-Site: same-origin | Sec-Fetch-Mode: no-cors",
    "own page leads on": "Sec-Fetch-Site: same-origin | Sec-Fetch-Mode: navigate",
    "own page posts": "Origin: http://localhost:8080 | Sec-Fetch-Site: same-origin",
    "own page posts, old browser": "Origin: http://localhost:8080",
    "own page behind TLS posts": "Origin: https://localhost:8080 | Sec-Fetch-Site: same-origin",
}


@pytest.mark.parametrize("text", NO_PAGE.values(), ids=NO_PAGE)
def test_lets_in_what_no_other_page_sent(text: str) -> None:
    """Tools, people and the proxy's own page come in, and need no leave to read the answer."""
    assert [check_origin(lines(text), policy, HOST) for policy in (NOBODY, LISTED)] == [None, None]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Origin: https://localhost:8080", True),
        ("Origin: https://localhost:8080 | Sec-Fetch-Site: same-origin", True),
        ("Origin: https://localhost:8080 | Sec-Fetch-Site: same-site", False),
        ("Origin: http://localhost:8080", False),
        ("Origin: http://localhost:8080 | Sec-Fetch-Site: same-origin", False),
        ("Origin: https://localhost", False),
    ],
)
def test_own_origin_by_https(text: str, verdict: bool) -> None:
    """Where the proxy speaks HTTPS, its own page has an origin of that scheme, and no other."""
    if verdict:
        assert check_origin(lines(text), NOBODY, HOST, secure=True) is None
    else:
        with pytest.raises(OriginNotAllowed):
            check_origin(lines(text), NOBODY, HOST, secure=True)


PAGES = {
    "fetch": "Origin: https://evil.test | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: cors",
    "fetch, old browser": "Origin: https://evil.test",
    "form": "Origin: https://evil.test | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate",
    "form in a sandbox": "Origin: null | Sec-Fetch-Site: cross-site",
    "form in a sandbox, old browser": "Origin: null",
    "WebSocket": "Origin: https://evil.test | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: websocket",
    "image": "Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: no-cors | Sec-Fetch-Dest: image",
    "script": "Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: no-cors | Sec-Fetch-Dest: script",
    "link": "Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate | Sec-Fetch-User: ?1 | Sec-Fetch-Dest: document",
    "frame": "Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate | Sec-Fetch-Dest: iframe",
    "other port": "Origin: http://localhost:8081 | Sec-Fetch-Site: same-site",
    "other port, old browser": "Origin: http://localhost:8081",
    "other port, image": "Sec-Fetch-Site: same-site | Sec-Fetch-Mode: no-cors",
    "other port, link": "Sec-Fetch-Site: same-site | Sec-Fetch-Mode: navigate",
    "no port": "Origin: http://localhost",
    "other loopback name": "Origin: http://127.0.0.1:8080 | Sec-Fetch-Site: cross-site",
    "TLS on the same name": "Origin: https://localhost:8080 | Sec-Fetch-Site: cross-site",
    "TLS on the same name, old browser": "Origin: https://localhost:8080",
    "own origin, but the browser knows better": "Origin: http://localhost:8080 | Sec-Fetch-Site: same-site",
    "own origin with a path": "Origin: http://localhost:8080/",
    "own origin as part": "Origin: http://localhost:8080.evil.test",
    "own host in another scheme": "Origin: ftp://localhost:8080",
    "extension": "Origin: moz-extension://01234567 | Sec-Fetch-Site: none",
    "extension without its name": "Sec-Fetch-Site: none | Sec-Fetch-Mode: cors",
    "nowhere, without a mode": "Sec-Fetch-Site: none",
    "nowhere, in two modes": "Sec-Fetch-Site: none | Sec-Fetch-Mode: navigate | Sec-Fetch-Mode: cors",
    "nothing at all": "Origin:",
    "site of another kind": "Sec-Fetch-Site: friendly",
    "empty site": "Sec-Fetch-Site:",
    "two origins, one line": f"Origin: {APP} https://evil.test",
    "two origins, comma": f"Origin: {APP}, {APP}",
    "two origins": f"Origin: {APP} | Origin: https://evil.test",
    "the same origin twice": f"Origin: {APP} | origin: {APP}",
    "two sites": "Sec-Fetch-Site: same-origin | Sec-Fetch-Site: cross-site",
    "origin in other letters": "Origin: HTTPS://evil.test",
    "bytes": "Origin: \xff\xfe",
}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_refuses_pages(text: str) -> None:
    """Whatever a browser sends for a page that is not listed is refused, and none of it is echoed."""
    for policy in (NOBODY, LISTED):
        with pytest.raises(OriginNotAllowed) as caught:
            check_origin(lines(text), policy, HOST)
        assert "evil" not in caught.value.detail + caught.value.hint


@pytest.mark.parametrize("origin", sorted(LISTED.allowed_origins))
@pytest.mark.parametrize("site", ["", "| Sec-Fetch-Site: cross-site", "| Sec-Fetch-Site: same-site"])
def test_lets_listed_pages_in(origin: str, site: str) -> None:
    """A listed origin comes in, and is what the answer is to name."""
    assert check_origin(lines(f"Origin: {origin} {site}"), LISTED, HOST) == origin.encode()
    with pytest.raises(OriginNotAllowed):
        check_origin(lines(f"Origin: {origin} {site}"), NOBODY, HOST)


@pytest.mark.parametrize("origin", ["https://APP.example.com", f"{APP}:443", f"{APP}:8443", f"{APP}.evil.test", "app"])
def test_listed_means_exactly(origin: str) -> None:
    """Browsers write an origin in one way alone; what is like a listed one is another."""
    with pytest.raises(OriginNotAllowed):
        check_origin(lines(f"Origin: {origin}"), LISTED, HOST)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:8080", "proxy.internal"])
def test_own_origin_is_as_host_says(host: str) -> None:
    """The proxy's own page has the origin under which it was fetched, whichever name that was."""
    own = f"Origin: http://{host.lower()}"
    assert check_origin(lines(own), NOBODY, host.encode()) is None
    with pytest.raises(OriginNotAllowed):
        check_origin(lines(own), NOBODY, b"localhost:1")


@given(st.lists(st.tuples(st.sampled_from((b"Origin", b"Sec-Fetch-Site", b"Sec-Fetch-Mode")), st.binary(max_size=30))))
def test_any_bytes_get_a_verdict(headers: list[Header]) -> None:
    """Whatever stands in these fields is refused or not; only what is listed is ever handed on to be echoed."""
    try:
        found = check_origin(headers, LISTED, HOST)
    except OriginNotAllowed:
        return
    assert found is None or found.decode() in LISTED.allowed_origins


# ---- preflights

ASK = f"Host: localhost | Origin: {APP} | Access-Control-Request-Method: DELETE"


def answered(text: str, policy: Policy = LISTED) -> dict[bytes, bytes]:
    found = preflight(lines(text), policy)
    assert found is not None
    assert len(dict(found)) == len(found)
    return dict(found)


def test_answers_a_preflight() -> None:
    """A listed page is told what it asked for and no more: its own origin, the method, and no credentials."""
    assert answered(ASK) == {
        b"Access-Control-Allow-Origin": APP.encode(),
        b"Access-Control-Allow-Methods": b"DELETE",
        b"Access-Control-Max-Age": b"600",
        b"Vary": b"Origin",
    }


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("content-type", b"content-type"),
        ("authorization,content-type, x-ul-proxy-token", b"authorization, content-type, x-ul-proxy-token"),
        ("a, , b,", b"a, b"),
        ("a | Access-Control-Request-Headers: b", b"a, b"),
        ("", None),
    ],
)
def test_allows_fields(asked: str, told: bytes | None) -> None:
    """Fields are allowed one by one: `*` would not cover Authorization."""
    found = answered(f"{ASK} | Access-Control-Request-Headers: {asked}")
    assert found.get(b"Access-Control-Allow-Headers") == told


@pytest.mark.parametrize(("asked", "told"), [("true", b"true"), ("false", None), ("1", None)])
def test_private_network(asked: str, told: bytes | None) -> None:
    """A page from the internet may call a listed proxy on this machine, where the browser asks for that."""
    found = answered(f"{ASK} | Access-Control-Request-Private-Network: {asked}")
    assert found.get(b"Access-Control-Allow-Private-Network") == told


@pytest.mark.parametrize(
    "text",
    ["Host: localhost", f"Host: localhost | Origin: {APP}", "Host: localhost | Access-Control-Request-Method: GET"],
)
def test_other_options(text: str) -> None:
    """OPTIONS without an origin or without a method to ask for is no preflight, but a request like others."""
    assert preflight(lines(text), LISTED) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (ASK.replace(APP, "https://evil.test"), OriginNotAllowed),
        (ASK.replace(APP, "null"), OriginNotAllowed),
        (ASK.replace(APP, "http://localhost"), OriginNotAllowed),
        (ASK.replace("localhost", "evil.test"), HostNotAllowed),
        (ASK.replace("Host: localhost |", ""), BadRequest),
        (ASK + " | Access-Control-Request-Method: PUT", BadRequest),
        (ASK.replace("DELETE", "DELETE, PUT"), BadRequest),
        (ASK.replace("DELETE", ""), BadRequest),
        (ASK + " | Access-Control-Request-Headers: a b", BadRequest),
        (ASK + " | Access-Control-Request-Headers: a\rb", BadRequest),
        (ASK + " | Access-Control-Request-Headers: \xe9", BadRequest),
    ],
)
def test_refuses_preflights(text: str, error: type[CallerError]) -> None:
    """A page that is not listed gets no leave, and nothing is echoed that is not a token."""
    with pytest.raises(error):
        preflight(lines(text), LISTED)


# ---- answers


def test_fields_of_an_answer() -> None:
    """A listed page may read the whole answer; caches must not give others' answers to it; else nothing is added."""
    assert dict(response_fields(APP.encode(), LISTED)) == {
        b"Access-Control-Allow-Origin": APP.encode(),
        b"Access-Control-Expose-Headers": b"*",
        b"Vary": b"Origin",
    }
    assert response_fields(None, LISTED) == ((b"Vary", b"Origin"),)
    assert response_fields(None, NOBODY) == ()


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        (b"access-control-allow-origin", True),
        (b"access-control-allow-credentials", True),
        (b"access-control-anything", True),
        (b"access-control", False),
        (b"x-access-control-allow-origin", False),
        (b"content-type", False),
    ],
)
def test_cors_fields(name: bytes, verdict: bool) -> None:
    """What an upstream says to browsers about pages is told apart from everything else."""
    assert is_cors_field(name) == verdict


@pytest.mark.parametrize("shown", ["document", "iframe", "frame", "embed", "object", "fencedframe"])
def test_confines_what_is_shown(shown: str) -> None:
    """What a browser shows as a page of this origin runs no script and sends nothing."""
    ((name, value),) = confinement(lines(f"Sec-Fetch-Dest: {shown}"))
    assert name == b"Content-Security-Policy"
    assert {b"script-src 'none'", b"connect-src 'none'", b"form-action 'none'"} == set(value.split(b"; "))


def test_confines_what_is_shown_without_fetch_metadata() -> None:
    """Over plain HTTP a browser sends other machines no Sec-Fetch-Dest: what it accepts of a page tells it."""
    accepted = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert confinement(lines(accepted)) == confinement(lines("Sec-Fetch-Dest: document"))
    assert confinement(lines(f"{accepted} | Sec-Fetch-Dest: empty")) == ()


@pytest.mark.parametrize("text", ["", "Sec-Fetch-Dest: empty", "Sec-Fetch-Dest: image", "Accept: text/html"])
def test_leaves_other_answers_alone(text: str) -> None:
    """Tools and pages that fetch get the upstream's answer as it is."""
    assert confinement(lines(text)) == ()


# ---- the setting


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example.com", "https://app.example.com"),
        (" HTTPS://App.Example.com:443 ", "https://app.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://localhost:80", "https://localhost:80"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("tauri://localhost", "tauri://localhost"),
    ],
)
def test_parse_origin(text: str, origin: str) -> None:
    """A setting becomes what browsers send: in lower case, without the scheme's own port."""
    assert parse_origin(text) == origin
    assert check_origin(lines(f"Origin: {origin}"), Policy(allowed_origins=frozenset((origin,))), HOST) is not None


@pytest.mark.parametrize(
    "text",
    ["", "*", "null", "a.test", "//a.test", "https:a.test", "https://", "https://a.test/", "https://a.test/x",
     "https://a.test?x", "https://a.test#x", "https://me@a.test", "https://a b", "https://*.test", "https://[::1",
     "https://é.test", "https://a.test:port", "https://a.test:65536", "https://a.test\nhttps://b.test", "1://a"],
)  # fmt: skip
def test_parse_origin_refuses(text: str) -> None:
    """What is no single origin is refused in words, the one for everybody included."""
    with pytest.raises(ValueError, match=r"scheme://host|every web page"):
        parse_origin(text)
