"""`ul-proxy check` as a process: whatever is wrong on the way, it names the hop and the fix, and goes on elsewhere."""

import asyncio
import dataclasses
import io
import json
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from support.certificates import Authority, authority
from support.commands import kept_in, settings_for, ul_proxy
from support.connect_proxy import ConnectProxy
from support.screen import CTRL_C, terminal
from support.servers import free_port
from support.stack import PASSWORD, SIGNER, USERNAME, direct_options, new_cognito, running_proxy
from support.wire import Message, Peer, answer, answering, upstream

from proxy.cli import check
from proxy.demo.accounts import User
from proxy.demo.api import API_KEY, FLIGHTS_CDN, LIBRARY_CDN, EmbeddedApi
from proxy.demo.cognito import JWKS, EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.http.address import Bind
from proxy.http.options import CertificateFiles

if TYPE_CHECKING:
    import ssl

PAT = "ul_pat_c4n4ry"
JSON = b"Content-Type: application/json"
PAGE = answer(200, b"Content-Type: text/html", body=b"<!DOCTYPE html><title>Welcome to the airport</title>")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a check printed with `--json`, and its exit status."""

    status: int
    document: Mapping[str, Any]

    @property
    def hops(self) -> list[dict[str, Any]]:
        hops: list[dict[str, Any]] = self.document["hops"]
        return hops

    def hop(self, kind: str, subject: str = "") -> dict[str, Any]:
        """The one hop of a kind whose subject contains `subject`."""
        (found,) = [hop for hop in self.hops if hop["kind"] == kind and subject in hop["subject"]]
        return found

    def named(self, state: str) -> list[str]:
        """The hops in a state, in order."""
        return [f"{hop['kind']} {hop['subject']}".strip() for hop in self.hops if hop["state"] == state]

    def failed(self) -> dict[str, Any]:
        """The one hop that failed."""
        (found,) = [hop for hop in self.hops if hop["state"] == "fail"]
        assert found["fix"], found
        assert self.status == 1
        return found


@dataclass(slots=True)
class Patient:
    """Everything that a check walks over, all of it well until a test changes `env`."""

    cognito: EmbeddedCognito
    api: EmbeddedApi
    env: dict[str, str]
    folder: Path

    def use_pat(self, everywhere: str | None = None) -> None:
        """No Cognito: a personal access token, and every upstream at `everywhere`."""
        for name in ("USERNAME", "PASSWORD", "API_KEY"):
            del self.env[f"UL_PROXY_{name}"]
        self.env["UL_PROXY_PERSONAL_ACCESS_TOKEN"] = PAT
        if everywhere is not None:
            self.env |= {f"UL_PROXY_UPSTREAMS__{name}": everywhere for name in ("REST", "FLIGHTS_CDN", "LIBRARY_CDN")}
            self.env["UL_PROXY_UPSTREAMS__GRAPHQL"] = f"{everywhere}/graphql"

    async def check(self, profile: str = "default", **env: str) -> Diagnosis:
        """A check in this process, which shows no secret whatever it finds."""
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
            patch.chdir(self.folder)
            for name, value in (self.env | env).items():
                patch.setenv(name, value)
            status = await check.check({}, None, profile=profile, json=True)
        return _read(status, out.getvalue())

    async def run(self, *flags: str, **env: str) -> Diagnosis:
        """The same in a process of its own."""
        outcome = await ul_proxy("check", "--json", *flags, env=self.env | env, cwd=self.folder)
        assert outcome.err == ""
        return _read(outcome.status, outcome.out)

    async def run_as_text(self, *flags: str, **env: str) -> tuple[int, str]:
        outcome = await ul_proxy("check", *flags, env=self.env | env, cwd=self.folder)
        assert outcome.err == ""
        return outcome.status, outcome.out


def _read(status: int, out: str) -> Diagnosis:
    assert not [secret for secret in (PASSWORD, API_KEY, PAT, "eyJ", "c4n4ry") if secret in out]
    return Diagnosis(status, json.loads(out))


@pytest.fixture(autouse=True)
def _same_logging() -> Iterator[None]:
    """Commands send the log where they want it."""
    root, own, manager = (logging.getLogger(name) for name in (None, "proxy", "proxy.identity.tokens.manager"))
    before = root.handlers[:], own.level, manager.level
    yield
    root.handlers[:], own_level, manager_level = before
    own.setLevel(own_level)
    manager.setLevel(manager_level)


@pytest.fixture
def cognito() -> EmbeddedCognito:
    return new_cognito()


@pytest.fixture
async def patient(cognito: EmbeddedCognito, tmp_path: Path) -> AsyncIterator[Patient]:
    api = EmbeddedApi(cognito.verify, personal_access_token=PAT)
    async with cognito.running() as cognito_url, api.running() as api_url:
        env = settings_for(
            tmp_path,
            cognito_url,
            UL_PROXY_USERNAME=USERNAME,
            UL_PROXY_PASSWORD=PASSWORD,
            UL_PROXY_API_KEY=API_KEY,
            UL_PROXY_UPSTREAMS__REST=api_url,
            UL_PROXY_UPSTREAMS__GRAPHQL=f"{api_url}/graphql",
            UL_PROXY_UPSTREAMS__FLIGHTS_CDN=api_url + FLIGHTS_CDN,
            UL_PROXY_UPSTREAMS__LIBRARY_CDN=api_url + LIBRARY_CDN,
        )
        yield Patient(cognito, api, env, tmp_path)


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


# ---- nothing is wrong


async def test_all_is_well(patient: Patient) -> None:
    """Every hop has a line with its time; every surface is asked for real, with its own credential; exit status 0."""
    status, out = await patient.run_as_text()
    assert status == 0
    *rows, blank, last = out.splitlines()
    assert blank == ""
    assert re.fullmatch(r"All is well: 12 hops in [\d.]+ m?s\.", last)
    assert all(re.match(r"ok    \S.* [\d.]+ m?s  \S", row) for row in rows), out
    assert "\x1b" not in out
    assert dict(patient.api.counts) == {
        "GET /v1/job": 1,
        "POST /graphql": 1,
        "GET /v1/analytics/version": 1,
        "GET unmatched": 2,
    }
    shown = {received.target: received for received in patient.api.received}
    assert shown["/v1/analytics/version"].values("x-api-key") == [API_KEY]
    assert not shown[FLIGHTS_CDN].values("authorization")
    assert patient.cognito.counts["InitiateAuth"] == 1
    # Who did not run `login` finds nothing on disk.
    assert kept_in(patient.folder) == []


async def test_the_order_of_the_hops(patient: Patient) -> None:
    """From the settings over names, connections and the clock to the sign-in and the routes, as one would look."""
    diagnosis = await patient.run()
    assert diagnosis.document["ok"] is True
    kinds = list(dict.fromkeys(hop["kind"] for hop in diagnosis.hops))
    assert kinds == ["settings", "listen", "connect", "user_pool", "clock", "sign_in", "route"]
    assert diagnosis.hop("sign_in")["detail"] == f"signed in as {USERNAME}, with a token good for 60 min"
    assert "with the API key" in diagnosis.hop("route", "analytics")["detail"]
    assert all(isinstance(hop["seconds"], float) for hop in diagnosis.hops)


async def test_a_route_of_ones_own(patient: Patient) -> None:
    """Routes of one's own are asked, too, with the credential and the header that they name."""
    received: list[Message] = []
    async with upstream(answering(answer(404, body=b"nothing here"), requests=received)) as own:
        (patient.folder / "ul-proxy.toml").write_text(
            f'[[routes]]\npath = "/staging"\nupstream = "{own.url}/base"\nauth = "rest"\nheader = "X-Staging-Token"\n'
        )
        diagnosis = await patient.check()
    assert diagnosis.status == 0
    assert diagnosis.hop("route", "GET /staging")["detail"] == "reached: 404"
    assert received[0].start_line.startswith(b"GET /base HTTP/1.1")
    assert received[0].values(b"x-staging-token")[0].startswith(b"eyJ")
    assert diagnosis.hop("settings")["detail"].startswith(f"config file {patient.folder / 'ul-proxy.toml'}")


