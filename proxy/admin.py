"""The proxy's own endpoints under `/-/`."""

from collections.abc import Callable
from typing import Any

from proxy import __version__
from proxy.errors import BadRequest, CredentialMissing, Draining, NoRoute, ProxyError, SignInFailed, variables
from proxy.headers import effective_auth, needs_token
from proxy.model import DEFAULT_PROFILE, Auth, Headers, Instant, Profile, Route
from proxy.problem import Answer, error_answer, json_answer
from proxy.tokens import Snapshot, TokenKeeper

_CLAIMS = {
    "identityId": "custom:identityId",
    "companyId": "custom:companyId",
    "teamId": "custom:teamId",
    "email": "email",
}
"""What `/-/status` shows of the ID token, by the name it shows it under."""


class Admin:
    """Answers for the state of this process; calls nobody."""

    def __init__(
        self,
        *,
        keeper: TokenKeeper,
        profile: Profile,
        routes: tuple[Route, ...],
        draining: Callable[[], bool],
        in_flight: Callable[[], int],
        now: Callable[[], Instant],
        started: Instant | None = None,
    ) -> None:
        self._keeper = keeper
        self._profile = profile
        self._routes = routes
        self._draining = draining
        self._in_flight = in_flight
        self._now = now
        self._started = started or now()

    async def __call__(self, method: str, path: str, profile: str = DEFAULT_PROFILE, headers: Headers = ()) -> Answer:
        """The answer to `method` on an own path; raises NoRoute or BadRequest.

        `profile` is the name of the one that the request chose, which may be unknown; `headers` are its field lines.
        """
        endpoints = {"/-/live": self.live, "/-/ready": self.ready, "/-/status": self.status}
        endpoint = endpoints.get(path)
        if endpoint is None:
            raise NoRoute("the proxy has no such endpoint", hint=f"It has {', '.join(endpoints)}.")
        if method not in ("GET", "HEAD"):
            raise BadRequest(f"{path} answers GET alone", hint=f"Send GET {path}.")
        return endpoint()

    def live(self) -> Answer:
        """200 while the process serves."""
        return json_answer(200, {"live": True})

    def ready(self) -> Answer:
        """200 when a credential is at hand and the proxy is not draining, else 503 and the reason."""
        reason = self._unready()
        return json_answer(200, {"ready": True}) if reason is None else error_answer(reason, graphql=False)

    def _unready(self) -> ProxyError | None:
        if self._draining():
            return Draining("the proxy is draining")
        profile = self._profile
        auths = [effective_auth(route, profile) for route in self._routes]
        if profile.signs_in and any(map(needs_token, auths)):
            snapshot = self._keeper.snapshot(profile.name)
            if snapshot.state in ("fresh", "stale"):
                return None
            return snapshot.error or SignInFailed("the first sign-in has not finished yet", retry_after=1)
        if profile.credentials or all(auth is Auth.NONE for auth in auths):
            return None
        return CredentialMissing(
            "there is neither a login nor a personal access token nor an API key",
            hint=f"Set {variables(profile.login_lacks)}, UL_PROXY_PERSONAL_ACCESS_TOKEN or UL_PROXY_API_KEY,"
            " then restart the proxy.",
        )

    def status(self) -> Answer:
        """Everything that may be told of this process."""
        uptime = self._now().monotonic - self._started.monotonic
        return json_answer(
            200,
            {
                "version": __version__,
                "uptime": round(uptime, 1),
                "draining": self._draining(),
                "ready": self._unready() is None,
                "requests_in_flight": self._in_flight(),
                "profiles": {self._profile.name: _told(self._profile, self._keeper.snapshot(self._profile.name))},
                "routes": [
                    {
                        "path": route.path or "/",
                        "upstream": str(route.upstream),
                        "auth": str(effective_auth(route, self._profile)),
                    }
                    for route in self._routes
                ],
            },
        )


def _told(profile: Profile, snapshot: Snapshot) -> dict[str, Any]:
    """What may be told of a profile."""
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
