"""The way to an upstream: TLS, names with several addresses, and outbound proxies; on both event loops."""

import asyncio
import base64
import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, authority
from support.connect_proxy import ESTABLISHED, ConnectProxy
from support.loops import EVERY_LOOP
from support.stack import direct_options, new_cognito, options_for, running_proxy, timeouts
from support.wire import Message, Peer, Script, answer, answering, caller, request, upstream

from proxy.errors import SettingsError
from proxy.http.address import Upstream
from proxy.http.client.connect import Connector
from proxy.http.client.outbound import parse_proxy
from proxy.http.options import OutboundProxies
from proxy.settings.options import ServeOptions

loop_factories = EVERY_LOOP

OK = answer()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not there will not come."""
    monkeypatch.setattr("proxy.http.client.connect.TRYING", 0.1)


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


async def ask(url: str, data: bytes) -> Message:
    async with caller(url) as peer:
        await peer.send(data)
        return await peer.message()


def options_with_cdn(url: str, cdn_url: str, **changes: Any) -> ServeOptions:
    """A proxy whose route for the CDN of flights leads elsewhere."""
    options = direct_options(url, **changes)
    elsewhere = [
        dataclasses.replace(route, upstream=Upstream.parse(cdn_url)) if route.path == "/cdn/flights" else route
        for route in options.built_in_routes
    ]
    return dataclasses.replace(options, built_in_routes=tuple(elsewhere))


def problem(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(message.body)
    return document


# TLS.


async def test_tls_upstreams(ca: Authority) -> None:
    """An upstream with a certificate of the given authority is reached, asked by name, and its connection kept."""
    asked: list[str | None] = []
    spoken: list[str | None] = []

    async def script(peer: Peer) -> None:
        spoken.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answering(OK)(peer)

    async with upstream(script, tls=ca.server("localhost", chosen=asked)) as origin:
        url = origin.url.replace("127.0.0.1", "localhost")
        async with running_proxy(direct_options(url, ca_file=ca.file)) as app:
            for _ in range(3):
                assert (await ask(app.urls[0], request("POST", body=b"abc"))).body == b"ok"
        assert origin.connections == 1
    assert asked == ["localhost"]
    assert spoken == ["http/1.1"]


async def test_a_tls_upstream_by_its_address(ca: Authority) -> None:
    """An address is verified as an address."""
    async with (
        upstream(answering(OK), tls=ca.server("127.0.0.1")) as origin,
        running_proxy(direct_options(origin.url, ca_file=ca.file)) as app,
    ):
        assert (await ask(app.urls[0], request())).body == b"ok"


CERTIFICATES = {
    "unknown authority": "upstreams.ca_file",
    "system's authorities": "upstreams.ca_file",
    "another name": "no certificate for 127.0.0.1",
    "expired": "must renew its certificate",
    "not yet valid": "this machine's clock",
}


@pytest.mark.parametrize(("case", "hint"), CERTIFICATES.items(), ids=CERTIFICATES)
async def test_certificates_that_are_refused(case: str, hint: str, ca: Authority, tmp_path: Path) -> None:
    """An upstream that cannot prove who it is gets nothing, and is asked once: the hint says what mends it."""
    received: list[Message] = []
    hellos: list[str | None] = []
    trusted = {"unknown authority": authority(tmp_path, "other").file, "system's authorities": None}.get(case, ca.file)
    name = "localhost" if case == "another name" else "127.0.0.1"
    dates = {"expired": (-10, -1), "not yet valid": (1, 2)}.get(case, (-10, 1))
    context = ca.server(name, valid_in_days=dates, chosen=hellos)
    async with (
        upstream(answering(OK, requests=received), tls=context) as origin,
        running_proxy(direct_options(f"https://127.0.0.1:{origin.port}", ca_file=trusted)) as app,
    ):
        message = await ask(app.urls[0], request())
    document = problem(message)
    assert (message.status, document["code"]) == (502, "upstream_unreachable")
    assert "certificate cannot be verified" in document["detail"]
    assert hint in document["hint"]
    assert ("ca_file" in document["hint"]) == ("ca_file" in hint)
    assert b"tls_certificate_error" in message.values(b"proxy-status")[0]
    assert len(hellos) == 1
    assert received == []


async def test_an_upstream_without_tls(ca: Authority) -> None:
    """It waits for the rest of what it takes for a request, and so do we, until `timeouts.connect`."""
    async with upstream(answering(OK)) as origin:
        options = direct_options(f"https://127.0.0.1:{origin.port}", ca_file=ca.file, timeouts=timeouts(connect=0.5))
        async with running_proxy(options) as app:
            message = await ask(app.urls[0], request())
    assert problem(message)["code"] in ("upstream_unreachable", "upstream_timeout")


async def test_sighup_has_the_certificates_read_again(ca: Authority, tmp_path: Path) -> None:
    """What `ca_file` holds anew is trusted from the next connection on, and those that are open go on."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(ca.file.read_bytes())
    later = authority(tmp_path, "later")
    async with (
        upstream(answering(OK), tls=ca.server("127.0.0.1")) as before,
        upstream(answering(OK), tls=later.server("127.0.0.1")) as after,
        running_proxy(options_with_cdn(before.url, after.url, ca_file=trusted)) as app,
    ):
        assert (await ask(app.urls[0], request())).status == 200
        assert (await ask(app.urls[0], request(target="/cdn/flights/x"))).status == 502
        trusted.write_bytes(later.file.read_bytes())
        assert (await ask(app.urls[0], request(target="/cdn/flights/x"))).status == 502
        app.try_again()
        assert (await ask(app.urls[0], request(target="/cdn/flights/x"))).status == 200
        assert (await ask(app.urls[0], request())).status == 200
        assert before.connections == 1


