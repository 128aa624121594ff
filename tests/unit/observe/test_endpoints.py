"""The proxy's own endpoints, asked directly: what they answer in every state of the login, and what they never tell."""

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import SecretStr
from support.kinds import Auth

from proxy import __version__
from proxy.errors import (
    BadRequest,
    ClientTokenRequired,
    CredentialMissing,
    LoginRequired,
    NoRoute,
    ProxyError,
    SignInFailed,
    UnknownProfile,
)
from proxy.errors.defects import Defects, Where
from proxy.forward.route import Route
from proxy.http.address import Upstream
from proxy.http.grammar.fields import Header, Headers
from proxy.http.response import Response
from proxy.identity.credentials import Credentials, Sources
from proxy.identity.issued import AwsCredentials, Token
from proxy.identity.profile import CognitoPool, Profile
from proxy.identity.tokens.state import Snapshot
from proxy.model import Instant
from proxy.observe.endpoints import OwnEndpoints

if TYPE_CHECKING:
    from proxy.identity.tokens.aws_keys import AwsKeys
    from proxy.identity.tokens.manager import TokenManager

CANARY = "c4n4ry"
ENDS = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
PROFILE = Profile("default", CognitoPool("ap-southeast-2", "ap-southeast-2_Test", "client"), "ada", SecretStr(CANARY))
UPSTREAM = Upstream.parse("https://rest.test/base")
REST = Route("", UPSTREAM, Auth.REST)
CDN = Route("/cdn", UPSTREAM, Auth.NONE)

FRESH = Snapshot(
    profile="default",
    state="fresh",
    claims={
        "custom:identityId": "id-1",
        "custom:companyId": "co-2",
        "custom:teamId": "te-3",
        "email": "ada@example.com",
        "phone_number": CANARY,
    },
    expires_in=1234.567,
    refresh_in=1000.04,
    last_outcome="signed in",
    sign_ins=1,
    renewals=2,
    failures_in_a_row=0,
    clock_skew=-0.26,
    error=None,
)
WRONG = LoginRequired("Cognito refused the password", hint="Mend it.")
BUSY = SignInFailed("Cognito is busy", retry_after=3.2)


class Manager:
    """Stands in for the token manager: what is known of a profile, and what a refresh comes to."""

    def __init__(self, snapshot: Snapshot, refreshed: Token | ProxyError | None = None) -> None:
        self._snapshot = snapshot
        self._refreshed = refreshed
        self.refreshed: list[str] = []

    async def refresh(self, name: str) -> Token:
        self.refreshed.append(name)
        if isinstance(self._refreshed, ProxyError):
            raise self._refreshed
        assert self._refreshed is not None
        return self._refreshed

    def snapshot(self, name: str) -> Snapshot:
        return replace(self._snapshot, profile=name)


