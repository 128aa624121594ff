"""Which methods and paths are forwarded.

A path goes upstream as the caller wrote it, and servers do not agree on what that means: `/v1%2Fjob`, `//v1/job` and
`/v1;x/job` are `/v1/job` to some and other paths to others. What was judged here must be what the upstream reads. So a
path is judged in all of its `readings`: every one of them must take the same route and be permitted, else the request
is refused. A file's key with `%2F`, `//` or `a..b` in it stays what it is, since all of its readings lead to the files.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import unquote

from proxy.errors import BadRequest, NoRoute

OWN_PATHS = "/-/"
"""How the paths begin that this proxy answers itself."""

_SUSPICIOUS = re.compile(r"[%\\;#]|//|/\.")
"""What a path must hold to have more readings than one."""
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|#")
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z)")
# Bytes that are no UTF-8 are decoded to U+DC80 and above. These are characters written longer than need be, which
# RFC 3629 section 3 forbids: where a lenient decoder reads them, they are a dot or a slash.
_OVERLONG = re.compile("[\udcc0\udcc1][\udc80-\udcbf]|\udce0[\udc80-\udc9f]|\udcf0[\udc80-\udc8f]")
_ENCODED_SLASH = re.compile(r"%(2f|5c)", re.IGNORECASE)
_MAX_READINGS = 64

_decoded = partial(unquote, errors="surrogateescape")


def check_method(method: str) -> None:
    """Refuse methods that are not forwarded; raises BadRequest.

    TRACE would show the caller the credential (RFC 9110 section 9.3.8); CONNECT asks for another kind of proxy.
    Methods are case-sensitive (section 9.1), but not to everybody: what was permitted as `get` might be taken for GET.
    """
    if method in ("TRACE", "CONNECT"):
        raise BadRequest(f"{method} is not forwarded", hint="Use another method.")
    if method != method.upper():
        raise BadRequest("the method has lowercase letters", hint="Write it in capitals: methods are case-sensitive.")


def readings(path: str) -> Sequence[str]:
    """List every way in which some server may read a path without its query; the first is the path as it is written.

    Raises BadRequest where one of them leads to another place on every server: dot segments, NUL, and escapes that are
    none or that only lenient decoders accept.
    """
    if _SUSPICIOUS.search(path) is None:
        return (path,)
    if _BAD_ESCAPE.search(path):
        raise BadRequest("the path holds a percent sign that begins no escape, or a fragment", hint="Encode % as %25.")
    found = [path]
    for way in found:
        if _DOT_SEGMENT.search(way) or _OVERLONG.search(way) or "\0" in way:
            raise BadRequest("the path holds a dot segment, NUL or malformed UTF-8", hint="Send the path it leads to.")
        for mark, step in _STEPS:
            if mark in way and (other := step(way)) not in found:
                found.append(other)
        if len(found) > _MAX_READINGS:
            raise BadRequest("the path can be read in too many ways", hint="Encode it once, without needless escapes.")
    return found


def check_route(ways: Sequence[str], route_of: Callable[[str], object]) -> None:
    """Refuse a path whose readings do not all take the route that the first one takes; raises BadRequest.

    `route_of` returns the route of a path, or raises NoRoute.
    """
    if len(ways) == 1:
        return
    taken = route_of(ways[0])
    own = ways[0].startswith(OWN_PATHS)
    for way in ways[1:]:
        try:
            same = way.startswith(OWN_PATHS) == own and route_of(way) is taken
        except NoRoute:
            same = False
        if not same:
            raise BadRequest(
                "the path takes another route once it is decoded or tidied up",
                hint="Write the part that chooses the route without escapes, doubled slashes and backslashes.",
            )


def _decoded_but_slashes(path: str) -> str:
    return _decoded(_ENCODED_SLASH.sub(r"%25\1", path))


def _backslashes_turned(path: str) -> str:
    return path.replace("\\", "/")


def _without_parameters(path: str) -> str:
    """RFC 3986 section 3.3: some servers set aside what follows a semicolon in a segment."""
    return re.sub(r";[^/]*", "", path)


def _before_query(path: str) -> str:
    """Once `%3F` is decoded, a query may seem to begin."""
    return path.partition("?")[0]


def _before_fragment(path: str) -> str:
    return path.partition("#")[0]


def _merged(path: str) -> str:
    return re.sub(r"/{2,}", "/", path)


_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("%", _decoded),
    ("%", _decoded_but_slashes),
    ("\\", _backslashes_turned),
    (";", _without_parameters),
    ("?", _before_query),
    ("#", _before_fragment),
    ("//", _merged),
)
"""What servers do to a path that holds the mark before they look at it: some, all or none, in any order, and again."""
