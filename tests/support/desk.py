"""An account, and a place for the commands of somebody who has it."""

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.identity.cognito import totp
from support.account import ALIAS, REAL_NAME
from support.commands import Outcome, kept_in, settings_for, ul_proxy
from support.screen import Screen, terminal
from support.served import Served, serving
from support.stack import PASSWORD, SIGNER


@dataclass
class Desk:
    """An account, and a place for its commands to run in."""

    cognito: EmbeddedCognito
    env: dict[str, str]
    folder: Path

    @property
    def user(self) -> User:
        return self.cognito.pool.accounts.users[0]

    def configure(self, **changes: Any) -> None:
        self.cognito.pool.config = replace(self.cognito.pool.config, **changes)

    def login(self, *flags: str, **env: str) -> AbstractAsyncContextManager[Screen]:
        return terminal("login", *flags, env=self.env | env, cwd=self.folder)

    async def run(self, *argv: str, typed: str | None = None, **env: str) -> Outcome:
        return await ul_proxy(*argv, env=self.env | env, cwd=self.folder, typed=typed)

    @property
    def newest_code(self) -> str:
        return self.cognito.outbox[-1].code

    def app_code(self, secret: str | None = None) -> str:
        """What an authenticator app shows now."""
        key = totp.parse_secret(SecretStr(secret or self.user.totp_secret or ""))
        return totp.code(key, totp.step_at(time.time()))

    @property
    def session_kept(self) -> bool:
        return "sessions.json" in kept_in(self.folder)

    def serve(self, *flags: str, **env: str) -> AbstractAsyncContextManager[Served]:
        """The proxy, with a line for every request in its log."""
        return serving(self.env | env, *flags)

    async def keep_session(self) -> None:
        """What `ul-proxy login` does, without a terminal."""
        outcome = await self.run("login", "--no-input", UL_PROXY_USERNAME=ALIAS, UL_PROXY_PASSWORD=PASSWORD)
        assert (outcome.status, outcome.err) == (0, "")


@asynccontextmanager
async def desk_in(folder: Path) -> AsyncIterator[Desk]:
    """A desk with a pool of one user, who is called REAL_NAME and signs in as ALIAS."""
    cognito = EmbeddedCognito(PoolConfig(), [User(REAL_NAME, PASSWORD, email=ALIAS)], signer=SIGNER)
    async with cognito.running() as url:
        yield Desk(cognito, settings_for(folder, url), folder)
