"""A personal access token of Unleash Live, as a Bearer token (RFC 6750 section 2.1)."""

from proxy.errors.names import variable
from proxy.identity.credentials import Advice, CredentialKind, Sources
from proxy.identity.credentials.static import StaticCredential
from proxy.identity.profile import Profile


class PersonalAccessToken(StaticCredential):
    name = "bearer"
    title = "the personal access token"
    needs = ("personal_access_token",)
    scheme = "Bearer"

    def __init__(self, profile: Profile, header: str | None, _sources: Sources) -> None:
        super().__init__(profile, header or "Authorization")

    def advice(self, status: int, setting: str) -> Advice:
        return Advice(
            f"{status}: the personal access token is refused",
            f"Make a new token at Unleash Live, and set {variable(self.needs[0], self._profile.name)}.",
        )


BEARER = CredentialKind("bearer", PersonalAccessToken)
