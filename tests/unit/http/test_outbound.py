"""Which outbound proxy a connection goes through."""

import pytest

from proxy.http.address import Upstream
from proxy.http.client.outbound import choose, parse_proxy
from proxy.http.options import OutboundProxies, OutboundProxy

PLAIN = OutboundProxy("plain.example", 3128)
SECURE = OutboundProxy("secure.example", 3129)


@pytest.mark.parametrize(
    ("url", "host", "port", "credentials"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128, None),
        ("http://proxy.example:3128/", "proxy.example", 3128, None),
        ("http://proxy.example:3128/ignored?x#y", "proxy.example", 3128, None),
        ("HTTP://Proxy.Example", "proxy.example", 80, None),
        ("proxy.example:3128", "proxy.example", 3128, None),
        ("proxy.example", "proxy.example", 80, None),
        ("http://[::1]:3128", "::1", 3128, None),
        ("[::1]:3128", "::1", 3128, None),
        ("http://user:word@proxy.example:1", "proxy.example", 1, "user:word"),
        ("user:word@proxy.example:1", "proxy.example", 1, "user:word"),
        ("http://user@proxy.example", "proxy.example", 80, "user:"),
        ("http://:word@proxy.example", "proxy.example", 80, ":word"),
        ("http://us%40er:w%3Ao%2Frd%25@proxy.example", "proxy.example", 80, "us@er:w:o/rd%"),
        ("http://caf%C3%A9:x@proxy.example", "proxy.example", 80, "café:x"),
    ],
)
def test_parse_proxy(url: str, host: str, port: int, credentials: str | None) -> None:
    """Host, port and percent-decoded credentials, the scheme optional."""
    proxy = parse_proxy(url)
    secret = None if proxy.credentials is None else proxy.credentials.get_secret_value()
    assert (proxy.host, proxy.port, secret) == (host, port, credentials)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:canary@proxy.example:3128",
        "socks5://user:canary@proxy.example:1080",
        "http://user:canary@",
        "http://user:canary@:3128",
        "http://user:canary@proxy.example:port",
        "http://user:canary@proxy.example:99999",
        "http://user:canary@proxy.example:0",
        "http://user:canary@[::1",
        "http://",
        "://user:canary@x",
        "http://user:canary#x@proxy.example",
        "http://user:canary\n@proxy.example:3128",
        "http://user:canary@proxy .example:3128",
        "http://user:canary@a\uff0fb.example:3128",
    ],
)
def test_what_is_no_proxy(url: str) -> None:
    """Anything else is a ValueError whose words do not hold the URL, which may hold a password."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_proxy(url)
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(caught.value.__cause__)


def test_credentials_are_not_shown() -> None:
    """A proxy's representation holds no password."""
    assert "canary" not in repr(parse_proxy("http://user:canary@proxy.example"))


@pytest.mark.parametrize(
    ("upstream", "bypass", "expected"),
    [
        ("https://api.example", "", SECURE),
        ("http://api.example", "", PLAIN),
        ("https://api.example", "*", None),
        ("https://api.example", "api.example", None),
        ("https://api.example", "API.Example", None),
        ("https://api.example", "other.example, api.example ,x", None),
        ("https://api.example", "example", None),
        ("https://api.example", ".example", None),
        ("https://api.example", "pi.example", SECURE),
        ("https://api.example", "api.example:443", None),
        ("https://api.example:8443", "api.example:443", SECURE),
        ("https://api.example:8443", "api.example:8443", None),
        ("https://api.example:8443", "api.example", None),
        ("https://api.example", "api.example.evil", SECURE),
        ("http://127.0.0.1:9000", "127.0.0.1", None),
        ("http://127.0.0.1:9000", "127.0.0.1:9000", None),
        ("http://127.0.0.1:9000", "localhost", PLAIN),
        ("http://localhost:9000", "localhost", None),
        ("http://[::1]:9000", "::1", None),
        ("http://[::1]:9000", "[::1]", None),
        ("http://[::1]:9000", "[::1]:9000", None),
        ("http://[::1]:9000", "[::1]:9001", PLAIN),
        ("http://[::1]:9000", "127.0.0.1", PLAIN),
    ],
)
def test_choose(upstream: str, bypass: str, expected: OutboundProxy | None) -> None:
    """The proxy of the upstream's scheme, unless NO_PROXY names the host, its domain, or both with the port."""
    assert choose(OutboundProxies(PLAIN, SECURE, bypass), Upstream.parse(upstream)) == expected


@pytest.mark.parametrize("url", ["http://api.example", "https://api.example"])
def test_no_proxy_at_all(url: str) -> None:
    """Without a proxy for its scheme an upstream is reached directly."""
    assert choose(OutboundProxies(), Upstream.parse(url)) is None
    only = OutboundProxies(http=None, https=SECURE) if url.startswith("http:") else OutboundProxies(http=PLAIN)
    assert choose(only, Upstream.parse(url)) is None
