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
        return json.loads(value)
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
    host, _, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host != bare
    if not bare or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) >= 1 << 16 or (":" in bare) != bracketed:
        raise ValueError(f"{value!r} is not HOST:PORT, [IPV6]:PORT or unix:/path")
    return Bind(bare, int(port))


def _http_url(value: str) -> str:
    Upstream.parse(value)
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
