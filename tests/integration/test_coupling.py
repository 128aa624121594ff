"""Libraries that are not as they were when the proxy was written: it says so, and sends nobody a password."""

import asyncio
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.endpoint import AioEndpointCreator
from aiobotocore.httpsession import AIOHTTPSession
from pydantic import SecretStr
from support.account import new_client
from support.commands import PATIENCE, Outcome, settings_for
from support.origin import Origin
from support.stack import PASSWORD, USERNAME, closing, new_cognito, options_for, pool_of, running_proxy, talk

from proxy.clock import SystemClock
from proxy.errors import IncompatibleLibrary, SignInFailed
from proxy.identity.cognito.flows import Cognito
from proxy.identity.profile import AuthFlow, Profile


async def with_a_changed_library(change: str, *argv: str, env: dict[str, str], cwd: Path) -> Outcome:
    """Run a command in whose process `change` was made to a library."""
    program = f"import sys; {change}; sys.argv[0] = 'ul-proxy'; from proxy.__main__ import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *argv, env=env, cwd=cwd, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Outcome(await process.wait(), out.decode(), err.decode())


PIP = "Install a version that was tested: pip install"
LACKING = [
    (
        "from aiohttp.web import RequestHandler; del RequestHandler.start",
        "serve",
        ("aiohttp", "lacks aiohttp.web.RequestHandler.start", f"{PIP} 'aiohttp"),
    ),
    (
        "from botocore.loaders import Loader; del Loader.BUILTIN_DATA_PATH",
        "token",
        ("botocore", "lacks botocore.loaders.Loader.BUILTIN_DATA_PATH", f"{PIP} 'botocore"),
    ),
    (
        "import urllib.request; del urllib.request.proxy_bypass_environment",
        "config",
        ("Python", "lacks urllib.request.proxy_bypass_environment", "Run it with Python 3.11, "),
    ),
]


@pytest.mark.parametrize(("change", "command", "told"), LACKING, ids=["server", "SDK", "Python"])
async def test_a_command_that_lacks_something(
    change: str, command: str, told: tuple[str, str, str], tmp_path: Path
) -> None:
    """One sentence says what is missing and what mends it, nothing runs, and the exit status is 1."""
    library, lacks, fix = told
    async with Origin().running() as cognito:
        env = settings_for(tmp_path, cognito.url, UL_PROXY_USERNAME=USERNAME, UL_PROXY_PASSWORD=PASSWORD)
        outcome = await with_a_changed_library(change, command, env=env, cwd=tmp_path)
        assert (outcome.status, outcome.out, outcome.err.count("\n")) == (1, "", 1)
        assert re.match(
            rf"ul-proxy: {library} \d[\w.]+ {re.escape(lacks)}, which ul-proxy needs\. {re.escape(fix)}", outcome.err
        )
        assert cognito.connections == 0


# ---- redirects in Cognito's place


@pytest.fixture
async def elsewhere() -> AsyncIterator[Origin]:
    """Where redirects lead to, and no password may."""
    async with Origin().running() as server:
        yield server


@pytest.fixture
async def portal(elsewhere: Origin) -> AsyncIterator[Origin]:
    """What answers in Cognito's place: the redirect has whoever follows it send its content again."""
    redirect = b"HTTP/1.1 307 Moved\r\nLocation: %b/\r\nContent-Length: 0\r\n\r\n" % elsewhere.url.encode()
    async with Origin(answers=[redirect]).running() as server:
        yield server


@pytest.fixture
def profile(portal: Origin) -> Profile:
    pool = pool_of(new_cognito().pool.config, portal.url, auth_flow=AuthFlow.PASSWORD)
    return Profile("default", pool, USERNAME, SecretStr(PASSWORD))


@pytest.fixture
async def client() -> AsyncIterator[Cognito]:
    made = new_client(SystemClock())
    yield made
    await made.close()


async def test_an_sdk_that_sends_by_its_own_client(
    client: Cognito, profile: Profile, portal: Origin, elsewhere: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SDK that no longer sends by the client that it is given, and would follow redirects, is sent nothing by."""
    create = AioEndpointCreator.create_endpoint

    def with_its_own(self: Any, *args: Any, **options: Any) -> Any:
        return create(self, *args, **options | {"http_session_cls": AIOHTTPSession})

    monkeypatch.setattr(AioEndpointCreator, "create_endpoint", with_its_own)
    for _ in range(2):
        with pytest.raises(IncompatibleLibrary, match=r"aiobotocore \S+ does not send by the HTTP client"):
            await client.sign_in(profile)
    assert portal.connections == elsewhere.connections == 0


async def test_an_sdk_that_sends_in_another_way(
    client: Cognito, profile: Profile, portal: Origin, elsewhere: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SDK that calls another method of its client than it did sends nothing."""

    async def transmit(self: Any, request: Any) -> Any:
        return await self.http_session.transmit(request)

    monkeypatch.setattr("aiobotocore.endpoint.AioEndpoint._send", transmit)
    with pytest.raises(SignInFailed, match="AttributeError"):
        await client.sign_in(profile)
    assert portal.connections == elsewhere.connections == 0


async def test_an_sdk_whose_private_methods_are_renamed(
    client: Cognito, profile: Profile, portal: Origin, elsewhere: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own client may change as it likes: redirects are followed by nobody."""
    for name in ("_get_session", "_get_ssl_context", "send"):
        monkeypatch.delattr(AIOHTTPSession, name)
    with pytest.raises(SignInFailed, match="answered 307"):
        await client.sign_in(profile)
    assert any(PASSWORD.encode() in request.body for request in portal.requests)
    assert elsewhere.connections == 0


async def test_callers_of_a_proxy_whose_sdk_lacks_something(
    portal: Origin, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers, readiness and the log are told the sentence; the routes that need no sign-in work."""
    monkeypatch.delattr("botocore.loaders.JSONFileLoader.load_file")
    async with running_proxy(options_for(portal.url, origin.url)) as app:
        for path in ("/v1/job", "/-/ready"):
            answer = await talk(app.urls[0], closing("GET", path))
            assert (answer[9:12], b'"incompatible_library"' in answer) == (b"503", True)
            assert b"botocore.loaders.JSONFileLoader.load_file" in answer
        assert b" 200 OK" in await talk(app.urls[0], closing("GET", "/cdn/flights/tile.png"))
    assert portal.connections == 0
