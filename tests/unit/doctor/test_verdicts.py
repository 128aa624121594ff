"""What answers and failures mean to the doctor: state, words and fix, by table."""

import dataclasses
import socket
import ssl

import pytest
from pydantic import SecretStr
from support.kinds import Auth

from proxy.doctor import faults, verdicts
from proxy.doctor.findings import Finding, HopState
from proxy.doctor.hops import CheckedRequest
from proxy.doctor.listening import of_ours
from proxy.doctor.verdicts import ProbeResponse
from proxy.errors import (
    CredentialMissing,
    LoginRequired,
    ProxyError,
    SignInFailed,
    SignInTimeout,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.forward.route import Route
from proxy.http.address import Upstream
from proxy.http.options import OutboundProxy
from proxy.identity.cognito import failures
from proxy.identity.credentials import CredentialKind
from proxy.identity.profile import CognitoPool, Profile

CANARY = "c4n4ry"
OK, WARN, FAIL = HopState.OK, HopState.WARN, HopState.FAIL
API = Upstream.parse("https://api.example")
POOL = CognitoPool("ap-southeast-2", "ap-southeast-2_Test", "client")
JSON = "application/json"
PAGE = b" <!DOCTYPE HTML><p>c4n4ry"


def judged(
    answer: ProbeResponse, kind: CredentialKind = Auth.REST, *, known: bool = True, api_key: str | None = None
) -> Finding:
    """The verdict on a route of `kind` for a profile that has, if anything, an API key."""
    route = Route("/x", API, kind, graphql=kind.graphql)
    survey = Profile("survey", POOL, api_key=SecretStr(api_key) if api_key else None)
    request = CheckedRequest(route, route.credential(survey), "GET", "upstreams.rest", known=known)
    return verdicts.of_response(answer, request)


def check(finding: Finding, state: HopState, words: str, fix: str) -> None:
    assert (finding.state, finding.detail) == (state, words)
    assert fix in finding.fix
    assert bool(finding.fix) == (state is not OK)
    assert CANARY not in repr(finding)


@pytest.mark.parametrize(
    ("answer", "kind", "state", "words", "fix"),
    [
        (ProbeResponse(200, JSON), Auth.REST, OK, "200 with the ID token", ""),
        (ProbeResponse(204), Auth.API_KEY, OK, "204 with the API key", ""),
        (ProbeResponse(200, JSON), Auth.BEARER, OK, "200 with the personal access token", ""),
        (
            ProbeResponse(401, JSON),
            Auth.REST,
            FAIL,
            "401: the token is refused, though Cognito has just issued it",
            "user_pool",
        ),
        (
            ProbeResponse(403, JSON),
            Auth.GRAPHQL,
            FAIL,
            "403: the token is refused, though Cognito has just issued it",
            "may do",
        ),
        (ProbeResponse(403), Auth.API_KEY, FAIL, "403: the API key is refused", "UL_PROXY_PROFILES__SURVEY__API_KEY"),
        (
            ProbeResponse(401),
            Auth.BEARER,
            FAIL,
            "401: the personal access token is refused",
            "SURVEY__PERSONAL_ACCESS_TOKEN",
        ),
        (
            ProbeResponse(403, "text/html"),
            Auth.REST,
            FAIL,
            "403 with a web page, which is not how the API refuses",
            "network",
        ),
        (ProbeResponse(404, JSON), Auth.REST, FAIL, "404: the API is not there", "upstreams.rest"),
        (ProbeResponse(404, "text/html", body=PAGE), Auth.REST, FAIL, "404: the API is not there", "upstreams.rest"),
        (ProbeResponse(400), Auth.REST, WARN, "reached: 400", "upstreams.rest"),
        (ProbeResponse(429), Auth.REST, WARN, "reached, and throttled: 429", "fewer"),
        (ProbeResponse(500), Auth.REST, FAIL, "the upstream answers 500", "later"),
        (ProbeResponse(503, "text/html"), Auth.NONE, FAIL, "the upstream answers 503", "upstreams.rest"),
    ],
)
def test_answers_of_an_api(answer: ProbeResponse, kind: CredentialKind, state: HopState, words: str, fix: str) -> None:
    """Where the documentation says what comes back, anything else is judged, and the credential by its own name."""
    check(judged(answer, kind), state, words, fix)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ProbeResponse(200, "text/html"), "200 with a web page"),
        (ProbeResponse(200, JSON, body=PAGE), "200 with a web page"),
        (ProbeResponse(200, "", body=b"\r\n<html lang=en>"), "200 with a web page"),
        (ProbeResponse(302, location="http://portal.example/?c4n4ry"), "302, a redirect to portal.example"),
        (ProbeResponse(307, location="/login"), "307, a redirect"),
        (ProbeResponse(301, location="http://[c4n4ry"), "301, a redirect"),
        (ProbeResponse(511), "511 with a web page"),
    ],
)
def test_captive_portals(answer: ProbeResponse, words: str) -> None:
    """A web page or a redirect in place of an API's answer, or of a user pool's keys, is a captive portal."""
    told = f"{words}: a captive portal or a filtering proxy answers in its place"
    check(judged(answer), FAIL, told, "browser")
    check(verdicts.of_keys(answer, emulator=False), FAIL, told, "browser")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ProbeResponse(200, "text/html", body=PAGE), "200"),
        (ProbeResponse(302, location="https://elsewhere.example/"), "reached: 302"),
        (ProbeResponse(403, "application/xml"), "reached: 403"),
        (ProbeResponse(404), "reached: 404"),
        (ProbeResponse(405), "reached: 405"),
    ],
)
def test_answers_of_what_is_no_api(answer: ProbeResponse, words: str) -> None:
    """A CDN's root, or a route of one's own, has been reached whatever it says short of an error of its own."""
    check(judged(answer, Auth.NONE, known=False), OK, words, "")


