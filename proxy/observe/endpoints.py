"""The proxy's own endpoints under `/-/`."""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from typing import Any, NamedTuple, TypeAlias

from pydantic import SecretStr

from proxy import __version__
from proxy.errors import (
    BadRequest,
    ClientTokenRequired,
    CredentialMissing,
    Defective,
    Draining,
    NoRoute,
    ProxyError,
    UnknownProfile,
)
from proxy.errors.defects import Defects
from proxy.errors.names import login_command, variables
from proxy.forward.problems import error_response
from proxy.forward.route import Route
from proxy.http.grammar.fields import Headers, values_of
from proxy.http.response import Response, json_response
from proxy.identity.credentials import Credential, Credentials
from proxy.identity.profile import DEFAULT_PROFILE, Profile
from proxy.identity.tokens.aws_keys import AwsKeys, container_document
from proxy.identity.tokens.manager import TokenManager
from proxy.identity.tokens.state import Snapshot
from proxy.model import Instant

log = logging.getLogger(__name__)

_CLAIMS = {
    "identityId": "custom:identityId",
    "companyId": "custom:companyId",
    "teamId": "custom:teamId",
    "email": "email",
}
"""What `/-/status` shows of the ID token, by the name it shows it under."""
_PUBLIC = frozenset(("/-/live", "/-/ready", "/-/metrics"))
"""What probes and scrapers ask for. It tells of nobody's login and does nothing, so that anybody may have it."""
_READ, _ACT = ("GET", "HEAD"), ("POST",)
_AWS, _STOP = "/-/aws-credentials", "/-/stop"
_PAGE, _BELOW_PAGE = "/-/", "/-/inspector/"


class _Endpoint(NamedTuple):
    methods: tuple[str, ...]
    answer: Callable[[Profile, Headers], Awaitable[Response]]


_Table: TypeAlias = Mapping[str, _Endpoint]


