"""Cognito's ID token, in the header that the REST API reads or in the one that the GraphQL API reads."""

from proxy.errors import CredentialMissing, ProxyError, SignInFailed
from proxy.errors.names import login_command, variables
from proxy.http.grammar import Head
from proxy.identity.credentials import Advice, Credential, CredentialKind, Proof, SessionStatus, Sources, TokenSource
from proxy.identity.credentials.bearer import PersonalAccessToken
from proxy.identity.credentials.refusals import has_short_json, refuses_token
from proxy.identity.issued import Token
from proxy.identity.profile import Profile

_UNAUTHORIZED, _FORBIDDEN = 401, 403


class _TokenProof(Proof):
    __slots__ = ("_name", "_tokens", "token")
    judged = (_UNAUTHORIZED, _FORBIDDEN)

    def __init__(self, lines: bytes, token: Token, name: str, tokens: TokenSource) -> None:
        """`token` is the token of the profile called `name`."""
        super().__init__(lines)
        self.token = token
        self._name = name
        self._tokens = tokens

    def wants_content(self, head: Head) -> bool:
        return has_short_json(head)

    def refused(self, head: Head, content: bytes) -> bool:
        return refuses_token(head, content) and self._tokens.reject(self._name, self.token)


class IdToken(Credential):
    """Cognito's ID token, without a scheme word before it."""

    title = "the ID token"
    needs = ("username", "password")
    from_session = True

    def __init__(self, name: str, field: str, profile: Profile, tokens: TokenSource) -> None:
        """`name` is that of the kind, `field` that of the field line."""
        super().__init__(profile, (field,))
        self.name = name
        self._field = field.encode()
        self._tokens = tokens
        self._proof: _TokenProof | None = None

    def at_hand(self) -> Proof | None:
        token = self._tokens.at_hand(self._profile.name)
        return None if token is None else self._of(token)

    async def get(self) -> Proof:
        return self._of(await self._tokens.get(self._profile.name))

    def missing(self, *, session: bool) -> str:
        lacking, name = self._profile.login_lacks, self._profile.name
        if not lacking or session:
            return ""
        verb = "are" if lacking[1:] else "is"
        login = f"{variables(lacking, name)} (or {variables(['personal_access_token'], name)}) {verb} set"
        return f"{login}, or {login_command(name)} has been run"

    def unready(self, session: SessionStatus) -> ProxyError | None:
        if session.state in ("fresh", "stale"):
            return None
        # Without a login there may be a session, which may have failed; that nobody can sign in is no failure.
        failed = session.error is not None and not isinstance(session.error, CredentialMissing)
        if self._profile.signs_in or failed:
            return session.error or SignInFailed("the first sign-in has not finished yet", retry_after=1)
        return CredentialMissing("there is no login and no session")

    def advice(self, status: int, setting: str) -> Advice:
        fix = f"Ask your Unleash Live administrator what this account may do, and check {setting}."
        if status != _FORBIDDEN:
            together = f"Check that {setting} and cognito.user_pool_id belong together"
            fix = f"{together}, and the header of a route of your own."
        return Advice(f"{status}: the token is refused, though Cognito has just issued it", fix)

    def _of(self, token: Token) -> Proof:
        """Make the proof for a token, once for as long as it is the same token."""
        proof = self._proof
        if proof is None or proof.token is not token:
            line = b"%b: %b\r\n" % (self._field, token.id_token.get_secret_value().encode())
            proof = self._proof = _TokenProof(line, token, self._profile.name, self._tokens)
        return proof


def _kind(name: str, field: str, *, graphql: bool = False) -> CredentialKind:
    def of(profile: Profile, header: str | None, sources: Sources) -> Credential:
        if profile.personal_access_token is not None:
            # A header that the route names is meant for Cognito's token, and not for what takes its place.
            return PersonalAccessToken(profile, None, sources)
        return IdToken(name, header or field, profile, sources.tokens)

    return CredentialKind(name, of, graphql)


REST_FIELD = "X-Amz-Cognito-Security-Token"
REST = _kind("rest", REST_FIELD)
GRAPHQL = _kind("graphql", "authorization", graphql=True)