async def test_a_profile(patient: Patient) -> None:
    """`--profile` walks the way of that profile."""
    patient.cognito.pool.accounts.users.append(User("survey", "Survey-Password-1"))
    given = {
        "UL_PROXY_PROFILES__SURVEY__USERNAME": "survey",
        "UL_PROXY_PROFILES__SURVEY__PASSWORD": "Survey-Password-1",
    }
    diagnosis = await patient.check("survey", **given)
    assert diagnosis.status == 0
    assert diagnosis.document["profile"] == "survey"
    # Without a key of its own, analytics gets the token.
    assert "with the ID token" in diagnosis.hop("route", "analytics")["detail"]


async def test_a_personal_access_token(patient: Patient) -> None:
    """With a personal access token Cognito is not on the way, and the clock is judged by what the upstreams say."""
    patient.use_pat()
    diagnosis = await patient.check(UL_PROXY_COGNITO__ENDPOINT_URL="http://127.0.0.1:9")
    assert diagnosis.status == 0
    assert {hop["kind"] for hop in diagnosis.hops} == {"settings", "listen", "connect", "clock", "route"}
    assert diagnosis.hop("clock")["detail"] == "as 127.0.0.1 has it"
    assert "with the personal access token" in diagnosis.hop("route", "job")["detail"]


