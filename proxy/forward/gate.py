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
_REMEMBERED_TARGET = 512
"""Characters of the longest target of which is remembered where it leads: callers ask for the same again and again."""
JUDGED = 1 << 20
"""Bytes of the largest content that is judged."""

_TOKEN_OF_ITS_OWN = re.compile(r"(?:/@[A-Za-z0-9_-]+)?/-/aws-credentials(?:\?.*)?", re.DOTALL)
"""What wants a token in Authorization that is not the client token, and whose callers can send no other field."""
_CONTINUE = Head(1, 100, b"Continue", b"", {})


@lru_cache(REMEMBERED)
def _read_target(method: str, target: str) -> tuple[str, str, str | None]:
    """The origin form of a target with its query and without, and the authority that an absolute one names."""
    guard.check_method(method)
    origin_form, authority = parse_target(target)
    return origin_form, origin_form.partition("?")[0], authority


class Passport(NamedTuple):
    """What is known of a caller who was let in."""

    secure: bool
    """They came by HTTPS."""
    origin: bytes
    """Of this proxy, as the caller knows it."""
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
        return f"Passport({self.origin!r})"


class Gate:
    """Asks the guards about requests."""

    def __init__(self, policy: Policy, routes: RouteTable) -> None:
        self._policy = policy
        self._routes = routes
        self.read_only = policy.read_only
        self._permissions = guard.Permissions(policy.allow, policy.deny)
        self._passport = lru_cache(REMEMBERED)(self._issue)
        self._crossing = lru_cache(REMEMBERED)(self._cross)
        self._permitted = lru_cache(REMEMBERED)(self._permit)

    def target(self, caller: Caller) -> tuple[str, str]:
        """The origin form of a request's target, with its query and without; raises BadRequest."""
        read = _read_target if len(caller.target) <= _REMEMBERED_TARGET else _read_target.__wrapped__
        target, path, authority = read(caller.method, caller.target)
        if authority is not None:
            for host in caller.fields.hosts:
                guard.check_authority(authority, host)
        return target, path

    def preflight(self, caller: Caller) -> Answer | None:
        """The answer to a preflight, None to what is none; raises a CallerError."""
        if caller.method != "OPTIONS":
            return None
        lines = guard.preflight(caller.fields.lines, self._policy, secure=caller.secure)
        return None if lines is None else Answer(204, lines, b"")

    def admit(self, fields: Fields, target: str = "", *, secure: bool = False) -> Passport:
        """What is known of a caller who asks for `target`, by HTTPS where `secure`.

        Raises a CallerError where it is not let in.
        """
        try:
            return self._passport(fields, secure) if fields.lasting else self._issue(fields, secure)
        except ClientTokenRequired:
            if not _TOKEN_OF_ITS_OWN.fullmatch(target):
                raise
            return self._issue(fields, secure, replace(self._policy, client_token=None))

    def refused(self, caller: Caller) -> tuple[Header, ...]:
        """What the answer to a caller carries who was not let in."""
        return guard.refusal_fields(caller.fields.lines, self._policy, secure=caller.secure)

    def permit(self, method: str, target: str, path: str) -> tuple[Route, str]:
        """The route of a target and what to ask its upstream for; `path` is the target without its query.

        Raises BadRequest, NotPermitted or NoRoute.
        """
        if len(target) <= _REMEMBERED_TARGET:
            return self._permitted(method, target, path)
        return self._permit(method, target, path)

    def _permit(self, method: str, target: str, path: str) -> tuple[Route, str]:
        ways = guard.readings(path)
        self._permissions.check(method, ways)
        if len(ways) > 1:
            guard.check_route(ways, lambda way: self._routes.match(way)[0])
        return self._routes.match(target)

    def crossing(self, fields: Fields, authority: str, added: bytes | None, *, secure: bool = False) -> bytes:
        """The caller's field lines as they go to `authority` with a credential named `added`, but for that one."""
        cross = self._crossing if fields.lasting else self._cross
        return cross(fields, authority, added, secure)

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

    def _issue(self, fields: Fields, secure: bool, policy: Policy | None = None) -> Passport:
        host, lines, own, foreign = guard.admit(fields.lines, policy or self._policy, secure=secure)
        origin = (b"https://" if secure else b"http://") + host
        request_id, numbered = request_ids.given(lines)
        profile = profiles.named_in(fields.lines)
        return Passport(secure, origin, lines, own, field_lines(own + foreign), profile, request_id, numbered)

    def _cross(self, fields: Fields, authority: str, added: bytes | None, secure: bool) -> bytes:
        lines = headers.to_upstream(
            self.admit(fields, secure=secure).headers,
            authority=authority,
            added=None if added is None else (added, b""),
            upgrade=fields.upgrade,
        )
        section = field_lines(lines if added is None else lines[:-1])
        return section + b"Transfer-Encoding: chunked\r\n" if fields.chunked else section