class Aws:
    """Stands in for the AWS keys, and remembers whose were wanted."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, name: str) -> AwsCredentials:
        self.asked.append(name)
        return AwsCredentials(
            "id-1", "ASIA1", SecretStr("s3cret"), SecretStr("sess10n"), ENDS, Instant(0.0, 0.0), 3600.0
        )


def admin(
    snapshot: Snapshot = FRESH,
    *,
    profile: Profile = PROFILE,
    others: Sequence[Profile] = (),
    tokens: Manager | None = None,
    stop: Callable[[], None] | None = None,
    aws: Aws | None = None,
    aws_token: str | None = None,
    inspector: Callable[[str, Headers], Awaitable[Response]] | None = None,
    routes: Sequence[Route] = (CDN, REST),
    draining: bool = False,
    defects: Defects | None = None,
    times: Sequence[float] = (100.0, 100.0),
) -> OwnEndpoints:
    readings = iter(times)

    async def metrics(headers: Headers) -> Response:
        return Response(200, tuple(headers), b"metrics")

    manager = cast("TokenManager", tokens or Manager(snapshot))
    profiles = {one.name: one for one in (profile, *others)}
    return OwnEndpoints(
        tokens=manager,
        profiles=profiles,
        credentials=Credentials(profiles, Sources(manager)),
        aws=cast("AwsKeys", aws or Aws()),
        metrics=metrics,
        aws_token=SecretStr(aws_token) if aws_token else None,
        stop=stop,
        inspector=inspector,
        routes=tuple(routes),
        draining=lambda: draining,
        in_flight=lambda: 7,
        defects=defects or Defects(),
        now=lambda: Instant(next(readings), 0.0),
    )


def without_token(state: str, error: ProxyError | None) -> Snapshot:
    return replace(
        FRESH, state=state, error=error, claims={}, expires_in=None, refresh_in=None, clock_skew=None, sign_ins=0
    )


def document(answer: Response) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(answer.body)
    return parsed


def header(answer: Response, name: str) -> str | None:
    return next((value.decode() for key, value in answer.headers if key.decode().lower() == name), None)


@pytest.mark.parametrize(
    ("snapshot", "draining"),
    [
        (FRESH, False),
        (FRESH, True),
        (without_token("none", None), False),
        (without_token("login_required", WRONG), False),
    ],
    ids=["fresh", "draining", "no sign-in yet", "login required"],
)
async def test_live(snapshot: Snapshot, draining: bool) -> None:
    """The proxy is alive whatever becomes of the login: a restart would not mend that."""
    answer = await admin(snapshot, draining=draining)("GET", "/-/live")
    assert (answer.status, document(answer)) == (200, {"live": True})


@pytest.mark.parametrize("state", ["fresh", "stale"])
async def test_ready(state: str) -> None:
    """A good token, due for renewal or not, makes the proxy ready."""
    answer = await admin(replace(FRESH, state=state, error=BUSY if state == "stale" else None))("GET", "/-/ready")
    assert (answer.status, document(answer)) == (200, {"ready": True})


@pytest.mark.parametrize(
    ("snapshot", "draining", "code", "retry_after"),
    [
        (without_token("none", None), False, "sign_in_failed", "1"),
        (without_token("ended", None), False, "sign_in_failed", "1"),
        (without_token("retrying", BUSY), False, "sign_in_failed", "4"),
        (without_token("login_required", WRONG), False, "login_required", None),
        (FRESH, True, "draining", None),
    ],
    ids=["no sign-in yet", "ended", "retrying", "login required", "draining"],
)
async def test_not_ready(snapshot: Snapshot, draining: bool, code: str, retry_after: str | None) -> None:
    """Without a good token, or while it drains, the proxy answers 503 with the reason as problem details."""
    answer = await admin(snapshot, draining=draining)("GET", "/-/ready")
    assert answer.status == 503
    assert header(answer, "content-type") == "application/problem+json"
    assert header(answer, "cache-control") == "no-store"
    assert (header(answer, "proxy-status") or "").startswith("ul-proxy; error=")
    assert header(answer, "retry-after") == retry_after
    assert (document(answer)["code"], document(answer)["status"]) == (code, 503)
    assert document(answer)["detail"]


async def test_not_ready_for_defects() -> None:
    """Three requests in a row that met a defect make it unready, though there is a good token; one that goes well mends
    it."""
    defects = Defects()
    endpoint = admin(defects=defects)
    for status in (200, 200, 503):
        defects.met(Where.ANSWERING, request=True)
        answer = await endpoint("GET", "/-/ready")
        assert answer.status == status
    assert document(answer)["code"] == "defective"
    assert "the last 3 requests met a defect" in document(answer)["detail"]
    assert "tracebacks" in document(answer)["hint"]
    defects.went_well()
    assert (await endpoint("GET", "/-/ready")).status == 200


KEY = SecretStr(CANARY)
BARE = replace(PROFILE, username=None, password=None)
HALF = replace(PROFILE, password=None)


@pytest.mark.parametrize(
    "profile",
    [
        replace(BARE, personal_access_token=KEY),
        replace(PROFILE, personal_access_token=KEY),
        replace(BARE, api_key=KEY),
        replace(HALF, api_key=KEY),
    ],
    ids=["personal access token", "that and a login", "API key", "that and half a login"],
)
async def test_ready_without_a_sign_in(profile: Profile) -> None:
    """Where nobody signs in, a personal access token or an API key is the credential that is at hand."""
    answer = await admin(without_token("none", None), profile=profile)("GET", "/-/ready")
    assert (answer.status, document(answer)) == (200, {"ready": True})


async def test_an_api_key_does_not_stand_in_for_a_login() -> None:
    """Where a login is configured, it is its token that is waited for."""
    profile = replace(PROFILE, api_key=KEY)
    assert (await admin(without_token("none", None), profile=profile)("GET", "/-/ready")).status == 503


@pytest.mark.parametrize("profile", [BARE, HALF], ids=["nothing", "half a login"])
async def test_not_ready_without_a_credential(profile: Profile) -> None:
    """With nothing to add to any request the proxy is not ready, and says what to set."""
    answer = await admin(without_token("none", None), profile=profile)("GET", "/-/ready")
    assert (answer.status, document(answer)["code"]) == (503, "credential_missing")
    assert "UL_PROXY_PASSWORD" in document(answer)["hint"]
    assert ("UL_PROXY_USERNAME" in document(answer)["hint"]) == (profile is BARE)


@pytest.mark.parametrize(
    ("profile", "credentials"),
    [
        (BARE, []),
        (HALF, []),
        (PROFILE, ["login"]),
        (replace(BARE, api_key=KEY), ["api_key"]),
        (replace(PROFILE, api_key=KEY, personal_access_token=KEY), ["login", "personal_access_token", "api_key"]),
    ],
    ids=["none", "half a login", "login", "API key", "all"],
)
async def test_status_of_credentials(profile: Profile, credentials: list[str]) -> None:
    """The status says which credentials there are, and as whom the proxy signs in."""
    told = document(await admin(profile=profile)("GET", "/-/status"))["profiles"]["default"]
    assert (told["username"], told["credentials"]) == (profile.username, credentials)


@pytest.mark.parametrize(
    ("profile", "routes"),
    [(PROFILE, [CDN]), (replace(PROFILE, personal_access_token=SecretStr(CANARY)), [CDN, REST])],
    ids=["no route wants a token", "personal access token"],
)
async def test_ready_without_cognito(profile: Profile, routes: list[Route]) -> None:
    """Where no route would send a Cognito token, none is waited for."""
    answer = await admin(without_token("login_required", WRONG), profile=profile, routes=routes)("GET", "/-/ready")
    assert answer.status == 200


async def test_status() -> None:
    """The status tells of the process, its login and its routes, in numbers rounded for people."""
    told = document(await admin(times=(100.0, 161.26))("GET", "/-/status"))
    expected = {
        "version": __version__,
        "pid": os.getpid(),
        "uptime": 61.3,
        "draining": False,
        "ready": True,
        "reason": None,
        "requests_in_flight": 7,
        "defects": {"answering": 0, "own_endpoints": 0, "renewing": 0, "event_loop": 0},
        "defects_in_a_row": 0,
        "profiles": {
            "default": {
                "state": "fresh",
                "username": "ada",
                "credentials": ["login"],
                "identityId": "id-1",
                "companyId": "co-2",
                "teamId": "te-3",
                "email": "ada@example.com",
                "expires_in": 1234.6,
                "next_refresh_in": 1000.0,
                "last_outcome": "signed in",
                "sign_ins": 1,
                "renewals": 2,
                "failures_in_a_row": 0,
                "clock_skew": -0.3,
                "error": None,
            }
        },
        "routes": [
            {"path": "/cdn", "upstream": "https://rest.test/base", "auth": "none"},
            {"path": "/", "upstream": "https://rest.test/base", "auth": "rest"},
        ],
    }
    assert {name: told[name] for name in expected} == expected


async def test_status_without_token() -> None:
    """What is not known is null, and a failure is told with what mends it."""
    told = document(await admin(without_token("login_required", WRONG))("GET", "/-/status"))
    profile = told["profiles"]["default"]
    assert told["ready"] is False
    assert told["reason"] == profile["error"]
    assert {name for name, value in profile.items() if value is None} == {
        "identityId", "companyId", "teamId", "email", "expires_in", "next_refresh_in", "clock_skew"
    }  # fmt: skip
    assert profile["error"] == {
        "code": "login_required",
        "detail": "Cognito refused the password",
        "hint": "Mend it.",
        "transient": False,
    }


@pytest.mark.parametrize("path", ["/-/live", "/-/ready", "/-/status"])
async def test_tells_no_secret(path: str) -> None:
    """Neither a secret of the profile nor a claim that nobody asked for is told."""
    keyed = replace(PROFILE, api_key=SecretStr(CANARY), personal_access_token=SecretStr(CANARY))
    answer = await admin(profile=keyed)("GET", path)
    assert CANARY.encode() not in answer.body
    assert header(answer, "content-length") == str(len(answer.body))


@pytest.mark.parametrize("path", ["/-/nothing", "/-/live/", "/-/LIVE", "/-//live", "/-/live/../status"])
async def test_unknown_endpoint(path: str) -> None:
    """An endpoint that there is not is a 404 that lists those that there are; nothing under /-/ goes upstream."""
    with pytest.raises(NoRoute) as caught:
        await admin()("GET", path)
    assert "/-/live" in caught.value.hint


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
@pytest.mark.parametrize("path", ["/-/live", "/-/ready", "/-/status"])
async def test_method(method: str, path: str) -> None:
    """What only tells something answers GET and HEAD alone."""
    with pytest.raises(BadRequest, match="answers GET"):
        await admin()(method, path)


async def test_head() -> None:
    """HEAD is answered as GET is; the content is left out where the answer is written."""
    assert (await admin()("HEAD", "/-/live")).status == 200


# ---- profiles

WORK = replace(PROFILE, name="work", username="eve")


async def test_status_of_profiles() -> None:
    """The status tells of every profile."""
    told = document(await admin(others=[WORK])("GET", "/-/status"))
    assert {name: profile["username"] for name, profile in told["profiles"].items()} == {
        "default": "ada",
        "work": "eve",
    }


async def test_ready_of_a_profile() -> None:
    """Who chooses a profile is told whether that one is ready."""
    bare = replace(BARE, name="bare")
    endpoint = admin(without_token("none", None), profile=replace(PROFILE, personal_access_token=KEY), others=[bare])
    assert (await endpoint("GET", "/-/ready")).status == 200
    answer = await endpoint("GET", "/-/ready", "bare")
    assert (answer.status, document(answer)["code"]) == (503, "credential_missing")
    assert "`ul-proxy login --profile bare`" in document(answer)["hint"]
    assert "UL_PROXY_PROFILES__BARE__PASSWORD" in document(answer)["hint"]


@pytest.mark.parametrize("path", ["/-/live", "/-/ready", "/-/status", "/-/aws-credentials"])
async def test_unknown_profile(path: str) -> None:
    """Nothing is told of a profile that there is not."""
    with pytest.raises(UnknownProfile):
        await admin(aws_token=CANARY)("GET", path, "nobody")


@pytest.mark.parametrize(
    ("snapshot", "profile", "status"),
    [
        (FRESH, "none", 200),
        (without_token("login_required", WRONG), "none", 503),
        (without_token("retrying", BUSY), "key", 503),
        (without_token("credential_missing", CredentialMissing("no login")), "key", 200),
        (without_token("credential_missing", CredentialMissing("no login")), "none", 503),
    ],
    ids=["its token is good", "it has ended", "it cannot be renewed now", "API key alone", "nothing"],
)
async def test_ready_by_a_session(snapshot: Snapshot, profile: str, status: int) -> None:
    """A session makes the proxy ready without a login, and one that fails makes it unready; having none does not."""
    without_login = {"none": BARE, "key": replace(BARE, api_key=KEY)}[profile]
    assert (await admin(snapshot, profile=without_login)("GET", "/-/ready")).status == status


# ---- AWS credentials

TOKEN = "an agreed token"
BY_TOKEN = ((b"Host", b"localhost"), (b"Authorization", TOKEN.encode()))


async def test_aws_credentials() -> None:
    """Whoever sends the token as it is gets credentials of the profile that was chosen, as AWS's tools read them."""
    aws = Aws()
    endpoint = admin(aws=aws, aws_token=TOKEN, others=[WORK])
    answer = await endpoint("GET", "/-/aws-credentials", "work", BY_TOKEN)
    assert (answer.status, header(answer, "cache-control"), aws.asked) == (200, "no-store", ["work"])
    assert document(answer) == {
        "AccessKeyId": "ASIA1",
        "SecretAccessKey": "s3cret",
        "Token": "sess10n",
        "Expiration": "2026-05-06T07:08:09Z",
    }


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [(b"Authorization", b"")],
        [(b"Authorization", b"another token")],
        [(b"Authorization", b"Bearer " + TOKEN.encode())],
        [(b"X-UL-Proxy-Token", TOKEN.encode())],
        [(b"Authorization", TOKEN.encode()), (b"authorization", TOKEN.encode())],
        [(b"Authorization", "ä".encode())],
    ],
    ids=["none", "empty", "wrong", "with a scheme", "elsewhere", "twice", "beyond ASCII"],
)
async def test_aws_credentials_without_the_token(lines: list[Header]) -> None:
    """Nobody else gets any, and nobody is asked for some."""
    aws = Aws()
    with pytest.raises(ClientTokenRequired) as caught:
        await admin(aws=aws, aws_token=TOKEN)("GET", "/-/aws-credentials", "default", lines)
    assert "AWS_CONTAINER_AUTHORIZATION_TOKEN" in caught.value.hint
    assert TOKEN not in str(caught.value) + caught.value.hint
    assert not aws.asked


