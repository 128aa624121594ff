"""What one writes first: a reverse proxy on aiohttp's client, tuned as far as its settings go. The yardstick."""

import os
import ssl
import sys

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from yarl import URL

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host"}


async def handle(request: web.BaseRequest) -> web.StreamResponse:
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    headers.append(("X-Amz-Cognito-Security-Token", os.environ["TOKEN"]))
    session: ClientSession = SESSIONS[0]
    url = URL(os.environ["UPSTREAM"] + request.raw_path, encoded=True)
    body = request.content if request.body_exists else None
    async with session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend(kept)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


SESSIONS: list[ClientSession] = []


async def app() -> web.Application:
    context = ssl.create_default_context(cafile=os.environ["CA_FILE"])
    connector = TCPConnector(limit=0, ssl=context)
    SESSIONS.append(ClientSession(connector=connector, auto_decompress=False, cookie_jar=DummyCookieJar()))
    application = web.Application(client_max_size=0)
    application.router.add_route("*", "/{path:.*}", handle)
    return application


if __name__ == "__main__":
    web.run_app(app(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
