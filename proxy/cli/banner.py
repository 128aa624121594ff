"""What a person sees when the proxy has started."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from proxy import __version__
from proxy.errors.names import login_command, variables
from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.http.address import is_loopback
from proxy.http.options import CertificateFiles
from proxy.identity.credentials import Credential
from proxy.identity.profile import DEFAULT_PROFILE, Profile
from proxy.observe.urls import curl, trust

_WIDTH = 80
_MOST_LINES = 3


def banner(
    urls: Sequence[str],
    profiles: Mapping[str, Profile],
    routes: Sequence[Route],
    policy: Policy,
    sessions: Collection[str] = (),
    *,
    tls: CertificateFiles | None = None,
    admin_urls: Sequence[str] = (),
    page: str | None = None,
) -> str:
    """Write where the proxy listens, as whom, which routes it has, and a line to paste.

    `sessions` are the names of the profiles that lack a login and have a session that was kept; `tls` is what HTTPS
    callers are shown, `admin_urls` where the proxy's own endpoints are, if not at `urls`, and `page` where a browser
    shows requests as they come.
    """
    profile = profiles[DEFAULT_PROFILE]
    path_width = max(len(_local(route)) for route in routes)
    table = [f"{_local(route):<{path_width}} → {route.upstream}{_added(route, profile)}" for route in routes]
    credentials = [route.credential(profile) for route in routes]
    lines = [
        f"ul-proxy {__version__} listens on {', '.join(urls)}",
        f"  as      {whom(profile, credentials, session=DEFAULT_PROFILE in sessions)}",
        *(f"  {'or' if i == 0 else '':<6}  {row}" for i, row in enumerate(_others(profiles))),
        *(f"  {'routes' if i == 0 else '':<6}  {row}" for i, row in enumerate(table)),
        *([f"  admin   {', '.join(admin_urls)}"] if admin_urls else []),
        *([f"  watch   {page}"] if page else []),
        f"  try     {curl(urls[0], '/v1/job', trust(urls[0], tls), with_token=policy.client_token is not None)}",
    ]
    return "\n".join(lines)


def _others(profiles: Mapping[str, Profile]) -> list[str]:
    """Write the profiles that requests may choose, as lines."""
    names = [name for name in profiles if name != DEFAULT_PROFILE]
    if not names:
        return []
    shown = textwrap.wrap(", ".join(names), _WIDTH, break_long_words=False, break_on_hyphens=False)
    more = [f"and {len(shown) - _MOST_LINES} lines more: ul-proxy config"] if shown[_MOST_LINES:] else []
    return [*shown[:_MOST_LINES], *more, "chosen by X-UL-Proxy-Profile: NAME, or by /@NAME before the path"]


def whom(profile: Profile, credentials: Sequence[Credential], *, session: bool = False) -> str:
    """Say who the upstream takes the proxy's callers for."""
    if profile.personal_access_token is not None:
        return "the owner of the personal access token"
    pool = f"user pool {profile.pool.user_pool_id}"
    if session:
        return f"{profile.username or 'whoever'} signed in with {login_command(profile.name)} ({pool})"
    if not profile.login_lacks:
        return f"{profile.username} ({pool}, {profile.pool.auth_flow})"
    if any(credential.from_session for credential in credentials):
        return f"nobody: {_unset(profile.login_lacks)}"
    return "nobody"


def start_warnings(
    profiles: Mapping[str, Profile],
    routes: Sequence[Route],
    *,
    urls: Sequence[str],
    policy: Policy,
    sessions: Collection[str] = (),
) -> list[str]:
    """Say what a person should know from the start: routes that cannot work, who else may use the login.

    `sessions` are as for `banner`.
    """
    profile = profiles[DEFAULT_PROFILE]
    without: dict[str, list[str]] = {}
    for route in routes:
        missing = route.credential(profile).missing(session=DEFAULT_PROFILE in sessions)
        if missing:
            without.setdefault(missing, []).append(_local(route))
    warnings = [
        f"{_enumerated(paths)} {'answer' if paths[1:] else 'answers'} 503 until {missing}"
        for missing, paths in without.items()
    ]
    empty = [
        name
        for name, other in profiles.items()
        if name != DEFAULT_PROFILE and not other.credentials and name not in sessions
    ]
    if empty:
        which = f"profile {empty[0]} has" if not empty[1:] else f"profiles {_enumerated(empty)} have"
        warnings.append(f"{which} no credential: run {login_command(empty[0])}")
    callers = "callers must name it by a loopback name or a host in allowed_hosts"
    hosts = f"has {', '.join(sorted(policy.allowed_hosts))}" if policy.allowed_hosts else "is empty"
    exposed = [url for url in urls if not url.startswith("unix:") and not is_loopback(urlsplit(url).hostname or "")]
    if policy.client_token is None:
        warnings += [
            f"ANYBODY who can reach {url} acts with the login of this proxy; {callers}, which {hosts}"
            for url in exposed
        ]
    elif not policy.allowed_hosts:
        warnings += [f"{url}: {callers}, which {hosts}" for url in exposed]
    return warnings


def _local(route: Route) -> str:
    """Write the paths that a route takes; GraphQL has but one."""
    return route.path if route.graphql else route.path + "/…"


def _added(route: Route, profile: Profile) -> str:
    shown = route.credential(profile).shown
    return f" + {shown}" if shown else ""


def _unset(settings: Sequence[str]) -> str:
    return f"{variables(settings)} {'are' if settings[1:] else 'is'} not set"


def _enumerated(items: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))
