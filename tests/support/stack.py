"""The whole proxy on real sockets, between a test and an upstream of its choice."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from proxy.app import App
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.demo.signer import Signer
from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.http.address import Bind, Upstream
from proxy.http.options import Timeouts
from proxy.identity.profile import CognitoPool, Profile
from proxy.model import Clock
from proxy.settings.options import ServeOptions
from support.kinds import Auth

USERNAME = "pilot@example.com"
PASSWORD = "correct horse battery staple"
SIGNER = Signer()
TIMEOUTS = Timeouts(connect=60.0, headers=60.0, idle=60.0, auth=60.0, drain=60.0, head=60.0)
"""Longer than any test waits: a test that ends is no work of theirs."""


def new_cognito(**config: Any) -> EmbeddedCognito:
    """An embedded Cognito that knows USERNAME."""
    return EmbeddedCognito(PoolConfig(**config), [User(USERNAME, PASSWORD)], signer=SIGNER)


def pool_of(config: PoolConfig, endpoint_url: str, **changes: Any) -> CognitoPool:
    return dataclasses.replace(
        CognitoPool(config.region, config.user_pool_id, config.client_id, endpoint_url=endpoint_url), **changes
    )


def options_for(cognito_url: str, upstream_url: str, **changes: Any) -> ServeOptions:
    """A proxy whose every route leads to `upstream_url`; `changes` go to profile, policy or options by name."""
    pool = pool_of(PoolConfig(), cognito_url)
    profile = changes.pop("profile", None) or Profile("default", pool, USERNAME, SecretStr(PASSWORD))
    for_profile = {name: changes.pop(name) for name in tuple(changes) if hasattr(profile, name)}
    for_policy = {name: changes.pop(name) for name in tuple(changes) if hasattr(Policy(), name)}
    options = ServeOptions(
        listen=(Bind("127.0.0.1", 0),),
        profiles={"default": dataclasses.replace(profile, **for_profile)},
        own_routes=(),
        built_in_routes=(
            Route("/graphql", Upstream.parse(upstream_url + "/graphql"), Auth.GRAPHQL, graphql=True),
            Route("/v1/analytics", Upstream.parse(upstream_url + "/v1/analytics"), Auth.ANALYTICS),
            Route("/cdn/flights", Upstream.parse(upstream_url), Auth.NONE),
            Route("", Upstream.parse(upstream_url), Auth.REST),
        ),
        timeouts=TIMEOUTS,
        replay_limit=1 << 20,
        policy=Policy(**for_policy),
    )
    return dataclasses.replace(options, **changes)


@asynccontextmanager
async def running_proxy(options: ServeOptions, clock: Clock | None = None) -> AsyncIterator[App]:
    async with App(options, clock=clock) as app:
        yield app


async def talk(url: str, data: bytes, *, until_closed: bool = True) -> bytes:
    """Send raw bytes and return what comes back until the proxy closes the connection.

    Answers are read while requests are still being sent: a proxy stops reading from who reads nothing.
    """
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        return await reader.read(-1 if until_closed else 1 << 16)
    finally:
        writer.close()


def closing(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """A raw HTTP/1.1 request after which the connection is to be closed."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def direct_options(upstream_url: str, **changes: Any) -> ServeOptions:
    """A proxy that needs no Cognito: it sends a personal access token."""
    return options_for("http://127.0.0.1:9", upstream_url, personal_access_token=SecretStr("pat-1"), **changes)


def timeouts(**changes: float) -> Timeouts:
    return dataclasses.replace(TIMEOUTS, **changes)
