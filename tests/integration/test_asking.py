"""`wait`, `stop` and `status` as processes that ask a proxy, wherever it listens and in whatever state it is."""

import asyncio
import json
import os
import re
import signal
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.arrivals import Arrivals
from support.certificates import authority
from support.commands import PATIENCE, Outcome, settings_for, ul_proxy
from support.interruptions import interruptions
from support.origin import Origin, Recorded, Slow
from support.screen import terminal
from support.servers import free_port
from support.stack import PASSWORD, USERNAME, closing, direct_options, options_for, running_proxy, talk, timeouts

from proxy.app import App
from proxy.cli.inquiry import Inquiry
from proxy.cli.places import parse_place
from proxy.demo.cognito import EmbeddedCognito
from proxy.errors import NotRunning, SettingsError
from proxy.http.address import Bind
from proxy.http.options import CertificateFiles
from proxy.settings.options import ServeOptions

CLIENT_TOKEN = "0123456789abcdef"
NOBODY = "http://127.0.0.1:9"


@dataclass
class Shell:
    """Where commands are typed: variables, and a folder."""

    env: dict[str, str]
    folder: Path

    async def run(self, *argv: str, **more: str) -> Outcome:
        """A command from its beginning to its end; `more` are variables."""
        return await ul_proxy(*argv, env=self.env | more, cwd=self.folder)

    @asynccontextmanager
    async def starts(self, *argv: str, launcher: Sequence[str] = (), **more: str) -> AsyncIterator[Process]:
        """A command that runs beside the test, and is killed with it."""
        command = (*launcher, sys.executable, "-m", "proxy", *argv)
        process = await asyncio.create_subprocess_exec(
            *command, env=self.env | more, cwd=self.folder, stdout=PIPE, stderr=PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(settings_for(tmp_path, NOBODY), tmp_path)


async def outcome_of(process: Process) -> Outcome:
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def ending(options: ServeOptions, access: Arrivals | None = None) -> AsyncIterator[App]:
    """A proxy that ends when it is told to, as `serve` has it, or else with the test."""
    app = App(replace(options, timeouts=timeouts(drain=PATIENCE)), access=access)
    await app.__aenter__()

    async def end() -> None:
        await app.stopping.wait()
        await app.__aexit__(None, None, None)

    task = asyncio.create_task(end())
    try:
        yield app
    finally:
        app.stop()
        app.hurry()
        await asyncio.wait_for(task, PATIENCE)


# ---- wait


@pytest.mark.parametrize(
    "way", ["by --url", "by the settings", "at admin_listen", "beyond loopback", "Unix", "token", "TLS"]
)
async def test_wait_wherever_it_is(way: str, shell: Shell, tmp_path: Path, origin: Origin) -> None:
    """A proxy that is ready is found ready, wherever the settings have it."""
    socket, port = Bind(path=str(tmp_path / "s")), free_port()
    authority(tmp_path).server("proxy.example")
    pem = next(tmp_path.glob("proxy.example*.pem"))
    known: dict[str, dict[str, Any]] = {
        "TLS": {"admin_listen": (Bind("127.0.0.1", port),), "tls": CertificateFiles(pem, pem)},
        "by the settings": {"listen": (Bind("127.0.0.1", port),)},
        "at admin_listen": {"admin_listen": (Bind("127.0.0.1", port),)},
        "beyond loopback": {"admin_listen": (Bind("0.0.0.0", port),), "client_token": SecretStr("x" * 16)},  # noqa: S104
        "Unix": {"listen": (socket,)},
        "token": {"listen": (Bind("127.0.0.1", port),), "client_token": SecretStr(CLIENT_TOKEN)},
    }
    changes = known.get(way, {})
    async with running_proxy(direct_options(origin.url, **changes)) as app:
        argv, more = {
            "by --url": (["--url", app.urls[0]], {}),
            "by the settings": (["--listen", f"127.0.0.1:{port}"], {}),
            "at admin_listen": ([], {"UL_PROXY_ADMIN_LISTEN": f"127.0.0.1:{port}"}),
            "beyond loopback": ([], {"UL_PROXY_ADMIN_LISTEN": f"0.0.0.0:{port}"}),
            "Unix": (["--listen", str(socket)], {}),
            "token": (["--listen", f"127.0.0.1:{port}"], {"UL_PROXY_CLIENT_TOKEN": CLIENT_TOKEN}),
            "TLS": (["--admin-listen", f"127.0.0.1:{port}"], {"UL_PROXY_TLS_CERT": str(pem)}),
        }[way]
        outcome = await shell.run("wait", *argv, **more)
    assert (outcome.status, outcome.err) == (0, "")
    assert re.fullmatch(r"(https?://127\.0\.0\.1:\d+|unix:/\S+) is ready\.\n", outcome.out)


async def test_wait_from_before_the_start(shell: Shell, cognito: EmbeddedCognito) -> None:
    """Whoever waits may come first: for the process, then for the sign-in; and is let go with the first token."""
    port = free_port()
    signed_in = cognito.faults.hold("RespondToAuthChallenge")
    async with (
        cognito.running() as url,
        Origin().running() as origin,
        shell.starts("wait", "--json", "--listen", f"127.0.0.1:{port}") as waiting,
    ):
        options = options_for(url, origin.url, listen=(Bind("127.0.0.1", port),))
        arrivals = Arrivals()
        async with App(options, access=arrivals):
            assert waiting.returncode is None
            await arrivals.of({"/-/ready"}, 503)
            assert waiting.returncode is None
            signed_in.set()
            outcome = await outcome_of(waiting)
    told = json.loads(outcome.out)
    assert (outcome.status, outcome.err) == (0, "")
    assert (told["ready"], told["url"]) == (True, f"http://127.0.0.1:{port}")
    assert told["seconds"] > 0
    assert "code" not in told


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("not started", ("not_running", "no proxy runs at", "ul-proxy serve")),
        ("Cognito down", ("sign_in_failed", "", "--max")),
        ("signing in", ("sign_in_failed", "the first sign-in has not finished yet", "--max")),
        ("wrong password", ("login_required", "Cognito refused", "UL_PROXY_PASSWORD")),
        ("no login", ("credential_missing", "there is neither a login nor a session", "ul-proxy login")),
        ("draining", ("draining", "the proxy is draining", "--max")),
        ("another program", ("not_running", "is no ul-proxy", "--url")),
    ],
)
async def test_wait_in_vain(state: str, said: tuple[str, str, str], shell: Shell, cognito: EmbeddedCognito) -> None:
    """Whoever gives up is told the last reason, in words, in JSON, and by the exit status."""
    code, says, hint = said
    async with AsyncExitStack() as stack:
        cognito_url = await stack.enter_async_context(cognito.running())
        origin = await stack.enter_async_context(Origin().running())
        url = await _in_state(state, cognito, options_for(cognito_url, origin.url), stack)
        argv = ("wait", "--max", "300ms", "--url", url or origin.url)
        told, worded = await asyncio.gather(shell.run(*argv, "--json"), shell.run(*argv))
    document = json.loads(told.out)
    assert (told.status, told.err, worded.status, worded.out) == (1, "", 1, "")
    assert (document["ready"], document["code"]) == (False, code)
    assert document["seconds"] >= 0.3
    assert says in document["detail"]
    assert hint in document["hint"]
    assert worded.err.startswith("ul-proxy: not ready within 0.3 s: ")
    assert says in worded.err
    assert hint in worded.err


