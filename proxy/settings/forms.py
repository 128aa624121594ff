"""The forms in which a setting's value may be written, and what they become. Errors are ValueErrors for a person."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from proxy.errors import BadRequest
from proxy.forward.guard import Pattern, host_name, parse_origin, readings
from proxy.forward.headers import HOP_BY_HOP, PROXY_FIELDS
from proxy.http.address import Bind, Upstream
from proxy.identity.cognito.totp import TotpError, parse_secret
from proxy.identity.stores.specs import FORMS, fits
from proxy.settings.quantities import count, delay, duration, quoted, size

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*:[^\[\]]*)\]|(?P<host>[^\[\]:]+)):(?P<port>\d{1,9})", re.ASCII)
_PORT_ALONE = re.compile(r":?(\d{1,5})", re.ASCII)
_PORTS = 1 << 16
_SHORTEST_TOKEN = 16
STORE_FILE = "file:"
_NO_CREDENTIALS = HOP_BY_HOP | frozenset(
    (
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"trailer",
        b"via",
    )
)
"""Fields that say how a message is framed, read or routed, or that have a form of their own."""


@dataclass(frozen=True, slots=True)
class Form:
    """What help texts call the kind of value that a setting takes."""

    metavar: str


def _listed(value: Any) -> Any:
    """One value, several between commas, or a JSON list: environment variables and flags hold text."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} is neither text nor a list of texts")  # noqa: TRY004  # pydantic wants it
    if re.match(r'\s*\[\s*["\]]', value):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("begins like a JSON list but is not valid JSON") from None
    return [item.strip() for item in value.split(",")]


def checked_bind(value: str) -> str:
    parse_bind(value)
    return value


def parse_bind(value: str) -> Bind:
    """`HOST:PORT`, `[V6]:PORT` or `unix:/path` as a Bind; raises ValueError, in words for a person."""
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{value!r}: a Unix socket needs an absolute path, as in unix:/run/ul-proxy.sock")
        return Bind(path=path)
    alone = _PORT_ALONE.fullmatch(value)
    if alone is not None and int(alone[1]) < _PORTS:
        raise ValueError(f"{value!r} names no host: write 127.0.0.1:{alone[1]}")
    match = _HOST_PORT.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not HOST:PORT, [IPV6]:PORT or unix:/path")
    if int(match["port"]) >= _PORTS:
        raise ValueError(f"{value!r}: a port is at most {_PORTS - 1}")
    return Bind(match["v6"] or match["host"], int(match["port"]))


def _http_url(value: str) -> str:
    try:
        _check_port(value)
        Upstream.parse(value)
    except ValueError:
        if "@" in value or "?" in value:
            # The other messages quote the address, and what stands there may be a password or a key.
            raise ValueError("must be http(s)://host[:port][/path], without a user name, password or query") from None
        raise
    return value


def _check_port(url: str) -> None:
    """Python's own words for a port or an IPv6 address that cannot be read are no help."""
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        if "range" in str(error):
            raise ValueError(f"{url!r}: a port is at most {_PORTS - 1}") from None
        raise ValueError(f"{url!r} has no usable host and port") from None


def checked_host(value: str) -> str:
    name = host_name(value)
    if name is None:
        raise ValueError(f"{value!r} is no host name")
    return name


def checked_pattern(value: str) -> str:
    Pattern.parse(value)
    return value


def checked_header(value: str) -> str:
    """The name of a field that may carry a credential."""
    name = value.lower().replace("_", "-").encode()
    if name in _NO_CREDENTIALS:
        raise ValueError(f"{value!r} cannot carry a credential: it tells servers how to read or route a message")
    if name.startswith(PROXY_FIELDS):
        raise ValueError(f"{value!r} cannot carry a credential: such headers are for the proxy and go no further")
    return value


def checked_path(value: str) -> str:
    """The path of a route: what a request's path may begin with."""
    if not value.startswith("/"):
        raise ValueError(f"{value!r} must begin with /")
    if not re.fullmatch(r"[!-~]*", value) or "?" in value or "#" in value:
        raise ValueError(f"{value!r} must be without query, fragment, spaces and letters beyond ASCII")
    if not _is_plain(value):
        raise ValueError(f"{value!r} must be without escapes, parameters, and segments that are empty or dots")
    return value


def _is_plain(path: str) -> bool:
    """Whether every server reads a path in the same way."""
    try:
        return len(readings(path)) == 1
    except BadRequest:
        return False


def matching(pattern: str, otherwise: str) -> AfterValidator:
    """A check that a text is like `pattern`, else it is `otherwise`."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is {otherwise}")
        return value

    return AfterValidator(check)


def _no_controls(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise ValueError("holds spaces at an end, control characters or letters beyond ASCII: it goes into a header")
    return value


def _client_token(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if len(secret) < _SHORTEST_TOKEN or not re.fullmatch(r"[!-~]*", secret):
        raise ValueError(
            f"must be at least {_SHORTEST_TOKEN} printable ASCII characters without spaces: `openssl rand -hex 32`"
            " prints one"
        )
    return value


def _totp_secret(value: SecretStr) -> SecretStr:
    try:
        parse_secret(value)
    except TotpError as error:
        raise ValueError(str(error).removeprefix("a TOTP secret ")) from None
    return value


def checked_store(value: str) -> str:
    """Where sessions are kept; the file's name may still be relative."""
    if not fits(value):
        raise ValueError(f"{value!r} is none of {', '.join(FORMS[:-1])} and {FORMS[-1]}")
    return value


Seconds = Annotated[float, BeforeValidator(duration), Form("DURATION")]
Delay = Annotated[float, BeforeValidator(delay), Form("DURATION")]
"""Seconds, perhaps none."""
Bytes = Annotated[int, BeforeValidator(size), Form("SIZE")]
Count = Annotated[int, BeforeValidator(count), Form("COUNT")]
FileName = Annotated[Path, Form("FILE")]
Address = Annotated[str, AfterValidator(checked_bind), Form("ADDRESS")]
HttpUrl = Annotated[str, AfterValidator(_http_url), Form("URL")]
HeaderSecret = Annotated[SecretStr, AfterValidator(_no_controls)]
ClientSecret = Annotated[SecretStr, AfterValidator(_client_token)]
TotpSecret = Annotated[SecretStr, AfterValidator(_totp_secret)]
TokenStore = Annotated[str, AfterValidator(checked_store), Form("STORE")]
Region = Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-\d+", "no AWS region, such as ap-southeast-2")]
UserPoolId = Annotated[str, matching(r"[\w-]+_[0-9A-Za-z]+", "no user pool's id, such as ap-southeast-2_UnpJmDeN5")]
ClientId = Annotated[str, matching(r"\w+", "no app client's id: those are letters and digits")]
IdentityPoolId = Annotated[
    str,
    matching(
        r"[a-z]{2}(-[a-z]+)+-\d+:[0-9a-f-]+",
        "no identity pool's id, such as ap-southeast-2:359c9d8b-02e4-457f-b185-4f3ff3f639d7",
    ),
]
Host = Annotated[str, AfterValidator(checked_host), Form("HOST")]
Origin = Annotated[str, AfterValidator(parse_origin), Form("ORIGIN")]
RequestPattern = Annotated[str, AfterValidator(checked_pattern), Form("PATTERN")]
Listed = (NoDecode, BeforeValidator(_listed))
