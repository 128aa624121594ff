"""One-time codes: those that are sent, and those of authenticators."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from proxy.demo.accounts import User
from proxy.demo.protocol import Refusal, code_mismatch
from proxy.identity.cognito import totp

_KEPT = 1000
_TOLERANCE = 1
"""How many time steps an authenticator's clock may be off."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a user finds in their mailbox or on their phone."""

    to: str
    medium: str
    """`EMAIL` or `SMS`."""
    purpose: str
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Sent:
    code: str
    ends: float


class Codes:
    """All codes of a pool. `outbox` holds the last messages, the newest at its end. `now` is in wall seconds."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.outbox: deque[Message] = deque(maxlen=_KEPT)
        self._random = random
        self._sent: dict[tuple[str, str], _Sent] = {}
        self._used_steps: dict[str, int] = {}

    def send(self, user: User, medium: str, purpose: str) -> str:
        """Send a new code and return it."""
        code = f"{int.from_bytes(self._random(8), 'big') % 10**totp.DIGITS:0{totp.DIGITS}}"
        self.outbox.append(Message(user.email if medium == "EMAIL" else user.phone, medium, purpose, code))
        return code

    def send_for(self, user: User, purpose: str, ends: float) -> None:
        """Send a code by e-mail that is good until `ends`, in place of an earlier one."""
        self._sent[user.username, purpose] = _Sent(self.send(user, "EMAIL", purpose), ends)

    def redeem(self, user: User | None, purpose: str, code: str, now: float) -> User:
        """The user to whom `code` was sent for `purpose`; refuses a wrong and an ended one. It works once."""
        sent = self._sent.get((user.username, purpose)) if user is not None else None
        if user is None or sent is None or now >= sent.ends:
            raise Refusal("ExpiredCodeException", "Invalid code provided, please request a code again.")
        if code != sent.code:
            raise code_mismatch()
        del self._sent[user.username, purpose]
        return user

    def check_totp(self, user: User, secret: str, code: str, now: float) -> None:
        """Refuse a code that an authenticator with `secret` does not show around `now`, or that was used before."""
        key, around = totp.parse_secret(SecretStr(secret)), totp.step_at(now)
        steps = range(around - _TOLERANCE, around + _TOLERANCE + 1)
        step = next((step for step in steps if totp.code(key, step) == code), None)
        if step is None:
            raise code_mismatch()
        if step <= self._used_steps.get(user.username, -1):
            raise Refusal("ExpiredCodeException", "Your software token has already been used once.")
        self._used_steps[user.username] = step


def masked(user: User, medium: str) -> str:
    """Where a code went, as far as Cognito tells."""
    if medium == "SMS":
        return f"+*******{user.phone[-4:]}"
    name, _, domain = user.email.partition("@")
    return f"{name[:1]}***@{domain[:1]}***"
