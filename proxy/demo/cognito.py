"""The embedded user pool and identity pool as a server that speaks Cognito's JSON protocol, and serves a JWKS."""

import json
import secrets
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import hdrs, web

from proxy.demo import identity_pool, operations
from proxy.demo.accounts import User
from proxy.demo.codes import Message
from proxy.demo.faults import Fault, Faults, hang_up
from proxy.demo.pool import UserPool
from proxy.demo.protocol import PoolConfig, Refusal
from proxy.demo.server import running
from proxy.demo.signer import Signer
from proxy.demo.tokens import new_uuid

JWKS = "JWKS"
"""What fetching the key set is called in the log, the counts and the faults."""

_SERVICES = {
    "AWSCognitoIdentityProviderService": operations.call,
    "AWSCognitoIdentityService": identity_pool.call,
}
"""By the first part of X-Amz-Target."""
_MEDIA_TYPE = "application/x-amz-json-1.1"
_LOGGED = 1000
_REFUSALS = {
    Fault.THROTTLE: Refusal("TooManyRequestsException", "Rate exceeded"),
    Fault.FAIL: Refusal("InternalErrorException", "Something went wrong", status=500),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came over the wire."""

    operation: str
    parameters: Mapping[str, Any] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    authorization: str | None = field(default=None, repr=False)
    """The Authorization header: an AWS signature, which these operations do without."""


class EmbeddedCognito:
    """A user pool with its own server.

    `pool` holds the users, the settings and the keys; `faults` what goes wrong; `calls` the last calls, `counts` how
    many there were of each operation, and `refusals` how many the pool itself refused, by type of error.
    """

    def __init__(
        self,
        config: PoolConfig | None = None,
        users: Iterable[User] = (),
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
        signer: Signer | None = None,
    ) -> None:
        """`clock` returns wall seconds, `random` so many random bytes. Making a `signer` takes a moment: share one."""
        self.pool = UserPool(config or PoolConfig(), users, clock=clock, random=random, signer=signer or Signer())
        self.faults = Faults()
        self.unknown_operations: set[str] = set()
        """Operations that this endpoint is to know nothing of, as an older one would."""
        self.calls: deque[Call] = deque(maxlen=_LOGGED)
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self._random = random

    def running(
        self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> AbstractAsyncContextManager[str]:
        """Serve inside an `async with` block, which yields the endpoint's URL. May be done again afterwards."""
        return running(self.app(), host, port, tls=tls, release=self.faults.clear)

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of an ID token of this pool; raises TokenExpired or TokenRefused."""
        return self.pool.verify(token)

    @property
    def outbox(self) -> Sequence[Message]:
        """The codes that were sent to users, the newest at the end."""
        return self.pool.codes.outbox

    def revoke(self, refresh_token: str) -> None:
        """End the sign-in that `refresh_token` belongs to."""
        self.pool.grants.revoke(refresh_token)

    def app(self) -> web.Application:
        """The server as an application of its own."""
        app = web.Application()
        app.router.add_post("/", self._post)
        app.router.add_get("/{pool_id}/.well-known/jwks.json", self._jwks)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        service, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        try:
            parameters = json.loads(body)
        except ValueError:
            parameters = None
        self._log(request, operation, parameters if isinstance(parameters, dict) else {}, body)
        return await self._around(request, operation, lambda: self._answer(service, operation, parameters))

    async def _jwks(self, request: web.Request) -> web.Response:
        self._log(request, JWKS, {}, b"")
        if request.match_info["pool_id"] != self.pool.config.user_pool_id:
            raise web.HTTPNotFound
        return await self._around(request, JWKS, self._keys)

    async def _around(self, request: web.Request, operation: str, answer: Callable[[], web.Response]) -> web.Response:
        fault = self.faults.take(operation)
        if fault is Fault.DROP:
            return hang_up(request)
        response = self._refused(_REFUSALS[fault]) if fault in _REFUSALS else answer()
        await self.faults.wait(operation)
        return hang_up(request) if fault is Fault.DROP_ANSWER else response

    def _answer(self, service: str, operation: str, parameters: object) -> web.Response:
        try:
            carry_out = _SERVICES.get(service)
            if carry_out is None or operation in self.unknown_operations:
                raise Refusal("UnknownOperationException", f"Unknown operation {operation}")
            if not isinstance(parameters, dict):
                raise Refusal("SerializationException", "The body is not a JSON object")
            return self._json(200, carry_out(self.pool, operation, parameters))
        except Refusal as refusal:
            self.refusals[refusal.type] += 1
            return self._refused(refusal)

    def _refused(self, refusal: Refusal) -> web.Response:
        response = self._json(refusal.status, {"__type": refusal.type, "message": refusal.message})
        response.headers["x-amzn-ErrorType"] = f"{refusal.type}:"
        response.headers["x-amzn-ErrorMessage"] = refusal.message
        return response

    def _keys(self) -> web.Response:
        return web.json_response(self.pool.signer.jwks(), headers=self._date())

    def _date(self) -> dict[str, str]:
        # By the pool's clock: clients take the time that they sign from here.
        return {hdrs.DATE: formatdate(self.pool.now(), usegmt=True)}

    def _json(self, status: int, value: object) -> web.Response:
        headers = {
            hdrs.CONTENT_TYPE: _MEDIA_TYPE,
            **self._date(),
            "x-amzn-RequestId": new_uuid(self._random),
        }
        return web.Response(status=status, body=json.dumps(value).encode(), headers=headers)

    def _log(self, request: web.Request, operation: str, parameters: Mapping[str, Any], body: bytes) -> None:
        self.counts[operation] += 1
        self.calls.append(Call(operation, parameters, body, request.headers.get(hdrs.AUTHORIZATION)))
