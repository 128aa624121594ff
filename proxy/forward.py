"""One request: guard, route, credential, headers, upstream, answer."""

import asyncio
import logging
import re
import time
import zlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from proxy import guard, headers
from proxy.downstream import Caller
from proxy.errors import BadRequest, InternalError, ProxyError, Source
from proxy.logs import AccessEntry
from proxy.model import Auth, Header, Profile, Route, Token
from proxy.problem import Answer, error_answer
from proxy.replay import HeldBody
from proxy.routing import RouteTable, parse_target
from proxy.tokens import TokenKeeper
from proxy.upstream import Head, Transport, UpstreamAnswer, UpstreamRequest

log = logging.getLogger(__name__)

OWN_PREFIX = "/-/"
CLIENT_LEFT = 499
"""The status that a log line shows for a caller who left before the answer began."""

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_PEEK_LIMIT = 4096
# API Gateway's and AWS's own words; an application's invitation token that has expired is none of them.
_EXPIRED = re.compile(
    rb"(?:incoming|identity|security|session|id|access|auth) token\b[^\"]{0,80}\bexpired|\bExpiredToken", re.IGNORECASE
)


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
        self._profile = profile
        self._keeper = keeper
        self._transport = transport
        self._own = own
        self._allowed_hosts = allowed_hosts
        self._replay_limit = replay_limit

    async def handle(self, caller: Caller) -> None:
        """Answer one request; whatever goes wrong becomes an answer, or a broken connection once one has begun."""
        began = time.perf_counter()
        exchange = _Exchange(caller)
        try:
            target = self._admit(exchange)
            if target.startswith(OWN_PREFIX):
                caller.answer(await self._own(caller.method, exchange.path))
            else:
                await self._forward(exchange, target)
        except ProxyError as error:
            self._refuse(exchange, error)
        except ConnectionError:
            caller.abort()
        except Exception:  # a defect must cost one request, not the connection's answer to it
            log.exception("answering %s met a defect", caller.method)
            self._refuse(exchange, InternalError("the proxy met a defect"))
        finally:
            if self._access is not None:
                self._access(exchange.entry(time.perf_counter() - began))

    def refuse_malformed(self, caller: Caller) -> None:
        """Answer what could not be read as a request."""
        exchange = _Exchange(caller)
        self._refuse(exchange, BadRequest("this is not an HTTP/1.1 request that this proxy accepts"))
        if self._access is not None:
            self._access(exchange.entry(0.0))

    def _admit(self, exchange: "_Exchange") -> str:
        """The target of a request that the guards let in, in origin form."""
        caller = exchange.caller
        path, authority = parse_target(caller.target)
        exchange.path = path.partition("?")[0]
        guard.check_method(caller.method)
        hosts = [value for name, value in caller.headers if name.lower() == b"host"]
        guard.check_host(hosts, self._allowed_hosts)
        if authority is not None:
            guard.check_host([authority.encode()], self._allowed_hosts)
        exchange.host = hosts[0]
        return path

    async def _forward(self, exchange: "_Exchange", path: str) -> None:
        caller = exchange.caller
        route, target = self._routes.match(path)
        exchange.route = route
        token, credential = self._static_credential(route) or await self._token_credential(route)
        crossing = headers.crossing(
            caller.headers, route.upstream.authority, None if credential is None else credential[0]
        )
        body = HeldBody(caller.read, self._replay_limit, at_hand=caller.at_hand) if caller.has_body else None
        request = UpstreamRequest(
            method=caller.method,
            upstream=route.upstream,
            target=target,
            fields=_fields(crossing, credential, chunked=body is not None and caller.chunked),
            inform=caller.inform,
            body=body,
            chunked=body is not None and caller.chunked,
            upgrade=crossing.upgrade,
        )
        answer = await self._transport.send(request)
        try:
            prefix = b""
            if token is not None and answer.head.status in _REFUSALS:
                prefix = await _whole(answer) if may_refuse_token(answer.head) else b""
                refused = refuses_token(answer.head, prefix) and self._keeper.reject(self._profile.name, token)
                if refused and (body is None or body.replayable):
                    answer.close()
                    _, credential = await self._token_credential(route)
                    request.fields = _fields(crossing, credential, chunked=request.chunked)
                    answer, prefix = await self._transport.send(request), b""
            exchange.source = Source.UPSTREAM
            if answer.head.status == HTTPStatus.SWITCHING_PROTOCOLS:
                await _tunnel(answer, caller)
            else:
                await self._relay(answer, prefix, exchange, route)
        finally:
            answer.close()

    async def _relay(self, answer: UpstreamAnswer, prefix: bytes, exchange: "_Exchange", route: Route) -> None:
        caller, head = exchange.caller, answer.head
        lines = headers.to_caller(head.headers)
        if HTTPStatus.MULTIPLE_CHOICES <= head.status < HTTPStatus.BAD_REQUEST or head.status == HTTPStatus.CREATED:
            lines = self._routes.localised(lines, route, host=exchange.host)
        caller.begin(head.status, head.reason, lines)
        data = prefix + answer.take()
        while not answer.ended:
            caller.write(data)
            await caller.drain()
            data = await answer.read()
        caller.finish(data, headers.trailers(answer.trailers))

    def _static_credential(self, route: Route) -> tuple[None, Header | None] | None:
        """The field line that the route adds, None in its place where it adds none; None where it wants a token."""
        auth = headers.effective_auth(route, self._profile)
        if auth is Auth.NONE:
            return None, None
        if headers.needs_token(auth):
            return None
        return None, headers.credential(route, auth, headers.static_secret(auth, self._profile))

    async def _token_credential(self, route: Route) -> tuple[Token, Header]:
        """A good token and the field line that carries it."""
        token = await self._keeper.get(self._profile.name)
        auth = headers.effective_auth(route, self._profile)
        return token, headers.credential(route, auth, token.id_token.get_secret_value())

    def _refuse(self, exchange: "_Exchange", error: ProxyError) -> None:
        exchange.source = error.source
        exchange.code = error.code
        if exchange.caller.status:
            # The head is out: only a broken connection can tell the caller now.
            exchange.caller.abort()
            return
        graphql = exchange.route is not None and exchange.route.auth is Auth.GRAPHQL
        exchange.caller.answer(error_answer(error, graphql=graphql))


