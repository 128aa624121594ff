"""Whether a request is let in, and which way it takes: judged once of a head that callers repeat."""

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from proxy.errors import ClientTokenRequired, NoRoute
from proxy.forward import graphql, guard, headers, profile_choice, request_ids
from proxy.forward.policy import Policy
from proxy.forward.profile_choice import Choice, chosen
from proxy.forward.replay import HeldBody
from proxy.forward.route import Auth, Route
from proxy.forward.routes import RouteTable, parse_target
from proxy.http.grammar import Fields, RequestHead, field_lines, request_line
from proxy.http.grammar.fields import Header
from proxy.http.response import Response
from proxy.http.server.request import ServerRequest

REMEMBERED = 1280
"""Heads, field sections and targets, each, of which is remembered what becomes of them: callers send the same again and
again, a thousand profiles each with a header of its own."""
_REMEMBERED_TARGET = 512
"""Characters of the longest target of which is remembered where it leads: callers ask for the same again and again."""
JUDGED = 1 << 20
"""Bytes of the largest content that is judged."""

_TOKEN_OF_ITS_OWN = re.compile(r"(?:/@[A-Za-z0-9_-]+)?/-/aws-credentials(?:\?.*)?", re.DOTALL)
"""What wants a token in Authorization that is not the client token, and whose callers can send no other field."""


class Admission(NamedTuple):
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
        return f"Admission({self.origin!r})"


@dataclass(slots=True, eq=False)
class Plan:
    """All that the head of a request says of its way, once its caller is let in."""

    admission: Admission
    choice: Choice = field(repr=False)
    """The profile, and the target without what chose it."""
    path: str
    """As the caller wrote it, without the query, which may hold a secret of theirs."""
    route: Route | None = None
    """None where it is about the proxy itself."""
    line: bytes = field(default=b"", repr=False)
    """The request line for the upstream."""
    graphql: bool = False
    passed_fields_by_credential: dict[bytes | None, bytes] = field(default_factory=dict, repr=False)
    """What `Planner.crossing` said, by the name of the credential."""


