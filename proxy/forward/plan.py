"""Plans: what becomes of a request, as far as its head says."""

from dataclasses import dataclass, field
from typing import TypeAlias

from proxy.errors import ProxyError
from proxy.forward.route import Route
from proxy.http.grammar.fields import Header
from proxy.http.response import Response
from proxy.identity.credentials import Credential, Proof


@dataclass(frozen=True, slots=True, eq=False)
class Admission:
    """What the field lines say of a caller who was let in. Compared by identity: plans share it."""

    secure: bool
    """They came by HTTPS."""
    origin: bytes
    """Of this proxy, as the caller knows it."""
    headers: tuple[Header, ...] = field(repr=False)
    """The field lines that may go upstream."""
    own: tuple[Header, ...]
    """What the proxy's own responses carry besides."""
    foreign: bytes
    """What an upstream's responses carry besides, on the wire."""
    profile: str | None
    """The name of the profile that the field lines choose, if they choose any."""
    request_id: str
    """The request's id in the field lines, empty where they have no good one."""
    numbered: bool
    """Whether the field lines carry an id upstream."""


@dataclass(frozen=True, slots=True, eq=False)
class PreflightPlan:
    """A browser asks what a page may do: it is answered at once."""

    path: str
    """As the caller wrote it, without the query, which may hold a secret of theirs."""
    response: Response


@dataclass(frozen=True, slots=True, eq=False)
class OwnPlan:
    """The request is about the proxy itself."""

    path: str
    admission: Admission
    profile: str
    endpoint: str
    """The path without what chose the profile."""


@dataclass(frozen=True, slots=True, eq=False)
class RefusedPlan:
    """The request has a route and must not take it."""

    path: str
    admission: Admission
    route: Route
    error: ProxyError
    """To be raised as a copy: others may have the same plan."""


@dataclass(slots=True, eq=False)  # not frozen: one is made for every new target, and that takes thrice as long
class ForwardPlan:
    """The request goes to an upstream."""

    path: str
    admission: Admission
    profile: str
    prefix: str
    """What of the path chose the profile, empty where nothing did."""
    query: str = field(repr=False)
    """What stands behind `?`, undecoded."""
    route: Route
    credential: Credential = field(repr=False)
    line: bytes = field(repr=False)
    """The request line for the upstream."""
    fields: bytes = field(repr=False)
    """The caller's field lines as they go upstream, on the wire."""
    reads_document: bool
    """Whether the proxy is read-only and must look at the GraphQL document."""

    def head(self, proof: Proof, id_line: bytes) -> bytes:
        """Write the head for the upstream; `id_line` has the request's id, and is empty where `fields` has it."""
        line, fields = self.line, self.fields
        return b"".join((line, fields, proof.field_lines(line, fields), id_line, b"\r\n"))


Plan: TypeAlias = PreflightPlan | OwnPlan | RefusedPlan | ForwardPlan