# ---- the settings


@pytest.mark.parametrize(
    ("profile", "env", "words"),
    [
        ("default", {"UL_PROXY_TIMEOUTS__CONNECT": "soon"}, "timeouts.connect"),
        ("nobody", {}, "no profile 'nobody'"),
        ("default", {"UL_PROXY_UPSTREAMS__CA_FILE": "/nonexistent.pem"}, "upstreams.ca_file"),
        ("default", {"UL_PROXY_TOKEN_STORE": "cupboard"}, "token_store"),
        ("default", {"UL_PROXY_TLS_CERT": "/nonexistent.pem"}, "tls_cert"),
        ("default", {"HTTPS_PROXY": "socks5://c4n4ry@127.0.0.1"}, "HTTPS_PROXY"),
    ],
)
async def test_unusable_settings(profile: str, env: dict[str, str], words: str, patient: Patient) -> None:
    """Unusable settings are the only hop there is, and exit status 2."""
    diagnosis = await patient.check(profile, **env)
    assert (diagnosis.status, diagnosis.document["status"], diagnosis.document["ok"]) == (2, 2, False)
    (hop,) = diagnosis.hops
    assert (hop["kind"], hop["state"]) == ("settings", "fail")
    assert words in hop["detail"]
    assert hop["fix"]


async def test_unusable_settings_as_text(patient: Patient) -> None:
    """A person is told the same, and that nothing else was tried."""
    status, out = await patient.run_as_text("--timeouts-connect", "soon")
    assert status == 2
    assert re.match(r"FAIL  settings +\d+ ms  timeouts.connect ", out)
    assert "\n      nothing else was tried" in out
    assert "\n      fix: " in out
    assert len(out.splitlines()) == 3


async def test_settings_that_have_no_effect(patient: Patient) -> None:
    """What a person should know of the settings stands below them, and fails nothing."""
    diagnosis = await patient.check(UL_PROXY_USER="c4n4ry")
    assert diagnosis.status == 0
    assert diagnosis.hop("settings")["state"] == "warn"
    assert "did you mean UL_PROXY_USERNAME?" in diagnosis.hop("settings")["notes"][0]


# ---- where the proxy listens


async def test_a_proxy_of_ours_is_there(patient: Patient) -> None:
    """A proxy that runs where the settings say is no trouble, and is not disturbed; it is told whether it is ready."""
    async with upstream(answering(answer())) as origin:
        async with running_proxy(direct_options(origin.url)) as app:
            address = app.urls[0].removeprefix("http://")
            diagnosis = await patient.check(UL_PROXY_LISTEN=address)
        assert re.fullmatch(r"ul-proxy \S+ runs there, and is ready", diagnosis.hop("listen", address)["detail"])
    assert diagnosis.status == 0


async def test_a_proxy_of_ours_on_a_unix_socket(patient: Patient, tmp_path: Path) -> None:
    """The same on a Unix socket; where nobody listens any more the address is free, and the file stays."""
    path = tmp_path / "s"
    async with running_proxy(direct_options("http://127.0.0.1:9", listen=(Bind(path=str(path)),))):
        diagnosis = await patient.check(UL_PROXY_LISTEN=f"unix:{path}")
    assert "runs there" in diagnosis.hop("listen")["detail"]
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    diagnosis = await patient.check(UL_PROXY_LISTEN=f"unix:{path}")
    assert (diagnosis.status, diagnosis.hop("listen")["detail"]) == (0, "free")
    assert path.exists()


async def test_a_proxy_of_ours_with_https(patient: Patient, ca: Authority) -> None:
    """The same over HTTPS, by the certificate that the settings name."""
    ca.server("localhost")
    file = ca.file.with_name("localhost1.pem")
    options = direct_options("http://127.0.0.1:9", tls=CertificateFiles(file, file))
    async with running_proxy(options) as app:
        address = app.urls[0].removeprefix("https://")
        diagnosis = await patient.check(UL_PROXY_LISTEN=address, UL_PROXY_TLS_CERT=str(file))
    assert "runs there" in diagnosis.hop("listen")["detail"]


async def test_a_proxy_of_ours_that_does_not_tell(patient: Patient) -> None:
    """One that wants another client token, or has its own endpoints elsewhere, is known as ours all the same."""
    token = SecretStr("another")
    async with running_proxy(direct_options("http://127.0.0.1:9", client_token=token)) as app:
        diagnosis = await patient.check(UL_PROXY_LISTEN=app.urls[0].removeprefix("http://"))
    assert (diagnosis.status, diagnosis.hop("listen")["detail"]) == (0, "a proxy of ours runs there")


