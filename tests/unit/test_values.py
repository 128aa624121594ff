"""The values that describe themselves: addresses, pools, and what their repr must not tell."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from proxy.http.address import Bind, Upstream
from proxy.identity.issued import AwsCredentials, Device, Session, Token
from proxy.identity.profile import CognitoPool, Profile
from proxy.model import Instant


@pytest.mark.parametrize(
    ("url", "upstream", "authority"),
    [
        ("https://api.unleashlive.com", Upstream("https", "api.unleashlive.com", 443), "api.unleashlive.com"),
        ("https://api.unleashlive.com/", Upstream("https", "api.unleashlive.com", 443), "api.unleashlive.com"),
        ("http://localhost", Upstream("http", "localhost", 80), "localhost"),
        ("http://localhost:9000", Upstream("http", "localhost", 9000), "localhost:9000"),
        ("http://localhost:443", Upstream("http", "localhost", 443), "localhost:443"),
        ("https://localhost:80", Upstream("https", "localhost", 80), "localhost:80"),
        ("https://a.example:443/x", Upstream("https", "a.example", 443, "/x"), "a.example"),
        ("https://a.example:/x", Upstream("https", "a.example", 443, "/x"), "a.example"),
        ("https://a.example/graphql", Upstream("https", "a.example", 443, "/graphql"), "a.example"),
        ("https://a.example/a/b/", Upstream("https", "a.example", 443, "/a/b"), "a.example"),
        ("https://a.example/A%2fb", Upstream("https", "a.example", 443, "/A%2fb"), "a.example"),
        ("HTTPS://A.Example/Path", Upstream("https", "a.example", 443, "/Path"), "a.example"),
        ("http://127.0.0.1:1", Upstream("http", "127.0.0.1", 1), "127.0.0.1:1"),
        ("http://[::1]", Upstream("http", "::1", 80), "[::1]"),
        ("http://[::1]:9000/x", Upstream("http", "::1", 9000, "/x"), "[::1]:9000"),
    ],
)
def test_parse(url: str, upstream: Upstream, authority: str) -> None:
    """An address becomes its parts; Host has the port only where it is not the scheme's own."""
    parsed = Upstream.parse(url)
    assert parsed == upstream
    assert parsed.authority == authority


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("", "must begin with https", id="empty"),
        pytest.param("api.unleashlive.com", "must begin with https", id="no scheme"),
        pytest.param("//api.unleashlive.com", "must begin with https", id="no scheme, slashes"),
        pytest.param("localhost:8080", "must begin with https", id="a port taken for a scheme"),
        pytest.param("ftp://a.example", "must begin with https", id="another scheme"),
        pytest.param("ws://a.example", "must begin with https", id="WebSocket scheme"),
        pytest.param("https:///x", "names no host", id="no host"),
        pytest.param("https://", "names no host", id="only a scheme"),
        pytest.param("https:a.example", "names no host", id="no slashes"),
        pytest.param("https://:443", "names no host", id="only a port"),
        pytest.param("https://user:hunter2@a.example", "user name or password", id="login"),
        pytest.param("https://user@a.example", "user name or password", id="user name"),
        pytest.param("https://@a.example", "user name or password", id="empty user name"),
        pytest.param("https://a.example?x=1", "query or fragment", id="query"),
        pytest.param("https://a.example/?", "query or fragment", id="empty query"),
        pytest.param("https://a.example/#x", "query or fragment", id="fragment"),
        pytest.param("https://a.example/#", "query or fragment", id="empty fragment"),
        pytest.param("https://a.example/a b", "plain ASCII", id="space"),
        pytest.param("https://a.example /", "plain ASCII", id="space in the host"),
        pytest.param(" https://a.example", "plain ASCII", id="space before"),
        pytest.param("https://a.example\n", "plain ASCII", id="newline behind"),
        pytest.param("https://a.ex\nample", "plain ASCII", id="newline within"),
        pytest.param("https://a.ex\tample", "plain ASCII", id="tab within"),
        pytest.param("https://a.example/\r\nX: y", "plain ASCII", id="CR and LF"),
        pytest.param("https://a.example/\x7f", "plain ASCII", id="DEL"),
        pytest.param("https://münchen.example", "plain ASCII", id="host beyond ASCII"),
        pytest.param("https://a.example/é", "plain ASCII", id="path beyond ASCII"),
        pytest.param("https://a.example:port", r"\w", id="port no number"),
        pytest.param("https://a.example:70000", r"\w", id="port too high"),
        pytest.param("https://a.example:-1", r"\w", id="port negative"),
        pytest.param("http://[::1", r"\w", id="bracket left open"),
        pytest.param("http://[localhost]", r"\w", id="brackets around a name"),
    ],
)
def test_parse_refuses(url: str, words: str) -> None:
    """An address that is none, or holds what an address must not, is refused in words."""
    with pytest.raises(ValueError, match=words):
        Upstream.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@a.example",
        "ftp://user:hunter2@a.example",
        "https://user:hunter2@",
        "https://user:hunter2@a.example?x",
        "https://user:hunter2@a.example:port",
        "user:hunter2@a.example",
    ],
)
def test_parse_repeats_no_password(url: str) -> None:
    """A login in an address is not repeated by the message that refuses it."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        Upstream.parse(url)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=30))
def test_parse_raises_nothing_else(text: str) -> None:
    """Whatever text stands for an address, it is one or a ValueError."""
    for url in (text, "https://" + text, "https://a.example" + text):
        try:
            parsed = Upstream.parse(url)
        except ValueError:
            continue
        assert parsed.host
        assert not parsed.path.endswith("/")
        assert Upstream.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("url", "origin"),
    [("https://a.example:443/x", "https://a.example"), ("http://[::1]:9000/x", "http://[::1]:9000")],
)
def test_origin(url: str, origin: str) -> None:
    """An origin is scheme and authority; the whole address adds the path."""
    upstream = Upstream.parse(url)
    assert upstream.origin == origin
    assert str(upstream) == origin + "/x"


@pytest.mark.parametrize(
    ("bind", "text"),
    [
        (Bind("127.0.0.1", 8080), "127.0.0.1:8080"),
        (Bind("localhost", 0), "localhost:0"),
        (Bind("::1", 8080), "[::1]:8080"),
        (Bind(path="/run/ul-proxy.sock"), "unix:/run/ul-proxy.sock"),
    ],
)
def test_bind(bind: Bind, text: str) -> None:
    """A place to listen is written as the setting is."""
    assert str(bind) == text


def test_pool_of_aws() -> None:
    """A pool on AWS has the one issuer, and its key set below it."""
    pool = CognitoPool("ap-southeast-2", "ap-southeast-2_UnpJmDeN5", "client")
    issuer = "https://cognito-idp.ap-southeast-2.amazonaws.com/ap-southeast-2_UnpJmDeN5"
    assert pool.issuers == (issuer,)
    assert pool.jwks_url == f"{issuer}/.well-known/jwks.json"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4566", "http://127.0.0.1:4566/"])
def test_pool_of_an_emulator(endpoint: str) -> None:
    """An emulator's pool has its own key set, and either issuer."""
    pool = CognitoPool("us-east-1", "us-east-1_abc", "client", endpoint_url=endpoint)
    assert pool.issuers == (pool.issuer, "http://127.0.0.1:4566/us-east-1_abc")
    assert pool.jwks_url == "http://127.0.0.1:4566/us-east-1_abc/.well-known/jwks.json"


