"""What truly crosses packages: readings of the clocks, and what is known of a request."""

from typing import Literal, NamedTuple, Protocol

Level = Literal["debug", "info", "warning", "error"]

OWN = "/-/"
"""The route of the proxy's own endpoints."""

_SERVER_ERROR = 500


class Instant(NamedTuple):
    """One reading of both clocks, in seconds.

    The monotonic clock does not jump but may stand still while a machine sleeps; the wall clock may jump but
    sleeps with nobody. Either alone misjudges an age.
    """

    monotonic: float
    wall: float


class Clock(Protocol):
    """Where time comes from. Whoever needs it takes a Clock, so that tests can pass one in."""

    def now(self) -> Instant: ...

    async def sleep(self, seconds: float) -> None: ...


def elapsed(since: Instant, now: Instant) -> float:
    """Seconds from `since` to `now` by whichever clock saw more of them.

    A machine that slept, and a wall clock set forward, thus age a token early, which costs one renewal;
    nothing makes it look younger than it is.
    """
    return max(now.monotonic - since.monotonic, now.wall - since.wall)


class RequestRecord:
    """The facts of one request, as far as they have been learned.

    One is made for every request, and most facts keep their defaults: what is on the class costs nothing to make.
    `began`, `asked`, `answered`, `relaying` and `ended` are readings of the performance counter, in seconds; 0 where it
    did not come to that.
    """

    path = "-"
    """Without the query, which may hold a secret of the caller's."""
    status = 0
    route = ""
    """The path prefix of the route, `/` for that of everything; empty where it did not come to one."""
    source = "proxy"
    """Whose doing the answer is: `proxy`, `upstream`, `cognito` or `client`."""
    code = ""
    """Of the error that the proxy answered with."""
    detail = ""
    hint = ""
    """What that error says happened, and what mends it."""
    profile = ""
    """Whose credential was wanted."""
    request_id = ""
    graphql = False
    operation = ""
    """The name of the GraphQL operation, where that is known."""
    asked = 0.0
    """When the request went to the upstream."""
    answered = 0.0
    """When the head of its answer had come, or failed to."""
    relaying = 0.0
    """When the rest of its content began to be waited for, or a tunnel was opened."""
    ended = 0.0
    received = 0
    sent = 0
    """Bytes of content."""

    def __init__(self, method: str, began: float) -> None:
        self.method = method
        self.began = began

    def __repr__(self) -> str:
        return f"RequestRecord({self.method!r}, status={self.status})"

    @property
    def overhead(self) -> float:
        """The proxy's own share, in seconds: waiting for a sign-in included, and waiting for content not.

        What the upstream's share is, from the request's going out to the head of the answer, is `answered - asked`.
        """
        return (self.relaying or self.ended) - self.began - (self.answered - self.asked)

    @property
    def level(self) -> Level:
        """How much a person should mind: `error` where the proxy could not do its work, `warning` where it refused.

        Looks at the proxy's own endpoints are `debug`: probes come every few seconds.
        """
        if self.code:
            return "error" if self.status >= _SERVER_ERROR else "warning"
        return "debug" if self.route == OWN and self.method in ("GET", "HEAD") else "info"