async def test_another_program_is_there(patient: Patient) -> None:
    """Where another program listens, `serve` could not start: that hop fails, and the others go on."""
    async with upstream(answering(PAGE)) as other:
        diagnosis = await patient.check(UL_PROXY_LISTEN=f"127.0.0.1:{other.port}")
    failed = diagnosis.failed()
    assert failed["kind"] == "listen"
    assert "no ul-proxy" in failed["detail"]
    assert "--listen or UL_PROXY_LISTEN" in failed["fix"]
    assert diagnosis.named("not_tried") == []


async def test_another_program_is_where_the_own_endpoints_should_be(patient: Patient) -> None:
    """Each of the two addresses is mended by its own setting."""
    async with upstream(answering(PAGE)) as other:
        diagnosis = await patient.check(UL_PROXY_ADMIN_LISTEN=f"127.0.0.1:{other.port}")
    failed = diagnosis.failed()
    assert (failed["kind"], failed["subject"]) == ("listen", f"127.0.0.1:{other.port}")
    assert "--admin-listen or UL_PROXY_ADMIN_LISTEN" in failed["fix"]


# ---- names, connections, TLS


async def test_a_closed_port(patient: Patient) -> None:
    """A port where nobody listens fails as a connection; what lies behind it is not tried, and says why."""
    patient.use_pat()
    port = free_port()
    diagnosis = await patient.run(UL_PROXY_UPSTREAMS__REST=f"http://127.0.0.1:{port}")
    failed = diagnosis.failed()
    assert (failed["kind"], failed["subject"]) == ("connect", f"127.0.0.1:{port}")
    assert failed["detail"] == "it refuses connections"
    assert "upstreams.rest" in failed["fix"]
    assert diagnosis.hop("route", "job")["because"] == f"connect 127.0.0.1:{port}"
    assert len(diagnosis.named("not_tried")) == 2
    assert diagnosis.hop("route", "graphql")["state"] == "ok"


async def test_a_name_that_does_not_resolve(patient: Patient) -> None:
    """A name that does not exist fails as DNS, and the text names the hop, the reason and the setting."""
    patient.use_pat()
    env = {"UL_PROXY_UPSTREAMS__GRAPHQL": "https://mediadrive.invalid/graphql"}
    diagnosis = await patient.check(**env)
    failed = diagnosis.failed()
    assert (failed["kind"], failed["subject"]) == ("dns", "mediadrive.invalid")
    assert "does not resolve" in failed["detail"]
    assert "upstreams.graphql" in failed["fix"]
    assert diagnosis.named("not_tried") == [
        "connect mediadrive.invalid:443",
        "tls mediadrive.invalid:443",
        "route POST /graphql → mediadrive.invalid",
    ]
    status, out = await patient.run_as_text(**env)
    assert status == 1
    assert re.search(r"^FAIL  DNS mediadrive.invalid .*\n      fix: ", out, re.MULTILINE)
    assert re.search(r"^-     TLS .* not tried, because DNS mediadrive.invalid failed$", out, re.MULTILINE)
    assert re.search(r"^1 of \d+ hops failed, 3 not tried: DNS mediadrive.invalid\.$", out, re.MULTILINE)


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown", "known"])
async def test_a_certificate_of_an_unknown_authority(trusted: bool, patient: Patient, ca: Authority) -> None:
    """A certificate of an authority that nobody here knows fails as TLS; with upstreams.ca_file all is well."""
    patient.use_pat()
    async with upstream(answering(answer(200, JSON, body=b"[]")), tls=ca.server("127.0.0.1")) as origin:
        env = {"UL_PROXY_UPSTREAMS__REST": origin.url}
        if trusted:
            env["UL_PROXY_UPSTREAMS__CA_FILE"] = str(ca.file)
        diagnosis = await patient.run(**env)
    if trusted:
        assert diagnosis.status == 0
        assert re.fullmatch(r"TLSv1\.\d, certificate of authority", diagnosis.hop("tls")["detail"])
        return
    failed = diagnosis.failed()
    assert (failed["kind"], failed["subject"]) == ("tls", f"127.0.0.1:{origin.port}")
    assert "unable to get local issuer certificate" in failed["detail"]
    assert "upstreams.ca_file" in failed["fix"]
    assert diagnosis.hop("route", "job")["because"] == f"TLS 127.0.0.1:{origin.port}"


