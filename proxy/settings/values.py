"""The forms in which a setting's value may be written, and what they become. Errors are ValueErrors for a person."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from proxy.guard import host_name
from proxy.model import Bind, Upstream

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SIZE = re.compile(r"(\d+)\s*(?:(Ki|Mi|Gi)?B)?")
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*:[^\[\]]*)\]|(?P<host>[^\[\]:]+)):(?P<port>\d{1,5})", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not (match := _DURATION.fullmatch(value.strip())):
        raise ValueError(f"{value!r} is no duration: write a number of seconds, or 500ms, 10s, 5m, 1h")
    return float(match[1]) * _SECONDS[match[2]]


def _size(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not (match := _SIZE.fullmatch(value.strip())):
        raise ValueError(f"{value!r} is no size: write a number of bytes, or 64 KiB, 1 MiB, 1 GiB")
    return int(match[1]) * _BYTES[match[2]]


def _listed(value: Any) -> Any:
    """One value, several between commas, or a JSON list: environment variables and flags hold text."""
    if not isinstance(value, str):
        return value
    if re.match(r'\s*\[\s*["\]]', value):
        try:
            return json.loads(value)
        except ValueError:
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
    match = _HOST_PORT.fullmatch(value)
    if match is None or int(match["port"]) >= 1 << 16:
        raise ValueError(f"{value!r} is not HOST:PORT, [IPV6]:PORT or unix:/path")
    return Bind(match["v6"] or match["host"], int(match["port"]))


def _http_url(value: str) -> str:
    try:
        Upstream.parse(value)
    except ValueError:
        if "@" in value or "?" in value:
            # The other messages quote the address, and what stands there may be a password or a key.
            raise ValueError("must be http(s)://host[:port][/path], without a user name, password or query") from None
        raise
    return value


def checked_host(value: str) -> str:
    name = host_name(value)
    if name is None:
        raise ValueError(f"{value!r} is no host name")
    return name


def _no_controls(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise ValueError("holds spaces at an end, control characters or letters beyond ASCII: it goes into a header")
    return value


Seconds = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(_size), Field(ge=0)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_no_controls)]
Listed = (NoDecode, BeforeValidator(_listed))
