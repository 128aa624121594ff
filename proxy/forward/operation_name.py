"""The name of a GraphQL operation, where it can be seen without parsing anything: it is for log lines alone.

Clients write JSON in one of a few ways, in which the name stands at one end of it. What is written in another way has
no name here rather than a wrong one.
"""

import re

LIMIT = 64 * 1024
"""Bytes of the largest content that is looked at."""

_NAME = rb"([_A-Za-z][_0-9A-Za-z]{0,99})"
_IN_QUERY = re.compile(r"(?:.*&)?operationName=([_A-Za-z][_0-9A-Za-z]{0,99})(?:&.*)?")
_MEMBER = rb'"operationName"\s*+:\s*+"' + _NAME + rb'"'
_FIRST = re.compile(rb"\s*+\{\s*+" + _MEMBER)
_LAST = re.compile(rb",\s*+" + _MEMBER + rb"\s*+\}\s*+\Z")
_LAST_BYTES = 160
_DOCUMENT = re.compile(
    rb'\s*+\{\s*+"query"\s*+:\s*+"(?:\\[nrt]|[ ,])*+(?:query|mutation|subscription)(?:\\[nrt]|[ ,])++' + _NAME
)


def operation_name(query_string: str, content: bytes | None) -> str:
    """Find the name of the operation in a request's URL or JSON content, empty where it is not seen at a glance.

    `query_string` is what stands behind `?`, undecoded; `content` is None where not all of it is at hand.
    """
    if query_string:
        named = _IN_QUERY.fullmatch(query_string)
        return named[1] if named else ""
    if not content or len(content) > LIMIT:
        return ""
    found = _FIRST.match(content) or _LAST.search(content, max(0, len(content) - _LAST_BYTES))
    if found is None and b'"operationName"' not in content:
        # One that stands elsewhere may choose another operation of the document.
        found = _DOCUMENT.match(content)
    return found[1].decode() if found else ""