async def test_no_aws_credentials_without_a_setting() -> None:
    """Without the setting there is no such endpoint, whatever is sent; who asks is told which it is."""
    with pytest.raises(NoRoute) as caught:
        await admin()("GET", "/-/aws-credentials", "default", ((b"Authorization", b""),))
    assert "UL_PROXY_AWS_CREDENTIALS_TOKEN" in caught.value.hint
    with pytest.raises(NoRoute) as caught:
        await admin()("GET", "/-/nothing")
    assert "aws" not in caught.value.hint


# ---- the inspector


async def inspect(path: str, headers: Headers) -> Response:
    return Response(200, tuple(headers), path.encode())


@pytest.mark.parametrize("path", ["/-/", "/-/inspector/events", "/-/inspector/requests/1"])
async def test_inspector(path: str) -> None:
    """The page and all below it are the inspector's to answer, for those who look and nobody else."""
    endpoint = admin(inspector=inspect)
    for method in ("GET", "HEAD"):
        answer = await endpoint(method, path, "default", ((b"Accept", b"*/*"),))
        assert (answer.body, header(answer, "accept")) == (path.encode(), "*/*")
    with pytest.raises(BadRequest, match="answers GET alone"):
        await endpoint("POST", path)
    with pytest.raises(NoRoute):
        await endpoint.public("GET", path)
    with pytest.raises(NoRoute) as caught:
        await admin()("GET", path)
    assert "UL_PROXY_INSPECTOR" in caught.value.hint


