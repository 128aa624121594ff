"""`ul-proxy serve` as a process: what it prints, how it is reached, and how it ends."""

import asyncio
import json
import os
import re
import resource
import signal
import socket
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.interruptions import interruptions
from support.served import PATIENCE, Served, isolated_settings, serving, url_of
from yarl import URL

from proxy import __version__

CANARY = "c4n4ry"


@dataclass(slots=True)
class SlowUpstream:
    """Answers `/slow` in two halves: the second when `release` is set."""

    url: str = ""
    length: str | None = "10"
    """The Content-Length of the slow answer; None for chunks."""
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def slow(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": self.length} if self.length else None)
        await response.prepare(request)
        await response.write(b"first")
        self.entered.set()
        await self.release.wait()
        with suppress(ConnectionError):  # the proxy may have left
            await response.write(b"other")
        return response

    async def fast(self, request: web.Request) -> web.Response:
        return web.Response(text=request.path_qs)


@pytest.fixture
async def upstream() -> AsyncIterator[SlowUpstream]:
    """A server that stands for every service of Unleash Live."""
    made = SlowUpstream()
    application = web.Application()
    application.router.add_get("/slow", made.slow)
    application.router.add_get("/{path:.*}", made.fast)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.release.set()
    await runner.cleanup()


@pytest.fixture
def closed_url() -> Iterator[str]:
    """An address that refuses connections, kept so that nobody else can listen there meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture
def settings(closed_url: str, tmp_path: Path) -> dict[str, str]:
    return isolated_settings(tmp_path, closed_url)


# ---- what it prints, and what it answers


async def test_listening_line(settings: dict[str, str]) -> None:
    """Without a terminal the proxy logs JSON; the line that says where it listens names the port that was picked."""
    async with serving(settings) as served:
        line = await served.message('"listening"')
        assert (line["level"], line["message"]) == ("info", "listening")
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", line["urls"][0])
        assert line["version"] == __version__
        assert line["pool"] == "ap-southeast-2_UnpJmDeN5"
        assert line["upstreams"]["/"] == line["upstreams"]["/cdn/flights"] == settings["UL_PROXY_UPSTREAMS__REST"]
        assert "config" not in line
        if hasattr(resource, "prlimit"):
            # A crash writes no file with the tokens in it; only Linux tells the limits of another process.
            assert resource.prlimit(served.process.pid, resource.RLIMIT_CORE) == (0, 0)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux tells the limits of another process")
@pytest.mark.parametrize(("callers", "room"), [("100", 456), ("1", 300), ("100000", 600)])
async def test_room_for_sockets(settings: dict[str, str], callers: str, room: int) -> None:
    """The limit of open files is raised for `max_connections`, and who may not raise it enough is told so."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 600));"
        "from proxy.__main__ import main; sys.exit(main())"
    )
    settings["UL_PROXY_MAX_CONNECTIONS"] = callers
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, env=settings, stdout=PIPE, stderr=PIPE)
    try:
        await url_of(served := Served(process))
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (room, 600)
        told = [line for line in served.printed if "open files" in line]
        assert len(told) == (callers == "100000")
        assert all("600 open files" in line and "200256" in line for line in told)
    finally:
        process.kill()
        await process.communicate()


async def test_listening_line_names_the_config_file(settings: dict[str, str], tmp_path: Path) -> None:
    """The file that a proxy was configured by is found in its log."""
    (tmp_path / "ul-proxy.toml").write_text('username = "ada"\n')
    async with serving(settings) as served:
        line = await served.message('"listening"')
        assert (line["config"], line["username"]) == (str(tmp_path / "ul-proxy.toml"), "ada")


@pytest.mark.parametrize(
    ("login", "warning"),
    [
        ({}, "^/v1/analytics/…, /graphql and /… answer 503 until UL_PROXY_USERNAME and UL_PROXY_PASSWORD .+ are set"),
        ({"UL_PROXY_USERNAME": "ada"}, "answer 503 until UL_PROXY_PASSWORD .+ is set"),
        ({"UL_PROXY_API_KEY": CANARY}, "^/graphql and /… answer 503 until"),
        ({"UL_PROXY_PERSONAL_ACCESS_TOKEN": CANARY}, ""),
        ({"UL_PROXY_PERSONAL_ACCESS_TOKEN": CANARY, "UL_PROXY_USERNAME": "a", "UL_PROXY_PASSWORD": CANARY}, ""),
    ],
    ids=["no login", "no password", "API key alone", "personal access token", "that and a login"],
)
async def test_what_is_missing_is_said_once(login: dict[str, str], warning: str, settings: dict[str, str]) -> None:
    """Without a whole login there is one warning and no error; a personal access token needs no login."""
    async with serving(settings | login) as served:
        await url_of(served)
        served.process.terminate()
        assert await served.ended() == (0, "")
    lines = [json.loads(line) for line in served.printed]
    complaints = [(line["level"], line["message"]) for line in lines if line["level"] != "info"]
    assert len(complaints) == (1 if warning else 0)
    assert all(level == "warning" and re.search(warning, message) for level, message in complaints)


