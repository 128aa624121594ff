"""Credentials: what is added to a request so that its upstream knows who asks.

Each kind is one module of this package, such as `id_token`, and implements `Credential`; a route's setting auth chooses
among the kinds. A Credential is made for one profile and one header name, and lasts as long as the settings do. What it
can send right now is a `Proof`, which writes the field lines of each request and judges whether a response refuses
them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from proxy.errors import CredentialMissing, ProxyError, UnknownProfile
from proxy.http.grammar import Head
from proxy.identity.issued import Token
from proxy.identity.profile import Profile

USUAL_FIELDS = frozenset((b"authorization", b"x-amz-cognito-security-token", b"x-api-key"))
"""The fields that carry a credential to Unleash Live: a caller's own never go beside one that the proxy adds."""


class Proof:
    """A credential that is good now, for any number of requests."""

    __slots__ = ("_lines",)
    judged: Container[int] = ()
    """Statuses of the responses that it must see, which may refuse it; others say nothing that it wants to know."""

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    def field_lines(self, request_line: bytes, fields: bytes) -> bytes:
        """Write the field lines to add to one request, given its request line and its other fields as they go out."""
        return self._lines

    def wants_content(self, head: Head) -> bool:
        """Tell whether a response with a status in `judged` must be judged by its content, too."""
        return False

    def refused(self, head: Head, content: bytes) -> bool:
        """Judge a response with a status in `judged`: whether it refuses this proof and asking for another can help."""
        return False


class TokenSource(Protocol):
    """Where Cognito's tokens come from, by the name of a profile."""

    def at_hand(self, name: str) -> Token | None:
        """Take a token that is good now, None where there is none; raises UnknownProfile."""

    async def get(self, name: str) -> Token:
        """Wait for a token that is good now; raises a CredentialError."""

    def reject(self, name: str, token: Token) -> bool:
        """Drop a token that an upstream refused; whether to `get` another."""


class NoTokens:
    """A TokenSource without a single token."""

    def at_hand(self, name: str) -> Token | None:
        return None

    async def get(self, name: str) -> Token:
        raise CredentialMissing(f"nobody has signed in as profile {name}")

    def reject(self, name: str, token: Token) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Sources:
    """Where credentials get what is no setting."""

    tokens: TokenSource


NO_SOURCES = Sources(NoTokens())
"""For credentials that are asked about themselves, and send nothing."""


class SessionStatus(Protocol):
    """What is known of a profile's session with Cognito."""

    @property
    def state(self) -> str: ...

    @property
    def error(self) -> ProxyError | None: ...


class Advice(NamedTuple):
    """What `check` says of a credential that an upstream refused."""

    detail: str
    fix: str
    grave: bool = True
    """Whether it is a failure; else the route may be one that this person does not use."""


class Credential(ABC):
    """What one profile adds to requests of one kind of route."""

    name: str
    """The kind, as the setting `auth` and /-/status call it."""
    title: str
    """What a person calls it, such as "the API key"; empty where nothing is added."""
    needs: tuple[str, ...] = ()
    """The settings of the profile without which there is none."""
    from_session = False
    """Whether it comes from the profile's session with Cognito, so that a kept session stands in for `needs`."""

    def __init__(self, profile: Profile, fields: Collection[str]) -> None:
        """`fields` are the names of the field lines that it adds."""
        self._profile = profile
        own = frozenset(name.lower().replace("_", "-").encode() for name in fields)
        self.replaces = USUAL_FIELDS | own if own else own
        """The caller's fields and trailers that do not go beside it, in lower case and with hyphens."""
        self.shown = ", ".join(fields)
        """What the banner says is added to requests."""

    @abstractmethod
    def at_hand(self) -> Proof | None:
        """Take what can be sent now, None where it must be waited for; raises CredentialMissing, UnknownProfile."""

    @abstractmethod
    async def get(self) -> Proof:
        """Wait for what can be sent; raises a CredentialError or UnknownProfile."""

    def missing(self, *, session: bool) -> str:
        """Say what must be done before it can be sent, as words that follow "until"; empty where nothing must.

        `session`: one with Cognito is kept.
        """
        return ""

    def unready(self, session: SessionStatus) -> ProxyError | None:
        """Say why it cannot be sent now, None where it can: CredentialMissing where nobody has set it."""
        return None

    def advice(self, status: int, setting: str) -> Advice:
        """Say what to do where a good request was refused with `status`; `setting` has the upstream's address."""
        return Advice(f"{status}: {self.title} is refused", f"Check {setting}.")


@dataclass(frozen=True, slots=True, eq=False)
class CredentialKind:
    """A kind of credential, as the setting `auth` names it. `of(profile, header, sources)` makes one for a profile.

    `header` is the name of the field that is to carry it, None for the kind's own.
    """

    name: str
    of: Callable[[Profile, str | None, Sources], Credential]
    graphql: bool = False
    """Whether routes of this kind lead to GraphQL endpoints."""


class Credentials:
    """The credentials of all profiles, each made when a request first wants it."""

    def __init__(self, profiles: Mapping[str, Profile], sources: Sources) -> None:
        self._profiles = profiles
        self._sources = sources
        self._made: dict[tuple[str, CredentialKind, str | None], Credential] = {}

    def of(self, name: str, kind: CredentialKind, header: str | None) -> Credential:
        """Find the credential of the profile called `name`; raises UnknownProfile."""
        made = self._made.get((name, kind, header))
        if made is None:
            profile = self._profiles.get(name)
            if profile is None:
                raise UnknownProfile("there is no such profile")
            made = self._made[name, kind, header] = kind.of(profile, header, self._sources)
        return made