def test_repr_holds_no_secret() -> None:
    """Passwords, keys and tokens are in no repr: a value may end up in any log."""
    secret = SecretStr("hunter2")
    pool = CognitoPool("us-east-1", "us-east-1_abc", "client", client_secret=secret)
    profile = Profile("default", pool, "ada", secret, secret, secret, secret)
    token = Token(secret, secret, secret, {}, Instant(0, 0), 60, 48, "ada", Device("key", "group", secret))
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    credentials = AwsCredentials("id", "ASIA", secret, secret, ends, Instant(0, 0), 3600)
    for value in (profile, token, token.session, credentials):
        assert "hunter2" not in f"{value!r} {value}"


def test_a_token_leaves_its_session() -> None:
    """What a renewal needs of a token: the refresh token, the real user name and the device."""
    secret, device = SecretStr("refresh"), Device("key", "group", SecretStr("its own"))
    token = Token(SecretStr("id"), SecretStr("access"), secret, {}, Instant(0, 0), 60, 48, "ada", device)
    assert token.session == Session(secret, "ada", device)


def test_login_provider() -> None:
    """Identity pools know a user pool by its issuer without the scheme, also where an emulator stands in for it."""
    pool = CognitoPool("us-east-1", "us-east-1_abc", "client", endpoint_url="http://127.0.0.1:4566")
    assert pool.login_provider == "cognito-idp.us-east-1.amazonaws.com/us-east-1_abc"