async def test_certificates_that_cannot_be_read_again(
    ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was spoilt leaves those in place that were trusted, and the log says so."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(ca.file.read_bytes())
    async with (
        upstream(answering(answer(200, b"Connection: close")), tls=ca.server("127.0.0.1")) as origin,
        running_proxy(direct_options(origin.url, ca_file=trusted)) as app,
    ):
        trusted.write_text("nothing")
        app.try_again()
        assert (await ask(app.urls[0], request())).status == 200
    assert [text for text in caplog.messages if "upstreams.ca_file" in text and "stay" in text]


async def test_a_tls_upstream_that_hangs_up_after_the_handshake(ca: Authority) -> None:
    """A connection that ends, or speaks, as soon as it is made is 502 at once."""
    for word in (b"", answer(500, body=b"poison")):

        async def script(peer: Peer, word: bytes = word) -> None:
            await peer.send(word)

        async with (
            upstream(script, tls=ca.server("127.0.0.1")) as origin,
            running_proxy(direct_options(origin.url, ca_file=ca.file)) as app,
        ):
            message = await ask(app.urls[0], request())
        assert message.status in ((502,) if not word else (500, 502))


async def test_bulk_over_tls(ca: Authority) -> None:
    """Large bodies cross TLS whole, both ways, and small answers after them."""
    block = bytes(range(256)) * 4096
    count = 20

    async def script(peer: Peer) -> None:
        while True:
            message = await peer.message()
            assert message.body == block * (len(message.body) // len(block))
            peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(block)))
            for _ in range(count):
                await peer.send(block)

    async with upstream(script, tls=ca.server("127.0.0.1")) as origin:
        async with running_proxy(direct_options(origin.url, ca_file=ca.file)) as app, caller(app.urls[0]) as peer:
            for method, body in (("PUT", block * count), ("GET", None), ("POST", block)):
                peer.writer.write(request(method, body=body))
                message = await peer.message()
                assert message.body == block * count
        assert origin.connections == 1


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("closing", [True, False])
async def test_an_answer_in_tiny_chunks(secure: bool, closing: bool, ca: Authority) -> None:
    """It arrives whole, also where the upstream closes behind it, and so does the next one."""
    count = 20_000
    close = b"Connection: close\r\n" if closing else b""
    whole = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % close + b"1\r\nx\r\n" * count + b"0\r\n\r\n"

    async def script(peer: Peer) -> None:
        while True:
            await peer.message()
            await peer.send(whole)
            if closing:
                return

    async with (
        upstream(script, tls=ca.server("127.0.0.1") if secure else None) as origin,
        running_proxy(direct_options(origin.url, ca_file=ca.file)) as app,
        caller(app.urls[0]) as peer,
    ):
        for _ in range(2):
            await peer.send(request())
            assert (await peer.message()).body == b"x" * count
        assert origin.connections == (2 if closing else 1)


