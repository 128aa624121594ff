"""A request target becomes a route and the target to send there.

Paths are compared and passed on as the caller wrote them: nothing is decoded, encoded or normalised, so that what was
judged here is what the upstream reads.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from proxy.errors import BadRequest, NoRoute
from proxy.forward.route import Route
from proxy.http.grammar.fields import Header

_ABSOLUTE = re.compile(r"https?://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)

_PATH = re.compile(r"/[!\"$-~]*+")
"""Printable ASCII but for the space and the beginning of a fragment."""
_AFTER_ORIGIN = (b"/", b"?", b"#", b"")


class Target(NamedTuple):
    """A request target (RFC 9112 section 3.2) in origin form, and the authority that an absolute one named."""

    path: str
    authority: str | None


def parse_target(target: str) -> Target:
    """`/path?query`, or the same behind `http://authority`; raises BadRequest for anything else."""
    if target.startswith("/"):
        return Target(_checked(target), None)
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest("the request target must begin with a slash", hint="Send a path such as /v1/job.")
    rest = match["rest"]
    return Target(_checked(rest if rest.startswith("/") else "/" + rest), match["authority"])


def _checked(path: str) -> str:
    if _PATH.fullmatch(path) is None:
        raise BadRequest(
            "the request target holds a fragment, a space, a control character or bytes beyond ASCII",
            hint="Percent-encode them (RFC 3986 section 2.1).",
        )
    return path


class RouteTable:
    """The routes in the order in which they are tried."""

    def __init__(self, own: Iterable[Route], built_in: Iterable[Route]) -> None:
        """`own` routes come before `built_in` ones; within each, the longest prefix comes first."""
        self.routes = tuple(
            route
            for group in (own, built_in)
            for route in sorted(group, key=lambda route: len(route.path), reverse=True)
        )

    def match(self, path: str) -> tuple[Route, str]:
        """Find the route of an origin-form target, and what to ask its upstream for; raises NoRoute."""
        for route in self.routes:
            prefix = route.path
            if path.startswith(prefix) and (rest := path[len(prefix) :])[:1] in ("/", "?", ""):
                target = route.upstream.path + rest
                return route, target if target.startswith("/") else "/" + target
        raise NoRoute("no route matches this path", hint="List the routes with `ul-proxy config`.")

    def localised(self, headers: list[Header], route: Route, *, here: bytes, below: str = "") -> list[Header]:
        """Have a `Location` in `headers` on the origin of `route` lead through the proxy, by its name `here`.

        Local paths begin with `below`, as the caller's did.
        """
        return [
            (name, self._local(value, route, here, below)) if name.lower() == b"location" else (name, value)
            for name, value in headers
        ]

    def _local(self, location: bytes, route: Route, here: bytes, below: str) -> bytes:
        origin = route.upstream.origin.encode()
        if location.startswith(b"/") and not location.startswith(b"//"):
            path, prefix, elsewhere = location, b"", origin + location
        elif (
            location[: len(origin)].lower() == origin.lower()
            and location[len(origin) : len(origin) + 1] in _AFTER_ORIGIN
        ):
            path, prefix, elsewhere = location[len(origin) :], here, location
        else:
            return location
        local = self._local_path(path.decode("latin-1"), route)
        if local is None:
            # No route leads there, and without its origin the path would mean another place.
            return elsewhere
        local = below + local
        # What begins with two slashes would name a host.
        return (here if local.startswith("//") else prefix) + local.encode("latin-1")

    def _local_path(self, path: str, route: Route) -> str | None:
        """Find the most exact local path that leads to `path` on the origin of `route`, None where there is none."""
        found: tuple[int, str] | None = None
        # Where two are equally exact, the one that the caller took.
        for candidate in (route, *self.routes):
            base = candidate.upstream.path
            rest = path[len(base) :]
            reaches = candidate.upstream.origin == route.upstream.origin and path.startswith(base)
            if reaches and rest[:1] in ("/", "?", "#", "") and (found is None or len(base) > found[0]):
                local = candidate.path + rest
                if self._leads_to(local.partition("#")[0], candidate):
                    found = len(base), local
        if found is None:
            return None
        return found[1] if found[1].startswith("/") else "/" + found[1]

    def _leads_to(self, path: str, route: Route) -> bool:
        """Tell whether a request for `path` would take `route`, and not a longer one that covers it."""
        return self.match(path or "/")[0] is route
