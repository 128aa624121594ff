"""Somebody at a terminal, as far as a sign-in can tell."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import SecretStr

from proxy.demo.cognito import EmbeddedCognito
from proxy.identity.cognito import totp
from proxy.identity.cognito.asking import CodeRequest

Reply: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""What a person says: a text, or whatever comes of looking it up."""


@dataclass
class Person:
    """Answers each kind of question with the next of its `replies`, and remembers what was `asked`."""

    replies: dict[str, deque[Reply]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    totp_secret: str = ""
    otpauth_uri: str = ""

    @classmethod
    def who_says(cls, **replies: Sequence[Reply] | Reply) -> "Person":
        """The replies by question; a single one is given every time."""
        return cls({name: _deque(given) for name, given in replies.items()})

    def questions(self, kind: str) -> list[Any]:
        """What was asked of one kind, in order."""
        return [detail for asked, detail in self.asked if asked == kind]

    async def username(self) -> str:
        return await self._reply("username", None)

    async def password(self, username: str, *, again: bool) -> SecretStr:
        return SecretStr(await self._reply("password", (username, again)))

    async def code(self, request: CodeRequest) -> str:
        return await self._reply("code", request)

    async def new_password(self, challenge: str, complaint: str | None) -> SecretStr:
        return SecretStr(await self._reply("new_password", (challenge, complaint)))

    async def attribute(self, name: str, *, again: bool) -> str:
        return await self._reply("attribute", (name, again))

    async def choose(self, challenge: str, options: Sequence[str]) -> str:
        return await self._reply("choose", (challenge, tuple(options)))

    async def show_totp_secret(self, secret: SecretStr, otpauth_uri: SecretStr) -> None:
        self.asked.append(("show_totp_secret", None))
        self.totp_secret, self.otpauth_uri = secret.get_secret_value(), otpauth_uri.get_secret_value()

    async def remember_device(self) -> bool:
        return await self._reply("remember_device", None) == "yes"

    async def _reply(self, kind: str, detail: Any) -> str:
        self.asked.append((kind, detail))
        replies = self.replies[kind]
        reply = replies.popleft() if len(replies) > 1 else replies[0]
        if isinstance(reply, str):
            return reply
        found = reply()
        return found if isinstance(found, str) else await found


def newest_code(cognito: EmbeddedCognito) -> Callable[[], str]:
    """Looks into the mailbox or at the phone."""
    return lambda: cognito.outbox[-1].code


def shown(secret: Callable[[], str], now: Callable[[], float]) -> Callable[[], str]:
    """Looks at an authenticator app that was given a secret."""
    return lambda: totp.code(totp.parse_secret(SecretStr(secret())), totp.step_at(now()))


def _deque(given: Sequence[Reply] | Reply) -> deque[Reply]:
    return deque([given] if isinstance(given, str) or callable(given) else given)
