"""Refresh tokens: issued at sign-in, replaced by rotation, ended by age, reuse or revocation."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

from proxy.demo.accounts import User
from proxy.demo.devices import RememberedDevice
from proxy.demo.protocol import Refusal, not_authorized

_JWE_HEADER = base64.urlsafe_b64encode(b'{"cty":"JWT","enc":"A256GCM","alg":"RSA-OAEP"}').rstrip(b"=").decode()
_JWE_PARTS = (256, 12, 512, 16)
"""Bytes of encrypted key, nonce, ciphertext and tag: opaque to every client, but as long as real ones."""


@dataclass(eq=False)
class SignIn:
    """One sign-in: what all its tokens have in common."""

    user: User
    origin_jti: str
    auth_time: int
    ends: float
    """When its refresh tokens end, however often they are replaced."""
    device: RememberedDevice | None = None
    """The device without whose key nothing can be renewed."""
    revoked: bool = False


@dataclass
class _Refresh:
    sign_in: SignIn
    replaced_at: float | None = None


class Grants:
    """Every refresh token that was ever issued. `now` is in wall seconds."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._tokens: dict[str, _Refresh] = {}

    def issue(self, sign_in: SignIn) -> str:
        """A new refresh token."""
        parts = (base64.urlsafe_b64encode(self._random(size)).rstrip(b"=").decode() for size in _JWE_PARTS)
        token = ".".join((_JWE_HEADER, *parts))
        self._tokens[token] = _Refresh(sign_in)
        return token

    def redeem(self, token: str, now: float, grace: float, device_key: str | None = None) -> SignIn:
        """The sign-in that `token` stands for; refuses one that is unknown, revoked, ended, replaced or a device's.

        A replaced token is good for `grace` seconds more, that of a confirmed device with its `device_key`.
        """
        refresh = self._tokens.get(token)
        device = refresh.sign_in.device if refresh is not None else None
        if refresh is None or (device is not None and not (device.confirmed and device.key == device_key)):
            raise not_authorized("Invalid Refresh Token")
        if refresh.sign_in.revoked:
            raise not_authorized("Refresh Token has been revoked")
        if now >= refresh.sign_in.ends:
            raise not_authorized("Refresh Token has expired")
        if refresh.replaced_at is not None and now >= refresh.replaced_at + grace:
            raise Refusal("RefreshTokenReuseException", "Refresh token has been invalidated by rotation")
        return refresh.sign_in

    def replace(self, token: str, now: float) -> str:
        """A new refresh token in place of one that was just redeemed."""
        refresh = self._tokens[token]
        if refresh.replaced_at is None:
            refresh.replaced_at = now
        return self.issue(refresh.sign_in)

    def revoke(self, token: str) -> None:
        """End the sign-in that `token` belongs to; an unknown token is none (RFC 7009 section 2.2)."""
        if token in self._tokens:
            self._tokens[token].sign_in.revoked = True

    def revoke_all(self, user: User) -> None:
        """End every sign-in of `user`."""
        for refresh in self._tokens.values():
            if refresh.sign_in.user is user:
                refresh.sign_in.revoked = True

    def is_revoked(self, origin_jti: str) -> bool:
        """Whether the sign-in that a token's `origin_jti` names has been revoked."""
        return any(r.sign_in.revoked for r in self._tokens.values() if r.sign_in.origin_jti == origin_jti)
