"""Time-based one-time passwords (RFC 6238) as authenticator apps and Cognito compute them: HMAC-SHA-1 over 30 seconds.

The time is an argument, in wall seconds since 1970.
"""

import base64
import binascii
import hmac
from urllib.parse import quote

from pydantic import SecretStr

PERIOD = 30
DIGITS = 6


class TotpError(ValueError):
    """A secret that is none; the text holds nothing of it."""


def parse_secret(secret: SecretStr) -> bytes:
    """The key in a secret as people copy it: base32 (RFC 4648), in any case, with spaces or dashes, unpadded.

    Raises TotpError.
    """
    text = "".join(secret.get_secret_value().split()).replace("-", "").rstrip("=").upper()
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise TotpError("a TOTP secret must be base32: the letters A to Z and the digits 2 to 7") from None
    if not key:
        raise TotpError("a TOTP secret must not be empty")
    return key


def step_at(now: float) -> int:
    """The number of the time step that `now` lies in."""
    return int(now // PERIOD)


def begins(step: int) -> float:
    """When a time step begins."""
    return float(step * PERIOD)


def code(key: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of one time step (RFC 4226 section 5.3)."""
    mac = hmac.digest(key, step.to_bytes(8, "big"), "sha1")
    offset = mac[-1] & 0xF
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def otpauth_uri(secret: SecretStr, *, issuer: str, account: str) -> SecretStr:
    """What authenticator apps read from a QR code. `issuer` and `account` are what they call the entry."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    key = quote(secret.get_secret_value(), safe="")
    return SecretStr(f"otpauth://totp/{label}?secret={key}&issuer={quote(issuer, safe='')}")