async def test_the_list_names_the_inspector() -> None:
    """Where there is an inspector, the list of what there is names it, but not to strangers."""
    endpoint = admin(inspector=inspect)
    for ask, listed in ((endpoint, True), (endpoint.public, False), (admin(), False)):
        with pytest.raises(NoRoute) as caught:
            await ask("GET", "/-/nothing")
        assert caught.value.hint.endswith(", /-/.") == listed


# ---- methods, and who may ask for what

EVERYTHING = {
    "/-/live": "GET", "/-/ready": "GET", "/-/metrics": "GET", "/-/status": "GET", "/-/aws-credentials": "GET",
    "/-/refresh": "POST", "/-/stop": "POST",
}  # fmt: skip
PUBLIC = {"/-/live", "/-/ready", "/-/metrics"}


@pytest.mark.parametrize(("path", "wanted"), EVERYTHING.items())
async def test_methods(path: str, wanted: str) -> None:
    """Each endpoint answers its own methods alone, and says which: what does something is never a GET."""
    stopped: list[bool] = []
    tokens = Manager(FRESH, BUSY)
    endpoint = admin(tokens=tokens, stop=lambda: stopped.append(True), aws_token=TOKEN)
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "post"} - {wanted, "HEAD" * (wanted == "GET")}:
        with pytest.raises(BadRequest) as caught:
            await endpoint(method, path, "default", BY_TOKEN)
        assert caught.value.detail == f"{path} answers {wanted} alone"
        assert caught.value.hint == f"Send {wanted} {path}."
    assert (stopped, tokens.refreshed) == ([], [])


