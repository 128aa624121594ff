"""Challenges that wait for their answer."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.demo.accounts import User
from proxy.demo.protocol import Params, not_authorized, text
from proxy.demo.srp_server import ServerExchange

_SESSION_BYTES = 96


@dataclass(frozen=True, slots=True)
class Pending:
    """One challenge. `known_as` is the name that SRP hashes; `user` is None for somebody who does not exist."""

    challenge: str
    known_as: str
    user: User | None
    session: str = field(repr=False)
    ends: float
    exchange: ServerExchange | None = None

    def is_for(self, name: str) -> bool:
        return name == self.known_as or (self.user is not None and self.user.answers_to(name))


class Challenges:
    """All challenges under way. `now` is in wall seconds."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._pending: dict[str, Pending] = {}

    def put(
        self,
        challenge: str,
        known_as: str,
        user: User | None,
        *,
        now: float,
        ends: float,
        key: str | None = None,
        exchange: ServerExchange | None = None,
    ) -> Pending:
        """Remember a challenge under `key`, or where that is None under its new session."""
        self._pending = {k: pending for k, pending in self._pending.items() if now < pending.ends}
        session = base64.urlsafe_b64encode(self._random(_SESSION_BYTES)).decode()
        pending = Pending(challenge, known_as, user, session, ends, exchange)
        self._pending[key or session] = pending
        return pending

    def take(self, key: str, params: Params, responses: Params, now: float) -> Pending:
        """The challenge under `key`, which is forgotten: there is one answer to it, right or wrong.

        Refuses an answer that comes too late, or from another user or session, or to another challenge.
        """
        pending = self._pending.pop(key, None)
        if pending is not None and now >= pending.ends:
            raise not_authorized("Invalid session for the user, session is expired.")
        if (
            pending is None
            or pending.challenge != params.get("ChallengeName")
            # Not every client hands the session of PASSWORD_VERIFIER back: the secret block stands for it.
            or params.get("Session", pending.session) != pending.session
            or not pending.is_for(text(responses, "USERNAME"))
        ):
            raise not_authorized("Invalid session for the user.")
        return pending
