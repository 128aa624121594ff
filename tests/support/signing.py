"""Test tokens, signed with `cryptography` alone, so that what `claims.py` believes is not its own library's work."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Signer:
    """One RSA key and its place in a key set."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def jwk(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.jwk]}

    @property
    def pem(self) -> bytes:
        """The public key as text: what an HS256 forger has for a secret."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, form)

    def sign(self, claims: Mapping[str, Any], *, digest: hashes.HashAlgorithm | None = None, **header: Any) -> str:
        """`claims` as a token; `header` overrides fields of its header, None removes one."""
        signing_input = _signing_input(claims, {"alg": "RS256", "kid": self.kid} | header)
        signature = self._key.sign(signing_input.encode(), padding.PKCS1v15(), digest or hashes.SHA256())
        return f"{signing_input}.{b64(signature)}"


def sign_hs256(claims: Mapping[str, Any], secret: bytes, **header: Any) -> str:
    signing_input = _signing_input(claims, {"alg": "HS256"} | header)
    return f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"


def unsigned(claims: Mapping[str, Any], **header: Any) -> str:
    return _signing_input(claims, {"alg": "none"} | header) + "."


def _signing_input(claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in header.items() if value is not None}
    return ".".join(b64(json.dumps(part).encode()) for part in (kept, dict(claims)))
