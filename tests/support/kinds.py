"""The kinds of credentials, by the names of the setting `auth`."""

from proxy.identity.credentials.analytics import ANALYTICS
from proxy.identity.credentials.api_key import API_KEY
from proxy.identity.credentials.bearer import BEARER
from proxy.identity.credentials.id_token import GRAPHQL, REST
from proxy.identity.credentials.nothing import NONE


class Auth:
    """One attribute a kind."""

    REST, GRAPHQL, API_KEY, ANALYTICS, BEARER, NONE = REST, GRAPHQL, API_KEY, ANALYTICS, BEARER, NONE