@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "cut"])
async def test_a_content_without_a_length_over_tls(orderly: bool, ca: Authority) -> None:
    """The end of a TLS connection ends a content only where TLS says that it is one (RFC 9112 section 9.8)."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        if not orderly:
            await asyncio.sleep(0.05)
            raw = socket.socket(fileno=socket.dup(peer.writer.get_extra_info("socket").fileno()))
            raw.shutdown(socket.SHUT_WR)
            raw.close()
            await asyncio.sleep(0.2)

    async with (
        upstream(script, tls=ca.server("127.0.0.1")) as origin,
        running_proxy(direct_options(origin.url, ca_file=ca.file)) as app,
        caller(app.urls[0]) as peer,
    ):
        await peer.send(request())
        if orderly:
            assert (await peer.message()).body == b"hello"
        else:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await peer.message()


def test_an_unusable_ca_file(tmp_path: Path) -> None:
    """A file that is missing or holds no certificate is an error of the settings, at the start."""
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for file in (tmp_path / "missing.pem", empty, tmp_path):
        with pytest.raises(SettingsError, match=r"upstreams\.ca_file"):
            Connector(timeout=1, ca_file=file, outbound=OutboundProxies())


# Names and addresses.


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Every name has these addresses."""

    def getaddrinfo(*args: Any, **options: Any) -> list[Any]:
        found: list[Any] = []
        for host, port in addresses:
            if ":" in host:
                found.append((socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0)))
            else:
                found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)))
        return found

    monkeypatch.setattr("proxy.http.client.dns.getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("dead_first", [True, False])
async def test_the_address_that_answers_is_taken(dead_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses of a name, one that refuses does no harm (happy eyeballs)."""
    async with upstream(answering(OK)) as origin:
        addresses = [("::1", 9), ("127.0.0.1", origin.port)]
        async with running_proxy(direct_options(f"http://api.example:{origin.port}")) as app:
            resolve(monkeypatch, *(addresses if dead_first else reversed(addresses)))
            assert (await ask(app.urls[0], request())).body == b"ok"


async def test_the_family_that_answered_comes_first() -> None:
    """Addresses of a family that leads nowhere are not tried first for each connection."""
    async with upstream(answering(OK)) as origin:

        def resolve(*args: Any, **options: Any) -> list[Any]:
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 9, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", origin.port)),
            ]

        connector = Connector(timeout=60, ca_file=None, outbound=OutboundProxies(), resolve=resolve)
        assert await connector.addresses("api.example", 80) == ["::1", "127.0.0.1"]
        (await connector.dial("api.example", 80)).close()
        assert await connector.addresses("api.example", 80) == ["127.0.0.1", "::1"]


async def test_no_address_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every address refuses, that is what the caller is told."""
    async with running_proxy(direct_options("http://api.example:9")) as app:
        resolve(monkeypatch, ("::1", 9), ("127.0.0.1", 9))
        message = await ask(app.urls[0], request())
    assert (message.status, problem(message)["code"]) == (502, "upstream_unreachable")
    assert "refuses connections" in problem(message)["detail"]


@pytest.mark.parametrize("host", ["nowhere.example", "a..b", "x" * 64 + ".example"])
async def test_a_name_that_cannot_be_resolved(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not exist, or cannot, is 502 with `dns_error`."""
    async with running_proxy(direct_options(f"http://{host}")) as app:
        if host.startswith("nowhere"):

            def getaddrinfo(*args: Any, **options: Any) -> list[Any]:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

            monkeypatch.setattr("proxy.http.client.dns.getaddrinfo", getaddrinfo)
        message = await ask(app.urls[0], request())
    assert (message.status, problem(message)["code"]) == (502, "upstream_unreachable")
    assert b"dns_error" in message.values(b"proxy-status")[0]


# Outbound proxies.


async def test_tls_upstreams_through_an_outbound_proxy(ca: Authority) -> None:
    """HTTPS_PROXY: one tunnel to the upstream's name, with the proxy's credentials, and TLS inside it."""
    asked: list[str | None] = []
    received: list[Message] = []
    async with (
        upstream(answering(OK, requests=received), tls=ca.server("api.example", chosen=asked)) as origin,
        ConnectProxy(ports={"api.example": origin.port}).running() as via,
    ):
        outbound = OutboundProxies(https=parse_proxy(f"http://us%40er:word@127.0.0.1:{via.port}"))
        options = direct_options("https://api.example", ca_file=ca.file, outbound=outbound)
        async with running_proxy(options) as app:
            for _ in range(2):
                assert (await ask(app.urls[0], request("POST", body=b"abc"))).body == b"ok"
    assert via.targets == ["api.example:443"]
    assert via.requests[0].values(b"host") == [b"api.example:443"]
    assert asked == ["api.example"]
    given = via.requests[0].values(b"proxy-authorization")
    assert given == [b"Basic " + base64.b64encode(b"us@er:word")]
    assert all(b"Proxy-Authorization" not in message.head for message in received)
    assert b"pat-1" not in via.requests[0].head


async def test_http_upstreams_through_an_outbound_proxy() -> None:
    """HTTP_PROXY: also without TLS the proxy is asked for a tunnel, and sees no request of ours."""
    async with upstream(answering(OK)) as origin, ConnectProxy(ports={"api.example": origin.port}).running() as via:
        outbound = OutboundProxies(http=parse_proxy(via.url))
        async with running_proxy(direct_options("http://api.example", outbound=outbound)) as app:
            assert (await ask(app.urls[0], request())).body == b"ok"
    assert via.targets == ["api.example:80"]
    assert via.requests[0].values(b"proxy-authorization") == []


async def test_no_proxy_goes_directly() -> None:
    """An upstream that NO_PROXY names is reached without the proxy."""
    async with upstream(answering(OK)) as origin, ConnectProxy().running() as via:
        outbound = OutboundProxies(http=parse_proxy(via.url), bypass="127.0.0.1")
        async with running_proxy(direct_options(origin.url, outbound=outbound)) as app:
            assert (await ask(app.urls[0], request())).body == b"ok"
    assert via.requests == []


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
            "answered CONNECT with 407",
        ),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ncanary", "answered CONNECT with 403"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "answered CONNECT with 502"),
        (b"HTTP/1.1 canary canary\r\n\r\n", "nonsense"),
        (b"HTTP/1.1 2xx canary\r\n\r\n", "nonsense"),
        (b"SSH-2.0-canary\r\n\r\n", "nonsense"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "nonsense"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 20_000, "nonsense"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "nonsense"),
        (ESTABLISHED + answer(500, body=b"canary"), "content behind its answer"),
    ],
)
async def test_an_outbound_proxy_that_refuses(refusal: bytes, words: str) -> None:
    """A proxy that opens no tunnel is 502 `upstream_unreachable` that names it, its status, and the setting."""
    async with ConnectProxy(refusal=refusal).running() as via:
        outbound = OutboundProxies(http=parse_proxy(f"http://user:canary@127.0.0.1:{via.port}"))
        async with running_proxy(direct_options("http://api.example", outbound=outbound)) as app:
            message = await ask(app.urls[0], request())
    document = problem(message)
    assert (message.status, document["code"]) == (502, "upstream_unreachable")
    assert words in document["detail"]
    assert f"127.0.0.1:{via.port}" in document["detail"]
    assert "HTTPS_PROXY" in document["hint"]
    assert b"canary" not in message.body


async def test_an_outbound_proxy_that_is_not_there() -> None:
    """It is the proxy that cannot be reached, and that is what the caller is told."""
    outbound = OutboundProxies(http=parse_proxy("http://127.0.0.1:9"))
    async with running_proxy(direct_options("http://api.example", outbound=outbound)) as app:
        message = await ask(app.urls[0], request())
    document = problem(message)
    assert (message.status, document["code"]) == (502, "upstream_unreachable")
    assert "the outbound proxy 127.0.0.1:9" in document["detail"]


async def test_a_silent_outbound_proxy() -> None:
    """A proxy that never answers CONNECT is 504 after `timeouts.connect`."""

    async def script(peer: Peer) -> None:
        await peer.rest()

    async with upstream(script) as silent:
        options = direct_options(
            "http://api.example",
            outbound=OutboundProxies(http=parse_proxy(silent.url)),
            timeouts=timeouts(connect=0.2),
        )
        async with running_proxy(options) as app:
            message = await ask(app.urls[0], request())
    assert (message.status, problem(message)["code"]) == (504, "upstream_timeout")


def relaying(url: str) -> Script:
    """A script that passes every connection on."""
    host, _, port = url.removeprefix("http://").rpartition(":")

    async def script(peer: Peer) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1 << 16):
                writer.write(data)
            writer.close()

        await asyncio.gather(carry(peer.reader, writer), carry(reader, peer.writer))

    return script


async def test_cognito_is_reached_through_the_outbound_proxy(ca: Authority) -> None:
    """HTTPS_PROXY and upstreams.ca_file hold for sign-in and for the pool's keys as well: both are tunnelled."""
    async with (
        new_cognito().running() as cognito_url,
        upstream(relaying(cognito_url), tls=ca.server("cognito.example")) as cognito,
        upstream(answering(OK)) as origin,
        ConnectProxy(ports={"cognito.example": cognito.port}).running() as via,
    ):
        outbound = OutboundProxies(https=parse_proxy(via.url))
        options = options_for("https://cognito.example", origin.url, outbound=outbound, ca_file=ca.file)
        async with running_proxy(options) as app:
            assert (await ask(app.urls[0], request())).body == b"ok"
    assert set(via.targets) == {"cognito.example:443"}
    assert len(via.targets) >= 2
    assert cognito.connections == len(via.targets)
