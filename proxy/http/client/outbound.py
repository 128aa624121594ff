"""Choose the outbound proxy of a connection, by the conventions of HTTPS_PROXY and NO_PROXY."""

import urllib.request
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from proxy.http.address import Upstream, bracketed
from proxy.http.options import OutboundProxies, OutboundProxy


def parse_proxy(url: str) -> OutboundProxy:
    """Parse `http://[user:password@]host[:port]`, the scheme optional; raises ValueError without repeating the URL."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, 80 if parts.port is None else parts.port
    except ValueError:
        host, port = None, 0  # its words would quote a part of the URL, perhaps of a password
    if not host or not port or parts.scheme != "http" or not url.isprintable() or " " in url:
        raise ValueError("an outbound proxy must be given as http://host:port")
    credentials = None
    if parts.username is not None:
        credentials = SecretStr(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    return OutboundProxy(host, port, credentials)


def choose(proxies: OutboundProxies, upstream: Upstream) -> OutboundProxy | None:
    """Choose the proxy on the way to `upstream`, None for the direct way."""
    via = proxies.https if upstream.scheme == "https" else proxies.http
    if via is None:
        return None
    # It knows IPv6 addresses without brackets only.
    bypass = {"no": proxies.bypass.translate({ord("["): None, ord("]"): None})}
    address = f"{upstream.host}:{upstream.port}"
    bypassed = urllib.request.proxy_bypass_environment(address, bypass)  # type: ignore[attr-defined]  # typeshed lacks it
    return None if bypassed else via


def url_of(proxy: OutboundProxy) -> str:
    """Write the proxy as a URL, credentials included: for libraries that want one, never to be shown."""
    host = bracketed(proxy.host)
    if proxy.credentials is None:
        return f"http://{host}:{proxy.port}"
    user, _, password = proxy.credentials.get_secret_value().partition(":")
    return f"http://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{proxy.port}"
