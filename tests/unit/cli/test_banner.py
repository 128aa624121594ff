"""What a person sees when the proxy has started: where, as whom, what is added, and a line to paste."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from support.kinds import Auth

from proxy import __version__
from proxy.cli.banner import banner, start_warnings, whom
from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.http.address import Upstream
from proxy.identity.credentials import NO_SOURCES, CredentialKind
from proxy.identity.profile import CognitoPool, Profile
from proxy.observe.urls import curl, page_url
from proxy.settings import load
from proxy.settings.assemble import built_in_routes

CANARY = "c4n4ry"
POOL = CognitoPool("ap-southeast-2", "ap-southeast-2_Test", "client")
ROUTES = (
    Route("/graphql", Upstream.parse("https://graphql.test/graphql"), Auth.GRAPHQL, graphql=True),
    Route("/v1/analytics", Upstream.parse("https://rest.test/v1/analytics"), Auth.ANALYTICS),
    Route("/cdn/flights", Upstream.parse("https://flights.test"), Auth.NONE),
    Route("", Upstream.parse("https://rest.test"), Auth.REST),
)
OPEN = Policy()
HOSTS = frozenset(("b.test", "a.test"))
GUARDED = Policy(client_token=SecretStr(CANARY))
NOBODY = Profile("default", POOL)
ADA = Profile("default", POOL, "ada", SecretStr(CANARY))
KEYED = Profile("default", POOL, "ada", SecretStr(CANARY), api_key=SecretStr(CANARY))
HALF = Profile("default", POOL, "ada")
PAT = Profile("default", POOL, "ada", SecretStr(CANARY), personal_access_token=SecretStr(CANARY))


def shown(profile: Profile, routes: Sequence[Route] = ROUTES, **more: Any) -> str:
    return banner(["http://127.0.0.1:1"], {"default": profile, **more.pop("others", {})}, routes, OPEN, **more)


def added(profile: Profile) -> dict[str, str]:
    """What the banner says is added, by local path."""
    rows = [line for line in shown(profile).splitlines() if "→" in line]
    return {row.removeprefix("  routes").split()[0]: row.partition(" + ")[2] for row in rows}


def test_first_line() -> None:
    """The first line names the version and every address, as scripts that wait for it rely on."""
    first = banner(["http://127.0.0.1:1", "unix:/s"], {"default": ADA}, ROUTES, OPEN).splitlines()[0]
    assert first == f"ul-proxy {__version__} listens on http://127.0.0.1:1, unix:/s"


TOKEN, RAW = "X-Amz-Cognito-Security-Token", "authorization"
BEARER, KEY = "Authorization: Bearer", "x-api-key"


@pytest.mark.parametrize(
    ("profile", "graphql", "analytics", "rest"),
    [(ADA, RAW, TOKEN, TOKEN), (KEYED, RAW, KEY, TOKEN), (PAT, BEARER, BEARER, BEARER), (NOBODY, RAW, TOKEN, TOKEN)],
    ids=["login", "API key", "personal access token", "nobody"],
)
def test_routes(profile: Profile, graphql: str, analytics: str, rest: str) -> None:
    """Every route is shown with its upstream and what this login adds to it."""
    assert added(profile) == {
        "/graphql": graphql,
        "/v1/analytics/…": analytics,
        "/cdn/flights/…": "",
        "/…": rest,
    }


def test_admin_urls() -> None:
    """Where the own endpoints have a place of their own, it is shown; else nothing is said."""
    row = "  admin   http://127.0.0.1:2, unix:/a"
    assert row in shown(ADA, admin_urls=["http://127.0.0.1:2", "unix:/a"]).splitlines()
    assert "admin" not in shown(ADA)


def test_page() -> None:
    """Where a browser finds the inspector, it is told where; else nothing is said."""
    assert "  watch   http://127.0.0.1:1/-/" in shown(ADA, page="http://127.0.0.1:1/-/").splitlines()
    assert "watch" not in shown(ADA)


@pytest.mark.parametrize(
    ("urls", "admin_urls", "page"),
    [
        (["http://127.0.0.1:1"], [], "http://127.0.0.1:1/-/"),
        (["unix:/s", "https://[::1]:2"], [], "https://[::1]:2/-/"),
        (["http://0.0.0.0:1"], [], "http://127.0.0.1:1/-/"),
        (["https://[::]:1"], [], "https://[::1]:1/-/"),
        (["unix:/s"], [], None),
        (["http://127.0.0.1:1"], ["unix:/a", "http://0.0.0.0:2", "http://127.0.0.1:3"], "http://127.0.0.1:3/-/"),
        (["http://127.0.0.1:1"], ["http://0.0.0.0:2"], None),
    ],
)
def test_page_url(urls: list[str], admin_urls: list[str], page: str | None) -> None:
    """The inspector is where a browser of this machine gets to: not at a socket, nor at a public admin address."""
    assert page_url(urls, admin_urls) == page


def test_own_header() -> None:
    """A route that names the header for its credential is shown with that one."""
    route = Route("/staging", Upstream.parse("https://staging.test"), Auth.REST, header="X-Staging")
    assert shown(ADA, [route]).splitlines()[2].endswith("https://staging.test + X-Staging")


@pytest.mark.parametrize("profile", [ADA, KEYED, PAT, NOBODY, HALF], ids=lambda profile: profile.username)
def test_narrow(profile: Profile) -> None:
    """With the addresses that it ships with, the banner fits into a terminal of a hundred columns."""
    upstreams = load({}).settings.upstreams
    lines = shown(profile, built_in_routes(upstreams)).splitlines()
    assert max(map(len, lines)) < 100


@pytest.mark.parametrize("profile", [ADA, KEYED, PAT], ids=["login", "API key", "personal access token"])
def test_no_secret(profile: Profile) -> None:
    """No password, key or token is in the banner."""
    assert CANARY not in shown(profile)


@pytest.mark.parametrize(
    ("profile", "kind", "expected"),
    [
        (ADA, Auth.REST, "ada (user pool ap-southeast-2_Test, srp)"),
        (PAT, Auth.BEARER, "the owner of the personal access token"),
        (NOBODY, Auth.NONE, "nobody"),
    ],
)
def test_whom(profile: Profile, kind: CredentialKind, expected: str) -> None:
    """Who the upstream takes callers for: the login, a token's owner, or nobody."""
    assert whom(profile, [kind.of(profile, None, NO_SOURCES)]) == expected


