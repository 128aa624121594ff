"""No credential: requests go on as their callers wrote them."""

from proxy.identity.credentials import Credential, CredentialKind, Proof, Sources
from proxy.identity.profile import Profile

_NOTHING = Proof(b"")


class NoCredential(Credential):
    name = "none"
    title = ""

    def __init__(self, profile: Profile, _header: str | None, _sources: Sources) -> None:
        super().__init__(profile, ())

    def at_hand(self) -> Proof:
        return _NOTHING

    async def get(self) -> Proof:
        return _NOTHING


NONE = CredentialKind("none", NoCredential)
