"""What analytics takes: the API key, and without one what the REST API takes, which analytics may refuse."""

from proxy.errors.names import variable
from proxy.identity.credentials import Advice, Credential, CredentialKind, Sources
from proxy.identity.credentials.api_key import ApiKey
from proxy.identity.credentials.bearer import PersonalAccessToken
from proxy.identity.credentials.id_token import REST, REST_FIELD, IdToken
from proxy.identity.profile import Profile


class _InPlaceOfKey(Credential):
    def advice(self, status: int, setting: str) -> Advice:
        # Those who have no key may not want analytics.
        fix = f"If you want it, set {variable('api_key', self._profile.name)}."
        return Advice(f"{status}: there is no API key, and analytics refuses the token", fix, grave=False)


class _TokenInPlaceOfKey(_InPlaceOfKey, IdToken):
    """Cognito's token where there is no API key."""


class _BearerInPlaceOfKey(_InPlaceOfKey, PersonalAccessToken):
    """A personal access token where there is no API key."""


def _of(profile: Profile, header: str | None, sources: Sources) -> Credential:
    if profile.api_key is not None:
        return ApiKey(profile, header, sources)
    if profile.personal_access_token is not None:
        return _BearerInPlaceOfKey(profile, None, sources)
    return _TokenInPlaceOfKey(REST.name, header or REST_FIELD, profile, sources.tokens)


ANALYTICS = CredentialKind("analytics", _of)
