"""The client token: what a caller must present where the settings want one."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from hmac import compare_digest

from pydantic import SecretStr

from proxy.errors import ClientTokenRequired
from proxy.http.grammar.fields import Header, values_of

TOKEN_FIELD = b"x-ul-proxy-token"


def check_client_token(headers: Sequence[Header], token: SecretStr | None) -> None:
    """Let a request through that presents `token`, or any where there is none; raises ClientTokenRequired.

    The token stands in X-UL-Proxy-Token or, where that is absent, in Authorization: as a Bearer token (RFC 6750
    section 2.1) or as a Basic password of any user (RFC 7617). It must be right and stand there once: of two tokens,
    another server might believe the other one.
    """
    if token is None:
        return
    own = values_of(headers, TOKEN_FIELD)
    presented = own or values_of(headers, b"authorization")
    if not presented:
        raise _refusal("the request presents no client token")
    if len(presented) > 1:
        raise _refusal("the request presents more than one client token")
    candidate = presented[0] if own else _secret_in(presented[0])
    if not compare_digest(candidate, token.get_secret_value().encode()):
        raise _refusal("the client token is wrong")


def without_client_token(headers: tuple[Header, ...], token: SecretStr | None) -> tuple[Header, ...]:
    """Drop the field lines that hold the client token: it is not for an upstream.

    X-UL-Proxy-Token never goes, whatever it holds. Where a caller presents the token there, its Authorization is its
    own and stays, unless it is the token once more.
    """
    expected = b"" if token is None else token.get_secret_value().encode()
    return tuple([line for line in headers if not _holds(line, expected)])


def _holds(line: Header, expected: bytes) -> bool:
    """Tell whether a field line carries the client token, in any spelling of its name that a server might read."""
    name = line[0].lower().replace(b"_", b"-")
    if name == TOKEN_FIELD:
        return True
    return name == b"authorization" and expected != b"" and (expected in line[1] or expected in _decoded(line[1]))


def _secret_in(value: bytes) -> bytes:
    """Find the secret in a value of Authorization (RFC 9110 section 11.4), empty where there is none that counts."""
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() == b"bearer":
        return rest.strip()
    return _decoded(value).partition(b":")[2]


def _decoded(value: bytes) -> bytes:
    """Decode the `user:password` in a value of Authorization, empty where it is not Basic."""
    scheme, _, rest = value.partition(b" ")
    try:
        return b64decode(rest.strip(), validate=True) if scheme.lower() == b"basic" else b""
    except binascii.Error:
        return b""


def _refusal(detail: str) -> ClientTokenRequired:
    return ClientTokenRequired(
        detail, hint="Send client_token's value as X-UL-Proxy-Token, as a Bearer token or as a Basic password."
    )
