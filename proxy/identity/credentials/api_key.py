"""The analytics API key."""

from proxy.errors.names import variable
from proxy.identity.credentials import Advice, CredentialKind, Sources
from proxy.identity.credentials.static import StaticCredential
from proxy.identity.profile import Profile


class ApiKey(StaticCredential):
    name = "api_key"
    title = "the API key"
    needs = ("api_key",)

    def __init__(self, profile: Profile, header: str | None, _sources: Sources) -> None:
        super().__init__(profile, header or "x-api-key")

    def advice(self, status: int, setting: str) -> Advice:
        key = variable(self.needs[0], self._profile.name)
        return Advice(
            f"{status}: the API key is refused",
            f"Correct {key}, or ask your Unleash Live administrator for another key.",
        )


API_KEY = CredentialKind("api_key", ApiKey)
