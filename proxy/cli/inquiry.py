"""Asking a running proxy about itself, over TCP or a Unix socket, with nothing in between."""

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from proxy.errors import ProxyError, SettingsError, StartError
from proxy.guard import is_loopback
from proxy.model import Bind, CertificateFiles

_TIMEOUT = 10.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # names, to be replaced
_END = "-----END CERTIFICATE-----"
_LONGEST = 1 << 24


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy listens; `path` is that of a Unix socket."""

    host: str = "localhost"
    port: int | None = None
    path: str | None = None
    tls: bool = False
    certificate: Path | None = None
    """A file whose first certificate is the proxy's own, by whatever name it goes."""

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}" + (f":{self.port}" if self.port is not None else "")

    @property
    def named(self) -> str:
        """What to call it in Host: a proxy knows its own machine by loopback names."""
        known = self.path is None and (self._by_name or is_loopback(self.host))
        return str(self).partition("//")[2] if known else "localhost"

    @property
    def _by_name(self) -> bool:
        """Whether a certificate is judged by the host's name."""
        return self.tls and self.certificate is None


def place_of(bind: Bind, tls: CertificateFiles | None = None) -> Place:
    """Where to reach what listens at `bind`, with HTTPS on TCP by `tls`; raises SettingsError where nobody can tell."""
    if bind.path is not None:
        return Place(path=bind.path)
    if bind.port == 0:
        raise SettingsError(
            f"listen is {bind}, so the proxy picked a port by itself", hint="Tell where it is: --url http://HOST:PORT."
        )
    certificate = None if tls is None else tls.certificate
    return Place(_WILDCARDS.get(bind.host, bind.host), bind.port, tls=tls is not None, certificate=certificate)


def parse_place(url: str) -> Place:
    """`http://HOST[:PORT]`, https likewise, or `unix:/path`; raises SettingsError."""
    if url.startswith("unix:/"):
        return Place(path=url.removeprefix("unix:"))
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and "@" not in url:
            return Place(parts.hostname, parts.port, tls=parts.scheme == "https")
    except ValueError:
        pass
    raise SettingsError(f"--url {url!r} is no address of a proxy", hint="Write http://HOST:PORT or unix:/path.")


def ask(place: Place, path: str, token: SecretStr | None) -> dict[str, Any]:
    """The JSON object that a GET of `path` brings; raises StartError, one sentence on why there is none."""
    headers = {"Host": place.named, "Connection": "close"}
    if token is not None:
        headers["X-UL-Proxy-Token"] = token.get_secret_value()
    connection = _connection(place)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        status, body = answer.status, answer.read(_LONGEST)
    except (OSError, http.client.HTTPException) as error:
        raise _unanswered(place, error) from None
    finally:
        connection.close()
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not {"version", "detail"} & document.keys():
        raise StartError(f"what answers at {place} is no ul-proxy", hint="Check listen, or tell --url.")
    if status != http.client.OK:
        raise StartError(f"the proxy at {place} refuses: {document.get('detail')}", hint=str(document.get("hint", "")))
    return document


def _unanswered(place: Place, error: Exception) -> ProxyError:
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return StartError(f"no proxy runs at {place}", hint="Start one with `ul-proxy serve`, or tell --url.")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return StartError(f"the proxy at {place} cannot be asked: {reason}", hint="Check listen, or tell --url.")


def _connection(place: Place) -> http.client.HTTPConnection:
    if place.path is not None:
        return _UnixConnection(place.path)
    if not place.tls:
        return http.client.HTTPConnection(place.host, place.port, timeout=_TIMEOUT)
    context = ssl.create_default_context() if place.certificate is None else _trusting(place.certificate)
    return http.client.HTTPSConnection(place.host, place.port, timeout=_TIMEOUT, context=context)


def _trusting(file: Path) -> ssl.SSLContext:
    """Trusts the first certificate of `file` and no other, whatever name is in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        first, end, _ = file.read_text("ascii").partition(_END)
        context.load_verify_locations(cadata=first + end)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds no certificate in PEM"
        raise SettingsError(f"tls_cert: {file} cannot be used: {reason}", hint="Check the path.") from None
    return context


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(self._path)