async def _in_state(state: str, cognito: EmbeddedCognito, options: ServeOptions, stack: AsyncExitStack) -> str:
    """The address of a proxy in that state, empty where none is needed."""
    if state == "not started":
        return f"http://127.0.0.1:{free_port()}"
    if state == "another program":
        return ""
    if state == "Cognito down":
        cognito.faults.drop()
    elif state == "signing in":
        opened = cognito.faults.hold()
        stack.callback(opened.set)
    elif state == "wrong password":
        options = replace(options, profiles={"default": replace(options.profile, password=SecretStr("wrong"))})
    elif state == "no login":
        options = replace(options, profiles={"default": replace(options.profile, username=None, password=None)})
    if state == "draining":
        return await _draining(stack)
    app = await stack.enter_async_context(running_proxy(options))
    if state in ("Cognito down", "wrong password"):
        async with asyncio.timeout(PATIENCE):
            while app.tokens.snapshot("default").error is None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    return app.urls[0]


async def _draining(stack: AsyncExitStack) -> str:
    """Where a proxy says that it drains, which it does as long as the test lasts."""
    slow = Slow()
    origin = await stack.enter_async_context(Origin(responder=slow).running())
    options = direct_options(origin.url, admin_listen=(Bind("127.0.0.1", 0),))
    app = await stack.enter_async_context(ending(options))
    request = asyncio.create_task(talk(app.urls[0], closing("GET", "/slow")))

    async def let() -> None:
        slow.let.set()
        await request

    stack.push_async_callback(let)
    await slow.asked.wait()
    app.stop()
    return app.admin_urls[0]