class Planner:
    """Asks the guards about requests."""

    def __init__(self, policy: Policy, routes: RouteTable, *, own_alone: bool = False) -> None:
        """With `own_alone` no way leads anywhere but to the proxy's own endpoints."""
        self._policy = policy
        self._routes = routes
        self._own_alone = own_alone
        self.read_only = policy.read_only
        self._permissions = guard.Permissions(policy.allow, policy.deny)
        self._remembered = lru_cache(REMEMBERED)(self._plan)
        self._admission = lru_cache(REMEMBERED)(self._issue)
        self._passed_fields = lru_cache(REMEMBERED)(self._pass_fields)
        self._permitted = lru_cache(REMEMBERED)(self._permit)

    def plan(self, head: RequestHead, *, secure: bool) -> Plan:
        """The way of a request, which came by HTTPS where `secure`.

        Raises a CallerError where its caller is not let in, BadRequest, UnknownProfile, NotPermitted or NoRoute.
        """
        plan = self._remembered if _is_short(head.target) and head.fields.lasting else self._plan
        return plan(head, secure)

    def path(self, head: RequestHead) -> str:
        """What of a request's target may be told; raises BadRequest."""
        return self._origin_form(head).partition("?")[0]

    def preflight(self, head: RequestHead, *, secure: bool) -> Response | None:
        """The answer to a preflight, None to what is none; raises a CallerError."""
        lines = guard.preflight(head.fields.lines, self._policy, secure=secure)
        return None if lines is None else Response(204, lines, b"")

    def refused(self, caller: ServerRequest) -> tuple[Header, ...]:
        """What the answer to a caller carries who was not let in."""
        return guard.refusal_fields(caller.head.fields.lines, self._policy, secure=caller.secure)

    def passed_fields(self, head: RequestHead, plan: Plan, added: bytes | None) -> bytes:
        """The caller's field lines as they go upstream with a credential named `added`, but for that one."""
        assert plan.route is not None  # noqa: S101 - the proxy itself is asked nothing this way
        fields = head.fields
        cross = self._passed_fields if fields.lasting else self._pass_fields
        passed_fields = cross(fields, plan.route.upstream.authority, added, plan.admission.secure)
        # The very bytes that other targets share: a copy for each of them would be most of what is remembered.
        plan.passed_fields_by_credential[added] = passed_fields
        return passed_fields

    async def judge(self, caller: ServerRequest, plan: Plan, body: HeldBody | None) -> None:
        """Let a request through that reads, in read-only mode; raises ReadOnly."""
        fields = caller.head.fields
        if not guard.check_read_only(caller.method, graphql=plan.graphql, upgrade=fields.upgrade):
            return
        content = b""
        if body is not None:
            if any(name.lower() == b"expect" for name, _ in fields.lines):
                # Nothing goes upstream before the content has been judged.
                caller.inform(100, b"Continue", headers.to_caller(b"", {}))
            content = await body.whole(JUDGED)
        graphql.judge(caller.method, fields.lines, plan.choice.target.partition("?")[2], content, limit=JUDGED)

    def held(self, replay_limit: int) -> int:
        """How much of a content has to be held so that it can be sent again, and judged."""
        return max(replay_limit, JUDGED) if self._policy.read_only else replay_limit

    def _plan(self, head: RequestHead, secure: bool) -> Plan:
        written = self._origin_form(head)
        admission = self._admit(head.fields, written, secure)
        choice = chosen(written, admission.profile)
        plan = Plan(admission, choice, written.partition("?")[0])
        if choice.target.startswith(guard.OWN_PREFIX):
            return plan
        if self._own_alone:
            raise NoRoute("only the proxy's own endpoints are here", hint="Send other requests to `listen`.")
        permit = self._permitted if _is_short(choice.target) else self._permit
        plan.route, target = permit(head.method, choice.target)
        plan.line = request_line(head.method, target)
        plan.graphql = plan.route.auth is Auth.GRAPHQL
        return plan

    def _origin_form(self, head: RequestHead) -> str:
        """The target of a request, with its query; raises BadRequest."""
        guard.check_method(head.method)
        target, authority = parse_target(head.target)
        if authority is not None:
            for host in head.fields.hosts:
                guard.check_authority(authority, host)
        return target

    def _admit(self, fields: Fields, target: str, secure: bool) -> Admission:
        try:
            return self._admission(fields, secure) if fields.lasting else self._issue(fields, secure)
        except ClientTokenRequired:
            if not _TOKEN_OF_ITS_OWN.fullmatch(target):
                raise
            return self._issue(fields, secure, replace(self._policy, client_token=None))

    def _issue(self, fields: Fields, secure: bool, policy: Policy | None = None) -> Admission:
        host, lines, own, foreign = guard.admit(fields.lines, policy or self._policy, secure=secure)
        origin = (b"https://" if secure else b"http://") + host
        request_id, numbered = request_ids.given(lines)
        profile = profile_choice.named_in(fields.lines)
        return Admission(secure, origin, lines, own, field_lines(own + foreign), profile, request_id, numbered)

    def _permit(self, method: str, target: str) -> tuple[Route, str]:
        """The route of a target, and what to ask its upstream for."""
        ways = guard.readings(target.partition("?")[0])
        self._permissions.check(method, ways)
        if len(ways) > 1:
            guard.check_route(ways, lambda way: self._routes.match(way)[0])
        return self._routes.match(target)

    def _pass_fields(self, fields: Fields, authority: str, added: bytes | None, secure: bool) -> bytes:
        lines = headers.to_upstream(
            self._admit(fields, "", secure).headers,
            authority=authority,
            added=None if added is None else (added, b""),
            upgrade=fields.upgrade,
        )
        section = field_lines(lines if added is None else lines[:-1])
        return section + b"Transfer-Encoding: chunked\r\n" if fields.chunked else section


def _is_short(target: str) -> bool:
    return len(target) <= _REMEMBERED_TARGET