async def test_loud_beyond_loopback(settings: dict[str, str], client: aiohttp.ClientSession) -> None:
    """Who opens the proxy to others is warned, and the line to paste works all the same."""
    flags = ("--listen", "0.0.0.0:0", "--allow-anonymous-clients", "--log-format", "text")
    async with serving(settings, *flags) as served:
        line = (await served.line("^  try ")).split()[-1]
        assert line.startswith("http://127.0.0.1:")
        await served.line("WARNING ANYBODY who can reach http://0.0.0.0:")
        async with client.get(line.removesuffix("/v1/job") + "/-/live") as answer:
            assert answer.status == 200


async def test_beyond_loopback_with_a_token(settings: dict[str, str]) -> None:
    """With a client token the proxy may be open to others; nobody is shown the token."""
    settings |= {"UL_PROXY_CLIENT_TOKEN": CANARY * 4, "UL_PROXY_ALLOWED_HOSTS": "proxy.test"}
    async with serving(settings, "--listen", "0.0.0.0:0", "--log-format", "text") as served:
        assert "X-UL-Proxy-Token: $UL_PROXY_CLIENT_TOKEN" in await served.line("^  try ")
        served.process.terminate()
        assert await served.ended() == (0, "")
    printed = "".join(served.printed)
    assert "ANYBODY" not in printed
    assert CANARY not in printed


async def test_listening_text(settings: dict[str, str], client: aiohttp.ClientSession) -> None:
    """In text the first line names the address; the last line of the banner can be pasted."""
    async with serving(settings, "--log-format", "text") as served:
        first = await served.line("")
        match = re.fullmatch(rf"ul-proxy {re.escape(__version__)} listens on (http://127\.0\.0\.1:\d+)\n", first)
        assert match is not None
        assert await served.line("^  try ") == f"  try     curl -sS {match[1]}/v1/job\n"
        async with client.get(match[1] + "/-/live") as answer:
            assert answer.status == 200
        async with client.get(match[1] + "/cdn/library/x") as answer:
            assert answer.status == 502
        line = await served.line("GET")
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d GET /cdn/library/x 502 upstream \(upstream_unreachable\) [\d.]+ ms"
            r" \([\d.]+ overhead\) \d+ B [0-9a-f-]+\n",
            line,
        )


async def test_listening_twice(settings: dict[str, str], client: aiohttp.ClientSession) -> None:
    """Every address that was asked for is listened on, and named."""
    async with serving(settings, "--listen", "127.0.0.1:0", "--listen", "[::1]:0") as served:
        urls = (await served.message('"listening"'))["urls"]
        assert [url.rpartition(":")[0] for url in urls] == ["http://127.0.0.1", "http://[::1]"]
        for url in urls:
            async with client.get(url + "/-/live") as answer:
                assert answer.status == 200


