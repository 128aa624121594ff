"""The way of one request: plan, credential, upstream, response."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import TypeAlias

from proxy.errors import InternalError, Overloaded, ProxyError, RequestError, Source
from proxy.errors.defects import Defects, Where
from proxy.forward import headers, read_only, relay, request_ids
from proxy.forward.operation_name import operation_name
from proxy.forward.plan import ForwardPlan, OwnPlan, PreflightPlan, RefusedPlan
from proxy.forward.planner import Planner
from proxy.forward.policy import Policy
from proxy.forward.problems import error_response
from proxy.forward.replay import HeldBody
from proxy.forward.retry import exchange
from proxy.forward.routes import RouteTable
from proxy.http.buffers import Buffers
from proxy.http.client.transport import Transport, UpstreamRequest
from proxy.http.grammar import SWITCHING_PROTOCOLS
from proxy.http.grammar.fields import Headers
from proxy.http.response import Response
from proxy.http.server.request import ServerRequest
from proxy.identity.credentials import Credentials
from proxy.model import OWN, RequestRecord

log = logging.getLogger(__name__)

_UPSTREAM = Source.UPSTREAM.value
"""Enumerations are too slow to look into for every request."""
_NOT_LET_IN = (401, 403)

CLIENT_LEFT = 499
"""The status that a log line shows for a caller who left before the response began."""


Interceptor: TypeAlias = Callable[[ServerRequest, RequestRecord, Transport], Transport]
"""Hears of every request as it begins, and stands in for the transport on its way."""


class Forwarder:
    """Answers every request that a caller sends, in one way or another."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        credentials: Credentials,
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
        self._planner = Planner(policy, routes, credentials, own_alone=own_alone)
        self._routes = routes
        self._transport = transport
        self._own = own
        self._held = read_only.held(replay_limit, read_only=policy.read_only)
        self._buffers = buffers

    async def handle(self, request: ServerRequest) -> None:
        """Answer one request; whatever goes wrong becomes a response, or a broken connection once one has begun."""
        record = RequestRecord(request.method, perf_counter())
        transport = self._transport if self.interceptor is None else self.interceptor(request, record, self._transport)
        try:
            plan = self._planner.plan(request.head, secure=request.secure)
            record.path = plan.path
            if isinstance(plan, PreflightPlan):
                request.answer(plan.response)
                return
            admission = plan.admission
            record.request_id, id_line = (admission.request_id, b"") if admission.request_id else next(self._ids)
            if isinstance(plan, OwnPlan):
                await self._answer_own(request, record, plan)
            elif request.over_limit:
                raise Overloaded("there are too many connections to the proxy", retry_after=1)
            else:
                record.route, record.graphql = plan.route.path or "/", plan.route.graphql
                if isinstance(plan, RefusedPlan):
                    raise plan.error.again()
                id_line = b"" if admission.numbered else id_line
                await self._forward(request, record, plan, id_line, transport)
        except ProxyError as error:
            self._refuse(request, error, record)
        except ConnectionError:
            request.abort()
        except Exception:  # a defect must cost one request, not the connection's response to it
            log.exception("answering %s met a defect", request.method)
            self._refuse(request, InternalError("the proxy met a defect"), record)
        finally:
            record.ended = perf_counter()
            self._conclude(request, record)

    def refuse(self, request: ServerRequest, error: ProxyError) -> None:
        """Answer what could not be read as a request."""
        record = RequestRecord(request.method, perf_counter())
        self._refuse(request, error, record)
        record.ended = perf_counter()
        self._conclude(request, record)

    async def _answer_own(self, request: ServerRequest, record: RequestRecord, plan: OwnPlan) -> None:
        """Answer a request about the proxy itself."""
        request.own = True
        record.route = OWN
        response = await self._own(request.method, plan.endpoint, plan.profile, request.head.fields.lines)
        response = response._replace(headers=response.headers + plan.admission.own)
        if response.pieces is None:
            request.answer(response)
        else:
            record.relaying = perf_counter()
            await request.stream(response, response.pieces)

    async def _forward(
        self, request: ServerRequest, record: RequestRecord, plan: ForwardPlan, id_line: bytes, transport: Transport
    ) -> None:
        """Have an upstream answer; `id_line` is as `ForwardPlan.head` has it."""
        body = self._body_of(request, plan) if request.has_content else None
        try:
            if plan.reads_document:
                await read_only.check_document(request, plan, body)
            record.profile = plan.profile
            fields = request.head.fields
            outgoing = UpstreamRequest(
                request.method, plan.route.upstream, b"", relay.informer(request), body, fields.chunked, fields.upgrade
            )
            try:
                response, content = await exchange(outgoing, plan, id_line, transport, record)
            finally:
                if record.graphql and record.asked:
                    record.operation = operation_name(plan.query, None if body is None else body.known)
            record.source = _UPSTREAM
            try:
                if response.head.status == SWITCHING_PROTOCOLS:
                    await relay.tunnel(response, request, record)
                elif not relay.begin(response, content, request, plan, self._routes):
                    await relay.rest(response, request, record)
            finally:
                response.close()
        finally:
            if body is not None:
                body.close()
        if self._defects.in_a_row:
            self._defects.went_well()

    def _body_of(self, request: ServerRequest, plan: ForwardPlan) -> HeldBody:
        """Hold the content of a request so that it can be sent again."""
        replaces = plan.credential.replaces
        return HeldBody(
            request.read,
            self._held,
            self._buffers,
            at_hand=request.at_hand,
            trailers=lambda: headers.trailers(request.trailers(), replaces),
        )

    def _refuse(self, request: ServerRequest, error: ProxyError, record: RequestRecord) -> None:
        if isinstance(error, InternalError):
            self._defects.met(Where.OWN_ENDPOINTS if request.own else Where.ANSWERING, request=not request.own)
        record.source = error.source.value
        record.code, record.detail, record.hint = error.code, error.detail, error.hint
        record.request_id = record.request_id or request_ids.given(request.head.fields.lines)[0] or next(self._ids)[0]
        if record.path == RequestRecord.path and not isinstance(error, InternalError):
            # A caller who was not let in has no plan. What met a defect is not asked again.
            with suppress(ProxyError):
                record.path = self._planner.path(request.head)
        request.refused = error.status in _NOT_LET_IN
        if isinstance(error, RequestError):
            # What cannot be judged may be read in another way: nothing that follows it is believed.
            request.close()
        if request.status:
            # The head is out: only a broken connection can tell the caller now.
            request.abort()
            return
        response = error_response(error, graphql=record.graphql, request_id=record.request_id)
        besides = self._planner.refusal_fields(request.head, secure=request.secure)
        request.answer(response._replace(headers=response.headers + besides))

    def _conclude(self, request: ServerRequest, record: RequestRecord) -> None:
        """Note a request that has ended."""
        record.status = request.status or CLIENT_LEFT
        record.received = request.received
        record.sent = request.sent
        self._note(record)
