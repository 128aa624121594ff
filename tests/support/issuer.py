"""An issuer of tokens whose every answer a test decides, and managers that ask it."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from proxy.errors import RefreshRejected
from proxy.errors.defects import Defects
from proxy.identity.issued import Device, Session, Token
from proxy.identity.profile import Profile
from proxy.identity.stores.base import Store
from proxy.identity.stores.memory import MemoryStore
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.manager import TokenManager
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.identity.tokens.single_flight import Terms
from support.clock import FakeClock
from support.sessions import PROFILE

__all__ = ["LIFE", "POLICY", "PROFILE", "ScriptedIssuer", "new_manager"]

POLICY = RenewalPolicy(jitter=0.0)
LIFE = 3600.0


class ScriptedIssuer:
    """Issues tokens at once, unless the test has put a failure or a gate in the way."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.life = LIFE
        self.sign_ins = 0
        self.renewals = 0
        self.fail_sign_in: Callable[[], Exception | None] | None = None
        self.fail_renewal: Callable[[], Exception | None] | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self._serial = itertools.count(1)
        self.rotates = True
        self.dead: set[str] = set()
        """Refresh tokens that are refused."""
        self.shown: list[Session] = []
        self.devices: list[Device | None] = []
        self.passwords: list[str] = []

    async def sign_in(self, profile: Profile, *, device: Device | None = None) -> Token:
        self.sign_ins += 1
        await self.gate.wait()
        self.devices.append(device)
        self.passwords.append(profile.password.get_secret_value() if profile.password else "")
        if self.fail_sign_in is not None and (failure := self.fail_sign_in()) is not None:
            raise failure
        return self.token()

    async def renew(self, profile: Profile, session: Session) -> Token:
        self.renewals += 1
        self.shown.append(session)
        await self.gate.wait()
        if self.fail_renewal is not None and (failure := self.fail_renewal()) is not None:
            raise failure
        if session.refresh_token is not None and session.refresh_token.get_secret_value() in self.dead:
            raise RefreshRejected("revoked")
        return self.token() if self.rotates else replace(self.token(), refresh_token=session.refresh_token)

    def token(self) -> Token:
        serial = next(self._serial)
        now = self.clock.now()
        return Token(
            id_token=SecretStr(f"id-{serial}"),
            access_token=SecretStr(f"access-{serial}"),
            refresh_token=SecretStr(f"refresh-{serial}"),
            claims={"iat": int(now.wall), "exp": int(now.wall + self.life), "email": "me@example.com"},
            arrived=now,
            lifetime=self.life,
            renew_after=lifetime.renew_after(self.life, 0.0, POLICY),
        )


def new_manager(
    issuer: ScriptedIssuer,
    profiles: Mapping[str, Profile] | None = None,
    store: Store | None = None,
    *,
    patience: float = 15.0,
    defects: Defects | None = None,
    **options: Any,
) -> TokenManager:
    """A manager on the issuer's clock, of one profile and without a store unless the test has others."""
    clock = issuer.clock
    kept = store or MemoryStore(lambda: clock.wall)
    return TokenManager(
        issuer,
        {"default": PROFILE} if profiles is None else profiles,
        lambda _: kept,
        Terms(clock, lambda: 0.5, POLICY, patience, defects or Defects()),
        **options,
    )