@pytest.mark.parametrize("status", [401, 403])
def test_analytics_without_a_key(status: int) -> None:
    """Who has no API key may not want analytics: that it refuses the token fails nothing, and says what it wants."""
    finding = judged(ProbeResponse(status, JSON), Auth.ANALYTICS)
    words = f"{status}: there is no API key, and analytics refuses the token"
    check(finding, WARN, words, "UL_PROXY_PROFILES__SURVEY__API_KEY")
    assert judged(ProbeResponse(status, JSON), Auth.ANALYTICS, api_key=CANARY).state is FAIL


def test_a_route_of_ones_own_that_refuses() -> None:
    """Where a credential was sent, 401 and 403 are about it, known answers or not."""
    assert judged(ProbeResponse(403), Auth.REST, known=False).state is FAIL


@pytest.mark.parametrize(
    ("body", "state", "words"),
    [
        (b'{"data":{"__typename":"Query"}}', OK, "200 with the ID token"),
        (b'{"errors":[{"errorType":"Unauthorized_9","message":"c4n4ry"}]}', FAIL, "GraphQL errors (Unauthorized_9)"),
        (b'{"errors":[{"errorType":"c4n4ry and more"}]}', FAIL, "GraphQL errors"),
        (b'{"errors":[{}]}', FAIL, "GraphQL errors"),
        (b'{"errors":"c4n4ry"}', FAIL, "GraphQL errors"),
        (b'{"errors":{"c4n4ry":1}}', FAIL, "GraphQL errors"),
        (b"{}", FAIL, "no GraphQL answer"),
        (b"[]", FAIL, "no GraphQL answer"),
        (b"c4n4ry", FAIL, "no GraphQL answer"),
        (b"[" * 100_000, FAIL, "no GraphQL answer"),
    ],
)
def test_graphql(body: bytes, state: HopState, words: str) -> None:
    """GraphQL says 200 even where it fails: its errors count, and of them a plain type alone is shown."""
    finding = judged(ProbeResponse(200, JSON, body=body), Auth.GRAPHQL)
    assert (finding.state, bool(finding.fix)) == (state, state is FAIL)
    assert finding.detail.removeprefix("200, but ") == words
    assert CANARY not in repr(finding)


