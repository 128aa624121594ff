"""The credential that a route adds to a request."""

from typing import NamedTuple

from proxy.forward import headers
from proxy.forward.route import Auth, Route
from proxy.identity.issued import Token
from proxy.identity.profile import Profile
from proxy.identity.tokens.manager import TokenManager


class Credential(NamedTuple):
    """A field line, `line` on the wire and called `name`; both empty where a route adds none."""

    name: bytes | None = None
    line: bytes = b""
    token: Token | None = None
    """Whose the credential is, where it came from Cognito."""

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"


_NONE = Credential()


class Credentials:
    """The credentials of one profile, made once for as long as they are good."""

    def __init__(self, profile: Profile, keeper: TokenManager) -> None:
        self._profile = profile
        self._keeper = keeper
        self._made: dict[Route, Credential] = {}
        self._token_routes: dict[Route, Auth] = {}
        """Those that want a token, and as what; looked up rather than judged, for enumerations are slow."""

    def at_hand(self, route: Route) -> Credential | None:
        """What `route` adds, None where there is no good token now; raises CredentialMissing, UnknownProfile."""
        if route in self._token_routes:
            token = self._keeper.at_hand(self._profile.name)
            return None if token is None else self._of_token(route, token)
        return self._made.get(route) or self._first(route)

    async def get(self, route: Route) -> Credential:
        """What `route` adds, with a token that is waited for; raises what `TokenManager.get` does."""
        return self._of_token(route, await self._keeper.get(self._profile.name))

    def reject(self, token: Token) -> bool:
        """An upstream refused `token`; whether to `get` another."""
        return self._keeper.reject(self._profile.name, token)

    def _first(self, route: Route) -> Credential | None:
        """What `at_hand` returns the first time."""
        auth = headers.effective_auth(route, self._profile)
        if headers.needs_token(auth):
            self._token_routes[route] = auth
            return self.at_hand(route)
        made = self._made[route] = _NONE if auth is Auth.NONE else self._static(route, auth)
        return made

    def _static(self, route: Route, auth: Auth) -> Credential:
        name, value = headers.credential(route, auth, headers.static_secret(auth, self._profile))
        return Credential(name, b"%b: %b\r\n" % (name, value))

    def _of_token(self, route: Route, token: Token) -> Credential:
        made = self._made.get(route)
        if made is None or made.token is not token:
            name, value = headers.credential(route, self._token_routes[route], token.id_token.get_secret_value())
            made = self._made[route] = Credential(name, b"%b: %b\r\n" % (name, value), token)
        return made
