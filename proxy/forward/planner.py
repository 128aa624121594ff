"""The planner: judges the head of a request, once for a head that callers repeat."""

import re
from dataclasses import replace
from functools import lru_cache

from proxy.errors import ClientTokenRequired, NoRoute, ReadOnly, UnknownProfile
from proxy.forward import guard, headers, profile_choice, request_ids
from proxy.forward.plan import Admission, ForwardPlan, OwnPlan, Plan, PreflightPlan, RefusedPlan
from proxy.forward.policy import Policy
from proxy.forward.profile_choice import chosen
from proxy.forward.route import Route
from proxy.forward.routes import RouteTable, parse_target
from proxy.http.grammar import Fields, RequestHead, field_lines, request_line
from proxy.http.grammar.fields import Header
from proxy.http.response import Response
from proxy.identity.credentials import Credentials

REMEMBERED = 1280
"""Heads, field sections and targets, each, whose plan or part of a plan is kept: callers send the same ones again and
again, and there may be a thousand profiles, each chosen by a header of its own."""
_REMEMBERED_TARGET = 512
"""Characters of the longest target that is kept."""

_TOKEN_OF_ITS_OWN = re.compile(r"(?:/@[A-Za-z0-9_-]+)?/-/aws-credentials(?:\?.*)?", re.DOTALL)
"""The endpoint that wants another token than the client token in Authorization: its callers can send no other field."""


class Planner:
    """Asks the guards, the routes and the credentials about requests."""

    def __init__(
        self, policy: Policy, routes: RouteTable, credentials: Credentials, *, own_alone: bool = False
    ) -> None:
        """With `own_alone` only the proxy's own endpoints are here."""
        self._policy = policy
        self._routes = routes
        self._credentials = credentials
        self._own_alone = own_alone
        self._permissions = guard.Permissions(policy.allow, policy.deny)
        self._remembered = lru_cache(REMEMBERED)(self._plan)
        self._admission = lru_cache(REMEMBERED)(self._issue)
        self._passed_fields = lru_cache(REMEMBERED)(self._pass_fields)
        self._permitted = lru_cache(REMEMBERED)(self._permit)

    def plan(self, head: RequestHead, *, secure: bool) -> Plan:
        """Make the plan for a request, which came by HTTPS where `secure`.

        Raises a CallerError where its caller is not let in, BadRequest, UnknownProfile, NotPermitted or NoRoute.
        """
        plan = self._remembered if _is_short(head.target) and head.fields.lasting else self._plan
        return plan(head, secure)

    def path(self, head: RequestHead) -> str:
        """Read a request's target without its query, which may hold a secret; raises BadRequest."""
        return self._origin_form(head).partition("?")[0]

    def refusal_fields(self, head: RequestHead, *, secure: bool) -> tuple[Header, ...]:
        """Make what a response carries besides where its caller was not let in."""
        return guard.refusal_fields(head.fields.lines, self._policy, secure=secure)

    def _plan(self, head: RequestHead, secure: bool) -> Plan:
        target = self._origin_form(head)
        if head.method == "OPTIONS":
            lines = guard.preflight(head.fields.lines, self._policy, secure=secure)
            if lines is not None:
                return PreflightPlan(target.partition("?")[0], Response(204, lines, b""))
        admission = self._admit(head.fields, target, secure)
        choice = chosen(target, admission.profile)
        if choice.target.startswith(guard.OWN_PATHS):
            return OwnPlan(target.partition("?")[0], admission, choice.name, choice.target.partition("?")[0])
        if self._own_alone:
            raise NoRoute("only the proxy's own endpoints are here", hint="Send other requests to `listen`.")
        permit = self._permitted if _is_short(choice.target) else self._permit
        route, upstream_target = permit(head.method, choice.target)
        path, _, query = target.partition("?")
        try:
            reads_document = self._reads_document(head, route)
            credential = self._credentials.of(choice.name, route.auth, route.header)
        except (ReadOnly, UnknownProfile) as error:
            # A copy: the traceback of the error itself would keep all of these frames.
            return RefusedPlan(path, admission, route, error.again())
        pass_fields = self._passed_fields if head.fields.lasting else self._pass_fields
        return ForwardPlan(
            path=path,
            admission=admission,
            profile=choice.name,
            prefix=choice.prefix,
            query=query,
            route=route,
            credential=credential,
            line=request_line(head.method, upstream_target),
            # The very bytes that other targets share: a copy for each of them would be most of what is remembered.
            fields=pass_fields(admission, head.fields, route.upstream.authority, credential.replaces),
            reads_document=reads_document,
        )

    def _reads_document(self, head: RequestHead, route: Route) -> bool:
        """Tell whether the document of a GraphQL request must be judged; raises ReadOnly where the head says enough."""
        return self._policy.read_only and guard.check_read_only(
            head.method, graphql=route.graphql, upgrade=head.fields.upgrade
        )

    def _origin_form(self, head: RequestHead) -> str:
        """Read the target of a request, with its query; raises BadRequest."""
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
        """Find the route of a target, and what to ask its upstream for."""
        ways = guard.readings(target.partition("?")[0])
        self._permissions.check(method, ways)
        if len(ways) > 1:
            guard.check_route(ways, lambda way: self._routes.match(way)[0])
        return self._routes.match(target)

    def _pass_fields(self, admission: Admission, fields: Fields, authority: str, replaces: frozenset[bytes]) -> bytes:
        """Write the caller's field lines for `authority`, beside a credential that `replaces` some of them."""
        lines = headers.to_upstream(admission.headers, authority=authority, replaces=replaces, upgrade=fields.upgrade)
        section = field_lines(lines)
        return section + b"Transfer-Encoding: chunked\r\n" if fields.chunked else section


def _is_short(target: str) -> bool:
    return len(target) <= _REMEMBERED_TARGET