@pytest.mark.parametrize("name", ["wait", "stop", "status"])
async def test_refused(name: str, shell: Shell, origin: Origin) -> None:
    """A proxy that does not let this caller in is not asked twice; the reason says how to be let in."""
    async with running_proxy(direct_options(origin.url, client_token=SecretStr(CLIENT_TOKEN))) as app:
        more = {"UL_PROXY_CLIENT_TOKEN": "another-0123456789"}
        outcome = await shell.run(name, "--url", app.urls[0], **more)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith(
        f"ul-proxy: the proxy at {app.urls[0]} refuses: the client token is wrong. Set UL_PROXY_CLIENT_TOKEN"
    )
    assert "0123456789" not in outcome.err


async def test_wait_for_a_profile(shell: Shell, origin: Origin) -> None:
    """What is waited for is the credential of the profile that is named."""
    options = direct_options(origin.url)
    bare = replace(options.profile, name="bare", username=None, password=None, personal_access_token=None)
    async with running_proxy(replace(options, profiles={"default": options.profile, "bare": bare})) as app:
        argv = ("wait", "--max", "300ms", "--json", "--url", app.urls[0], "--profile")
        outcomes = [await shell.run(*argv, name) for name in ("default", "bare", "nobody")]
    assert [outcome.status for outcome in outcomes] == [0, 1, 1]
    assert json.loads(outcomes[1].out)["code"] == "credential_missing"
    assert "there is no such profile" in outcomes[2].err


@interruptions
async def test_wait_interrupted(
    number: signal.Signals, launcher: Sequence[str], shell: Shell, cognito: EmbeddedCognito
) -> None:
    """Whoever is stopped in waiting does not say that the proxy is ready."""
    opened = cognito.faults.hold()
    arrivals = Arrivals()
    async with cognito.running() as url, App(options_for(url, url), access=arrivals) as app:
        async with shell.starts("wait", "--url", app.urls[0], launcher=launcher) as waiting:
            await arrivals.of({"/-/ready"}, 503)
            waiting.send_signal(number)
            outcome = await outcome_of(waiting)
        opened.set()
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == "\nul-proxy: interrupted: the proxy is not ready.\n"


# ---- over TLS


async def test_over_tls(shell: Shell, tmp_path: Path, origin: Origin) -> None:
    """A certificate that the system trusts, for the name that is asked, is good enough; another one is not."""
    issuer = authority(tmp_path)
    async with running_proxy(direct_options(origin.url)) as app, behind_tls(app, issuer.server("localhost")) as url:
        trusted = {"SSL_CERT_FILE": str(issuer.file)}
        ready = await shell.run("wait", "--url", url, **trusted)
        unknown = await shell.run("wait", "--max", "100ms", "--url", url)
    assert (ready.status, ready.out) == (0, f"{url} is ready.\n")
    assert unknown.status == 1
    assert "its certificate is not trusted here" in unknown.err


