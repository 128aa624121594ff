"""RS256 JSON web tokens (RFC 7515, 7517, 7519) as a user pool signs and publishes them."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

ALGORITHM = "RS256"
_PUBLISHED = 2


class TokenRefused(ValueError):
    """A token that must not be believed; the text says why and holds nothing of the token."""


class TokenExpired(TokenRefused):
    """A token that was good once."""


class Signer:
    """A pool's keys. The first one signs; all are published."""

    def __init__(self, keys: Sequence[RSAPrivateKey] = ()) -> None:
        """`keys` spares the time to make two; they need not be given."""
        self._keys = [*keys, *(_new_key() for _ in range(_PUBLISHED - len(keys)))]

    def rotate(self) -> None:
        """Sign with a new key from now on. The one that signed until now stays published, the other goes."""
        self._keys = [_new_key(), *self._keys[: _PUBLISHED - 1]]

    def jwks(self) -> dict[str, Any]:
        """The published key set (RFC 7517 section 5)."""
        return {"keys": [_jwk(key) for key in self._keys]}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """`claims` as a token in compact form."""
        key = self._keys[0]
        signed = f"{_segment({'kid': key_id(key), 'alg': ALGORITHM})}.{_segment(claims)}"
        signature = key.sign(signed.encode(), padding.PKCS1v15(), SHA256())
        return f"{signed}.{_b64(signature)}"

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """The claims of a token that a published key signed and that has not ended at `now`.

        Raises TokenExpired or TokenRefused.
        """
        try:
            head, body, signature = token.split(".")
            header, claims = json.loads(_unb64(head)), json.loads(_unb64(body))
            key = next(key for key in self._keys if key_id(key) == header["kid"] and header["alg"] == ALGORITHM)
            key.public_key().verify(_unb64(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())
            expires = float(claims["exp"])
        except (ValueError, KeyError, TypeError):
            raise TokenRefused("the token is malformed") from None
        except StopIteration:
            raise TokenRefused("the token is signed with an unknown key") from None
        except InvalidSignature:
            raise TokenRefused("the token's signature is wrong") from None
        if now >= expires:
            raise TokenExpired("the token has expired")
        return dict(claims)


def key_id(key: RSAPrivateKey) -> str:
    """A key's `kid`, derived from the key itself so that it never names another one."""
    numbers = key.public_key().public_numbers()
    return base64.b64encode(hashlib.sha256(_number(numbers.n).encode()).digest()).decode()


def _new_key() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _jwk(key: RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {
        "alg": ALGORITHM,
        "e": _number(numbers.e),
        "kid": key_id(key),
        "kty": "RSA",
        "n": _number(numbers.n),
        "use": "sig",
    }


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _segment(value: Mapping[str, Any]) -> str:
    return _b64(json.dumps(value, separators=(",", ":")).encode())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
