"""Read-only mode: what a GraphQL request does stands in its content, which is judged before anything goes upstream."""

from proxy.forward import graphql, headers
from proxy.forward.plan import ForwardPlan
from proxy.forward.replay import HeldBody
from proxy.http.grammar import values_of
from proxy.http.server.request import ServerRequest

JUDGED = 1 << 20
"""Bytes of the largest content that is judged."""


def held(replay_limit: int, *, read_only: bool) -> int:
    """Say how many bytes of a content are held: as many as are sent again, or in read-only mode as are judged."""
    return max(replay_limit, JUDGED) if read_only else replay_limit


async def check_document(request: ServerRequest, plan: ForwardPlan, body: HeldBody | None) -> None:
    """Let a GraphQL request through that only reads; raises ReadOnly."""
    lines = request.head.fields.lines
    content = b""
    if body is not None:
        if values_of(lines, b"expect"):
            # Nothing goes upstream before the content has been judged.
            request.inform(100, b"Continue", headers.to_caller(b"", {}))
        content = await body.whole(JUDGED)
    graphql.judge(request.method, lines, plan.query, content, limit=JUDGED)