class OwnEndpoints:
    """Answers for the state of this process, and of the one profile that a request chose."""

    def __init__(
        self,
        *,
        tokens: TokenManager,
        profiles: Mapping[str, Profile],
        credentials: Credentials,
        routes: tuple[Route, ...],
        draining: Callable[[], bool],
        in_flight: Callable[[], int],
        defects: Defects,
        now: Callable[[], Instant],
        aws: AwsKeys,
        metrics: Callable[[Headers], Awaitable[Response]],
        aws_token: SecretStr | None = None,
        stop: Callable[[], None] | None = None,
        inspector: Callable[[str, Headers], Awaitable[Response]] | None = None,
        started: Instant | None = None,
    ) -> None:
        """`metrics` answers `/-/metrics`.

        Callers of `/-/aws-credentials` must send `aws_token`; `stop` has the proxy drain and end; `inspector` answers
        for its page and for what that page asks for, by their path. Where one is None there is no such endpoint.
        """
        self._tokens = tokens
        self._metrics = metrics
        self._profiles = profiles
        self._credentials = credentials
        self._routes = routes
        self._draining = draining
        self._in_flight = in_flight
        self._defects = defects
        self._now = now
        self._aws = aws
        self._aws_token = aws_token
        self._stop = stop
        self._inspector = inspector
        self._started = started or now()
        self._table: dict[str, _Endpoint] = {
            "/-/live": _Endpoint(_READ, self._live),
            "/-/ready": _Endpoint(_READ, self._ready),
            "/-/status": _Endpoint(_READ, self._status),
            "/-/metrics": _Endpoint(_READ, lambda _profile, headers: self._metrics(headers)),
            "/-/refresh": _Endpoint(_ACT, self._refresh),
        }
        if aws_token is not None:
            self._table[_AWS] = _Endpoint(_READ, self._aws_credentials)
        if stop is not None:
            self._table[_STOP] = _Endpoint(_ACT, self._end)
        self._public = {path: endpoint for path, endpoint in self._table.items() if path in _PUBLIC}

    async def __call__(self, method: str, path: str, profile: str = DEFAULT_PROFILE, headers: Headers = ()) -> Response:
        """Answer `method` on an own path.

        `profile` is the name of the one that the request chose, which may be unknown; `headers` are its field lines.
        Raises NoRoute, BadRequest, UnknownProfile, ClientTokenRequired or a CredentialError.
        """
        if path == _STOP and self._stop is None:
            raise NoRoute(
                "the proxy does not end on request",
                hint="Set enable_stop = true (UL_PROXY_ENABLE_STOP=true) for the proxy, or send it SIGTERM.",
            )
        if path == _AWS and self._aws_token is None:
            raise NoRoute(
                "the proxy hands out no AWS credentials",
                hint="Set aws_credentials_token (UL_PROXY_AWS_CREDENTIALS_TOKEN) to a secret that callers are to send.",
            )
        if path == _PAGE or path.startswith(_BELOW_PAGE):
            if self._inspector is None:
                raise NoRoute(
                    "the inspector is not here",
                    hint="It needs inspector = true (UL_PROXY_INSPECTOR=true) and, beyond loopback, a client_token.",
                )
            _check_method(_READ, method, path)
            return await self._inspector(path, headers)
        return await self._answer(self._table, method, path, profile, headers)

    async def public(self, method: str, path: str, profile: str = DEFAULT_PROFILE, headers: Headers = ()) -> Response:
        """Answer callers of whom nothing is known."""
        return await self._answer(self._public, method, path, profile, headers)

    async def _answer(self, table: _Table, method: str, path: str, profile: str, headers: Headers) -> Response:
        endpoint = table.get(path)
        if endpoint is None:
            here = [*table, *([_PAGE] if table is self._table and self._inspector is not None else [])]
            raise NoRoute("the proxy has no such endpoint here", hint=f"Here are {', '.join(here)}.")
        _check_method(endpoint.methods, method, path)
        chosen = self._profiles.get(profile)
        if chosen is None:
            raise UnknownProfile("there is no such profile")
        return await endpoint.answer(chosen, headers)

    async def _live(self, _profile: Profile, _headers: Headers) -> Response:
        """Answer 200 while the process serves."""
        return json_response(200, {"live": True})

    async def _ready(self, profile: Profile, _headers: Headers) -> Response:
        """Answer 200 when a credential is at hand, the proxy is not draining and requests go well, else 503."""
        reason = self._unready(profile)
        return json_response(200, {"ready": True}) if reason is None else error_response(reason, graphql=False)

    async def _refresh(self, profile: Profile, _headers: Headers) -> Response:
        """Get a new token, and show when it ends; raises a CredentialError, and then the old token stays in use."""
        if profile.personal_access_token is not None:
            raise BadRequest(
                f"profile {profile.name} sends a personal access token, which cannot be renewed",
                hint="Create another one, and set personal_access_token to it.",
            )
        asked = self._now()
        token = await self._tokens.refresh(profile.name)
        snapshot = self._tokens.snapshot(profile.name)
        return json_response(
            200,
            {
                "profile": profile.name,
                "renewed": token.arrived >= asked,
                "outcome": snapshot.last_outcome,
                "expires_in": _rounded(snapshot.expires_in),
                "next_refresh_in": _rounded(snapshot.refresh_in),
            },
        )

    async def _end(self, _profile: Profile, _headers: Headers) -> Response:
        """Answer 202, and have the proxy drain and end."""
        if self._stop is not None:
            log.info("POST %s: draining", _STOP)
            self._stop()
        return json_response(202, {"stopping": True, "requests_in_flight": self._in_flight()})

    async def _aws_credentials(self, profile: Profile, headers: Headers) -> Response:
        """Hand AWS credentials of the identity pool to callers who send `aws_credentials_token`."""
        presented = values_of(headers, b"authorization")
        expected = b"" if self._aws_token is None else self._aws_token.get_secret_value().encode()
        if len(presented) != 1 or not compare_digest(presented[0], expected):
            raise ClientTokenRequired(
                "the request does not present the token of this endpoint",
                hint="Set AWS_CONTAINER_AUTHORIZATION_TOKEN to the value of aws_credentials_token.",
            )
        return json_response(200, container_document(await self._aws.get(profile.name)))

    def _unready(self, profile: Profile) -> ProxyError | None:
        if self._draining():
            return Draining("the proxy is draining")
        if self._defects.lasting:
            many = self._defects.in_a_row
            return Defective(f"the last {many} requests met a defect of the proxy's own, and none has gone well since")
        added = [one for route in self._routes if (one := self._credential(route, profile)).title]
        session = self._tokens.snapshot(profile.name)
        reasons = [one.unready(session) for one in added]
        for reason in reasons:
            if reason is not None and not isinstance(reason, CredentialMissing):
                return reason
        if not added or profile.credentials or None in reasons:
            return None
        login = variables(profile.login_lacks, profile.name)
        others = " or ".join(variables([name], profile.name) for name in ("personal_access_token", "api_key"))
        return CredentialMissing(
            "there is neither a login nor a session nor a personal access token nor an API key",
            hint=f"Run {login_command(profile.name)}, or set {login}, or {others}.",
        )

    def _credential(self, route: Route, profile: Profile) -> Credential:
        return self._credentials.of(profile.name, route.auth, route.header)

    async def _status(self, profile: Profile, _headers: Headers) -> Response:
        """Show everything about this process that is no secret."""
        uptime = self._now().monotonic - self._started.monotonic
        reason = self._unready(profile)
        return json_response(
            200,
            {
                "version": __version__,
                "pid": os.getpid(),
                "uptime": round(uptime, 1),
                "draining": self._draining(),
                "ready": reason is None,
                "reason": _error(reason) if reason is not None else None,
                "requests_in_flight": self._in_flight(),
                "defects": self._defects.counts,
                "defects_in_a_row": self._defects.in_a_row,
                "profiles": {
                    name: _shown(known, self._tokens.snapshot(name)) for name, known in self._profiles.items()
                },
                "routes": [
                    {
                        "path": route.path or "/",
                        "upstream": str(route.upstream),
                        "auth": self._credential(route, profile).name,
                    }
                    for route in self._routes
                ],
            },
        )


def _check_method(methods: tuple[str, ...], method: str, path: str) -> None:
    if method not in methods:
        raise BadRequest(f"{path} answers {methods[0]} alone", hint=f"Send {methods[0]} {path}.")


def _shown(profile: Profile, snapshot: Snapshot) -> dict[str, Any]:
    """Show everything about a profile that is no secret."""
    return {
        "state": snapshot.state,
        "username": profile.username,
        "credentials": profile.credentials,
        **{name: snapshot.claims.get(claim) for name, claim in _CLAIMS.items()},
        "expires_in": _rounded(snapshot.expires_in),
        "next_refresh_in": _rounded(snapshot.refresh_in),
        "last_outcome": snapshot.last_outcome,
        "sign_ins": snapshot.sign_ins,
        "renewals": snapshot.renewals,
        "failures_in_a_row": snapshot.failures_in_a_row,
        "clock_skew": _rounded(snapshot.clock_skew),
        "error": _error(snapshot.error) if snapshot.error is not None else None,
    }


def _error(error: ProxyError) -> dict[str, Any]:
    return {"code": error.code, "detail": error.detail, "hint": error.hint, "transient": error.transient}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