@pytest.mark.parametrize(
    ("login", "code"),
    [
        ({}, "credential_missing"),
        ({"UL_PROXY_USERNAME": "ada", "UL_PROXY_PASSWORD": CANARY}, "sign_in_failed"),
    ],
    ids=["no login", "no Cognito"],
)
async def test_alive_but_not_ready(
    login: dict[str, str], code: str, settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    """Without a token the proxy is alive and says, as problem details, why it is not ready."""
    async with serving(settings | login) as served:
        url = await url_of(served)
        async with client.get(url + "/-/live") as answer:
            assert (answer.status, await answer.json()) == (200, {"live": True})
        await served.message("no new token|answer 503 until")
        async with client.get(url + "/-/ready") as answer:
            assert answer.status == 503
            assert answer.content_type == "application/problem+json"
            assert answer.headers["Proxy-Status"].startswith("ul-proxy; error=")
            problem = await answer.json(content_type=None)
        assert (problem["code"], problem["status"]) == (code, 503)
        assert problem["hint"]


@pytest.mark.parametrize("name", ["PERSONAL_ACCESS_TOKEN", "API_KEY"])
async def test_ready_without_a_login(name: str, settings: dict[str, str], client: aiohttp.ClientSession) -> None:
    """With a personal access token or an API key alone there is no sign-in to wait for."""
    settings[f"UL_PROXY_{name}"] = CANARY
    async with serving(settings) as served, client.get(await url_of(served) + "/-/ready") as answer:
        assert answer.status == 200


async def test_access_line(settings: dict[str, str], upstream: SlowUpstream, client: aiohttp.ClientSession) -> None:
    """Every request is logged with its path, but without the query, which may hold a secret; one to an upstream that
    refuses connections is a 502 that says so, in the answer and in the log."""
    settings["UL_PROXY_UPSTREAMS__FLIGHTS_CDN"] = upstream.url
    async with serving(settings) as served:
        url = await url_of(served)
        async with client.get(f"{url}/cdn/flights/a/b?key={CANARY}") as answer:
            assert (answer.status, await answer.text()) == (200, f"/a/b?key={CANARY}")
        line = await served.message("/cdn/flights")
        expected = {
            "logger": "proxy.access",
            "message": "GET /cdn/flights/a/b 200",
            "method": "GET",
            "path": "/cdn/flights/a/b",
            "status": 200,
            "route": "/cdn/flights",
            "source": "upstream",
            "received": 0,
            "sent": len(f"/a/b?key={CANARY}"),
        }
        assert {name: line.get(name) for name in expected} == expected
        assert line["ms"] > 0
        async with client.get(url + "/cdn/library/x") as answer:
            assert answer.status == 502
            assert (await answer.json(content_type=None))["code"] == "upstream_unreachable"
        line = await served.message("/cdn/library")
        assert (line["status"], line["source"], line["code"]) == (502, "upstream", "upstream_unreachable")
    assert CANARY not in "".join(served.printed)


async def test_no_access_log(settings: dict[str, str], client: aiohttp.ClientSession) -> None:
    """The log of requests can be turned off by itself, but for those that the proxy failed."""
    async with serving(settings, "--no-access-log") as served:
        url = await url_of(served)
        async with client.post(url + "/-/live") as answer:
            assert answer.status == 400
        async with client.get(url + "/cdn/library/x") as answer:
            assert answer.status == 502
        served.process.terminate()
        assert await served.ended() == (0, "")
    lines = [json.loads(line) for line in served.printed if "proxy.access" in line]
    assert [(line["path"], line["level"]) for line in lines] == [("/cdn/library/x", "error")]


async def test_errors_alone(settings: dict[str, str], client: aiohttp.ClientSession) -> None:
    """`log_level = error` still shows the requests that the proxy failed, and no others."""
    async with serving(settings, "--log-level", "error", "--log-format", "text") as served:
        match = re.search(r"listens on (\S+)$", await served.line("listens on"))
        assert match is not None
        for path, status in {"/v1/../x": 400, "/-/live": 200, "/cdn/library/x": 502}.items():
            async with client.get(URL(match[1] + path, encoded=True)) as answer:
                assert answer.status == status
        served.process.terminate()
        assert await served.ended() == (0, "")
    lines = [line for line in served.printed if re.match(r"\d\d:", line)]
    assert len(lines) == 1
    assert "GET /cdn/library/x 502 upstream (upstream_unreachable)" in lines[0]


async def test_tells_no_secret(settings: dict[str, str], client: aiohttp.ClientSession) -> None:
    """At debug level, too, a failed sign-in prints neither password nor key, and no answer holds them."""
    settings |= {"UL_PROXY_USERNAME": "ada", "UL_PROXY_PASSWORD": CANARY, "UL_PROXY_API_KEY": CANARY}
    flags = ("--log-level", "debug", "--cognito-auth-flow", "password", "--timeouts-auth", "1s")
    async with serving(settings, *flags) as served:
        url = await url_of(served)
        await served.message("no new token")
        for path in ("/-/ready", "/-/status", "/v1/analytics/x", "/v1/job"):
            async with client.get(url + path) as answer:
                assert CANARY not in await answer.text() + str(answer.headers)
        served.process.terminate()
        status, errors = await served.ended()
    assert status == 0
    assert CANARY not in "".join(served.printed) + errors


# ---- how it ends


@interruptions
async def test_ends_when_idle(number: signal.Signals, launcher: Sequence[str], settings: dict[str, str]) -> None:
    """A signal ends the proxy with 0, nothing on stderr, and a line that says why."""
    async with serving(settings, launcher=launcher) as served:
        await url_of(served)
        served.process.send_signal(number)
        await served.message(f"{number.name}: draining")
        assert await served.ended() == (0, "")
    assert json.loads(served.printed[-1])["message"] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_signal_right_after_the_start(number: signal.Signals, settings: dict[str, str]) -> None:
    """Who waits for the proxy to say that it listens may signal at once, and is heard as later."""
    code = f"""if True:
        import os, sys
        from proxy.__main__ import main
        from proxy.cli import serve
        serve.banner = lambda *_, **__: os.kill(os.getpid(), {number:d}) or "listening"
        sys.exit(main())
    """
    command = (sys.executable, "-c", code, "serve", "--log-format", "text")
    process = await asyncio.create_subprocess_exec(
        *command, env=settings, cwd=settings["HOME"], stdout=PIPE, stderr=PIPE
    )
    out, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert f"{number.name}: draining".encode() in out


async def test_signal_twice(settings: dict[str, str]) -> None:
    """A signal that comes twice, as make and supervisors send it, costs no line, however late the second one comes."""
    code = f"""if True:
        import os, sys
        from proxy.__main__ import main
        from proxy.cli import serve
        from proxy.observe.logs import Logs
        again = lambda: os.kill(os.getpid(), {signal.SIGTERM:d})
        serve.banner = lambda *_, **__: again() or "listening"
        close = Logs.close
        Logs.close = lambda self: serve.log.info("last") or again() or close(self)
        # The thread that writes lines gets its turn when this one waits, not before.
        sys.setswitchinterval(60)
        sys.exit(main())
    """
    command = (sys.executable, "-c", code, "serve", "--log-format", "text")
    process = await asyncio.create_subprocess_exec(
        *command, env=settings, cwd=settings["HOME"], stdout=PIPE, stderr=PIPE
    )
    out, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert out.splitlines()[-1].endswith(b" last")


async def test_idle_connections_do_not_hold_it(settings: dict[str, str]) -> None:
    """Connections that are kept open without a request are closed, whether they carried one already or not."""
    async with serving(settings, "--timeouts-drain", "60s") as served:
        port = int((await url_of(served)).rpartition(":")[2])
        unused_reader, unused_writer = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /-/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        served.process.terminate()
        assert await served.ended() == (0, "")
        await asyncio.gather(reader.read(), unused_reader.read())
        for open_writer in (writer, unused_writer):
            open_writer.close()
            await open_writer.wait_closed()


@asynccontextmanager
async def in_flight(
    served: Served,
    upstream: SlowUpstream,
    request: bytes = b"GET /cdn/flights/slow HTTP/1.1\r\nHost: localhost\r\n\r\n",
) -> AsyncIterator[asyncio.StreamReader]:
    """A request whose answer has begun and waits for the upstream's second half."""
    port = int((await url_of(served)).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE):
            await upstream.entered.wait()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(5) == b"first"
        yield reader
    finally:
        writer.transport.abort()


async def refuses(port: int) -> None:
    """Returns once nobody is let in any more, which is a moment after the log says so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # it still stood in the queue when that was closed
                continue


async def broken_off(reader: asyncio.StreamReader) -> bool:
    """Whether the connection was reset: after an orderly end a partial body may look whole."""
    try:
        async with asyncio.timeout(PATIENCE):
            await reader.read()
    except ConnectionResetError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_request_in_flight_is_answered(
    number: signal.Signals, settings: dict[str, str], upstream: SlowUpstream
) -> None:
    """A request that is under way is answered to its end while nobody new is let in; then the proxy ends with 0."""
    settings["UL_PROXY_UPSTREAMS__FLIGHTS_CDN"] = upstream.url
    async with serving(settings) as served, in_flight(served, upstream) as reader:
        port = int(json.loads(served.printed[0])["urls"][0].rpartition(":")[2])
        served.process.send_signal(number)
        await served.message("draining")
        await refuses(port)
        assert served.process.returncode is None
        upstream.release.set()
        assert await reader.read() == b"other"
        assert await served.ended() == (0, "")
    assert not [line for line in served.printed if "cut off" in line]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_second_signal_ends_at_once(
    second: signal.Signals, settings: dict[str, str], upstream: SlowUpstream
) -> None:
    """Whoever signals twice does not want to wait: the request is broken off, visibly, and the status is still 0."""
    settings["UL_PROXY_UPSTREAMS__FLIGHTS_CDN"] = upstream.url
    async with serving(settings, "--timeouts-drain", "1h") as served, in_flight(served, upstream) as reader:
        served.process.terminate()
        await served.message("draining")
        served.process.send_signal(second)
        assert await served.ended() == (0, "")
        assert await broken_off(reader)
    assert [line for line in served.printed if "cut off" in line]


async def test_draining_has_an_end(settings: dict[str, str], upstream: SlowUpstream) -> None:
    """A request that does not end within `timeouts.drain` is cut off, and the log says so."""
    settings["UL_PROXY_UPSTREAMS__FLIGHTS_CDN"] = upstream.url
    async with serving(settings, "--timeouts-drain", "100ms") as served, in_flight(served, upstream):
        served.process.terminate()
        assert await served.ended() == (0, "")
    assert [line for line in served.printed if "cut off" in line]


async def test_partial_body_never_looks_whole(settings: dict[str, str], upstream: SlowUpstream) -> None:
    """A body that only the end of the connection delimits is cut off by a reset, not by that end."""
    settings["UL_PROXY_UPSTREAMS__FLIGHTS_CDN"] = upstream.url
    upstream.length = None
    request = b"GET /cdn/flights/slow HTTP/1.0\r\nHost: localhost\r\n\r\n"
    async with (
        serving(settings, "--timeouts-drain", "100ms") as served,
        in_flight(served, upstream, request) as reader,
    ):
        served.process.terminate()
        assert await broken_off(reader)
        assert await served.ended() == (0, "")


async def test_address_in_use(settings: dict[str, str]) -> None:
    """A port that is taken ends the proxy with 1 and one line that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with serving(settings, "--listen", f"127.0.0.1:{port}") as served:
            status, errors = await served.ended()
    assert status == 1
    assert re.fullmatch(rf"ul-proxy: 127\.0\.0\.1:{port} is in use by another program\. .+\n", errors)


async def test_beyond_loopback(settings: dict[str, str]) -> None:
    """The proxy does not offer somebody's login to the network by accident."""
    async with serving(settings, "--listen", "0.0.0.0:0") as served:
        status, errors = await served.ended()
    assert (status, served.printed) == (2, [])
    assert errors.count("\n") == 1
    assert "0.0.0.0:0 is not loopback" in errors


# ---- on a Unix socket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place for a socket."""
    return tmp_path / "s"


async def alive(path: Path) -> bool:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://localhost/-/live") as answer,
    ):
        return answer.status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_unix_socket(number: signal.Signals, settings: dict[str, str], path: Path) -> None:
    """A Unix socket is its owner's alone, answers, and is gone when the proxy has ended."""
    async with serving(settings, "--listen", f"unix:{path}") as served:
        assert await url_of(served) == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await alive(path)
        served.process.send_signal(number)
        assert await served.ended() == (0, "")
    assert not path.exists()


