"""The way of one request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from time import perf_counter
from typing import TypeAlias

from proxy.errors import InternalError, Overloaded, ProxyError, RequestError, Source, UnknownProfile
from proxy.errors.defects import Defects, Where
from proxy.forward import headers, request_ids
from proxy.forward.credentials import Credential, Credentials
from proxy.forward.operation import operation_name
from proxy.forward.plan import Plan, Planner
from proxy.forward.policy import Policy
from proxy.forward.problems import error_response
from proxy.forward.refusal import REFUSALS, may_refuse_token, refuses_token, whole
from proxy.forward.replay import HeldBody
from proxy.forward.route import Route
from proxy.forward.routes import RouteTable
from proxy.http.buffers import Buffers
from proxy.http.client.transport import Transport, UpstreamAnswer, UpstreamRequest
from proxy.http.grammar import Head, field_lines, lines_of
from proxy.http.grammar.fields import Headers
from proxy.http.response import Response
from proxy.http.server.request import ServerRequest
from proxy.identity.profile import Profile
from proxy.identity.tokens.manager import TokenManager
from proxy.model import OWN, RequestRecord

log = logging.getLogger(__name__)

# Enumerations are too slow to look into for every request.
_UPSTREAM = Source.UPSTREAM.value
_SWITCHING_PROTOCOLS, _CREATED, _REDIRECTION = 101, 201, 3

_NOT_LET_IN = (401, 403)

CLIENT_LEFT = 499
"""The status that a log line shows for a caller who left before the answer began."""


Interceptor: TypeAlias = Callable[[ServerRequest, RequestRecord, Transport], Transport]
"""Looks on: is told of every request as it begins, and stands in for the transport on its way."""


class Forwarder:
    """Answers every request that a caller sends, in one way or another."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        profiles: Mapping[str, Profile],
        keeper: TokenManager,
        transport: Transport,
        own: Callable[[str, str, str, Headers], Awaitable[Response]],
        own_alone: bool = False,
        policy: Policy,
        replay_limit: int,
        buffers: Buffers,
        note: Callable[[RequestRecord], None],
        ids: Iterator[tuple[str, bytes]],
        defects: Defects,
    ) -> None:
        """`own(method, path, profile, headers)` answers the proxy's own endpoints; `note` hears of every request.

        The `profile` is a name that a request chose: there may be none such. With `own_alone` nothing is forwarded.
        `ids` are as `request_ids.made` has them.
        """
        self.interceptor: Interceptor | None = None
        self._note = note
        self._ids = ids
        self._defects = defects
        self._planner = Planner(policy, routes, own_alone=own_alone)
        self._routes = routes
        self._profiles = profiles
        self._keeper = keeper
        self._credentials: dict[str, Credentials] = {}
        self._transport = transport
        self._own = own
        self._held = self._planner.held(replay_limit)
        self._buffers = buffers

    async def handle(self, caller: ServerRequest) -> None:
        """Answer one request; whatever goes wrong becomes an answer, or a broken connection once one has begun."""
        entry = RequestRecord(caller.method, perf_counter())
        transport = self._transport if self.interceptor is None else self.interceptor(caller, entry, self._transport)
        try:
            if caller.method == "OPTIONS" and self._answer_preflight(caller, entry):
                return
            plan = self._planner.plan(caller.head, secure=caller.secure)
            entry.path = plan.path
            admission = plan.admission
            entry.request_id, line = (admission.request_id, b"") if admission.request_id else next(self._ids)
            if plan.route is None:
                await self._answer_own(caller, entry, plan)
            elif caller.over_limit:
                raise Overloaded("there are too many connections to the proxy", retry_after=1)
            else:
                line = b"" if admission.numbered else line
                await self._forward(caller, entry, plan, plan.route, line, transport)
        except ProxyError as error:
            self._refuse(caller, error, entry)
        except ConnectionError:
            caller.abort()
        except Exception:  # a defect must cost one request, not the connection's answer to it
            log.exception("answering %s met a defect", caller.method)
            self._refuse(caller, InternalError("the proxy met a defect"), entry)
        finally:
            entry.ended = perf_counter()
            self._conclude(caller, entry)

    def refuse(self, caller: ServerRequest, error: ProxyError) -> None:
        """Answer what could not be read as a request."""
        entry = RequestRecord(caller.method, perf_counter())
        self._refuse(caller, error, entry)
        entry.ended = perf_counter()
        self._conclude(caller, entry)

    def _answer_preflight(self, caller: ServerRequest, entry: RequestRecord) -> bool:
        """Answer what is a preflight; whether it was one."""
        entry.path = self._planner.path(caller.head)
        answer = self._planner.preflight(caller.head, secure=caller.secure)
        if answer is not None:
            caller.answer(answer)
        return answer is not None

    async def _answer_own(self, caller: ServerRequest, entry: RequestRecord, plan: Plan) -> None:
        """Answer a request about the proxy itself."""
        caller.own = True
        entry.route = OWN
        path = plan.choice.target.partition("?")[0]
        answer = await self._own(caller.method, path, plan.choice.name, caller.head.fields.lines)
        answer = answer._replace(headers=answer.headers + plan.admission.own)
        if answer.pieces is None:
            caller.answer(answer)
        else:
            entry.relaying = perf_counter()
            await caller.stream(answer, answer.pieces)

    async def _forward(  # noqa: PLR0917 - keywords take their time
        self, caller: ServerRequest, entry: RequestRecord, plan: Plan, route: Route, line: bytes, transport: Transport
    ) -> None:
        """Have an upstream answer; `line` is a field that it is to get besides."""
        entry.route = route.path or "/"
        entry.graphql = plan.graphql
        if not caller.has_content:
            await self._exchange(caller, entry, plan, route, line, transport, None)
            return
        body = HeldBody(caller.read, self._held, self._buffers, at_hand=caller.at_hand)
        try:
            await self._exchange(caller, entry, plan, route, line, transport, body)
        finally:
            body.close()

    async def _exchange(  # noqa: PLR0917 - keywords take their time
        self,
        caller: ServerRequest,
        entry: RequestRecord,
        plan: Plan,
        route: Route,
        line: bytes,
        transport: Transport,
        body: HeldBody | None,
    ) -> None:
        """Send the request with its credential, once more where that is refused, and pass on the answer."""
        if self._planner.read_only:
            await self._planner.judge(caller, plan, body)
        name = plan.choice.name
        credentials = self._credentials.get(name) or self._credentials_of(name)
        entry.profile = name
        credential = credentials.at_hand(route) or await credentials.get(route)
        if body is not None:
            body.trailers = lambda: headers.trailers(caller.trailers(), credential.name)
        fields = caller.head.fields
        request = UpstreamRequest(
            caller.method,
            route.upstream,
            self._head(caller, plan, credential, line),
            _inform(caller),
            body,
            fields.chunked,
            fields.upgrade,
        )
        entry.asked = perf_counter()
        try:
            answer = await transport.send(request)
        finally:
            entry.answered = perf_counter()
            if plan.graphql:
                query = plan.choice.target.partition("?")[2]
                entry.operation = operation_name(query, None if body is None else body.known)
        try:
            prefix = b""
            status = answer.head.status
            if credential.token is not None and status in REFUSALS:
                prefix = await whole(answer) if may_refuse_token(answer.head) else b""
                if refuses_token(answer.head, prefix) and _renewable(credentials, credential, request):
                    answer.close()
                    credential = await credentials.get(route)
                    request.head = self._head(caller, plan, credential, line)
                    answer, prefix = await _ask_again(transport, request, entry), b""
                    status = answer.head.status
            entry.source = _UPSTREAM
            if status == _SWITCHING_PROTOCOLS:
                entry.relaying = perf_counter()
                await _tunnel(answer, caller)
            else:
                self._begin(answer, caller, plan, route)
                data = prefix + answer.take() if prefix else answer.take()
                if not answer.ended:
                    entry.relaying = perf_counter()
                    caller.write(data)
                    # It must not wait here for as long as the rest takes.
                    data = prefix = b""
                    data = await _stream(answer, caller)
                caller.finish(data, headers.trailers(answer.trailers))
        finally:
            answer.close()
        if self._defects.in_a_row:
            self._defects.went_well()

    def _head(self, caller: ServerRequest, plan: Plan, credential: Credential, line: bytes) -> bytes:
        """The head of a request as it goes upstream."""
        name = credential.name
        passed_fields = plan.passed_fields_by_credential.get(name) or self._planner.passed_fields(
            caller.head, plan, name
        )
        return b"".join((plan.line, passed_fields, credential.line, line, b"\r\n"))

    def _credentials_of(self, name: str) -> Credentials:
        """The credentials of a profile that asks for the first time; raises UnknownProfile."""
        profile = self._profiles.get(name)
        if profile is None:
            raise UnknownProfile("there is no such profile", hint="List the profiles with `ul-proxy config`.")
        made = self._credentials[name] = Credentials(profile, self._keeper)
        return made

    def _begin(self, answer: UpstreamAnswer, caller: ServerRequest, plan: Plan, route: Route) -> None:
        """Pass on the head of an answer."""
        _, status, reason, section, proxy_fields = answer.head
        admission = plan.admission
        section = headers.to_caller(section, proxy_fields)
        if b"location" in proxy_fields and (status // 100 == _REDIRECTION or status == _CREATED):
            below = plan.choice.prefix
            section = field_lines(self._routes.localised(lines_of(section), route, here=admission.origin, below=below))
        caller.begin(status, reason, section + admission.foreign, sized=b"content-length" in proxy_fields)

    def _refuse(self, caller: ServerRequest, error: ProxyError, entry: RequestRecord) -> None:
        if isinstance(error, InternalError):
            self._defects.met(Where.OWN_ENDPOINTS if caller.own else Where.ANSWERING, request=not caller.own)
        entry.source = error.source.value
        entry.code, entry.detail, entry.hint = error.code, error.detail, error.hint
        entry.request_id = entry.request_id or request_ids.given(caller.head.fields.lines)[0] or next(self._ids)[0]
        if entry.path == RequestRecord.path and not isinstance(error, InternalError):
            # Who was not let in has no plan. What met a defect is not asked again.
            with suppress(ProxyError):
                entry.path = self._planner.path(caller.head)
        caller.refused = error.status in _NOT_LET_IN
        if isinstance(error, RequestError):
            # What cannot be judged may be read in another way: nothing that follows it is believed.
            caller.close()
        if caller.status:
            # The head is out: only a broken connection can tell the caller now.
            caller.abort()
            return
        answer = error_response(error, graphql=entry.graphql, request_id=entry.request_id)
        caller.answer(answer._replace(headers=answer.headers + self._planner.refused(caller)))

    def _conclude(self, caller: ServerRequest, entry: RequestRecord) -> None:
        """Note a request that has ended."""
        entry.status = caller.status or CLIENT_LEFT
        entry.received = caller.received
        entry.sent = caller.sent
        self._note(entry)


def _renewable(credentials: Credentials, credential: Credential, request: UpstreamRequest) -> bool:
    """Whether a request can be sent again with a credential that was not refused."""
    token, body = credential.token, request.body
    return token is not None and credentials.reject(token) and (body is None or body.replayable)


def _inform(caller: ServerRequest) -> Callable[[Head], None]:
    """What passes an upstream's 1xx answers on."""

    def inform(head: Head) -> None:
        caller.inform(head.status, head.reason, headers.to_caller(head.section, head.proxy_fields))

    return inform


async def _ask_again(transport: Transport, request: UpstreamRequest, entry: RequestRecord) -> UpstreamAnswer:
    """Send a request for the second time; what went between the two is the proxy's own share."""
    entry.asked += perf_counter() - entry.answered
    try:
        return await transport.send(request)
    finally:
        entry.answered = perf_counter()


async def _stream(answer: UpstreamAnswer, caller: ServerRequest) -> bytes:
    """Pass on the content of an answer as it arrives, but for the last of it."""
    await caller.drain()
    while True:
        data = await answer.read()
        if answer.ended:
            return data
        caller.write(data)
        # What has been written must not wait here as well.
        del data
        await caller.drain()


async def _tunnel(answer: UpstreamAnswer, caller: ServerRequest) -> None:
    """Carry bytes both ways until both ends have closed their direction."""
    _, status, reason, section, proxy_fields = answer.head
    caller.begin(status, reason, headers.switching(section, proxy_fields), sized=False)
    caller.write(b"")
    caller.open_tunnel()

    async def outwards() -> None:
        while data := await caller.read_tunnel():
            answer.write(data)
            await answer.drain()
        answer.write_eof()

    outward = asyncio.create_task(outwards())
    try:
        while data := await answer.read():
            caller.write(data)
            await caller.drain()
        caller.close_tunnel()
        await outward
    finally:
        outward.cancel()
