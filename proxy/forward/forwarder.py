"""The way of one request."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache

from proxy import guard, headers
from proxy.downstream import Caller
from proxy.errors import InternalError, Overloaded, ProxyError, Source
from proxy.forward.credentials import Credential, Credentials
from proxy.forward.refusal import REFUSALS, may_refuse_token, refuses_token, whole
from proxy.framing import Fields, field_lines, lines_of
from proxy.logs import AccessEntry
from proxy.model import Auth, Profile, Route
from proxy.problem import Answer, error_answer
from proxy.replay import HeldBody
from proxy.routing import RouteTable, parse_target
from proxy.tokens import TokenKeeper
from proxy.upstream import Transport, UpstreamAnswer, UpstreamRequest

log = logging.getLogger(__name__)

OWN_PREFIX = "/-/"
# Enumerations are too slow to look into for every request.
_UPSTREAM = Source.UPSTREAM
_SWITCHING_PROTOCOLS, _CREATED, _REDIRECTION = 101, 201, 3

CLIENT_LEFT = 499
"""The status that a log line shows for a caller who left before the answer began."""
_REMEMBERED = 512
"""Field sections of which is remembered what becomes of them: callers send the same lines again and again."""


class Forwarder:
    """Answers every request that a caller sends, in one way or another."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        profile: Profile,
        keeper: TokenKeeper,
        transport: Transport,
        own: Callable[[str, str], Awaitable[Answer]],
        allowed_hosts: frozenset[str],
        replay_limit: int,
        access: Callable[[AccessEntry], None] | None,
    ) -> None:
        """`own(method, path)` answers the proxy's own endpoints; `access` notes every request."""
        self._access = access
        self._routes = routes
        self._credentials = Credentials(profile, keeper)
        self._transport = transport
        self._own = own
        self._allowed_hosts = allowed_hosts
        self._replay_limit = replay_limit
        self._check_fields = lru_cache(_REMEMBERED)(self._check_fields_once)

    async def handle(self, caller: Caller) -> None:
        """Answer one request; whatever goes wrong becomes an answer, or a broken connection once one has begun."""
        began = time.perf_counter()
        entry = AccessEntry(caller.method)
        try:
            target = self._admit(caller, entry)
            if target.startswith(OWN_PREFIX):
                caller.answer(await self._own(caller.method, entry.path))
            elif caller.surplus:
                raise Overloaded("there are too many connections to the proxy", retry_after=1)
            else:
                await self._forward(caller, target, entry)
        except ProxyError as error:
            self._refuse(caller, error, entry)
        except ConnectionError:
            caller.abort()
        except Exception:  # a defect must cost one request, not the connection's answer to it
            log.exception("answering %s met a defect", caller.method)
            self._refuse(caller, InternalError("the proxy met a defect"), entry)
        finally:
            self._note(caller, entry, time.perf_counter() - began)

    def refuse(self, caller: Caller, error: ProxyError) -> None:
        """Answer what could not be read as a request."""
        entry = AccessEntry(caller.method)
        self._refuse(caller, error, entry)
        self._note(caller, entry, 0.0)

    def _admit(self, caller: Caller, entry: AccessEntry) -> str:
        """The target of a request that the guards let in, in origin form."""
        path, authority = parse_target(caller.target)
        entry.path = path.partition("?")[0]
        guard.check_method(caller.method)
        self._check_fields(caller.fields)
        if authority is not None:
            guard.check_host([authority.encode()], self._allowed_hosts)
        return path

    def _check_fields_once(self, fields: Fields) -> None:
        guard.check_host(fields.hosts, self._allowed_hosts)

    async def _forward(self, caller: Caller, path: str, entry: AccessEntry) -> None:
        route, target = self._routes.match(path)
        entry.route = route
        credential = self._credentials.at_hand(route) or await self._credentials.get(route)
        fields = caller.fields
        body = None
        if caller.has_content:
            body = HeldBody(
                caller.read,
                self._replay_limit,
                at_hand=caller.at_hand,
                trailers=lambda: headers.trailers(caller.trailers(), credential.name),
            )
        request = UpstreamRequest(
            method=caller.method,
            upstream=route.upstream,
            target=target,
            fields=_crossing(fields, route.upstream.authority, credential.name) + credential.line,
            inform=caller.inform,
            body=body,
            chunked=fields.chunked,
            upgrade=fields.upgrade,
        )
        answer = await self._transport.send(request)
        try:
            prefix = b""
            if credential.token is not None and answer.head.status in REFUSALS:
                prefix = await whole(answer) if may_refuse_token(answer.head) else b""
                if refuses_token(answer.head, prefix) and self._renewable(credential, request):
                    answer.close()
                    credential = await self._credentials.get(route)
                    request.fields = _crossing(fields, route.upstream.authority, credential.name) + credential.line
                    answer, prefix = await self._transport.send(request), b""
            entry.source = _UPSTREAM
            if answer.head.status == _SWITCHING_PROTOCOLS:
                await _tunnel(answer, caller)
            else:
                await self._relay(answer, prefix, caller, route)
        finally:
            answer.close()

    def _renewable(self, credential: Credential, request: UpstreamRequest) -> bool:
        """Whether a request can be sent again with a credential that was not refused."""
        token, body = credential.token, request.body
        return token is not None and self._credentials.reject(token) and (body is None or body.replayable)

    async def _relay(self, answer: UpstreamAnswer, prefix: bytes, caller: Caller, route: Route) -> None:
        _, status, reason, section, notable = answer.head
        section = headers.to_caller(section, notable)
        sized = moved = False
        for name, _ in notable:
            if name == b"content-length":
                sized = True
            elif name == b"location":
                moved = status // 100 == _REDIRECTION or status == _CREATED
        if moved:
            lines = self._routes.localised(lines_of(section), route, host=caller.fields.hosts[0])
            section = field_lines(lines)
        caller.begin(status, reason, section, sized=sized)
        data = prefix + answer.take() if prefix else answer.take()
        while not answer.ended:
            caller.write(data)
            await caller.drain()
            data = await answer.read()
        caller.finish(data, headers.trailers(answer.trailers))

    def _refuse(self, caller: Caller, error: ProxyError, entry: AccessEntry) -> None:
        entry.source = error.source
        entry.code = error.code
        if caller.status:
            # The head is out: only a broken connection can tell the caller now.
            caller.abort()
            return
        graphql = entry.route is not None and entry.route.auth is Auth.GRAPHQL
        caller.answer(error_answer(error, graphql=graphql))

    def _note(self, caller: Caller, entry: AccessEntry, seconds: float) -> None:
        if self._access is None:
            return
        entry.status = caller.status or CLIENT_LEFT
        entry.seconds = seconds
        entry.received = caller.received
        entry.sent = caller.sent
        self._access(entry)


@lru_cache(_REMEMBERED)
def _crossing(fields: Fields, authority: str, added: bytes | None) -> bytes:
    """A caller's field lines as they go to `authority` with a credential named `added`, but for the credential."""
    lines = headers.to_upstream(
        fields.lines, authority=authority, added=None if added is None else (added, b""), upgrade=fields.upgrade
    )
    section = field_lines(lines if added is None else lines[:-1])
    return section + b"Transfer-Encoding: chunked\r\n" if fields.chunked else section


async def _tunnel(answer: UpstreamAnswer, caller: Caller) -> None:
    """Carry bytes both ways until both ends have closed their direction."""
    _, status, reason, section, notable = answer.head
    caller.begin(status, reason, headers.switching(section, notable), sized=False)
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
