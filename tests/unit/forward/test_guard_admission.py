"""One verdict on a caller's field lines, and what is known of a caller who was let in."""

import pytest
from pydantic import SecretStr

from proxy.errors import BadRequest, CallerError, ClientTokenRequired, HostNotAllowed, NotPermitted, OriginNotAllowed
from proxy.forward.guard import admit, refusal_fields
from proxy.forward.policy import Policy
from proxy.http.grammar.fields import Header

APP = b"https://app.example.com"
TOKEN = "c4n4ry-c4n4ry-c4n4ry"
STRICT = Policy(allowed_origins=frozenset((APP.decode(),)), client_token=SecretStr(TOKEN))
HOST: Header = (b"Host", b"localhost:8080")
PRESENTED: Header = (b"X-UL-Proxy-Token", TOKEN.encode())
FROM_APP: Header = (b"Origin", APP)
FROM_ELSEWHERE: Header = (b"Origin", b"https://evil.test")
OVERRIDE: Header = (b"X-HTTP-Method-Override", b"DELETE")
MAY_READ = (
    (b"Access-Control-Allow-Origin", APP),
    (b"Access-Control-Expose-Headers", b"*"),
    (b"Vary", b"Origin"),
)


def test_a_tool() -> None:
    """By default a tool that names a loopback host is let in, all of its lines may go on, and nothing is added."""
    headers = (HOST, (b"Accept", b"*/*"))
    admitted = admit(headers, Policy())
    assert (admitted.host, admitted.headers, admitted.response_fields, admitted.upstream_response_fields) == (
        HOST[1],
        headers,
        (),
        (),
    )


def test_a_listed_page() -> None:
    """A listed page that presents the token is let in, may read the answer, and leaves the token here."""
    admitted = admit((HOST, FROM_APP, PRESENTED), STRICT)
    assert (admitted.headers, admitted.response_fields) == ((HOST, FROM_APP), MAY_READ)


def test_a_person() -> None:
    """What an upstream has to show to a person in a browser is confined; the proxy's own answers are not."""
    headers = (
        HOST,
        (b"Sec-Fetch-Site", b"none"),
        (b"Sec-Fetch-Mode", b"navigate"),
        (b"Sec-Fetch-Dest", b"document"),
    )
    admitted = admit(headers, Policy())
    assert admitted.response_fields == ()
    assert [name for name, _ in admitted.upstream_response_fields] == [b"Content-Security-Policy"]


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ((), BadRequest),
        ((HOST, HOST, PRESENTED), BadRequest),
        (((b"Host", b"evil.test"), FROM_APP, PRESENTED), HostNotAllowed),
        ((HOST, FROM_ELSEWHERE, PRESENTED), OriginNotAllowed),
        ((HOST, FROM_APP), ClientTokenRequired),
        ((HOST,), ClientTokenRequired),
    ],
)
def test_refusals(headers: tuple[Header, ...], error: type[CallerError]) -> None:
    """Every guard has its say: Host, then origin, then token. A page with the token is still a page."""
    with pytest.raises(error):
        admit(headers, STRICT)


@pytest.mark.parametrize(
    "policy",
    [Policy(read_only=True), Policy(deny=("DELETE /**",)), Policy(allow=("GET /**",))],
    ids=["read_only", "deny", "allow"],
)
@pytest.mark.parametrize("name", [b"X-HTTP-Method-Override", b"x-http-method", b"X_Method_Override"])
def test_method_override(name: bytes, policy: Policy) -> None:
    """Where methods are told apart, nobody may say one and mean another."""
    with pytest.raises(NotPermitted):
        admit((HOST, (name, b"DELETE")), policy)


def test_method_override_elsewhere() -> None:
    """Where every method may pass, what overrides it is the upstream's business."""
    assert OVERRIDE in admit((HOST, OVERRIDE), Policy()).headers


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ((HOST, FROM_APP), MAY_READ),
        ((HOST, FROM_ELSEWHERE), ((b"Vary", b"Origin"),)),
        (((b"Host", b"evil.test"), FROM_APP), ((b"Vary", b"Origin"),)),
        ((FROM_APP,), ((b"Vary", b"Origin"),)),
        ((HOST,), ((b"Vary", b"Origin"),)),
    ],
)
def test_who_may_read_a_refusal(headers: tuple[Header, ...], fields: tuple[Header, ...]) -> None:
    """A listed page is told why it was refused; nobody else may read even that."""
    assert refusal_fields(headers, STRICT) == fields
