"""Sessions to keep, and the profiles that they are kept for."""

from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from proxy.identity.issued import Device, Session
from proxy.identity.profile import CognitoPool, Profile

POOL = CognitoPool("eu-west-1", "eu-west-1_abc", "client")
PROFILE = Profile("default", POOL, "me", SecretStr("secret"))


def session(refresh: str = "refresh-1", **changes: Any) -> Session:
    device = Device("key-1", "group-1", SecretStr("device-secret"))
    return replace(Session(SecretStr(refresh), "real-name", device), **changes)


def refresh_token(kept: Session | None) -> str | None:
    if kept is None or kept.refresh_token is None:
        return None
    return kept.refresh_token.get_secret_value()
