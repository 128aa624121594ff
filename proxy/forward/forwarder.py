"""The way of one request."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from proxy import guard, headers
from proxy.downstream import Caller
from proxy.errors import InternalError, Overloaded, ProxyError, RequestError, Source, UnknownProfile
from proxy.forward.credentials import Credential, Credentials
from proxy.forward.gate import Gate, Passport
from proxy.forward.profiles import PREFIX, Choice, chosen
from proxy.forward.refusal import REFUSALS, may_refuse_token, refuses_token, whole
from proxy.framing import field_lines, lines_of
from proxy.logs import AccessEntry
from proxy.model import DEFAULT_PROFILE, Auth, Headers, Policy, Profile, Route
from proxy.problem import Answer, error_answer
from proxy.replay import HeldBody
from proxy.routing import RouteTable
from proxy.tokens import TokenKeeper
from proxy.upstream import Transport, UpstreamAnswer, UpstreamRequest

log = logging.getLogger(__name__)

# Enumerations are too slow to look into for every request.
_UPSTREAM = Source.UPSTREAM
_SWITCHING_PROTOCOLS, _CREATED, _REDIRECTION = 101, 201, 3

CLIENT_LEFT = 499
"""The status that a log line shows for a caller who left before the answer began."""


_DEFAULT = Choice(DEFAULT_PROFILE, "", "")


class Forwarder:
    """Answers every request that a caller sends, in one way or another."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        profiles: Mapping[str, Profile],
        keeper: TokenKeeper,
        transport: Transport,
        own: Callable[[str, str, str, Headers], Awaitable[Answer]],
        policy: Policy,
        replay_limit: int,
        access: Callable[[AccessEntry], None] | None,
    ) -> None:
        """`own(method, path, profile, headers)` answers the proxy's own endpoints; `access` notes every request.

        The `profile` is a name that a request chose: there may be none such.
        """
        self._access = access
        self._gate = Gate(policy, routes)
        self._routes = routes
        self._profiles = profiles
        self._keeper = keeper
        self._credentials: dict[str, Credentials] = {}
        self._transport = transport
        self._own = own
        self._held = self._gate.held(replay_limit)

    async def handle(self, caller: Caller) -> None:
        """Answer one request; whatever goes wrong becomes an answer, or a broken connection once one has begun."""
        began = time.perf_counter()
        entry = AccessEntry(caller.method)
        try:
            target, entry.path = self._gate.target(caller)
            if (preflight := self._gate.preflight(caller)) is not None:
                caller.answer(preflight)
                return
            passport = self._gate.admit(caller.fields, target, secure=caller.secure)
            choice = _DEFAULT
            if passport.profile is not None or target.startswith(PREFIX):
                choice = chosen(target, passport.profile)
                target = choice.target
            if target.startswith(guard.OWN_PREFIX):
                path = target.partition("?")[0]
                answer = await self._own(caller.method, path, choice.name, caller.fields.lines)
                caller.answer(answer._replace(headers=answer.headers + passport.own))
            elif caller.surplus:
                raise Overloaded("there are too many connections to the proxy", retry_after=1)
            else:
                await self._forward(caller, target, entry, passport, choice)
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

    async def _forward(
        self, caller: Caller, target: str, entry: AccessEntry, passport: Passport, choice: Choice
    ) -> None:
        path = target.partition("?")[0] if choice.prefix else entry.path
        route, upstream_target = self._gate.permit(caller.method, target, path)
        entry.route = route
        fields = caller.fields
        body = None
        if caller.has_content:
            body = HeldBody(
                caller.read,
                self._held,
                at_hand=caller.at_hand,
                trailers=lambda: headers.trailers(caller.trailers(), credential.name),
            )
        if self._gate.read_only:
            await self._gate.judge(caller, route, target, body)
        credentials = self._credentials.get(choice.name) or self._credentials_of(choice.name)
        credential = credentials.at_hand(route) or await credentials.get(route)
        request = UpstreamRequest(
            method=caller.method,
            upstream=route.upstream,
            target=upstream_target,
            fields=self._gate.crossing(fields, route.upstream.authority, credential.name, secure=passport.secure)
            + credential.line,
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
                if refuses_token(answer.head, prefix) and _renewable(credentials, credential, request):
                    answer.close()
                    credential = await credentials.get(route)
                    crossing = self._gate.crossing(
                        fields, route.upstream.authority, credential.name, secure=passport.secure
                    )
                    request.fields = crossing + credential.line
                    answer, prefix = await self._transport.send(request), b""
            entry.source = _UPSTREAM
            if answer.head.status == _SWITCHING_PROTOCOLS:
                await _tunnel(answer, caller)
            else:
                self._begin(answer, caller, route, passport, below=choice.prefix)
                data = prefix + answer.take() if prefix else answer.take()
                if not answer.ended:
                    data = await _stream(answer, data, caller)
                caller.finish(data, headers.trailers(answer.trailers))
        finally:
            answer.close()

    def _credentials_of(self, name: str) -> Credentials:
        """The credentials of a profile that asks for the first time; raises UnknownProfile."""
        profile = self._profiles.get(name)
        if profile is None:
            raise UnknownProfile("there is no such profile", hint="List the profiles with `ul-proxy config`.")
        made = self._credentials[name] = Credentials(profile, self._keeper)
        return made

    def _begin(self, answer: UpstreamAnswer, caller: Caller, route: Route, passport: Passport, *, below: str) -> None:
        """Pass on the head of an answer."""
        _, status, reason, section, notable = answer.head
        section = headers.to_caller(section, notable)
        sized = moved = False
        for name, _ in notable:
            if name == b"content-length":
                sized = True
            elif name == b"location":
                moved = status // 100 == _REDIRECTION or status == _CREATED
        if moved:
            lines = self._routes.localised(lines_of(section), route, here=passport.origin, below=below)
            section = field_lines(lines)
        caller.begin(status, reason, section + passport.foreign, sized=sized)

    def _refuse(self, caller: Caller, error: ProxyError, entry: AccessEntry) -> None:
        entry.source = error.source
        entry.code = error.code
        if isinstance(error, RequestError):
            # What cannot be judged may be read in another way: nothing that follows it is believed.
            caller.close()
        if caller.status:
            # The head is out: only a broken connection can tell the caller now.
            caller.abort()
            return
        graphql = entry.route is not None and entry.route.auth is Auth.GRAPHQL
        answer = error_answer(error, graphql=graphql)
        caller.answer(answer._replace(headers=answer.headers + self._gate.refused(caller)))

    def _note(self, caller: Caller, entry: AccessEntry, seconds: float) -> None:
        if self._access is None:
            return
        entry.status = caller.status or CLIENT_LEFT
        entry.seconds = seconds
        entry.received = caller.received
        entry.sent = caller.sent
        self._access(entry)


def _renewable(credentials: Credentials, credential: Credential, request: UpstreamRequest) -> bool:
    """Whether a request can be sent again with a credential that was not refused."""
    token, body = credential.token, request.body
    return token is not None and credentials.reject(token) and (body is None or body.replayable)


async def _stream(answer: UpstreamAnswer, data: bytes, caller: Caller) -> bytes:
    """Pass on the content of an answer as it arrives, beginning with `data`, but for the last of it."""
    while not answer.ended:
        caller.write(data)
        await caller.drain()
        data = await answer.read()
    return data


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
