"""Whether a caller is let in at all, by its field lines alone."""

from typing import NamedTuple

from proxy.errors import CallerError
from proxy.forward.guard.clients import check_client_token, without_client_token
from proxy.forward.guard.hosts import check_host
from proxy.forward.guard.origins import check_origin, confinement, response_fields
from proxy.forward.guard.permission import check_override
from proxy.forward.policy import Policy
from proxy.http.grammar.fields import Header, values_of


class Admitted(NamedTuple):
    """What is known of a caller who was let in. It depends on the field lines and the policy, and on nothing else."""

    host: bytes
    """As Host has it."""
    headers: tuple[Header, ...]
    """The field lines without the client token: these are what may go upstream."""
    response_fields: tuple[Header, ...]
    """What every response carries besides, the proxy's own ones included."""
    upstream_response_fields: tuple[Header, ...]
    """What an upstream's response carries besides that."""

    def __repr__(self) -> str:
        return f"Admitted({self.host!r})"


def admit(headers: tuple[Header, ...], policy: Policy, *, secure: bool = False) -> Admitted:
    """Judge a caller's field lines, which came by HTTPS where `secure`.

    Raises BadRequest, HostNotAllowed, OriginNotAllowed, ClientTokenRequired or NotPermitted. A `preflight` is answered
    before this: it carries no client token.
    """
    host, origin = _whence(headers, policy, secure=secure)
    check_client_token(headers, policy.client_token)
    check_override(headers, policy)
    return Admitted(
        host,
        without_client_token(headers, policy.client_token),
        response_fields(origin, policy),
        confinement(headers),
    )


def refusal_fields(headers: tuple[Header, ...], policy: Policy, *, secure: bool = False) -> tuple[Header, ...]:
    """`Admitted.response_fields` for a caller who was not let in.

    A page that may call here is to read why it was refused.
    """
    try:
        _, origin = _whence(headers, policy, secure=secure)
    except CallerError:
        origin = None
    return response_fields(origin, policy)


def _whence(headers: tuple[Header, ...], policy: Policy, *, secure: bool) -> tuple[bytes, bytes | None]:
    """Host, and the page's origin as `check_origin` returns it."""
    hosts = values_of(headers, b"host")
    check_host(hosts, policy)
    return hosts[0], check_origin(headers, policy, hosts[0], secure=secure)