@pytest.mark.parametrize(
    ("answer", "emulator", "state", "words", "fix"),
    [
        (ProbeResponse(200, JSON, body=b'{"keys":[{},{}]}'), False, OK, "2 keys", ""),
        (ProbeResponse(404, JSON), False, FAIL, "404, and no keys of the user pool", "cognito.user_pool_id"),
        (
            ProbeResponse(200, JSON, body=b'{"keys":1}'),
            False,
            FAIL,
            "200, and no keys of the user pool",
            "cognito.region",
        ),
        (
            ProbeResponse(404, "text/html", body=PAGE),
            True,
            WARN,
            "404, and no keys of the user pool",
            "cognito.user_pool_id",
        ),
        (ProbeResponse(500), True, WARN, "500, and no keys of the user pool", "unchecked"),
    ],
)
def test_keys(answer: ProbeResponse, emulator: bool, state: HopState, words: str, fix: str) -> None:
    """A user pool that exists publishes keys; an emulator may do without."""
    check(verdicts.of_keys(answer, emulator=emulator), state, words, fix)


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [
        (0.4, OK, "as Cognito has it"),
        (-29.0, OK, "as Cognito has it"),
        (31.0, WARN, "31 s ahead of Cognito, where it is 2023-11-14 22:13:20 UTC"),
        (-150.0, WARN, "2 min behind Cognito, where it is 2023-11-14 22:13:20 UTC"),
        (-301.0, FAIL, "5 min behind Cognito, where it is 2023-11-14 22:13:20 UTC"),
        (7200.0, FAIL, "2 h ahead of Cognito, where it is 2023-11-14 22:13:20 UTC"),
        (-90_000.0, FAIL, "25 h behind Cognito, where it is 2023-11-14 22:13:20 UTC"),
        (31_536_000.0, FAIL, "365 d ahead of Cognito, where it is 2023-11-14 22:13:20 UTC"),
    ],
)
def test_clocks(ahead: float, state: HopState, words: str) -> None:
    """Half a minute is nothing; five are more than AWS's signatures bear."""
    finding = verdicts.of_clock(ahead, 1_700_000_000.0, "Cognito")
    assert (finding.state, finding.detail) == (state, words)
    assert bool(finding.fix) == (state is not OK)


# ---- failures


def caused(error: UpstreamError, cause: BaseException) -> UpstreamError:
    error.__cause__ = cause
    return error


def unreachable(cause: BaseException, error_type: str = "destination_unavailable") -> UpstreamError:
    return caused(UpstreamUnreachable("no connection", proxy_status=error_type), cause)


TIMEOUT = UpstreamTimeout("no connection to the upstream in time")
REFUSED = unreachable(ConnectionRefusedError(111, "Connection refused"), "connection_refused")
NO_NAME = unreachable(socket.gaierror(socket.EAI_NONAME, "unknown"), "dns_error")
NO_SERVER = unreachable(socket.gaierror(socket.EAI_AGAIN, "again"), "dns_error")
BAD_NAME = unreachable(UnicodeError("label too long"), "dns_error")
NO_ROUTE = unreachable(OSError(101, "Network is unreachable"))


@pytest.mark.parametrize(
    ("error", "words", "fix"),
    [
        (NO_NAME, "the name does not resolve", "upstreams.rest"),
        (BAD_NAME, "the name does not resolve", "upstreams.rest"),
        (NO_SERVER, "the name servers cannot be asked now", "/etc/resolv.conf"),
        (TIMEOUT, "no name server answers", "/etc/resolv.conf"),
    ],
)
def test_names(error: UpstreamError, words: str, fix: str) -> None:
    """A name that does not exist is another thing than name servers that say nothing."""
    check(faults.of_name(error, "upstreams.rest"), FAIL, words, fix)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (REFUSED, "refuses connections"),
        (TIMEOUT, "does not answer in time"),
        (NO_NAME, "does not resolve"),
        (NO_ROUTE, "cannot be reached (Network is unreachable)"),
        (unreachable(ConnectionResetError()), "cannot be reached (ConnectionResetError)"),
    ],
)
def test_connections(error: UpstreamError, words: str) -> None:
    """What an address does, and which setting or variable it comes from."""
    check(faults.of_connection(error, API, "upstreams.rest"), FAIL, f"it {words}", "upstreams.rest")
    check(faults.of_outbound_proxy(error), FAIL, f"it {words}", "HTTPS_PROXY")


def test_what_an_outbound_proxy_is_good_for() -> None:
    """An outbound proxy is proposed for https alone."""
    plain = Upstream.parse("http://api.example")
    assert "HTTPS_PROXY" in faults.of_connection(REFUSED, API, "upstreams.rest").fix
    assert "HTTPS_PROXY" not in faults.of_connection(REFUSED, plain, "upstreams.rest").fix


@pytest.mark.parametrize(
    ("error", "words", "fix"),
    [
        (UpstreamUnreachable("the outbound proxy answered CONNECT with 407"), " 407", "user:password"),
        (UpstreamUnreachable("the outbound proxy answered CONNECT with 403"), " 403", "NO_PROXY"),
        (TIMEOUT, "proxy.example:3128 does not answer in time", "NO_PROXY"),
    ],
)
def test_tunnels(error: UpstreamError, words: str, fix: str) -> None:
    """A proxy that wants a password is told from one that does not let us through."""
    finding = faults.of_tunnel(error, API, OutboundProxy("proxy.example", 3128))
    assert words in finding.detail
    assert fix in finding.fix