class _Exchange:
    """What has been learned of one request on its way."""

    __slots__ = ("caller", "code", "host", "path", "route", "source")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.path = "-"
        """Without the query, which may hold a secret of the caller's."""
        self.host = b""
        self.route: Route | None = None
        self.source = Source.PROXY
        self.code = ""

    def entry(self, seconds: float) -> AccessEntry:
        """What the access log says; `seconds` from the request's head to the answer's end."""
        caller = self.caller
        route = self.route
        return AccessEntry(
            caller.method,
            self.path,
            caller.status or CLIENT_LEFT,
            None if route is None else route.path or "/",
            self.source,
            self.code,
            seconds,
            caller.received,
            caller.sent,
        )


def _fields(crossing: headers.Crossing, credential: Header | None, *, chunked: bool) -> bytes:
    fields = crossing.fields
    if credential is not None:
        fields += b"%b: %b\r\n" % credential
    return fields + b"Transfer-Encoding: chunked\r\n" if chunked else fields


async def _tunnel(answer: UpstreamAnswer, caller: Caller) -> None:
    """Carry bytes both ways until both ends have closed their direction."""
    caller.begin(answer.head.status, answer.head.reason, headers.switching(answer.head.headers))
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


def may_refuse_token(head: Head) -> bool:
    """Whether the content of an answer must be looked at to know what it is about: a short 403 in JSON."""
    if head.status != HTTPStatus.FORBIDDEN:
        return False
    fields = {name.lower(): value for name, value in head.headers}
    length = fields.get(b"content-length", b"")
    return length.isdigit() and int(length) <= _PEEK_LIMIT and b"json" in fields.get(b"content-type", b"").lower()


async def _whole(answer: UpstreamAnswer) -> bytes:
    content = b""
    while chunk := await answer.read():
        content += chunk
    return content


def refuses_token(head: Head, content: bytes) -> bool:
    """Whether an answer says that the token, not the request, is the trouble. `content` is that of a short 403."""
    if head.status != HTTPStatus.FORBIDDEN:
        return head.status == HTTPStatus.UNAUTHORIZED
    if any(name.lower() == b"content-encoding" and value.lower() == b"gzip" for name, value in head.headers):
        try:
            content = zlib.decompressobj(wbits=31).decompress(content, _PEEK_LIMIT)
        except zlib.error:
            return False
    return _EXPIRED.search(content) is not None