@pytest.mark.parametrize(
    ("profile", "lacking"),
    [
        (NOBODY, "UL_PROXY_USERNAME and UL_PROXY_PASSWORD are not set"),
        (HALF, "UL_PROXY_PASSWORD is not set"),
        (Profile("default", POOL, password=SecretStr(CANARY)), "UL_PROXY_USERNAME is not set"),
    ],
    ids=["nothing", "no password", "no username"],
)
def test_whom_without_login(profile: Profile, lacking: str) -> None:
    """Without a whole login the banner says what it lacks."""
    assert whom(profile, [Auth.REST.of(profile, None, NO_SOURCES)]) == f"nobody: {lacking}"


# ---- profiles and sessions

WORK = Profile("work", POOL, "eve", SecretStr(CANARY))
EMPTY = Profile("empty", POOL)


def test_whom_by_session() -> None:
    """Without a login the banner tells of the session that was kept, and nothing of what is missing."""
    assert "as      whoever signed in with `ul-proxy login` (user pool" in shown(NOBODY, sessions=["default"])
    assert "as      ada signed in with `ul-proxy login` (user pool" in shown(HALF, sessions=["default"])
    assert not warned(NOBODY, sessions=["default"])


def test_profiles_are_shown() -> None:
    """The profiles that requests may choose are shown with how to choose them, and nobody reads a thousand names."""
    told = shown(ADA, others={"work": WORK})
    assert "\n  or      work\n          chosen by X-UL-Proxy-Profile: NAME, or by /@NAME before the path\n" in told
    assert "  or " not in shown(ADA)
    many = {f"profile-{number}": WORK for number in range(1000)}
    lines = shown(ADA, others=many).splitlines()
    assert len(lines) < 20
    assert max(map(len, lines)) < 100
    assert any(re.search(r"and \d+ lines more: ul-proxy config", line) for line in lines)