async def test_over_tls_with_the_certificate_of_the_settings(tmp_path: Path, origin: Origin) -> None:
    """The certificate of the settings is believed whatever name it is for, and none but that."""
    issuer = authority(tmp_path)
    theirs, ours = issuer.server("other.example"), issuer.server("proxy.example")
    file = next(path for path in tmp_path.glob("proxy.example*.pem"))
    async with running_proxy(direct_options(origin.url)) as app, behind_tls(app, ours) as url:
        inquiry = Inquiry(replace(parse_place(url), certificate=file))
        told = await asyncio.to_thread(inquiry.ask, "/-/ready")
        assert told == (200, {"ready": True})
        async with behind_tls(app, theirs) as other:
            impostor = Inquiry(replace(parse_place(other), certificate=file))
            with pytest.raises(NotRunning, match="its certificate is not trusted here"):
                await asyncio.to_thread(impostor.ask, "/-/ready")
        empty = tmp_path / "empty.pem"
        empty.write_text("nothing")
        with pytest.raises(SettingsError, match="empty.pem cannot be used"):
            await asyncio.to_thread(Inquiry(replace(parse_place(url), certificate=empty)).ask, "/-/ready")


@asynccontextmanager
async def behind_tls(app: App, context: ssl.SSLContext) -> AsyncIterator[str]:
    """Somebody who speaks TLS for a proxy; yields the address."""
    host, _, port = app.urls[0].removeprefix("http://").rpartition(":")
    context.set_alpn_protocols(["http/1.1"])

    serving: set[asyncio.Task[None] | None] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        inner, outer = await asyncio.open_connection(host, int(port))
        both = [asyncio.create_task(carry(reader, outer)), asyncio.create_task(carry(inner, writer))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        outer.close()
        # Not `close`, which would wait for the other end to say farewell.
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*filter(None, serving))


# ---- stop


async def test_stop(shell: Shell) -> None:
    """A running `serve` is told to end, finishes what is under way, ends with 0, and only then `stop` is done."""
    slow, port = Slow(), free_port()
    shell.env["UL_PROXY_LISTEN"] = f"127.0.0.1:{port}"
    serving = {"UL_PROXY_ENABLE_STOP": "true", "UL_PROXY_PERSONAL_ACCESS_TOKEN": "pat-1"}
    async with (
        Origin(responder=slow).running() as origin,
        shell.starts("serve", UL_PROXY_UPSTREAMS__REST=origin.url, **serving) as process,
    ):
        assert (await shell.run("wait")).status == 0
        request = asyncio.create_task(talk(f"http://127.0.0.1:{port}", closing("GET", "/v1/slow")))
        await slow.asked.wait()
        async with shell.starts("stop") as stopping:
            assert process.stdout is not None
            async with asyncio.timeout(PATIENCE):
                while b"POST /-/stop: draining" not in await process.stdout.readline():
                    pass
            assert (stopping.returncode, request.done()) == (None, False)
            slow.let.set()
            assert (await request).startswith(b"HTTP/1.1 200 ")
            outcome = await outcome_of(stopping)
        assert (await outcome_of(process)).status == 0
    assert outcome == Outcome(0, f"The proxy at http://127.0.0.1:{port} has ended; it had 1 request under way.\n", "")


@pytest.mark.parametrize("way", ["Unix", "at admin_listen", "token"])
async def test_stop_wherever_it_is(way: str, shell: Shell, tmp_path: Path, origin: Origin) -> None:
    """The way that is asked on is the way that the end is heard of."""
    known: dict[str, dict[str, Any]] = {
        "Unix": {"listen": (Bind(path=str(tmp_path / "s")),)},
        "at admin_listen": {"admin_listen": (Bind("127.0.0.1", 0),)},
        "token": {"client_token": SecretStr(CLIENT_TOKEN)},
    }
    changes = known[way]
    more = {"UL_PROXY_CLIENT_TOKEN": CLIENT_TOKEN} if way == "token" else {}
    async with ending(direct_options(origin.url, enable_stop=True, **changes)) as app:
        url = (app.admin_urls or app.urls)[0]
        outcome = await shell.run("stop", "--url", url, **more)
    assert outcome == Outcome(0, f"The proxy at {url} has ended; it had 0 requests under way.\n", "")


