"""What a person sees when the proxy has started."""

import shlex
from collections.abc import Sequence

from proxy import __version__
from proxy.headers import effective_auth, needs_token
from proxy.model import Auth, Profile, Route

_ADDED = {
    Auth.REST: "X-Amz-Cognito-Security-Token: <ID token>",
    Auth.GRAPHQL: "authorization: <ID token>",
    Auth.API_KEY: "x-api-key: <API key>",
    Auth.BEARER: "Authorization: Bearer <personal access token>",
    Auth.NONE: "nothing added",
}


def banner(urls: Sequence[str], profile: Profile, routes: Sequence[Route]) -> str:
    """Where the proxy listens, as whom, which routes it has, and a line to paste."""
    auths = [effective_auth(route, profile) for route in routes]
    paths = [route.path + "/…" for route in routes]
    path_width = max(map(len, paths))
    url_width = max(len(str(route.upstream)) for route in routes)
    table = [
        f"{path:<{path_width}}  →  {route.upstream!s:<{url_width}}  {_ADDED[auth]}"
        for path, route, auth in zip(paths, routes, auths, strict=True)
    ]
    lines = [
        f"ul-proxy {__version__} listens on {', '.join(urls)}",
        f"  as      {whom(profile, auths)}",
        *(f"  {'routes' if i == 0 else '':<6}  {row}" for i, row in enumerate(table)),
        f"  try     {curl(urls[0], '/v1/job')}",
    ]
    return "\n".join(lines)


def whom(profile: Profile, auths: Sequence[Auth]) -> str:
    """Who the upstream takes the proxy's callers for."""
    if profile.personal_access_token is not None:
        return "the owner of the personal access token"
    if profile.username is not None and profile.password is not None:
        return f"{profile.username} (user pool {profile.pool.user_pool_id}, {profile.pool.auth_flow})"
    if any(needs_token(auth) for auth in auths):
        return "nobody: set UL_PROXY_USERNAME and UL_PROXY_PASSWORD; until then routes that need a login answer 503"
    return "nobody"


def curl(url: str, path: str, options: str = "") -> str:
    """A curl command that asks for `path`."""
    middle = f" {options}" if options else ""
    if url.startswith("unix:"):
        socket = shlex.quote(url.removeprefix("unix:"))
        return f"curl -sS --unix-socket {socket}{middle} {shlex.quote('http://localhost' + path)}"
    return f"curl -sS{middle} {shlex.quote(url + path)}"