def test_profiles_without_a_credential() -> None:
    """A profile that nobody can use is told of, with the command that mends it."""
    profiles = {"default": ADA, "work": WORK, "empty": EMPTY}
    assert start_warnings(profiles, ROUTES, urls=[LOCAL], policy=OPEN) == [
        "profile empty has no credential: run `ul-proxy login --profile empty`"
    ]
    assert not start_warnings(profiles, ROUTES, urls=[LOCAL], policy=OPEN, sessions=["empty"])
    profiles["bare"] = replace(EMPTY, name="bare")
    (warning,) = start_warnings(profiles, ROUTES, urls=[LOCAL], policy=OPEN)
    assert warning.startswith("profiles empty and bare have no credential")


# ---- warnings

LOCAL = "http://127.0.0.1:8080"
LOGIN = "UL_PROXY_USERNAME and UL_PROXY_PASSWORD (or UL_PROXY_PERSONAL_ACCESS_TOKEN)"
OR_SESSION = ", or `ul-proxy login` has been run"
KEY_ROUTE = Route("/k", Upstream.parse("https://k.test"), Auth.API_KEY)
PAT_ROUTE = Route("/p", Upstream.parse("https://p.test"), Auth.BEARER)
KEY_ALONE = Profile("default", POOL, api_key=SecretStr(CANARY))


def warned(profile: Profile, routes: Sequence[Route] = ROUTES, **more: Any) -> list[str]:
    return start_warnings({"default": profile}, routes, **{"urls": [LOCAL], "policy": OPEN, **more})


@pytest.mark.parametrize("profile", [ADA, KEYED, PAT], ids=["login", "API key", "personal access token"])
def test_nothing_to_warn_of(profile: Profile) -> None:
    """A proxy on loopback whose every route has its credential starts without a warning."""
    assert warned(profile) == []


@pytest.mark.parametrize(
    ("profile", "routes", "warning"),
    [
        (
            NOBODY,
            ROUTES,
            f"/graphql, /v1/analytics/… and /… answer 503 until {LOGIN} are set{OR_SESSION}",
        ),
        (
            KEY_ALONE,
            ROUTES,
            f"/graphql and /… answer 503 until {LOGIN} are set{OR_SESSION}",
        ),
        (
            HALF,
            ROUTES[-1:],
            "/… answers 503 until UL_PROXY_PASSWORD (or UL_PROXY_PERSONAL_ACCESS_TOKEN) is set" + OR_SESSION,
        ),
        (ADA, [KEY_ROUTE], "/k/… answers 503 until UL_PROXY_API_KEY is set"),
        (ADA, [PAT_ROUTE], "/p/… answers 503 until UL_PROXY_PERSONAL_ACCESS_TOKEN is set"),
    ],
    ids=["nothing", "API key alone", "no password", "no API key", "no personal access token"],
)
def test_missing_credential(profile: Profile, routes: Sequence[Route], warning: str) -> None:
    """What is missing is said once, with the routes that do not work without it."""
    assert warned(profile, routes) == [warning]


