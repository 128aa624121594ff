"""Credentials that are a setting: sent as they are, and never renewed."""

from proxy.errors import CredentialMissing, ProxyError
from proxy.errors.names import FILE_SUFFIX, variable
from proxy.identity.credentials import Credential, Proof, SessionStatus
from proxy.identity.profile import Profile


class StaticCredential(Credential):
    """A secret of the profile; its kinds say which setting it is (`needs`, one name), and what it is called."""

    scheme = ""
    """The word that stands before the secret."""

    def __init__(self, profile: Profile, field: str) -> None:
        super().__init__(profile, (field,))
        if self.scheme:
            self.shown = f"{field}: {self.scheme}"
        self._field = field
        self._proof: Proof | None = None

    def at_hand(self) -> Proof:
        return self._proof or self._first()

    async def get(self) -> Proof:
        return self.at_hand()

    def missing(self, *, session: bool) -> str:
        return "" if self._is_set else f"{variable(self.needs[0], self._profile.name)} is set"

    def unready(self, session: SessionStatus) -> ProxyError | None:
        return None if self._is_set else self._error()

    @property
    def _is_set(self) -> bool:
        return getattr(self._profile, self.needs[0]) is not None

    def _first(self) -> Proof:
        secret = getattr(self._profile, self.needs[0])
        if secret is None:
            raise self._error()
        value = " ".join(filter(None, (self.scheme, secret.get_secret_value())))
        self._proof = Proof(f"{self._field}: {value}\r\n".encode())
        return self._proof

    def _error(self) -> CredentialMissing:
        (setting,) = self.needs
        held = variable(setting, self._profile.name)
        return CredentialMissing(
            f"this route needs {setting}, which is not set", hint=f"Set {held} or {held}{FILE_SUFFIX}."
        )
