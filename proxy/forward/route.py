"""Routes: which requests go to which upstream, with which credential."""

from dataclasses import dataclass

from proxy.http.address import Upstream
from proxy.identity.credentials import NO_SOURCES, Credential, CredentialKind
from proxy.identity.profile import Profile


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Requests whose path begins with `path`, on whole segments, go to `upstream` with a credential of the kind `auth`.

    `path` is "" for the route of everything. `header` overrides the name of the header that carries the credential.
    `graphql`: the upstream is a GraphQL endpoint. Compared by identity: every request looks something up by its route.
    """

    path: str
    upstream: Upstream
    auth: CredentialKind
    header: str | None = None
    graphql: bool = False

    def credential(self, profile: Profile) -> Credential:
        """Make what requests of a profile get here: to be asked about itself, for it has nothing to send."""
        return self.auth.of(profile, self.header, NO_SOURCES)
