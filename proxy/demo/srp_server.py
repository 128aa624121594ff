"""The server's side of SRP-6a as Cognito user pools speak it; `proxy.identity.cognito.srp` is the client's side.

A user is known by a salt and a verifier `v = g^x`; the password itself is not needed (RFC 2945, RFC 5054).
"""

import base64
import hmac
import re
from dataclasses import dataclass, field
from functools import lru_cache

from proxy.demo.protocol import invalid_parameter
from proxy.identity.cognito import srp
from proxy.identity.cognito.srp import G, K, N, claim, digest, pad, session_key

_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_TIMESTAMP = re.compile(
    rf"(?:{_DAYS}) (?:{_MONTHS}) (?:[1-9]|[12]\d|3[01]) (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d UTC \d{{4}}", re.ASCII
)


verifier = lru_cache(maxsize=256)(srp.verifier)
"""Worked out once for each user, where a real pool would keep it."""


def parse_public(srp_a: str) -> int:
    """`A` from SRP_A; refuses what is no hexadecimal number or is zero modulo N (RFC 5054 section 2.5.4)."""
    if not re.fullmatch(r"[0-9A-Fa-f]+", srp_a) or int(srp_a, 16) % N == 0:
        raise invalid_parameter("SRP_A is not a usable public value")
    return int(srp_a, 16)


def check_timestamp(stamp: str) -> None:
    """Refuse a TIMESTAMP that is not written as Cognito demands."""
    if _TIMESTAMP.fullmatch(stamp) is None:
        raise invalid_parameter("TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.")


@dataclass(frozen=True, slots=True)
class ServerExchange:
    """One sign-in from the server's side: the verifier `v`, the private exponent `b`, and both public values."""

    v: int = field(repr=False)
    b: int = field(repr=False)
    srp_a: int
    srp_b: int

    @classmethod
    def begin(cls, v: int, b: int, srp_a: int) -> "ServerExchange":
        """The exchange that answers a client's `A`."""
        return cls(v, b, srp_a, (K * v + pow(G, b, N)) % N)

    def proves(self, signature: str, *, pool: str, user: str, secret_block: str, stamp: str) -> bool:
        """Whether `signature` shows that its maker knows the password behind `v`. The rest is what was signed."""
        u = digest(pad(self.srp_a), pad(self.srp_b))
        secret = pow(self.srp_a * pow(self.v, u, N), self.b, N)
        expected = claim(session_key(secret, u), pool, user, base64.b64decode(secret_block), stamp)
        return hmac.compare_digest(expected.encode(), signature.encode())
