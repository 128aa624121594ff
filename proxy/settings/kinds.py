"""The kinds of credentials that a route may have: what the setting `auth` of `[[routes]]` chooses from."""

from pydantic_core import PydanticKnownError

from proxy.identity.credentials import analytics, api_key, bearer, id_token, nothing

KINDS = {
    kind.name: kind
    for kind in (
        id_token.REST,
        id_token.GRAPHQL,
        api_key.API_KEY,
        analytics.ANALYTICS,
        bearer.BEARER,
        nothing.NONE,
    )
}


def checked_kind(value: str) -> str:
    """Check the name of a kind."""
    if value not in KINDS:
        raise PydanticKnownError("enum", {"expected": ", ".join(map(repr, KINDS))})
    return value