def certificate_error(code: int, message: str) -> UpstreamError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return unreachable(error, "tls_certificate_error")


def protocol_error(reason: str | None) -> UpstreamError:
    error = ssl.SSLError(1, "c4n4ry")
    error.reason = reason  # type: ignore[assignment]  # it may be missing
    return unreachable(error, "tls_protocol_error")


@pytest.mark.parametrize(
    ("error", "words", "fix"),
    [
        (certificate_error(20, "unable to get local issuer certificate"), "local issuer", "upstreams.ca_file"),
        (certificate_error(18, "self-signed certificate"), "self-signed", "upstreams.ca_file"),
        (certificate_error(10, "certificate has expired"), "expired", "2023-11-14 22:13 UTC"),
        (certificate_error(9, "certificate is not yet valid"), "not yet valid", "clock"),
        (certificate_error(62, "Hostname mismatch"), "Hostname mismatch", "browser"),
        (certificate_error(64, "IP address mismatch"), "IP address mismatch", "browser"),
        (certificate_error(23, "certificate revoked"), "revoked", "upstreams.ca_file"),
        (protocol_error("WRONG_VERSION_NUMBER"), "no TLS (wrong version number)", "port 443"),
        (protocol_error(None), "no TLS (SSLError)", "port 443"),
        (TIMEOUT, "does not end", "https"),
        (unreachable(ConnectionResetError()), "ended in the TLS handshake", "firewall"),
    ],
)
def test_tls(error: UpstreamError, words: str, fix: str) -> None:
    """An unknown authority, a wrong clock, somebody else and no TLS at all want different things done."""
    finding = faults.of_tls(error, API, "upstreams.rest", 1_700_000_000.0)
    assert finding.state is FAIL
    assert words in finding.detail
    assert fix in finding.fix
    assert CANARY not in repr(finding)


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (LoginRequired("refused", hint="Correct X and Y."), "Correct X and Y."),
        (failures.unreachable(ssl.SSLError(1, "wrong version")), "cognito.endpoint_url"),
        (failures.unreachable(ssl.SSLCertVerificationError(1, "self-signed")), "upstreams.ca_file"),
        (SignInFailed("Cognito is throttling"), "again in a minute"),
        (SignInTimeout("not in time"), "again in a minute"),
        (SignInFailed("locked", hint="Wait."), "Wait."),
        (LoginRequired("something else"), "ul-proxy config"),
    ],
)
def test_sign_ins(error: ProxyError, fix: str) -> None:
    """What mends a sign-in, in words that fit whoever has no proxy running."""
    finding = faults.of_sign_in(error)
    assert (finding.state, finding.detail) == (FAIL, error.detail)
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (CredentialMissing("no key", hint="Set UL_PROXY_API_KEY."), "Set UL_PROXY_API_KEY."),
        (UpstreamTimeout("slow"), "timeouts.headers"),
        (UpstreamBroken("nonsense"), "Check upstreams.rest"),
    ],
)
def test_requests(error: ProxyError, fix: str) -> None:
    """A request that brings no answer says why."""
    finding = faults.of_request(error, "upstreams.rest")
    assert (finding.state, finding.detail) == (FAIL, error.detail)
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ({"version": "9", "ready": True}, OK, "ul-proxy 9 runs there, and is ready"),
        ({}, OK, "a proxy of ours runs there"),
        ({"version": "9", "ready": False}, WARN, "ul-proxy 9 runs there, and is not ready"),
        (
            {
                "version": "9",
                "ready": False,
                "profiles": {"a": {"error": None}, "b": {"error": {"detail": "it is so"}}},
            },
            WARN,
            "ul-proxy 9 runs there, and is not ready: it is so",
        ),
        ({"version": "9", "profiles": []}, WARN, "ul-proxy 9 runs there, and is not ready"),
    ],
)
def test_a_proxy_of_ours(told: dict[str, object], state: HopState, words: str) -> None:
    """A proxy that is there already is asked whether it is ready, and why not."""
    finding = of_ours(told)
    assert (finding.state, finding.detail) == (state, words)


def test_answers_show_no_body() -> None:
    """What an upstream wrote is in no repr."""
    answer = ProbeResponse(200, JSON, body=CANARY.encode())
    assert CANARY not in repr(answer)
    assert dataclasses.replace(answer, status=404).outcome == 4