async def test_stale_unix_socket(settings: dict[str, str], path: Path) -> None:
    """A socket that a killed proxy left behind is replaced."""
    async with serving(settings, "--listen", f"unix:{path}") as served:
        await url_of(served)
        served.process.kill()
        await served.ended()
    assert path.exists()
    async with serving(settings, "--listen", f"unix:{path}") as served:
        await url_of(served)
        assert await alive(path)


async def test_live_unix_socket(settings: dict[str, str], path: Path) -> None:
    """A socket that another proxy serves is left to it: the second one ends with 1."""
    async with serving(settings, "--listen", f"unix:{path}") as first:
        await url_of(first)
        async with serving(settings, "--listen", f"unix:{path}") as second:
            status, errors = await second.ended()
        assert status == 1
        assert re.fullmatch(rf"ul-proxy: unix:{re.escape(str(path))} is in use by another program\. .+\n", errors)
        assert await alive(path)


async def test_banner_for_a_unix_socket(settings: dict[str, str], path: Path) -> None:
    """The line to paste reaches a Unix socket, too."""
    async with serving(settings, "--log-format", "text", "--listen", f"unix:{path}") as served:
        assert await served.line("^  try ") == f"  try     curl -sS --unix-socket {path} http://localhost/v1/job\n"


async def test_umask_is_kept(settings: dict[str, str], path: Path) -> None:
    """The socket's mode does not depend on the umask that the proxy was started with."""
    before = os.umask(0)
    try:
        async with serving(settings, "--listen", f"unix:{path}") as served:
            await url_of(served)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
async def test_banner_in_any_encoding(encoding: str, settings: dict[str, str]) -> None:
    """A terminal without arrows and ellipses does not keep the proxy from starting."""
    async with serving(settings | {"PYTHONIOENCODING": encoding}, "--log-format", "text") as served:
        await served.line("^  try ")
        served.process.terminate()
        assert await served.ended() == (0, "")
