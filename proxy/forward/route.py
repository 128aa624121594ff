"""Routes: which requests go to which upstream, with which credential."""

from dataclasses import dataclass
from enum import StrEnum

from proxy.http.address import Upstream


class Auth(StrEnum):
    """Which credential a route wants."""

    REST = "rest"
    GRAPHQL = "graphql"
    API_KEY = "api_key"
    ANALYTICS = "analytics"
    """The API key where there is one, else as `rest`."""
    BEARER = "bearer"
    NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Requests whose path begins with `path`, on whole segments, go to `upstream` with `auth` added.

    `path` is "" for the route of everything. `header` overrides the name of the header that carries the credential.
    Compared by identity: every request looks something up by its route.
    """

    path: str
    upstream: Upstream
    auth: Auth
    header: str | None = None