async def test_stop_in_vain(shell: Shell) -> None:
    """A proxy that does not come to its end in time is left to it, and may be waited for again."""
    slow, arrivals = Slow(), Arrivals()
    async with Origin(responder=slow).running() as origin:
        options = direct_options(origin.url, enable_stop=True, admin_listen=(Bind("127.0.0.1", 0),))
        async with ending(options, arrivals) as app:
            request = asyncio.create_task(talk(app.urls[0], closing("GET", "/slow")))
            await slow.asked.wait()
            argv = ("stop", "--url", app.admin_urls[0], "--max")
            outcomes = [await shell.run(*argv, "300ms") for _ in range(2)]
            arrivals.entries.clear()
            async with shell.starts(*argv, "40s") as stopping:
                await arrivals.of({"/-/stop"}, 202)
                slow.let.set()
                await request
                outcome = await outcome_of(stopping)
    for late in outcomes:
        assert (late.status, late.out) == (1, "")
        assert "is draining, and has not ended within 0.3 s; it had 1 request under way" in late.err
        assert "SIGTERM" in late.err
    assert outcome == Outcome(0, f"The proxy at {argv[2]} has ended; it had 1 request under way.\n", "")


async def test_stop_without_the_setting(shell: Shell, origin: Origin) -> None:
    """A proxy that does not end on request is left running; what else would end it is named."""
    async with running_proxy(direct_options(origin.url)) as app:
        outcome = await shell.run("stop", "--url", app.urls[0])
        assert not app.stopping.is_set()
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == (
        f"ul-proxy: the proxy at {app.urls[0]} does not end on request. Set enable_stop = true"
        f" (UL_PROXY_ENABLE_STOP=true) for it, or send it SIGTERM: kill {os.getpid()}\n"
    )


async def test_nothing_to_stop(shell: Shell) -> None:
    """Where no proxy runs, that is said."""
    url = f"http://127.0.0.1:{free_port()}"
    outcome = await shell.run("stop", "--url", url)
    assert outcome == Outcome(1, "", f"ul-proxy: no proxy runs at {url}. If it is elsewhere, give --url.\n")