@pytest.mark.parametrize(
    ("case", "words", "fix"),
    [
        ("expired", "expired", "clock, which says 20"),
        ("another name", "mismatch", "log in first"),
        ("no TLS", "no TLS", "speaks https"),
    ],
)
async def test_other_certificates(case: str, words: str, fix: str, patient: Patient, ca: Authority) -> None:
    """A certificate that has ended points at the clock, one of somebody else's at a captive portal."""
    patient.use_pat()
    context: ssl.SSLContext | None = ca.server(
        "localhost" if case == "another name" else "127.0.0.1", valid_in_days=(-10, -1 if case == "expired" else 1)
    )

    async def greet(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with upstream(greet, tls=None if case == "no TLS" else context) as origin:
        url = f"https://127.0.0.1:{origin.port}"
        diagnosis = await patient.check(
            UL_PROXY_UPSTREAMS__GRAPHQL=f"{url}/graphql", UL_PROXY_UPSTREAMS__CA_FILE=str(ca.file)
        )
    failed = diagnosis.failed()
    assert failed["kind"] == "tls"
    assert words in failed["detail"]
    assert fix in failed["fix"]


async def test_a_silent_upstream(patient: Patient) -> None:
    """An upstream that takes a request and says nothing is told from one that cannot be reached."""

    async def script(peer: Peer) -> None:
        await peer.rest()

    patient.use_pat()
    async with upstream(script) as silent:
        diagnosis = await patient.check(UL_PROXY_UPSTREAMS__REST=silent.url, UL_PROXY_TIMEOUTS__HEADERS="300ms")
    assert diagnosis.status == 1
    assert diagnosis.hop("connect", str(silent.port))["state"] == "ok"
    assert "timeouts.headers" in diagnosis.hop("route", "job")["fix"]


async def test_a_name_that_resolves(patient: Patient) -> None:
    """A name has a line of its own, with what it stands for."""
    patient.use_pat()
    diagnosis = await patient.check(
        UL_PROXY_UPSTREAMS__REST=patient.env["UL_PROXY_UPSTREAMS__REST"].replace("127.0.0.1", "localhost")
    )
    assert diagnosis.status == 0
    assert re.fullmatch(r"(127\.0\.0\.1|::1)( and 1 more)?", diagnosis.hop("dns", "localhost")["detail"])


async def test_an_answer_that_does_not_end(patient: Patient) -> None:
    """An upstream that begins an answer and never ends it is not waited for."""

    async def script(peer: Peer) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await peer.rest()

    patient.use_pat()
    async with upstream(script) as slow:
        diagnosis = await patient.check(
            UL_PROXY_UPSTREAMS__GRAPHQL=f"{slow.url}/graphql", UL_PROXY_TIMEOUTS__HEADERS="300ms"
        )
    assert diagnosis.failed()["detail"] == "the upstream's answer does not end"


# ---- the outbound proxy


@pytest.mark.parametrize(
    ("refusal", "words", "fix"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered CONNECT with 403", "let api.example:443 through"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "answered CONNECT with 407", "http://user:password@"),
        (b"SSH-2.0\r\n\r\n", "nonsense", "NO_PROXY"),
    ],
)
async def test_an_outbound_proxy_that_refuses(refusal: bytes, words: str, fix: str, patient: Patient) -> None:
    """An outbound proxy that opens no tunnel fails as that tunnel; names are its business, and are not looked up."""
    patient.use_pat()
    async with ConnectProxy(refusal=refusal).running() as via:
        diagnosis = await patient.run(
            UL_PROXY_UPSTREAMS__REST="https://api.example",
            HTTPS_PROXY=f"http://user:c4n4ry@127.0.0.1:{via.port}",
        )
    failed = diagnosis.failed()
    assert (failed["kind"], failed["subject"]) == ("tunnel", "api.example:443")
    assert words in failed["detail"]
    assert fix in failed["fix"]
    assert diagnosis.hop("outbound_proxy")["state"] == "ok"
    assert diagnosis.hop("tls", "api.example")["because"] == "tunnel to api.example:443"
    assert not [hop for hop in diagnosis.hops if hop["kind"] == "dns"]


async def test_an_outbound_proxy_that_is_not_there(patient: Patient) -> None:
    """An outbound proxy that cannot be reached fails as itself, and the variable that names it is said."""
    patient.use_pat()
    diagnosis = await patient.check(
        UL_PROXY_UPSTREAMS__REST="https://api.example", HTTPS_PROXY="http://proxy.invalid:3128"
    )
    failed = diagnosis.failed()
    assert (failed["kind"], failed["subject"]) == ("dns", "proxy.invalid")
    assert "HTTPS_PROXY" in failed["fix"]
    port = free_port()
    diagnosis = await patient.check(
        UL_PROXY_UPSTREAMS__REST="https://api.example", HTTPS_PROXY=f"http://127.0.0.1:{port}"
    )
    failed = diagnosis.failed()
    assert (failed["kind"], failed["subject"]) == ("outbound_proxy", f"127.0.0.1:{port}")
    assert "refuses connections" in failed["detail"]
    assert "HTTPS_PROXY" in failed["fix"]


async def test_through_an_outbound_proxy(patient: Patient, ca: Authority) -> None:
    """Through a tunnel TLS and requests work as they do without."""
    patient.use_pat()
    async with (
        upstream(answering(answer(200, JSON, body=b"[]")), tls=ca.server("api.example")) as origin,
        ConnectProxy(ports={"api.example": origin.port}).running() as via,
    ):
        diagnosis = await patient.check(
            UL_PROXY_UPSTREAMS__REST="https://api.example",
            UL_PROXY_UPSTREAMS__CA_FILE=str(ca.file),
            HTTPS_PROXY=via.url,
        )
    assert diagnosis.status == 0
    assert diagnosis.hop("tunnel")["detail"] == "open"
    assert set(via.targets) == {"api.example:443"}


# ---- the clock


@pytest.mark.parametrize(("ahead", "words"), [(7200, "2 h behind Cognito"), (-7200, "2 h ahead of Cognito")])
async def test_a_clock_that_is_two_hours_off(ahead: int, words: str, tmp_path: Path) -> None:
    """A clock that is two hours off is told by what Cognito's answer says, and how to set it; the sign-in works."""
    cognito = EmbeddedCognito(
        PoolConfig(), [User(USERNAME, PASSWORD)], clock=lambda: time.time() + ahead, signer=SIGNER
    )
    api = EmbeddedApi(cognito.verify, clock=lambda: time.time() + ahead)
    async with cognito.running() as cognito_url, api.running() as api_url:
        env = settings_for(tmp_path, cognito_url, UL_PROXY_USERNAME=USERNAME, UL_PROXY_PASSWORD=PASSWORD)
        env |= {f"UL_PROXY_UPSTREAMS__{name}": api_url for name in ("REST", "FLIGHTS_CDN", "LIBRARY_CDN")}
        env["UL_PROXY_UPSTREAMS__GRAPHQL"] = f"{api_url}/graphql"
        diagnosis = await Patient(cognito, api, env, tmp_path).run()
    failed = diagnosis.failed()
    assert failed["kind"] == "clock"
    assert words in failed["detail"]
    assert "timedatectl" in failed["fix"]
    assert diagnosis.hop("sign_in")["state"] == "ok"
    assert diagnosis.named("not_tried") == []


@pytest.mark.parametrize("date", [(), (b"Date: c4n4ry",)], ids=["missing", "nonsense"])
async def test_nobody_tells_the_time(date: tuple[bytes, ...], patient: Patient) -> None:
    """Where no answer has a date that can be read, the clock is not judged."""
    async with upstream(answering(answer(200, JSON, *date, body=b'{"data":{}}'))) as origin:
        patient.use_pat(origin.url)
        diagnosis = await patient.check()
    assert diagnosis.status == 0
    assert diagnosis.hop("clock")["detail"] == "not tried, because no answer has told the time"


# ---- Cognito


async def test_a_wrong_password(patient: Patient) -> None:
    """A wrong password is shown to Cognito once and fails as the sign-in; what needs no token is tried all the same."""
    diagnosis = await patient.run(UL_PROXY_PASSWORD="wrong-c4n4ry")
    failed = diagnosis.failed()
    assert failed["kind"] == "sign_in"
    assert failed["detail"] == "Cognito refused the user name or password"
    assert failed["fix"] == "Correct UL_PROXY_USERNAME and UL_PROXY_PASSWORD, or run `ul-proxy login`."
    assert patient.cognito.counts["InitiateAuth"] == 1
    assert patient.cognito.counts["RespondToAuthChallenge"] == 1
    assert diagnosis.hop("route", "job")["because"] == "sign-in"
    assert diagnosis.hop("route", "analytics")["state"] == "ok"
    assert diagnosis.hop("route", "flights")["state"] == "ok"


async def test_a_cognito_in_trouble(patient: Patient) -> None:
    """Trouble of Cognito's is told as it is, after one attempt."""
    patient.cognito.faults.throttle(calls=None, operation="InitiateAuth")
    diagnosis = await patient.check()
    assert diagnosis.failed()["detail"] == "Cognito is throttling"
    assert "again in a minute" in diagnosis.failed()["fix"]
    assert patient.cognito.counts["InitiateAuth"] == 1


async def test_an_sdk_that_lacks_something(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS SDK in a version that cannot be used fails as the sign-in, which asks nobody, and the fix is another."""
    monkeypatch.delattr("botocore.loaders.JSONFileLoader.load_file")
    diagnosis = await patient.check()
    failed = diagnosis.failed()
    assert failed["kind"] == "sign_in"
    assert "lacks botocore.loaders.JSONFileLoader.load_file" in failed["detail"]
    assert "pip install 'botocore" in failed["fix"]
    assert patient.cognito.counts["InitiateAuth"] == 0


async def test_a_user_pool_that_does_not_exist(patient: Patient) -> None:
    """An emulator without the pool's keys is a warning; that the sign-in fails is another hop's."""
    diagnosis = await patient.check(UL_PROXY_COGNITO__USER_POOL_ID="ap-southeast-2_Other")
    assert diagnosis.hop("user_pool")["state"] == "warn"
    assert "cognito.user_pool_id" in diagnosis.hop("user_pool")["fix"]


async def test_a_user_pool_that_cannot_be_asked(patient: Patient) -> None:
    """A Cognito that hangs up is named, and nobody signs in to it."""
    patient.cognito.faults.drop(operation=JWKS)
    diagnosis = await patient.check()
    assert diagnosis.failed()["kind"] == "user_pool"
    assert "cognito.endpoint_url" in diagnosis.failed()["fix"]
    assert patient.cognito.counts["InitiateAuth"] == 0


async def test_a_second_factor_that_nobody_answers(patient: Patient) -> None:
    """A challenge that wants a person names `ul-proxy login`."""
    patient.cognito.pool.accounts.users[0].totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    diagnosis = await patient.check()
    assert diagnosis.failed()["kind"] == "sign_in"
    assert "ul-proxy login" in diagnosis.failed()["fix"]


async def test_nobody_is_signed_in(patient: Patient) -> None:
    """Without any login the sign-in fails, and the fix is to log in; the CDNs are tried all the same."""
    for name in ("USERNAME", "PASSWORD", "API_KEY"):
        del patient.env[f"UL_PROXY_{name}"]
    diagnosis = await patient.check()
    assert diagnosis.failed()["kind"] == "sign_in"
    assert "ul-proxy login" in diagnosis.failed()["fix"]
    assert diagnosis.hop("route", "library")["state"] == "ok"


async def test_an_api_key_alone(patient: Patient) -> None:
    """Who has an API key and no login wants analytics alone: that is no failure, and said."""
    for name in ("USERNAME", "PASSWORD"):
        del patient.env[f"UL_PROXY_{name}"]
    diagnosis = await patient.check()
    assert diagnosis.status == 0
    assert diagnosis.hop("sign_in")["detail"] == "not tried, because there is no login"
    assert diagnosis.hop("route", "job")["detail"] == "not tried, because there is no login"
    assert diagnosis.hop("route", "analytics")["state"] == "ok"


async def test_a_session_that_rotates_survives(patient: Patient) -> None:
    """A session that `login` has kept is renewed and kept again, check after check, and no password is needed."""
    config = patient.cognito.pool.config
    patient.cognito.pool.config = dataclasses.replace(config, rotation=True, rotation_grace=0)
    assert (await ul_proxy("login", "--no-input", env=patient.env, cwd=patient.folder)).status == 0
    for name in ("USERNAME", "PASSWORD"):
        del patient.env[f"UL_PROXY_{name}"]
    for _ in range(2):
        diagnosis = await patient.run()
        assert diagnosis.status == 0
        assert diagnosis.hop("sign_in")["detail"] == f"renewed as {USERNAME}, with a token good for 60 min"
    assert patient.cognito.counts["InitiateAuth"] == 1
    outcome = await ul_proxy("token", env=patient.env, cwd=patient.folder)
    assert (outcome.status, outcome.out[:3]) == (0, "eyJ")
    assert patient.cognito.refusals["RefreshTokenReuseException"] == 0


async def test_a_check_that_is_interrupted_while_it_renews(patient: Patient) -> None:
    """Ctrl-C in the middle of a renewal waits for the session's new token, and keeps it."""
    patient.cognito.pool.config = dataclasses.replace(patient.cognito.pool.config, rotation=True, rotation_grace=0)
    assert (await ul_proxy("login", "--no-input", env=patient.env, cwd=patient.folder)).status == 0
    for name in ("USERNAME", "PASSWORD"):
        del patient.env[f"UL_PROXY_{name}"]
    release = patient.cognito.faults.hold("GetTokensFromRefreshToken")
    async with terminal("check", env=patient.env, cwd=patient.folder) as screen:
        await screen.sees("sign-in (1 s)")
        while not patient.cognito.counts["GetTokensFromRefreshToken"]:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(0.01)
        screen.presses(CTRL_C)
        release.set()
        assert await screen.ended() == 1
        assert "what is not shown was not tried" in screen.text
    outcome = await ul_proxy("token", env=patient.env, cwd=patient.folder)
    assert (outcome.status, outcome.out[:3]) == (0, "eyJ")


# ---- what the upstreams answer


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("credential", ["ID token", "personal access token"])
async def test_an_upstream_that_refuses(status: int, credential: str, patient: Patient) -> None:
    """An upstream that answers 401 or 403 refuses the credential: which one is said, and what to do about it."""
    refusal = answer(status, JSON, body=b'{"message":"c4n4ry"}')
    async with upstream(answering(refusal)) as origin:
        patient.env["UL_PROXY_UPSTREAMS__GRAPHQL"] = f"{origin.url}/graphql"
        if credential != "ID token":
            patient.use_pat()
        diagnosis = await patient.run()
    failed = diagnosis.failed()
    assert (failed["kind"], failed["subject"]) == ("route", f"POST /graphql → 127.0.0.1:{origin.port}")
    assert failed["detail"].startswith(f"{status}: the {credential.removeprefix('ID ')} is refused")
    expected = (
        "PERSONAL_ACCESS_TOKEN" if credential != "ID token" else "cognito.user_pool_id" if status == 401 else "may do"
    )
    assert expected in failed["fix"]
    assert "upstreams.graphql" in failed["fix"] or credential != "ID token"
    assert diagnosis.hop("route", "job")["state"] == "ok"


async def test_a_wrong_api_key(patient: Patient) -> None:
    """A wrong API key fails on analytics alone, and names its variable."""
    diagnosis = await patient.check(UL_PROXY_API_KEY="c4n4ry")
    assert diagnosis.failed()["subject"].startswith("GET /v1/analytics/version")
    assert diagnosis.failed()["detail"] == "403: the API key is refused"
    assert "UL_PROXY_API_KEY" in diagnosis.failed()["fix"]


async def test_a_route_without_its_credential(patient: Patient) -> None:
    """A route whose credential is not set fails, and says which variable is missing."""
    (patient.folder / "ul-proxy.toml").write_text(
        f'[[routes]]\npath = "/new"\nupstream = "{patient.env["UL_PROXY_UPSTREAMS__REST"]}"\nauth = "bearer"\n'
    )
    diagnosis = await patient.check()
    assert diagnosis.failed()["subject"].startswith("GET /new")
    assert "UL_PROXY_PERSONAL_ACCESS_TOKEN" in diagnosis.failed()["fix"]


async def test_a_captive_portal(patient: Patient) -> None:
    """A web page in place of every answer is a captive portal: no password is shown to it, and no token."""
    received: list[Message] = []
    async with upstream(answering(PAGE, requests=received)) as portal:
        diagnosis = await patient.run(
            UL_PROXY_COGNITO__ENDPOINT_URL=portal.url,
            UL_PROXY_UPSTREAMS__REST=portal.url,
            UL_PROXY_UPSTREAMS__GRAPHQL=f"{portal.url}/graphql",
        )
    assert diagnosis.status == 1
    assert diagnosis.hop("user_pool")["detail"].startswith("200 with a web page: a captive portal")
    assert "browser" in diagnosis.hop("user_pool")["fix"]
    assert diagnosis.hop("sign_in")["because"] == "user pool ap-southeast-2_UnpJmDeN5"
    assert diagnosis.hop("route", "job")["because"] == "user pool ap-southeast-2_UnpJmDeN5"
    assert "captive portal" in diagnosis.hop("route", "analytics")["detail"]
    assert {message.start_line.split()[0] for message in received} == {b"GET"}
    assert not [message for message in received if b"eyJ" in message.head]


async def test_a_portal_that_redirects(patient: Patient) -> None:
    """A redirect where an API should answer is one, too; of where it leads the host alone is shown."""
    redirect = answer(302, b"Location: http://portal.example/login?c4n4ry=1", body=b"")
    patient.use_pat()
    async with upstream(answering(redirect)) as portal:
        diagnosis = await patient.check(UL_PROXY_UPSTREAMS__GRAPHQL=f"{portal.url}/graphql")
    assert diagnosis.failed()["detail"].startswith("302, a redirect to portal.example: a captive portal")


# ---- on a terminal


async def test_a_terminal(patient: Patient) -> None:
    """On a terminal there are colours, and a line that says what is waited for, until it is there."""
    patient.use_pat()
    release = patient.api.faults.hold("GET /v1/job")
    async with terminal("check", env=patient.env | {"TERM": "xterm"}, cwd=patient.folder) as screen:
        await screen.sees("\r\x1b[KGET /v1/job → ")
        await screen.sees(" (1 s)")
        release.set()
        await screen.sees("All is well")
        assert await screen.ended() == 0
    assert "\x1b[32mok  \x1b[0m  settings" in screen.text
    # The line has been taken away again.
    assert re.search(r" \(\d s\)\r\x1b\[K\x1b\[32mok", screen.text)


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
async def test_a_plain_terminal(env: dict[str, str], patient: Patient) -> None:
    """Who wants no colours gets none."""
    patient.use_pat()
    async with terminal("check", env=patient.env | {"TERM": "xterm"} | env, cwd=patient.folder) as screen:
        assert await screen.ended() == 0
    assert "ok    settings" in screen.text
    assert "\x1b[3" not in screen.text
