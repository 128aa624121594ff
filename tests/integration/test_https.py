"""HTTPS for callers: what they see of the certificate, also when it changes, and what else depends on the scheme."""

import asyncio
import dataclasses
import json
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from support.certificates import Authority, authority
from support.loops import EVERY_LOOP
from support.machine import program
from support.origin import Origin, Recorded
from support.served import PATIENCE, isolated_settings, serving, this_loop
from support.servers import free_port
from support.stack import direct_options, running_proxy

from proxy.app import App
from proxy.errors import SettingsError
from proxy.http.address import Bind
from proxy.http.options import CertificateFiles
from proxy.settings.options import ServeOptions

loop_factories = EVERY_LOOP
WEB_SOCKET = b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pem(signer: Authority, tmp_path: Path) -> Path:
    """A certificate for localhost and 127.0.0.1, and its key."""
    return signer.issue(tmp_path / "server.pem", "localhost", "127.0.0.1")


@pytest.fixture
def options(origin: Origin, pem: Path) -> ServeOptions:
    return direct_options(origin.url, tls=CertificateFiles(pem, pem))


def trusting(signer: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=signer.file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


class Caller:
    """One HTTPS connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.tls: ssl.SSLObject = writer.get_extra_info("ssl_object")

    @property
    def serial(self) -> int:
        """Of the certificate that the proxy showed."""
        shown = self.tls.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number

    async def ask(self, target: str = "/-/live", *headers: str) -> bytes:
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n") + await self.reader.read(1 << 16)


@asynccontextmanager
async def calling(url: str, context: ssl.SSLContext, name: str = "localhost") -> AsyncIterator[Caller]:
    port = int(url.rpartition(":")[2])
    async with asyncio.timeout(PATIENCE):
        caller = Caller(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))
    try:
        yield caller
    finally:
        caller.writer.transport.abort()


def serial_of(pem: Path) -> int:
    return x509.load_pem_x509_certificate(pem.read_bytes()).serial_number


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_https(name: str, options: ServeOptions, signer: Authority, pem: Path) -> None:
    """A caller who trusts the authority gets answers, whether it asks for the certificate by a name or by no name."""
    async with running_proxy(options) as app:
        assert app.urls[0].startswith("https://127.0.0.1:")
        async with calling(app.urls[0], trusting(signer), name) as caller:
            assert (await caller.ask()).startswith(b"HTTP/1.1 200")
            assert caller.serial == serial_of(pem)
            assert (caller.tls.version(), caller.tls.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")


@pytest.mark.parametrize(
    ("version", "accepted"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
    ids=lambda value: getattr(value, "name", value),
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_versions(version: ssl.TLSVersion, accepted: bool, options: ServeOptions, signer: Authority) -> None:
    """Nothing older than TLS 1.2 is spoken."""
    context = trusting(signer)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    async with running_proxy(options) as app:
        if accepted:
            async with calling(app.urls[0], context) as caller:
                assert (await caller.ask()).startswith(b"HTTP/1.1 200")
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with calling(app.urls[0], context):
                    pass


async def test_plain_http_gets_nothing(options: ServeOptions) -> None:
    """Whoever speaks plain HTTP to an HTTPS listener is let go, and nobody else notices."""
    async with running_proxy(options) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(app.urls[0].rpartition(":")[2]))
        writer.write(b"GET /-/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                assert b"HTTP/1.1" not in await reader.read()
        writer.close()


async def test_unix_sockets_stay_plain(options: ServeOptions, tmp_path: Path) -> None:
    """A Unix socket beside an HTTPS listener speaks plain HTTP: nobody can listen in on it."""
    path = tmp_path / "s"
    options = dataclasses.replace(options, listen=(Bind(path=str(path)), *options.listen))
    async with running_proxy(options) as app:
        assert [url.partition(":")[0] for url in app.urls] == ["unix", "https"]
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /-/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_new_certificate(options: ServeOptions, signer: Authority, pem: Path) -> None:
    """Handshakes after the change see the new certificate, and connections from before go on."""
    old = serial_of(pem)
    async with running_proxy(options) as app, calling(app.urls[0], trusting(signer)) as before:
        assert before.serial == old
        signer.issue(pem, "localhost")
        app.reload(options)
        async with calling(app.urls[0], trusting(signer)) as after:
            assert (await after.ask()).startswith(b"HTTP/1.1 200")
            assert after.serial == serial_of(pem) != old
        assert (await before.ask()).startswith(b"HTTP/1.1 200")


async def test_broken_new_certificate(options: ServeOptions, signer: Authority, pem: Path) -> None:
    """What cannot be used is refused with its reason, and the old certificate stays in use."""
    old = serial_of(pem)
    async with running_proxy(options) as app:
        pem.write_text("nothing")
        with pytest.raises(SettingsError, match="holds no certificate"):
            app.reload(options)
        async with calling(app.urls[0], trusting(signer)) as caller:
            assert caller.serial == old


@pytest.mark.parametrize("begins_with", [True, False], ids=["HTTPS taken away", "HTTPS added"])
async def test_scheme_is_fixed(begins_with: bool, options: ServeOptions, caplog: pytest.LogCaptureFixture) -> None:
    """A listener speaks HTTPS or plain HTTP from its beginning to its end; the log says what a change needs."""
    plain = dataclasses.replace(options, tls=None)
    first, second = (options, plain) if begins_with else (plain, options)
    async with running_proxy(first) as app:
        app.reload(second)
    assert "restart the proxy: what changed in tls_cert has no effect before" in caplog.messages


async def test_redirects_stay_https(options: ServeOptions, origin: Origin, signer: Authority) -> None:
    """A Location on the upstream's own origin becomes one by the scheme that the caller came by."""
    origin.answers = [b"HTTP/1.1 302 Found\r\nLocation: %b//x\r\nContent-Length: 0\r\n\r\n" % origin.url.encode()]
    async with running_proxy(options) as app, calling(app.urls[0], trusting(signer)) as caller:
        assert b"\r\nLocation: https://localhost//x\r\n" in await caller.ask("/v1/x", "Connection: close")


async def test_the_same_request_by_both(
    options: ServeOptions, origin: Origin, signer: Authority, tmp_path: Path
) -> None:
    """What is remembered of a request by HTTPS is not believed of the same one by plain HTTP, and vice versa."""
    origin.answers = [b"HTTP/1.1 302 Found\r\nLocation: %b//x\r\nContent-Length: 0\r\n\r\n" % origin.url.encode()]
    path = tmp_path / "s"
    options = dataclasses.replace(options, listen=(Bind(path=str(path)), *options.listen))
    ask = b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    heard = []
    async with running_proxy(options) as app:
        for _ in range(2):
            for connecting in (
                asyncio.open_connection("127.0.0.1", int(app.urls[1].rpartition(":")[2]), ssl=trusting(signer)),
                asyncio.open_unix_connection(str(path)),
            ):
                reader, writer = await connecting
                writer.write(ask)
                heard.append((await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"Location: ")[2][:8])
                writer.close()
    assert heard == [b"https://", b"http://l"] * 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Origin: https://localhost"], 200),
        (["Origin: https://localhost", "Sec-Fetch-Site: same-origin"], 200),
        (["Origin: http://localhost"], 403),
        (["Origin: http://localhost", "Sec-Fetch-Site: cross-site"], 403),
    ],
    ids=["own", "own, and the browser agrees", "plain HTTP", "plain HTTP, and the browser agrees"],
)
async def test_own_origin(
    headers: list[str], status: int, options: ServeOptions, origin: Origin, signer: Authority
) -> None:
    """The proxy's own origin is the one by HTTPS; a page by plain HTTP under the same name is another page."""
    async with running_proxy(options) as app, calling(app.urls[0], trusting(signer)) as caller:
        assert (await caller.ask("/v1/x", *headers, "Connection: close")).startswith(b"HTTP/1.1 %d" % status)
    assert len(origin.requests) == (1 if status == 200 else 0)