@pytest.mark.parametrize(
    "beginning", [b"HTTP/1.1 200 OK\r\nX-Odd: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
async def test_an_answer_that_trickles_in_is_none(beginning: bytes, shell: Shell) -> None:
    """`--max` holds, too, where what answers goes on without an end."""

    async def trickle(_: Recorded, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while True:
            writer.write(b"{")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with Origin(responder=trickle).running() as origin:
        outcome = await shell.run("wait", "--max", "0.5s", "--url", origin.url)
    assert (outcome.status, outcome.out) == (1, "")
    assert f"the proxy at {origin.url} cannot be asked: it does not answer" in outcome.err


async def test_stop_tells_a_terminal_nothing_in_its_own_language(shell: Shell) -> None:
    """What answers like a proxy and is none has no way into the terminal."""

    async def impostor(_: Recorded, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"stopping": True, "requests_in_flight": "\x1b]0;owned\x07"}).encode()
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    async with Origin(responder=impostor).running() as origin:
        outcome = await shell.run("stop", "--url", origin.url)
    assert outcome == Outcome(
        0, f"The proxy at {origin.url} has ended; it had \\x1b]0;owned\\x07 requests under way.\n", ""
    )


@interruptions
async def test_stop_interrupted(number: signal.Signals, launcher: Sequence[str], shell: Shell) -> None:
    """Whoever is stopped in waiting for the end does not say that it has come."""
    slow = Slow()
    async with (
        Origin(responder=slow).running() as origin,
        ending(direct_options(origin.url, enable_stop=True)) as app,
    ):
        request = asyncio.create_task(talk(app.urls[0], closing("GET", "/slow")))
        await slow.asked.wait()
        async with shell.starts("stop", "--url", app.urls[0], launcher=launcher) as stopping:
            await asyncio.wait_for(app.stopping.wait(), PATIENCE)
            stopping.send_signal(number)
            outcome = await outcome_of(stopping)
        slow.let.set()
        await request
    assert (outcome.status, outcome.out) == (1, "")
    assert "interrupted: the proxy may go on draining" in outcome.err


# ---- status


@pytest.mark.parametrize("way", ["Unix", "at admin_listen", "by the settings"])
async def test_status(way: str, shell: Shell, tmp_path: Path, cognito: EmbeddedCognito) -> None:
    """People get a table, scripts the proxy's own JSON."""
    socket, port = Bind(path=str(tmp_path / "s")), free_port()
    known: dict[str, dict[str, Any]] = {
        "Unix": {"listen": (socket,)},
        "at admin_listen": {"admin_listen": (Bind("127.0.0.1", port),)},
        "by the settings": {"listen": (Bind("127.0.0.1", port),)},
    }
    changes = known[way]
    more = {
        "Unix": {"UL_PROXY_LISTEN": str(socket)},
        "at admin_listen": {"UL_PROXY_ADMIN_LISTEN": f"0.0.0.0:1,127.0.0.1:{port}"},
        "by the settings": {"UL_PROXY_LISTEN": f"127.0.0.1:{port}"},
    }[way]
    async with cognito.running() as url, running_proxy(options_for(url, url, **changes)) as app:
        await app.tokens.get("default")
        told, table = await asyncio.gather(
            shell.run("status", "--json", **more),
            shell.run("status", **more),
        )
    document = json.loads(told.out)
    assert (told.status, document["ready"], document["pid"]) == (0, True, os.getpid())
    assert document["profiles"]["default"]["username"] == USERNAME
    assert table.status == 0
    first, _, headings, row = table.out.splitlines()
    assert re.fullmatch(r"ul-proxy \S+ at \S+: ready, up for .+, 0 requests under way", first)
    assert headings.split()[:2] == ["profile", "state"]
    assert row.split()[:3] == ["default", "fresh", USERNAME]
    assert PASSWORD not in told.out + table.out


# ---- on a terminal


async def test_progress(shell: Shell) -> None:
    """Whoever waits at a terminal sees what for; the line goes before the outcome is told."""
    url = f"http://127.0.0.1:{free_port()}"
    env = shell.env | {"TERM": "xterm"}
    async with terminal("wait", "--max", "3s", "--url", url, env=env, cwd=shell.folder) as screen:
        await screen.sees(f"\r\x1b[Kwaiting for {url}: no proxy")
        await screen.sees("\r\x1b[Kul-proxy: not ready within 3 s: no proxy runs at")
        assert await screen.ended() == 1


async def test_no_progress_elsewhere(shell: Shell) -> None:
    """Where nobody looks, stderr has the outcome and nothing else."""
    url = f"http://127.0.0.1:{free_port()}"
    outcome = await shell.run("wait", "--max", "1500ms", "--url", url)
    assert outcome.err.startswith("ul-proxy: not ready within 1.5 s: ")
    assert outcome.err.count("\n") == 1


async def test_progress_of_a_sign_in(tmp_path: Path, cognito: EmbeddedCognito) -> None:
    """A sign-in that takes its time is shown on stderr, between the questions; stdout has the token alone."""
    opened = cognito.faults.hold("InitiateAuth")
    async with cognito.running() as url:
        env = settings_for(tmp_path, url, TERM="xterm")
        async with terminal("login", env=env, cwd=tmp_path) as screen:
            await screen.sees("User name or e-mail address: ")
            screen.types(USERNAME)
            await screen.sees("Password of ")
            screen.types(PASSWORD)
            await screen.sees("\r\x1b[Kasking Cognito (1 s)")
            opened.set()
            await screen.sees("\r\x1b[KSigned in as ")
            assert await screen.ended() == 0
