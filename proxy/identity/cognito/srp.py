"""The client's side of SRP-6a as Cognito user pools speak it (USER_SRP_AUTH, PASSWORD_VERIFIER, and their DEVICE_ kin).

SRP is RFC 2945 and RFC 5054 with the 3072-bit group of RFC 3526 and SHA-256; Cognito's own are the padding of numbers
before hashing, the key derivation (HKDF, "Caldera Derived Key") and the signed message. The private exponent and the
time are arguments. A device proves its own password in the same way: its group key takes the place of the pool's name,
and its key that of the user.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple

from pydantic import SecretStr

N = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05"
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB"
    "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33"
    "A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864"
    "D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2"
    "08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)
G = 2
PRIVATE_BYTES = 64
"""How much randomness a private exponent is made of.

The most that RFC 3526 section 8 wants for this group is 420 bits. The official clients draw twice as much, which takes
twice as long, during which a proxy could answer nobody.
"""
DEVICE_PASSWORD_BYTES = 40
DEVICE_SALT_BYTES = 16

_INFO = b"Caldera Derived Key"
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SrpError(ValueError):
    """The server sent numbers with which SRP must not go on (RFC 2945 section 3.1)."""


def pad(number: int) -> bytes:
    """Big-endian bytes of a non-negative number with a zero byte before a set high bit, as Java's BigInteger has it."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def digest(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest(), "big")


K = digest(pad(N), pad(G))


def private_exponent(random: bytes) -> int:
    """`a` from `PRIVATE_BYTES` random bytes."""
    return int.from_bytes(random, "big") % N


def private_key(pool: str, user: str, password: SecretStr, salt: int) -> int:
    """`x`: what stands for the password. `pool` is the pool id's part behind the underscore."""
    inner = hashlib.sha256(f"{pool}{user}:{password.get_secret_value()}".encode()).digest()
    return digest(pad(salt), inner)


def verifier(pool: str, user: str, password: SecretStr, salt: int) -> int:
    """`v`: what a server keeps in place of a password."""
    return pow(G, private_key(pool, user, password, salt), N)


class DeviceVerifier(NamedTuple):
    """DeviceSecretVerifierConfig of ConfirmDevice: both numbers as bytes in base64."""

    password_verifier: str
    salt: str


def device_password(random: bytes) -> SecretStr:
    """A device's password from `DEVICE_PASSWORD_BYTES` random bytes."""
    return SecretStr(base64.b64encode(random).decode())


def device_verifier(group_key: str, key: str, password: SecretStr, random: bytes) -> DeviceVerifier:
    """Make what a pool is sent when it is to remember a device; `random` are `DEVICE_SALT_BYTES`."""
    salt = int.from_bytes(random, "big")
    numbers = (verifier(group_key, key, password, salt), salt)
    return DeviceVerifier(*(base64.b64encode(pad(number)).decode() for number in numbers))


def session_key(secret: int, scrambler: int) -> bytes:
    """The 16-byte key that both sides derive from `S` and `u` (HKDF, RFC 5869, one block)."""
    extracted = hmac.digest(pad(scrambler), pad(secret), "sha256")
    return hmac.digest(extracted, _INFO + b"\x01", "sha256")[:16]


def timestamp(now: datetime) -> str:
    """`now` as Cognito wants it: English, UTC, the day without a leading zero."""
    t = now.astimezone(UTC)
    return f"{_WEEKDAYS[t.weekday()]} {_MONTHS[t.month - 1]} {t.day} {t:%H:%M:%S} UTC {t.year}"


def secret_block(text: str) -> bytes:
    """SECRET_BLOCK, base64, as bytes; raises SrpError."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise SrpError("SECRET_BLOCK is not base64") from None


def claim(key: bytes, pool: str, user: str, secret_block: bytes, stamp: str) -> str:
    """PASSWORD_CLAIM_SIGNATURE: the proof, in base64, that its maker knows the session key."""
    message = pool.encode() + user.encode() + secret_block + stamp.encode()
    return base64.b64encode(hmac.digest(key, message, "sha256")).decode()


@dataclass(frozen=True)
class SrpExchange:
    """One sign-in from the client's side, begun with the private exponent `a`."""

    a: int = field(repr=False)

    @cached_property
    def public(self) -> int:
        """`A`, sent as SRP_A."""
        return pow(G, self.a, N)

    @property
    def srp_a(self) -> str:
        return f"{self.public:x}"

    def key(self, pool: str, user: str, password: SecretStr, srp_b: str, salt: str) -> bytes:
        """The session key from the server's SRP_B and SALT (hex); raises SrpError where they are unusable.

        `user` is USER_ID_FOR_SRP, not what a person typed.
        """
        try:
            b, s = int(srp_b, 16), int(salt, 16)
        except ValueError:
            raise SrpError("SRP_B or SALT is not a hexadecimal number") from None
        if b % N == 0 or s < 0 or b < 0:
            raise SrpError("SRP_B is zero modulo N")
        u = digest(pad(self.public), pad(b))
        if u == 0:
            raise SrpError("the scrambling parameter is zero")
        x = private_key(pool, user, password, s)
        secret = pow(b - K * pow(G, x, N), self.a + u * x, N)
        return session_key(secret, u)
