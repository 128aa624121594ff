"""How a person reaches the proxy: with curl, and with a browser."""

import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

from proxy.http.address import is_loopback
from proxy.http.options import CertificateFiles

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # names, to be replaced
"""Where a wildcard address is reached: nobody can connect to the wildcard itself."""


_TOKEN = '-H "X-UL-Proxy-Token: $UL_PROXY_CLIENT_TOKEN"'
"""The client token as a curl option: whoever pastes a line has it, and no screen shows it."""


def trust(url: str, files: CertificateFiles | None) -> str:
    """The curl option that trusts the proxy's certificate, whoever signed it; "" where none is wanted."""
    return f"--cacert {shlex.quote(str(files.certificate))}" if files and url.startswith("https:") else ""


def curl(url: str, path: str, options: str = "", *, with_token: bool = False) -> str:
    """A curl command that asks for `path`, from the machine that the proxy runs on."""
    options = _words(_TOKEN, options) if with_token else options
    if url.startswith("unix:"):
        socket = shlex.quote(url.removeprefix("unix:"))
        return _words("curl -sS --unix-socket", socket, options, shlex.quote("http://localhost" + path))
    host = _host(url)
    if host in _LOOPBACK:
        parts = urlsplit(url)
        return _words("curl -sS", options, shlex.quote(f"{parts.scheme}://{_LOOPBACK[host]}:{parts.port}{path}"))
    # The proxy does not know its machine by other addresses, unless allowed_hosts has them.
    named = "" if is_loopback(host) else "-H 'Host: localhost'"
    return _words("curl -sS", named, options, shlex.quote(url + path))


def page_url(urls: Sequence[str], admin_urls: Sequence[str] = ()) -> str | None:
    """Where a browser on this machine finds the inspector; None where there are Unix sockets alone."""
    # At an admin address beyond loopback there is none.
    here = [url for url in admin_urls if is_loopback(_host(url))] if admin_urls else urls
    for url in here:
        if not url.startswith("unix:"):
            parts = urlsplit(url)
            host = _LOOPBACK.get(_host(url))
            return f"{parts.scheme}://{parts.netloc if host is None else f'{host}:{parts.port}'}/-/"
    return None


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _words(*words: str) -> str:
    return " ".join(filter(None, words))