@pytest.mark.parametrize("path", EVERYTHING)
async def test_what_anybody_may_have(path: str) -> None:
    """Whoever nothing is known of gets what probes ask for, and nothing that tells of a login or does anything."""
    stopped: list[bool] = []
    tokens = Manager(FRESH, BUSY)
    endpoint = admin(tokens=tokens, stop=lambda: stopped.append(True), aws_token=TOKEN)
    if path in PUBLIC:
        assert (await endpoint.public("GET", path)).status == 200
    else:
        with pytest.raises(NoRoute) as caught:
            await endpoint.public(EVERYTHING[path], path, "default", BY_TOKEN)
        assert "/-/ready" in caught.value.hint
        assert "/-/status" not in caught.value.hint
    assert (stopped, tokens.refreshed) == ([], [])


# ---- refresh


def token(arrived: float) -> Token:
    secret = SecretStr(CANARY)
    return Token(secret, secret, secret, {}, Instant(arrived, 0.0), 3600.0, 2880.0)


@pytest.mark.parametrize(("arrived", "renewed"), [(101.0, True), (99.0, False)], ids=["new", "it was new enough"])
async def test_refresh(arrived: float, renewed: bool) -> None:
    """A refresh is of the profile that the request chose, and tells what came of it: all but the token."""
    tokens = Manager(replace(FRESH, last_outcome="renewed"), token(arrived))
    answer = await admin(tokens=tokens, others=[WORK])("POST", "/-/refresh", "work")
    assert tokens.refreshed == ["work"]
    assert answer.status == 200
    assert document(answer) == {
        "profile": "work",
        "renewed": renewed,
        "outcome": "renewed",
        "expires_in": 1234.6,
        "next_refresh_in": 1000.0,
    }