@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:80", "http://[::]:80", "http://192.0.2.1:80", "http://[2001:db8::1]:80"]
)
def test_beyond_loopback(url: str) -> None:
    """Listening where others reach it is no quiet matter, and callers need a name that the proxy accepts."""
    (warning,) = warned(ADA, urls=[LOCAL, url])
    assert warning.startswith(f"ANYBODY who can reach {url} acts with the login of this proxy")
    assert "allowed_hosts, which is empty" in warning
    (warning,) = warned(ADA, urls=[url], policy=Policy(allowed_hosts=HOSTS))
    assert "a.test, b.test" in warning


@pytest.mark.parametrize(("hosts", "said"), [(frozenset(), True), (HOSTS, False)], ids=["none", "some"])
def test_beyond_loopback_with_a_token(hosts: frozenset[str], said: bool) -> None:
    """Where callers must present a token, only the want of a name by which they may call is worth a word."""
    warnings = warned(ADA, urls=[LOCAL, "http://0.0.0.0:80"], policy=replace(GUARDED, allowed_hosts=hosts))
    assert [warning.startswith("http://0.0.0.0:80: callers must name it by") for warning in warnings] == [True] * said


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://127.9.9.9:1", "unix:/s"])
def test_on_loopback(url: str) -> None:
    """What only this machine reaches needs no warning."""
    assert warned(ADA, urls=[url]) == []


# ---- the line to paste


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://0.0.0.0:8080", "curl -sS http://127.0.0.1:8080/v1/job"),
        ("http://[::]:8080", "curl -sS 'http://[::1]:8080/v1/job'"),
        ("http://192.0.2.1:8080", "curl -sS -H 'Host: localhost' http://192.0.2.1:8080/v1/job"),
        ("http://127.0.0.1:8080", "curl -sS http://127.0.0.1:8080/v1/job"),
    ],
)
def test_curl_works(url: str, expected: str) -> None:
    """Nobody can connect to a wildcard address, and the proxy knows its own machine by loopback names."""
    assert curl(url, "/v1/job") == expected
    assert banner([url], {"default": ADA}, ROUTES, OPEN).splitlines()[-1] == f"  try     {expected}"


@pytest.mark.parametrize(
    ("url", "path", "words"),
    [
        ("http://127.0.0.1:8080", "/v1/job", ["http://127.0.0.1:8080/v1/job"]),
        ("http://[::1]:8080", "/v1/job", ["http://[::1]:8080/v1/job"]),
        ("http://127.0.0.1:1", "/v1/job?a=1&b=$HOME", ["http://127.0.0.1:1/v1/job?a=1&b=$HOME"]),
        ("unix:/run/s", "/v1/job", ["--unix-socket", "/run/s", "http://localhost/v1/job"]),
        ("unix:/my run/s", "/v1/job?a&b", ["--unix-socket", "/my run/s", "http://localhost/v1/job?a&b"]),
    ],
)
def test_curl_survives_the_shell(url: str, path: str, words: list[str]) -> None:
    """The line to paste means to a shell what it should, whatever is in the address."""
    assert shlex.split(curl(url, path)) == ["curl", "-sS", *words]


def test_curl_options() -> None:
    """More options go in as they are written."""
    line = curl("http://127.0.0.1:1", "/graphql", "-H 'content-type: application/json' -d '{}'")
    assert shlex.split(line)[2:-1] == ["-H", "content-type: application/json", "-d", "{}"]


def test_needs_no_quotes() -> None:
    """The plain case stays plain to read."""
    assert curl("http://127.0.0.1:8080", "/v1/job") == "curl -sS http://127.0.0.1:8080/v1/job"


def test_pasted_line_presents_the_token() -> None:
    """The line to paste takes the client token from the shell's environment, and does not show it."""
    last = banner([LOCAL], {"default": ADA}, ROUTES, GUARDED).splitlines()[-1]
    assert last == f'  try     curl -sS -H "X-UL-Proxy-Token: $UL_PROXY_CLIENT_TOKEN" {LOCAL}/v1/job'
    assert CANARY not in banner([LOCAL], {"default": ADA}, ROUTES, GUARDED)
