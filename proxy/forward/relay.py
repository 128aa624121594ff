"""The way back: an upstream's response to the caller, as it arrives."""

import asyncio
from collections.abc import Callable
from time import perf_counter

from proxy.forward import headers
from proxy.forward.plan import ForwardPlan
from proxy.forward.routes import RouteTable
from proxy.http.client.transport import UpstreamAnswer
from proxy.http.grammar import Head, field_lines, lines_of
from proxy.http.server.request import ServerRequest
from proxy.model import RequestRecord

_CREATED, _REDIRECTION = 201, 3


def informer(request: ServerRequest) -> Callable[[Head], None]:
    """Make what passes an upstream's 1xx responses on."""

    def inform(head: Head) -> None:
        request.inform(head.status, head.reason, headers.to_caller(head.section, head.proxy_fields))

    return inform


def begin(
    response: UpstreamAnswer, taken: bytes, request: ServerRequest, plan: ForwardPlan, routes: RouteTable
) -> bool:
    """Pass on the head of a response and as much of its content as is at hand; whether that is all.

    `taken` has been read of the content already.
    """
    _, status, reason, section, proxy_fields = response.head
    admission = plan.admission
    section = headers.to_caller(section, proxy_fields)
    if b"location" in proxy_fields and (status // 100 == _REDIRECTION or status == _CREATED):
        local = routes.localised(lines_of(section), plan.route, here=admission.origin, below=plan.prefix)
        section = field_lines(local)
    request.begin(status, reason, section + admission.foreign, sized=b"content-length" in proxy_fields)
    data = taken + response.take() if taken else response.take()
    if response.ended:
        request.finish(data, headers.trailers(response.trailers))
        return True
    request.write(data)
    return False


async def rest(response: UpstreamAnswer, request: ServerRequest, record: RequestRecord) -> None:
    """Pass on the rest of the content as it arrives."""
    record.relaying = perf_counter()
    await request.drain()
    while True:
        data = await response.read()
        if response.ended:
            break
        request.write(data)
        # What has been written must not wait here as well.
        del data
        await request.drain()
    request.finish(data, headers.trailers(response.trailers))


async def tunnel(response: UpstreamAnswer, request: ServerRequest, record: RequestRecord) -> None:
    """Pass on a 101, and carry bytes both ways until both ends have closed their direction."""
    record.relaying = perf_counter()
    _, status, reason, section, proxy_fields = response.head
    request.begin(status, reason, headers.switching(section, proxy_fields), sized=False)
    request.write(b"")
    request.open_tunnel()

    async def outwards() -> None:
        while data := await request.read_tunnel():
            response.write(data)
            await response.drain()
        response.write_eof()

    outward = asyncio.create_task(outwards())
    try:
        while data := await response.read():
            request.write(data)
            await request.drain()
        request.close_tunnel()
        await outward
    finally:
        outward.cancel()
