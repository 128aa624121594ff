"""The settings as the frozen values that the running proxy is built from."""

from proxy.errors import SettingsError
from proxy.guard import is_loopback
from proxy.model import (
    DEFAULT_PROFILE,
    Auth,
    OutboundProxies,
    Policy,
    Pool,
    Profile,
    Route,
    ServeOptions,
    Timeouts,
    Upstream,
)
from proxy.settings.schema import Settings, UpstreamSettings
from proxy.settings.values import parse_bind


def serve_options(settings: Settings, outbound: OutboundProxies | None = None) -> ServeOptions:
    """The settings as the frozen values that the running proxy is built from."""
    return ServeOptions(
        listen=tuple(parse_bind(value) for value in settings.listen),
        profiles={
            DEFAULT_PROFILE: Profile(
                name=DEFAULT_PROFILE,
                pool=Pool(**settings.cognito.model_dump()),
                username=settings.username,
                password=settings.password,
                api_key=settings.api_key,
                personal_access_token=settings.personal_access_token,
            )
        },
        own_routes=tuple(
            Route(route.path.rstrip("/"), Upstream.parse(route.upstream), route.auth, route.header)
            for route in settings.routes
        ),
        built_in_routes=built_in_routes(settings.upstreams),
        timeouts=Timeouts(**settings.timeouts.model_dump()),
        replay_limit=settings.replay_limit,
        policy=Policy(
            allowed_hosts=frozenset(settings.allowed_hosts),
            allowed_origins=frozenset(settings.allowed_origins),
            client_token=settings.client_token,
            read_only=settings.read_only,
            allow=tuple(settings.allow),
            deny=tuple(settings.deny),
        ),
        max_connections=settings.max_connections,
        ca_file=settings.upstreams.ca_file,
        outbound=outbound or OutboundProxies(),
    )


def built_in_routes(upstreams: UpstreamSettings) -> tuple[Route, ...]:
    return (
        Route("/graphql", Upstream.parse(upstreams.graphql), Auth.GRAPHQL),
        Route("/v1/analytics", Upstream.parse(upstreams.rest.rstrip("/") + "/v1/analytics"), Auth.ANALYTICS),
        Route("/cdn/flights", Upstream.parse(upstreams.flights_cdn), Auth.NONE),
        Route("/cdn/library", Upstream.parse(upstreams.library_cdn), Auth.NONE),
        Route("", Upstream.parse(upstreams.rest), Auth.REST),
    )


def refuse_contradictions(settings: Settings) -> None:
    cognito = settings.cognito
    if not cognito.user_pool_id.startswith(cognito.region + "_"):
        raise SettingsError(
            f"cognito.user_pool_id {cognito.user_pool_id!r} is not in cognito.region {cognito.region!r}",
            hint="Set both: a pool's id begins with its region.",
        )
    if settings.client_token is not None or settings.allow_anonymous_clients:
        return
    for value in settings.listen:
        bind = parse_bind(value)
        if bind.path is None and not is_loopback(bind.host.lower()):
            raise SettingsError(
                f"listen: {value} is not loopback, and whoever reaches it could use your login",
                hint="Set client_token, listen on 127.0.0.1, or set allow_anonymous_clients = true.",
            )
