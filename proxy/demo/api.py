"""The embedded Unleash Live API: Media Drive, jobs, tasks, missions, flights, analytics and the two CDNs.

It refuses whatever lacks the header that the real service demands, and says which one that is.
"""

import json
import mimetypes
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from aiohttp import web

from proxy.demo.access import Access, AccessRefused, Verify
from proxy.demo.data import Dataset, sample
from proxy.demo.faults import Fault, Faults, hang_up
from proxy.demo.rest import CLAIMS, add_routes
from proxy.demo.server import running
from proxy.http.grammar.fields import Headers

API_KEY = "demo-analytics-key"
GRAPHQL = "/graphql"
FLIGHTS_CDN = "/flights-cdn"
LIBRARY_CDN = "/library-cdn"

_RECEIVED = 1000
_MAX_BODY = 1 << 28
_INJECTED = {Fault.THROTTLE: (429, "Too Many Requests"), Fault.FAIL: (500, "Internal server error")}


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came over the wire, and the status that it was answered with."""

    method: str
    target: str
    """The request target, path and query, undecoded."""
    headers: Headers = field(repr=False)
    body_length: int
    status: int

    def values(self, name: str) -> list[str]:
        """All values of a header, in whatever case its name came."""
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == name.lower().encode()]


class EmbeddedApi:
    """The API with its own server.

    `access` holds the credentials that are accepted, `data` what is served, `faults` what goes wrong, `received` the
    last requests, and `counts` how many there were, by method and route ("GET /v1/job/{id}").
    """

    def __init__(
        self,
        verify: Verify,
        *,
        api_key: str = API_KEY,
        personal_access_token: str | None = None,
        clock: Callable[[], float] = time.time,
        data: Dataset | None = None,
    ) -> None:
        """`verify` judges ID tokens (`EmbeddedCognito.verify` fits); `clock` returns wall seconds."""
        # graphql-core takes a while to load and only a running sandbox needs it.
        from proxy.demo.media_drive import MediaDrive  # noqa: PLC0415

        self.access = Access(verify, api_key=api_key, personal_access_token=personal_access_token)
        self.data = sample() if data is None else data
        self.faults = Faults()
        self.received: deque[Received] = deque(maxlen=_RECEIVED)
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._drive = MediaDrive(self.data.media)

    def running(self, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[str]:
        """Serve inside an `async with` block, which yields the origin's URL. May be done again afterwards."""
        return running(self.app(), host, port, release=self.faults.clear)

    def app(self) -> web.Application:
        """The server as an application of its own."""
        app = web.Application(middlewares=[self._record, self._guard], client_max_size=_MAX_BODY)
        app.router.add_post(GRAPHQL, self._graphql)
        add_routes(app.router, self.data, self._clock)
        for prefix in (FLIGHTS_CDN, LIBRARY_CDN):
            app.router.add_get(f"{prefix}/{{path:.+}}", self._file)
        return app

    @web.middleware
    async def _record(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Count and remember every request, and carry out faults."""
        operation = _operation(request)
        self.counts[operation] += 1
        body = await request.read()
        fault = self.faults.take(operation)
        response: web.StreamResponse
        if fault is Fault.DROP:
            response = hang_up(request)
        elif fault in _INJECTED:
            response = _message(*_INJECTED[fault])
        else:
            response = await handler(request)
        self.received.append(
            Received(request.method, request.raw_path, request.raw_headers, len(body), response.status)
        )
        await self.faults.wait(operation)
        return hang_up(request) if fault is Fault.DROP_ANSWER else response

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let in who has the right credential, and answer every refusal in the surface's own shape."""
        try:
            request[CLAIMS] = self.access.check(request.path, request.headers)
            return await handler(request)
        except AccessRefused as refused:
            if request.path == GRAPHQL:
                message = f"{refused.message} ({refused.reason})" if refused.reason else refused.message
                return _graphql_error(refused.status, "UnauthorizedException", message)
            return _message(refused.status, refused.message, detail=refused.reason)
        except web.HTTPException as error:
            return _message(error.status, error.reason)

    async def _graphql(self, request: web.Request) -> web.Response:
        try:
            answer = self._drive.execute(json.loads(await request.read()), request[CLAIMS])
        except ValueError:
            answer = None
        if answer is None:
            return _graphql_error(400, "MalformedHttpRequestException", "The body is not a GraphQL request in JSON.")
        return web.json_response(answer)

    async def _file(self, request: web.Request) -> web.Response:
        content = self.data.files.get(request.path)
        if content is None:
            raise web.HTTPNotFound
        kind = mimetypes.guess_type(request.path)[0] or "application/octet-stream"
        headers = {"Accept-Ranges": "bytes", "Content-Type": kind}
        if "Range" not in request.headers:
            return web.Response(body=content, headers=headers)
        try:
            start, stop, _step = request.http_range.indices(len(content))
        except ValueError:
            start = stop = 0
        if start >= stop:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return web.Response(status=206, body=content[start:stop], headers=headers)


def _operation(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {'unmatched' if resource is None else resource.canonical}"


def _message(status: int, message: str, *, detail: str = "") -> web.Response:
    """An answer in API Gateway's shape."""
    return web.json_response({"message": message, **({"detail": detail} if detail else {})}, status=status)


def _graphql_error(status: int, kind: str, message: str) -> web.Response:
    """An answer in AppSync's shape."""
    return web.json_response({"errors": [{"errorType": kind, "message": message}]}, status=status)
