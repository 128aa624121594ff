"""An error as a response: RFC 9457 problem details, or a GraphQL `errors` array, with RFC 9209 Proxy-Status."""

import math
from typing import TYPE_CHECKING

from proxy.errors import ProxyError
from proxy.http.response import Response, json_response

if TYPE_CHECKING:
    from proxy.http.grammar.fields import Header


def error_response(error: ProxyError, *, graphql: bool, request_id: str = "") -> Response:
    """Make the response to a request that `error` ended, shaped for GraphQL clients where `graphql`.

    By `request_id` a person finds the request in the log.
    """
    extra: list[Header] = [(b"Proxy-Status", f"ul-proxy; error={error.error_type}".encode())]
    if error.retry_after is not None:
        extra.append((b"Retry-After", str(max(1, math.ceil(error.retry_after))).encode()))
    if error.status == 401:  # noqa: PLR2004
        # Basic as well: some tools send a password only once they were asked for it.
        extra += [(b"WWW-Authenticate", scheme + b' realm="ul-proxy"') for scheme in (b"Bearer", b"Basic")]
    facts = {
        "code": error.code,
        "source": str(error.source),
        "hint": error.hint,
    }
    if request_id:
        facts["request_id"] = request_id
        extra.append((b"X-Request-Id", request_id.encode()))
    if graphql:
        graphql_error = {
            "message": error.detail,
            "extensions": {"status": error.status, "title": error.title, **facts},
        }
        return json_response(error.status, {"data": None, "errors": [graphql_error]}, *extra)
    document = {
        "type": f"urn:ul-proxy:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        **facts,
    }
    return json_response(error.status, document, *extra, media_type=b"application/problem+json")
