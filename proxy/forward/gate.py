"""What the guards say of a request, remembered where it depends on what callers repeat."""

import re
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from proxy import graphql, guard, headers
from proxy.downstream import Caller
from proxy.errors import ClientTokenRequired
from proxy.forward import profiles, request_ids
from proxy.framing import Fields, Head, field_lines
from proxy.model import Auth, Header, Policy, Route
from proxy.problem import Answer
from proxy.replay import HeldBody
from proxy.routing import RouteTable, parse_target

REMEMBERED = 1280
"""Field sections of which is remembered what becomes of them: callers send the same lines again and again, a thousand
profiles each with a header of its own."""
JUDGED = 1 << 20
"""Bytes of the largest content that is judged."""

_TOKEN_OF_ITS_OWN = re.compile(r"(?:/@[A-Za-z0-9_-]+)?/-/aws-credentials(?:\?.*)?", re.DOTALL)
"""What wants a token in Authorization that is not the client token, and whose callers can send no other field."""
_CONTINUE = Head(1, 100, b"Continue", b"", [])


class Passport(NamedTuple):
    """What is known of a caller who was let in."""

    host: bytes
    headers: tuple[Header, ...]
    """The field lines that may go upstream."""
    own: tuple[Header, ...]
    """What the proxy's own answers carry besides."""
    foreign: bytes
    """What an upstream's answers carry besides, on the wire."""
    profile: str | None
    """The name of the profile that the field lines choose, if they choose any."""
    request_id: str
    """What the field lines call the request, empty where they have no good name for it."""
    numbered: bool
    """Whether the field lines carry a name of it upstream."""

    def __repr__(self) -> str:
        return f"Passport({self.host!r})"


class Gate:
    """Asks the guards about requests."""

    def __init__(self, policy: Policy, routes: RouteTable) -> None:
        self._policy = policy
        self._routes = routes
        self.read_only = policy.read_only
        self._permissions = guard.Permissions(policy.allow, policy.deny)
        self._passport = lru_cache(REMEMBERED)(self._issue)
        self._crossing = lru_cache(REMEMBERED)(self._cross)

    def target(self, caller: Caller) -> str:
        """The origin form of a request's target; raises BadRequest."""
        guard.check_method(caller.method)
        path, authority = parse_target(caller.target)
        if authority is not None:
            for host in caller.fields.hosts:
                guard.check_authority(authority, host)
        return path

    def preflight(self, caller: Caller) -> Answer | None:
        """The answer to a preflight, None to what is none; raises a CallerError."""
        if caller.method != "OPTIONS":
            return None
        lines = guard.preflight(caller.fields.lines, self._policy)
        return None if lines is None else Answer(204, lines, b"")

    def admit(self, fields: Fields, target: str = "") -> Passport:
        """What is known of a caller who asks for `target`; raises a CallerError where it is not let in."""
        try:
            return self._passport(fields) if fields.lasting else self._issue(fields)
        except ClientTokenRequired:
            if not _TOKEN_OF_ITS_OWN.fullmatch(target):
                raise
            return self._issue(fields, replace(self._policy, client_token=None))

    def refused(self, fields: Fields) -> tuple[Header, ...]:
        """What the answer to a caller carries who was not let in."""
        return guard.refusal_fields(fields.lines, self._policy)

    def permit(self, method: str, target: str, path: str) -> tuple[Route, str]:
        """The route of a target and what to ask its upstream for; `path` is the target without its query.

        Raises BadRequest, NotPermitted or NoRoute.
        """
        ways = guard.readings(path)
        self._permissions.check(method, ways)
        if len(ways) > 1:
            guard.check_route(ways, lambda way: self._routes.match(way)[0])
        return self._routes.match(target)

    def crossing(self, fields: Fields, authority: str, added: bytes | None) -> bytes:
        """The caller's field lines as they go to `authority` with a credential named `added`, but for that one."""
        cross = self._crossing if fields.lasting else self._cross
        return cross(fields, authority, added)

    async def judge(self, caller: Caller, route: Route, target: str, body: HeldBody | None) -> None:
        """Let a request through that reads, in read-only mode; raises ReadOnly."""
        fields = caller.fields
        is_graphql = route.auth is Auth.GRAPHQL
        if not guard.check_read_only(caller.method, graphql=is_graphql, upgrade=fields.upgrade):
            return
        content = b""
        if body is not None:
            if any(name.lower() == b"expect" for name, _ in fields.lines):
                # Nothing goes upstream before the content has been judged.
                caller.inform(_CONTINUE)
            content = await body.whole(JUDGED)
        graphql.judge(caller.method, fields.lines, target.partition("?")[2], content, limit=JUDGED)

    def held(self, replay_limit: int) -> int:
        """How much of a content has to be held so that it can be sent again, and judged."""
        return max(replay_limit, JUDGED) if self._policy.read_only else replay_limit

    def _issue(self, fields: Fields, policy: Policy | None = None) -> Passport:
        host, lines, own, foreign = guard.admit(fields.lines, policy or self._policy)
        request_id, numbered = request_ids.given(lines)
        profile = profiles.named_in(fields.lines)
        return Passport(host, lines, own, field_lines(own + foreign), profile, request_id, numbered)

    def _cross(self, fields: Fields, authority: str, added: bytes | None) -> bytes:
        lines = headers.to_upstream(
            self.admit(fields).headers,
            authority=authority,
            added=None if added is None else (added, b""),
            upgrade=fields.upgrade,
        )
        section = field_lines(lines if added is None else lines[:-1])
        return section + b"Transfer-Encoding: chunked\r\n" if fields.chunked else section
