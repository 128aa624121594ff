"""Which outbound proxy a connection goes through, by the conventions of HTTPS_PROXY and NO_PROXY."""

from urllib.parse import quote, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

from pydantic import SecretStr

from proxy.model import OutboundProxies, OutboundProxy, Upstream


def parse_proxy(url: str) -> OutboundProxy:
    """`http://[user:password@]host[:port]`, the scheme optional; raises ValueError without repeating the URL."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("an outbound proxy must be given as http://host:port")
    credentials = None
    if parts.username is not None:
        credentials = SecretStr(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    return OutboundProxy(parts.hostname, parts.port or 80, credentials)


def choose(proxies: OutboundProxies, upstream: Upstream) -> OutboundProxy | None:
    """The proxy on the way to `upstream`, None for the direct way."""
    via = proxies.https if upstream.scheme == "https" else proxies.http
    if via is None or proxy_bypass_environment(f"{upstream.host}:{upstream.port}", {"no": proxies.bypass}):
        return None
    return via


def url_of(proxy: OutboundProxy) -> str:
    """The proxy as a URL, credentials included: for libraries that want one, never for a person to see."""
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    if proxy.credentials is None:
        return f"http://{host}:{proxy.port}"
    user, _, password = proxy.credentials.get_secret_value().partition(":")
    return f"http://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{proxy.port}"
