"""Each kind of credential, asked everything that is asked of one."""

from dataclasses import replace
from typing import NamedTuple

import pytest
from pydantic import SecretStr
from support.clock import FakeClock
from support.issuer import ScriptedIssuer, new_manager
from support.kinds import Auth

from proxy.errors import CredentialMissing, LoginRequired, ProxyError, SignInFailed, UnknownProfile
from proxy.http.grammar import Head, field_lines, parse_head
from proxy.identity.credentials import NO_SOURCES, USUAL_FIELDS, Credential, CredentialKind, Credentials, Sources
from proxy.identity.profile import CognitoPool, Profile
from proxy.settings.kinds import KINDS

CANARY = "c4n4ry"
POOL = CognitoPool("ap-southeast-2", "ap-southeast-2_Test", "client")
NOBODY = Profile("survey", POOL)
ADA = replace(NOBODY, username="ada", password=SecretStr(CANARY))
KEY = replace(NOBODY, api_key=SecretStr("key"))
PAT = replace(ADA, personal_access_token=SecretStr("pat"))
BOTH = replace(PAT, api_key=SecretStr("key"))
TOKEN, RAW, API_KEY, BEARER = "X-Amz-Cognito-Security-Token", "authorization", "x-api-key", "Authorization"


def credential(kind: CredentialKind, profile: Profile, header: str | None = None) -> Credential:
    return kind.of(profile, header, NO_SOURCES)


@pytest.mark.parametrize(
    ("kind", "profile", "name", "shown"),
    [
        (Auth.REST, NOBODY, "rest", TOKEN),
        (Auth.REST, KEY, "rest", TOKEN),
        (Auth.REST, PAT, "bearer", f"{BEARER}: Bearer"),
        (Auth.GRAPHQL, NOBODY, "graphql", RAW),
        (Auth.GRAPHQL, BOTH, "bearer", f"{BEARER}: Bearer"),
        (Auth.ANALYTICS, NOBODY, "rest", TOKEN),
        (Auth.ANALYTICS, KEY, "api_key", API_KEY),
        (Auth.ANALYTICS, BOTH, "api_key", API_KEY),
        (Auth.ANALYTICS, PAT, "bearer", f"{BEARER}: Bearer"),
        (Auth.API_KEY, NOBODY, "api_key", API_KEY),
        (Auth.API_KEY, BOTH, "api_key", API_KEY),
        (Auth.BEARER, NOBODY, "bearer", f"{BEARER}: Bearer"),
        (Auth.BEARER, PAT, "bearer", f"{BEARER}: Bearer"),
        (Auth.NONE, BOTH, "none", ""),
    ],
)
def test_which_credential_a_profile_adds(kind: CredentialKind, profile: Profile, name: str, shown: str) -> None:
    """A PAT replaces Cognito wherever a Cognito token would go; analytics takes the API key where there is one."""
    made = credential(kind, profile)
    assert (made.name, made.shown) == (name, shown)
    assert made.from_session is (name in {"rest", "graphql"})
    assert bool(made.title) is (kind is not Auth.NONE)


@pytest.mark.parametrize(
    ("kind", "profile", "shown"),
    [
        (Auth.REST, ADA, "X_Own"),
        (Auth.ANALYTICS, KEY, "X_Own"),
        (Auth.ANALYTICS, ADA, "X_Own"),
        (Auth.API_KEY, KEY, "X_Own"),
        (Auth.BEARER, PAT, "X_Own: Bearer"),
        # It was meant for Cognito's token.
        (Auth.REST, PAT, "Authorization: Bearer"),
        (Auth.ANALYTICS, PAT, "Authorization: Bearer"),
    ],
)
def test_a_header_of_the_routes_own(kind: CredentialKind, profile: Profile, shown: str) -> None:
    """A route may name the field of its credential, unless a PAT stands in for what the route asks for."""
    made = credential(kind, profile, "X_Own")
    assert made.shown == shown
    assert made.replaces == USUAL_FIELDS | ({b"x-own"} if shown.startswith("X_Own") else set())


@pytest.mark.parametrize(
    ("kind", "profile", "line"),
    [
        (Auth.API_KEY, KEY, b"x-api-key: key\r\n"),
        (Auth.ANALYTICS, KEY, b"x-api-key: key\r\n"),
        (Auth.BEARER, PAT, b"Authorization: Bearer pat\r\n"),
        (Auth.REST, PAT, b"Authorization: Bearer pat\r\n"),
        (Auth.NONE, BOTH, b""),
    ],
)
async def test_what_is_a_setting_is_always_at_hand(kind: CredentialKind, profile: Profile, line: bytes) -> None:
    """It goes out as it is, is made once, and asking once more changes nothing."""
    made = credential(kind, profile)
    proof = made.at_hand()
    assert proof is not None
    assert proof is made.at_hand() is await made.get()
    assert (proof.field_lines(b"", b""), proof.judged) == (line, ())
    assert made.missing(session=False) == ""
    assert made.unready(State("none")) is None


def test_no_credential_replaces_nothing() -> None:
    """On a route without a credential the caller's headers are the caller's business."""
    assert credential(Auth.NONE, BOTH).replaces == frozenset()


