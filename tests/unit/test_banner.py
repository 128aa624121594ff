"""What a person sees when the proxy has started: where, as whom, what is added, and a line to paste."""

import shlex

import pytest
from pydantic import SecretStr

from proxy import __version__
from proxy.banner import banner, curl, whom
from proxy.model import Auth, Pool, Profile, Route, Upstream

CANARY = "c4n4ry"
POOL = Pool("ap-southeast-2", "ap-southeast-2_Test", "client")
ROUTES = (
    Route("/graphql", Upstream.parse("https://graphql.test/graphql"), Auth.GRAPHQL),
    Route("/v1/analytics", Upstream.parse("https://rest.test/v1/analytics"), Auth.ANALYTICS),
    Route("/cdn/flights", Upstream.parse("https://flights.test"), Auth.NONE),
    Route("", Upstream.parse("https://rest.test"), Auth.REST),
)
NOBODY = Profile("default", POOL)
ADA = Profile("default", POOL, "ada", SecretStr(CANARY))
KEYED = Profile("default", POOL, "ada", SecretStr(CANARY), api_key=SecretStr(CANARY))
PAT = Profile("default", POOL, "ada", SecretStr(CANARY), personal_access_token=SecretStr(CANARY))


def added(profile: Profile) -> dict[str, str]:
    """What the banner says is added, by local path."""
    rows = [line for line in banner(["http://127.0.0.1:1"], profile, ROUTES).splitlines() if "→" in line]
    return {row.removeprefix("  routes").split()[0]: row.rpartition("  ")[2] for row in rows}


def test_first_line() -> None:
    """The first line names the version and every address, as scripts that wait for it rely on."""
    first = banner(["http://127.0.0.1:1", "unix:/s"], ADA, ROUTES).splitlines()[0]
    assert first == f"ul-proxy {__version__} listens on http://127.0.0.1:1, unix:/s"


TOKEN, RAW = "X-Amz-Cognito-Security-Token: <ID token>", "authorization: <ID token>"
BEARER, KEY = "Authorization: Bearer <personal access token>", "x-api-key: <API key>"


@pytest.mark.parametrize(
    ("profile", "graphql", "analytics", "rest"),
    [(ADA, RAW, TOKEN, TOKEN), (KEYED, RAW, KEY, TOKEN), (PAT, BEARER, BEARER, BEARER), (NOBODY, RAW, TOKEN, TOKEN)],
    ids=["login", "API key", "personal access token", "nobody"],
)
def test_routes(profile: Profile, graphql: str, analytics: str, rest: str) -> None:
    """Every route is shown with its upstream and what this login adds to it."""
    assert added(profile) == {
        "/graphql/…": graphql,
        "/v1/analytics/…": analytics,
        "/cdn/flights/…": "nothing added",
        "/…": rest,
    }


@pytest.mark.parametrize("profile", [ADA, KEYED, PAT], ids=["login", "API key", "personal access token"])
def test_no_secret(profile: Profile) -> None:
    """No password, key or token is in the banner."""
    assert CANARY not in banner(["http://127.0.0.1:1"], profile, ROUTES)


@pytest.mark.parametrize(
    ("profile", "auths", "expected"),
    [
        (ADA, [Auth.REST], "ada (user pool ap-southeast-2_Test, srp)"),
        (PAT, [Auth.BEARER], "the owner of the personal access token"),
        (NOBODY, [Auth.NONE], "nobody"),
    ],
)
def test_whom(profile: Profile, auths: list[Auth], expected: str) -> None:
    """Who the upstream takes callers for: the login, a token's owner, or nobody."""
    assert whom(profile, auths) == expected


def test_whom_without_login() -> None:
    """Without a login the banner says what to set, and what happens until then."""
    said = whom(NOBODY, [Auth.REST])
    assert said.startswith("nobody")
    assert "UL_PROXY_USERNAME" in said
    assert "UL_PROXY_PASSWORD" in said
    assert "503" in said


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