@pytest.mark.parametrize("error", [WRONG, BUSY], ids=["terminal", "transient"])
async def test_refresh_that_fails(error: ProxyError) -> None:
    """What fails is the answer."""
    with pytest.raises(type(error)) as caught:
        await admin(tokens=Manager(FRESH, error))("POST", "/-/refresh")
    assert caught.value is error


async def test_nothing_to_refresh() -> None:
    """A personal access token is not renewed, and Cognito is not asked for a token that nobody would send."""
    tokens = Manager(FRESH, BUSY)
    with pytest.raises(BadRequest, match="personal access token"):
        await admin(tokens=tokens, profile=replace(PROFILE, personal_access_token=KEY))("POST", "/-/refresh")
    assert tokens.refreshed == []


async def test_refresh_of_nobody() -> None:
    """There is nothing to refresh of a profile that there is not."""
    with pytest.raises(UnknownProfile):
        await admin()("POST", "/-/refresh", "nobody")


# ---- stop


async def test_stop() -> None:
    """Where the setting lets callers, the proxy is told to end; whoever asked is told how many requests it has."""
    stopped: list[bool] = []
    answer = await admin(stop=lambda: stopped.append(True))("POST", "/-/stop")
    assert (answer.status, document(answer)) == (202, {"stopping": True, "requests_in_flight": 7})
    assert stopped == [True]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_stop_without_the_setting(method: str) -> None:
    """Without the setting there is no such endpoint; whoever looks for it is told what to set, and no list names it."""
    with pytest.raises(NoRoute) as caught:
        await admin()(method, "/-/stop")
    assert "enable_stop" in caught.value.hint
    assert "SIGTERM" in caught.value.hint
    with pytest.raises(NoRoute) as unknown:
        await admin()("GET", "/-/nothing")
    assert "stop" not in unknown.value.hint
