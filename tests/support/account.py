"""The Cognito client alone, on real sockets, before an embedded pool with one account on it."""

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.http.options import OutboundProxies
from proxy.identity.cognito.flows import Cognito
from proxy.identity.profile import CognitoPool, Profile
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.model import Clock
from support.clock import FakeClock
from support.people import shown
from support.stack import PASSWORD, SIGNER, pool_of
from support.wire import PATIENCE

ALIAS = "pilot@example.com"
REAL_NAME = "7f3c0a52-real-name"
TOTP_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
CLIENT_SECRET = "1a2b3c4d5e6f7g8h9i0jklmnopqrstuv"

T = TypeVar("T")


def new_client(clock: Clock, *, ca_file: Path | None = None) -> Cognito:
    return Cognito(
        clock=clock,
        random=secrets.token_bytes,
        draw=lambda: 0.5,
        policy=RenewalPolicy(),
        timeout=2 * PATIENCE,
        outbound=OutboundProxies(),
        ca_file=ca_file,
    )


@dataclass
class Account:
    """One account, its pool and a client; all go by one clock, which stands still until it is moved."""

    cognito: EmbeddedCognito
    url: str
    clock: FakeClock
    client: Cognito

    @property
    def user(self) -> User:
        return self.cognito.pool.accounts.users[0]

    @property
    def authenticator(self) -> Callable[[], str]:
        """The user's authenticator app."""
        return shown(lambda: self.user.totp_secret or "", lambda: self.clock.wall)

    def configure(self, **changes: Any) -> None:
        self.cognito.pool.config = dataclasses.replace(self.cognito.pool.config, **changes)

    def profile(self, **changes: Any) -> Profile:
        """The account's settings; `changes` go to the profile or its pool by name."""
        pool = pool_of(self.cognito.pool.config, self.url)
        secret = self.cognito.pool.config.client_secret
        pool = dataclasses.replace(pool, client_secret=SecretStr(secret) if secret else None)
        of_pool = {name: changes.pop(name) for name in tuple(changes) if name in _POOL_FIELDS}
        profile = Profile("default", dataclasses.replace(pool, **of_pool), ALIAS, SecretStr(PASSWORD))
        return dataclasses.replace(profile, **changes)

    def parameters(self, operation: str) -> list[Any]:
        """What the calls of `operation` said, in order."""
        return [call.parameters for call in self.cognito.calls if call.operation == operation]

    async def finish(self, work: Coroutine[Any, Any, T], *, most: float = 300.0) -> T:
        """The result of `work`, letting the clock run as far as that takes, `most` seconds at most."""
        task = asyncio.create_task(work)
        end = self.clock.monotonic + most
        while not task.done() and self.clock.monotonic < end:
            # Answers on their way come first: only who sleeps is waited for with the clock.
            await asyncio.sleep(0.002)
            if self.clock.sleeping:
                await self.clock.advance(0.5)
        async with asyncio.timeout(PATIENCE):
            return await task


@asynccontextmanager
async def account(user: User | None = None, **config: Any) -> AsyncIterator[Account]:
    """A pool with `config` that knows `user`, by default one who is called REAL_NAME and signs in as ALIAS."""
    clock = FakeClock()
    user = user or User(REAL_NAME, PASSWORD, email=ALIAS)
    cognito = EmbeddedCognito(PoolConfig(**config), [user], clock=lambda: clock.wall, signer=SIGNER)
    client = new_client(clock)
    async with cognito.running() as url:
        try:
            yield Account(cognito, url, clock, client)
        finally:
            await client.close()


_POOL_FIELDS = {field.name for field in dataclasses.fields(CognitoPool)}
