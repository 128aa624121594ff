"""The settings as the frozen values that the running proxy is built from, and what cannot stand together in them."""

import socket
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from proxy.errors import SettingsError
from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.http.address import Upstream, is_loopback, stays_here
from proxy.http.options import CertificateFiles, OutboundProxies, Timeouts
from proxy.identity.credentials import CredentialKind
from proxy.identity.credentials.analytics import ANALYTICS
from proxy.identity.credentials.id_token import GRAPHQL, REST
from proxy.identity.credentials.nothing import NONE
from proxy.identity.profile import DEFAULT_PROFILE, CognitoPool, Profile
from proxy.settings.forms import parse_bind
from proxy.settings.kinds import KINDS
from proxy.settings.options import LogOptions, ServeOptions
from proxy.settings.schema import (
    CognitoSettings,
    ProfileCognitoSettings,
    ProfileSettings,
    RouteSettings,
    Settings,
    UpstreamSettings,
)


def serve_options(
    settings: Settings, outbound: OutboundProxies | None = None, state_home: Path | None = None
) -> ServeOptions:
    """Make what the running proxy is built from; raises SettingsError.

    A setting that is no section and has the name of an option is handed on as it is, unless it becomes something else.
    """
    becomes: dict[str, Any] = {
        "listen": tuple(map(parse_bind, settings.listen)),
        "admin_listen": tuple(map(parse_bind, settings.admin_listen)),
        "timeouts": Timeouts(**settings.timeouts.model_dump()),
        "ca_file": settings.upstreams.ca_file,
        "outbound": outbound or OutboundProxies(),
        "state_home": state_home,
        "profiles": _profiles(settings),
        "own_routes": tuple(map(_own_route, settings.routes)),
        "built_in_routes": built_in_routes(settings.upstreams),
        "policy": _policy(settings),
        "tls": _certificate_files(settings),
    }
    names = {option.name for option in fields(ServeOptions)} & Settings.model_fields.keys() - becomes.keys()
    return ServeOptions(**becomes, **{name: getattr(settings, name) for name in names})


def log_options(settings: Settings) -> LogOptions:
    """Make what logging is set up from."""
    return LogOptions(access_log=settings.access_log, log_format=settings.log_format, log_level=settings.log_level)


def _policy(settings: Settings) -> Policy:
    return Policy(
        allowed_hosts=frozenset(settings.allowed_hosts),
        allowed_origins=frozenset(settings.allowed_origins),
        client_token=settings.client_token,
        read_only=settings.read_only,
        allow=tuple(settings.allow),
        deny=tuple(settings.deny),
    )


def _own_route(route: RouteSettings) -> Route:
    return _route(route.path.rstrip("/"), route.upstream, KINDS[route.auth], route.header)


def _certificate_files(settings: Settings) -> CertificateFiles | None:
    if settings.tls_cert is not None:
        return CertificateFiles(settings.tls_cert, settings.tls_key or settings.tls_cert)
    if settings.tls_key is not None:
        raise SettingsError("tls_key is set, and tls_cert is not", hint="Set both, or neither.")
    return None


def _profiles(settings: Settings) -> dict[str, Profile]:
    further = {
        name: _profile(name, given, _pool(settings.cognito, given.cognito), given.token_store)
        for name, given in settings.profiles.items()
    }
    pool = CognitoPool(**settings.cognito.model_dump())
    return {DEFAULT_PROFILE: _profile(DEFAULT_PROFILE, settings, pool), **further}


def _profile(
    name: str, given: Settings | ProfileSettings, pool: CognitoPool, token_store: str | None = None
) -> Profile:
    return Profile(
        name=name,
        pool=pool,
        username=given.username,
        password=given.password,
        api_key=given.api_key,
        personal_access_token=given.personal_access_token,
        totp_secret=given.totp_secret,
        token_store=token_store,
    )


def _pool(common: CognitoSettings, own: ProfileCognitoSettings) -> CognitoPool:
    """Make the user pool of a profile: what it does not say of its own is as for everybody."""
    given = own.model_dump(exclude_none=True)
    # A client's secret is that client's alone.
    without = {"client_secret"} if "client_id" in given else set()
    return CognitoPool(**common.model_dump(exclude=without) | given)


def built_in_routes(upstreams: UpstreamSettings) -> tuple[Route, ...]:
    return (
        _route("/graphql", upstreams.graphql, GRAPHQL),
        _route("/v1/analytics", upstreams.rest.rstrip("/") + "/v1/analytics", ANALYTICS),
        _route("/cdn/flights", upstreams.flights_cdn, NONE),
        _route("/cdn/library", upstreams.library_cdn, NONE),
        _route("", upstreams.rest, REST),
    )


def _route(path: str, upstream: str, kind: CredentialKind, header: str | None = None) -> Route:
    return Route(path, Upstream.parse(upstream), kind, header, graphql=kind.graphql)


def refuse_contradictions(settings: Settings) -> None:
    pools = {f"profiles.{name}.": _pool(settings.cognito, own.cognito) for name, own in settings.profiles.items()}
    for prefix, pool in ({"": CognitoPool(**settings.cognito.model_dump())} | pools).items():
        if not pool.user_pool_id.startswith(pool.region + "_"):
            raise SettingsError(
                f"{prefix}cognito.user_pool_id {pool.user_pool_id!r} is not in {prefix}cognito.region {pool.region!r}",
                hint="Set both: a pool's id begins with its region.",
            )
    binds = {value: parse_bind(value) for value in settings.listen}
    for value in settings.admin_listen:
        if (bind := parse_bind(value)) in binds.values() and (bind.path is not None or bind.port):
            raise SettingsError(
                f"admin_listen: {value} is in listen, too", hint="Choose another port for admin_listen, or drop it."
            )
    if settings.client_token is not None or settings.allow_anonymous_clients:
        return
    for value, bind in binds.items():
        if not stays_here(bind):
            raise _exposed(f"listen: {value}")


def refuse_exposed(settings: Settings, passed: Iterable[socket.socket]) -> None:
    """Raises SettingsError where a socket that was passed to the proxy reaches further than the settings allow."""
    if settings.client_token is not None or settings.allow_anonymous_clients:
        return
    for sock in passed:
        if sock.family != socket.AF_UNIX and not is_loopback(host := sock.getsockname()[0]):
            raise _exposed(f"the socket at {host} that was passed to the proxy")


def _exposed(what: str) -> SettingsError:
    return SettingsError(
        f"{what} is not loopback, and whoever reaches it could use your login",
        hint="Set client_token (UL_PROXY_CLIENT_TOKEN), listen on 127.0.0.1, or set allow_anonymous_clients = true.",
    )