async def test_tunnel_ends(
    options: ServeOptions, origin: Origin, signer: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A tunnel carries bytes both ways, and ends for the caller when the upstream ends it."""

    async def echo(_: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        writer.write(await reader.readexactly(4))
        writer.write_eof()

    origin.responder = echo
    async with running_proxy(options) as app, calling(app.urls[0], trusting(signer)) as caller:
        caller.writer.write(b"GET /cdn/flights/x HTTP/1.1\r\n" + WEB_SOCKET)
        async with asyncio.timeout(PATIENCE):
            assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            caller.writer.write(b"ping")
            assert await caller.reader.read() == b"ping"
    assert not caplog.messages


async def test_draining(options: ServeOptions, signer: Authority) -> None:
    """An HTTPS caller is told to move on as any other, and its connection ends in order."""
    app = App(options)
    await app.__aenter__()
    async with calling(app.urls[0], trusting(signer)) as caller:
        ending = asyncio.create_task(app.__aexit__(None, None, None))
        await asyncio.sleep(0)
        assert b"\r\nConnection: close\r\n" in await caller.ask()
        async with asyncio.timeout(PATIENCE):
            assert await caller.reader.read() == b""
            caller.writer.close()
            await ending


async def test_inspector(options: ServeOptions, signer: Authority, pem: Path) -> None:
    """The inspector's page is at an https address, and its lines for curl trust the certificate."""
    async with running_proxy(options) as app:
        assert app.page_url == f"{app.urls[0]}/-/"
        async with calling(app.urls[0], trusting(signer)) as page, calling(app.urls[0], trusting(signer)) as caller:
            await page.ask("/-/inspector/events")
            await caller.ask("/v1/job")
            async with asyncio.timeout(PATIENCE):
                told = await page.reader.readuntil(b'"kept":true')
            number = told.rpartition(b'"id":"')[2].partition(b'"')[0].decode()
            found = await caller.ask(f"/-/inspector/requests/{number}")
    line = json.loads(found.partition(b"\r\n\r\n")[2])["curl"]
    assert line == f"curl -sS --cacert {pem} https://localhost/v1/job"


# ---- as a process


@pytest.fixture
def settings(tmp_path: Path, pem: Path) -> dict[str, str]:
    return isolated_settings(tmp_path, "http://127.0.0.1:9") | {"UL_PROXY_TLS_CERT": str(pem)}


async def run(*command: str, env: dict[str, str]) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(*command, env=env, cwd=env["HOME"], stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_line_to_paste(settings: dict[str, str]) -> None:
    """The banner's curl line works as it is, whoever signed the certificate."""
    program("curl")
    async with serving(settings, "--log-format", "text", loop=this_loop()) as served:
        line = (await served.line("^  try ")).removeprefix("  try").strip()
        assert " https://127.0.0.1:" in line
        status, out, err = await run("sh", "-c", line.replace("/v1/job", "/-/live"), env=settings)
        assert (status, json.loads(out), err) == (0, {"live": True}, "")


async def test_status(settings: dict[str, str], signer: Authority, pem: Path) -> None:
    """`ul-proxy status` knows the proxy by the certificate of its settings, and no impostor."""
    port = free_port()
    settings["UL_PROXY_LISTEN"] = f"127.0.0.1:{port}"
    signer.issue(pem, "another.test")
    async with serving(settings, loop=this_loop()) as served:
        await served.message('"listening"')
        asking = (sys.executable, "-m", "proxy", "status")
        status, out, err = await run(*asking, env=settings)
        assert (status, err) == (0, "")
        assert f" at https://127.0.0.1:{port}: " in out
        other = signer.issue(pem.with_name("other.pem"), "127.0.0.1")
        status, out, err = await run(*asking, env=settings | {"UL_PROXY_TLS_CERT": str(other)})
        assert (status, out) == (1, "")
        assert f"the proxy at https://127.0.0.1:{port} cannot be asked: " in err


async def test_files_are_watched(settings: dict[str, str], signer: Authority, pem: Path) -> None:
    """A certificate that was replaced is in use a moment later, and a broken one is complained of, once."""
    old = serial_of(pem)
    async with serving(settings, loop=this_loop()) as served:
        (url,) = (await served.message('"listening"'))["urls"]
        new = signer.issue(pem.with_name("new.pem"), "localhost")
        new.replace(pem)
        assert (await served.message("new settings"))["message"] == "new settings: tls_cert"
        async with calling(url, trusting(signer)) as caller:
            assert caller.serial == serial_of(pem) != old
        good = pem.read_bytes()
        pem.write_text("nothing")
        complaint = await served.message("cannot be used")
        assert complaint["level"] == "error"
        assert f"tls_cert: {pem} holds no certificate in PEM" in complaint["message"]
        pem.write_bytes(good)
        await served.message("new settings: tls_cert|the settings are as they were")
        served.process.terminate()
        assert await served.ended() == (0, "")
    assert len([line for line in served.printed if "cannot be used" in line]) == 1


async def test_unusable_from_the_start(settings: dict[str, str], pem: Path) -> None:
    """Without a usable certificate the proxy does not start, and says why in one line."""
    pem.write_text("nothing")
    async with serving(settings, loop=this_loop()) as served:
        status, errors = await served.ended()
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"ul-proxy: tls_cert: {pem} holds no certificate in PEM. ")
