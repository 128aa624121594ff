"""`ul-proxy demo`: an embedded Cognito, an embedded Unleash Live API and the proxy in front, in one process."""

import dataclasses
import logging
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from proxy.app import App
from proxy.cli.banner import banner
from proxy.cli.limits import leave_no_core
from proxy.cli.serve import ended_by_signals, run_in_loop, start_logging, warn
from proxy.demo import api, data
from proxy.demo.api import EmbeddedApi
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.http.address import is_loopback
from proxy.http.options import OutboundProxies
from proxy.identity.profile import CognitoPool, Profile
from proxy.observe.logs import Logs
from proxy.observe.urls import curl, trust
from proxy.settings import load
from proxy.settings.assemble import built_in_routes
from proxy.settings.options import ServeOptions
from proxy.settings.schema import UpstreamSettings

log = logging.getLogger(__name__)

GRAPHQL_QUERY = '{"query":"{ list(limit: 3) { items { name } } }"}'
NEW_JOB = '{"title":"Tower 7 inspection"}'


def run(flags: Mapping[str, Any], config: str | None) -> int:
    leave_no_core()
    # A sandbox is for people: it speaks to them even where its output is not a terminal.
    loaded = load({"log_format": "text", **flags}, config)
    logs = start_logging(loaded)
    try:
        run_in_loop(_demo(loaded.options(), logs))
    finally:
        logs.close()
    return 0


async def _demo(options: ServeOptions, logs: Logs) -> None:
    password = secrets.token_urlsafe(12)
    pool = PoolConfig()
    cognito = EmbeddedCognito(pool, [data.sample_user(password)])
    embedded_api = EmbeddedApi(cognito.verify)
    async with cognito.running() as cognito_url, embedded_api.running() as api_url:
        sandboxed = sandboxed_options(options, pool, password, cognito_url=cognito_url, api_url=api_url)
        app = App(sandboxed, access=logs.access, lines_dropped=lambda: logs.dropped)
        async with ended_by_signals(app), app:
            logs.say(
                banner(
                    app.urls,
                    sandboxed.profiles,
                    app.routes.routes,
                    sandboxed.policy,
                    tls=sandboxed.tls,
                    admin_urls=app.admin_urls,
                    page=app.page_url,
                )
            )
            logs.say("\nEverything here is embedded and offline; Ctrl-C ends it. Paste these into another shell:\n")
            job = next(iter(embedded_api.data.job))
            admin_url = next(iter(app.admin_urls), None)
            with_token = sandboxed.policy.client_token is not None
            trusting = trust(app.urls[0], sandboxed.tls)
            lines = commands(app.urls[0], job, trusting, admin_url=admin_url, with_token=with_token)
            logs.say("\n".join(lines) + "\n")
            warn(app, sandboxed)
            await app.stopping.wait()
    log.info("stopped")


def sandboxed_options(
    options: ServeOptions, pool: PoolConfig, password: str, *, cognito_url: str, api_url: str
) -> ServeOptions:
    """`options` with the sandbox's own login and upstreams: nothing real is asked, whatever the settings say."""
    upstreams = UpstreamSettings(
        rest=api_url,
        graphql=api_url + api.GRAPHQL,
        flights_cdn=api_url + api.FLIGHTS_CDN,
        library_cdn=api_url + api.LIBRARY_CDN,
        ca_file=None,
    )
    profile = Profile(
        name=options.profile.name,
        pool=CognitoPool(pool.region, pool.user_pool_id, pool.client_id, endpoint_url=cognito_url),
        username=data.USERNAME,
        password=SecretStr(password),
        api_key=SecretStr(api.API_KEY),
    )
    return dataclasses.replace(
        options,
        profiles={profile.name: profile},
        own_routes=(),
        built_in_routes=built_in_routes(upstreams),
        ca_file=None,
        # All of it is on this machine, where the network's proxies do not lead.
        outbound=OutboundProxies(),
        state_home=None,
        token_store="memory",
    )


def commands(
    url: str, job: str, trusting: str = "", *, admin_url: str | None = None, with_token: bool = False
) -> list[str]:
    """A `curl` line for each surface of Unleash Live and of the proxy, under headings; `job` is a job's id.

    `admin_url` is where the proxy's own endpoints are, if not at `url`.
    """
    public = admin_url is not None and not is_loopback(urlsplit(admin_url).hostname or "localhost")
    json_type = "-H 'content-type: application/json'"
    asked = [
        ("jobs, one of them, and a new one", "/v1/job", ""),
        ("", f"/v1/job/{job}", ""),
        ("", "/v1/job", f"-X POST {json_type} -d '{NEW_JOB}'"),
        ("files of the Media Drive, in GraphQL", "/graphql", f"{json_type} -d '{GRAPHQL_QUERY}'"),
        ("analytics, with an API key", "/v1/analytics/version", ""),
        ("flights", "/v1/flights/company?dateFrom=2025-01-01", ""),
        ("the proxy itself", "/-/ready" if public else "/-/status", ""),
    ]
    lines = []
    for heading, path, options in asked:
        # Not behind a #, which not every shell takes for a comment when it is typed.
        lines += [f"  {heading}"] if heading else []
        at = url if not path.startswith("/-/") else admin_url or url
        lines.append("    " + curl(at, path, f"{trusting} {options}".strip(), with_token=with_token))
    return lines