@pytest.mark.parametrize(("kind", "setting"), [(Auth.API_KEY, "api_key"), (Auth.BEARER, "personal_access_token")])
def test_a_setting_that_is_missing(kind: CredentialKind, setting: str) -> None:
    """A secret that is not set is named, with the variables that set it."""
    made = credential(kind, NOBODY)
    assert made.missing(session=True) == f"UL_PROXY_PROFILES__SURVEY__{setting.upper()} is set"
    assert isinstance(made.unready(State("fresh")), CredentialMissing)
    with pytest.raises(CredentialMissing, match=setting) as caught:
        made.at_hand()
    held = f"UL_PROXY_PROFILES__SURVEY__{setting.upper()}"
    assert caught.value.hint == f"Set {held} or {held}_FILE."


class State(NamedTuple):
    """How a session is doing."""

    state: str
    error: ProxyError | None = None


WRONG = LoginRequired("Cognito refused the password")
UNSET = CredentialMissing("there is no login")


@pytest.mark.parametrize(
    ("profile", "session", "reason"),
    [
        (ADA, State("fresh"), None),
        (NOBODY, State("stale"), None),
        (ADA, State("none"), SignInFailed),
        (ADA, State("ended", WRONG), LoginRequired),
        (NOBODY, State("ended", WRONG), LoginRequired),
        (NOBODY, State("none"), CredentialMissing),
        (NOBODY, State("none", UNSET), CredentialMissing),
    ],
)
def test_whether_a_token_is_ready(profile: Profile, session: State, reason: type[ProxyError] | None) -> None:
    """A good token is ready, whatever the login; without one the failure is told, or that there is no login."""
    told = credential(Auth.REST, profile).unready(session)
    assert type(told) is (reason or type(None))


def test_what_a_token_is_missing() -> None:
    """Without a login a kept session will do; without both, there are three ways to mend it."""
    assert credential(Auth.REST, ADA).missing(session=False) == ""
    assert credential(Auth.REST, NOBODY).missing(session=True) == ""
    missing = credential(Auth.REST, NOBODY).missing(session=False)
    for way in ("SURVEY__USERNAME and UL_PROXY", "SURVEY__PERSONAL_ACCESS_TOKEN) are set", "login --profile survey`"):
        assert way in missing


async def test_a_token_makes_its_lines_once() -> None:
    """As long as the token is the same, nothing is made anew; the next token has lines of its own."""
    clock = FakeClock()
    manager = new_manager(ScriptedIssuer(clock))
    made = Credentials({"default": replace(ADA, name="default")}, Sources(manager)).of("default", Auth.GRAPHQL, None)
    assert made.at_hand() is None
    first = await made.get()
    assert first is made.at_hand()
    assert first.field_lines(b"", b"") == b"authorization: id-1\r\n"
    assert first.refused(response(401), b"")
    second = await made.get()
    assert second is made.at_hand()
    assert second.field_lines(b"", b"") == b"authorization: id-2\r\n"
    assert first.refused(response(401), b"")
    assert not second.refused(response(401), b"")
    assert second is made.at_hand()
    await manager.close()


def response(status: int, *lines: tuple[bytes, bytes]) -> Head:
    return parse_head(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, field_lines(lines)))[0]


JSON = (b"Content-Type", b"application/json")
SHORT = (b"Content-Length", b"50")


@pytest.mark.parametrize(
    ("head", "content", "looked_into", "refused"),
    [
        (response(401), b"", False, True),
        (response(403, JSON, SHORT), b'{"message":"The incoming token has expired"}', True, True),
        (response(403, JSON, SHORT), b'{"message":"not yours"}', True, False),
        (response(403, JSON), b"", False, False),
        (response(403, JSON, (b"Content-Length", b"5000")), b"", False, False),
        (response(403, (b"Content-Type", b"text/html"), SHORT), b"", False, False),
        (response(403, JSON, SHORT, (b"Content-Encoding", b"gzip")), b"no gzip", True, False),
    ],
)
async def test_which_responses_refuse_a_token(head: Head, content: bytes, looked_into: bool, refused: bool) -> None:
    """A 401 does, and a short 403 in JSON that says that the token has expired; one about permission does not."""
    manager = new_manager(ScriptedIssuer(FakeClock()))
    proof = await Auth.REST.of(replace(ADA, name="default"), None, Sources(manager)).get()
    assert proof.wants_content(head) is looked_into
    assert proof.refused(head, content) is refused
    await manager.close()


def test_credentials_are_made_once() -> None:
    """A profile has one credential for each kind and header; who asks for an unknown profile is told so."""
    credentials = Credentials({"survey": ADA}, NO_SOURCES)
    made = credentials.of("survey", Auth.REST, None)
    assert credentials.of("survey", Auth.REST, None) is made
    assert credentials.of("survey", Auth.REST, "X-Own") is not made
    assert credentials.of("survey", Auth.GRAPHQL, None) is not made
    with pytest.raises(UnknownProfile):
        credentials.of("other", Auth.REST, None)


def test_no_secret_is_shown() -> None:
    """What credentials say of themselves has no secret in it."""
    for kind in KINDS.values():
        made = credential(kind, BOTH)
        assert "pat" not in repr(made.at_hand()) + made.shown
        assert CANARY not in repr(made) + repr(kind) + made.missing(session=False)
