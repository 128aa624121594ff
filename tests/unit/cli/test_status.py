"""`ul-proxy status`: whom it asks, and how it tells what it hears."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.origin import Origin

from proxy.cli import status
from proxy.cli.inquiry import Inquiry
from proxy.cli.places import ProxyAddress, parse_place, place_of
from proxy.cli.status import table
from proxy.errors import SettingsError, StartError
from proxy.http.address import Bind
from proxy.settings.quantities import rough_duration


def answer(document: object, status: str = "200 OK") -> bytes:
    body = json.dumps(document).encode()
    signed = "" if status == "200 OK" else "Proxy-Status: ul-proxy; error=http_request_denied\r\n"
    head = f"HTTP/1.1 {status}\r\n{signed}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


# ---- where it is


@pytest.mark.parametrize(
    ("url", "place", "shown", "named"),
    [
        ("http://localhost:8080", ProxyAddress("localhost", 8080), "http://localhost:8080", "localhost:8080"),
        ("http://127.0.0.1", ProxyAddress("127.0.0.1"), "http://127.0.0.1", "127.0.0.1"),
        ("http://[::1]:81/", ProxyAddress("::1", 81), "http://[::1]:81", "[::1]:81"),
        ("http://10.0.0.7:8080", ProxyAddress("10.0.0.7", 8080), "http://10.0.0.7:8080", "localhost"),
        ("https://proxy.test", ProxyAddress("proxy.test", tls=True), "https://proxy.test", "proxy.test"),
        ("unix:/run/ul proxy.sock", ProxyAddress(path="/run/ul proxy.sock"), "unix:/run/ul proxy.sock", "localhost"),
    ],
)
def test_places(url: str, place: ProxyAddress, shown: str, named: str) -> None:
    """An address is shown as it was given; a proxy behind plain HTTP or a socket is called by a name that it knows."""
    assert parse_place(url) == place
    assert (str(place), place.named) == (shown, named)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080",
        "ftp://localhost",
        "http://",
        "http://me@localhost",
        "http://localhost/v1",
        "http://[::1",
        "http://localhost:99999",
        "unix:s",
    ],
)
def test_no_places(url: str) -> None:
    """What is no address is an unusable argument."""
    with pytest.raises(SettingsError, match="is no address of a proxy"):
        parse_place(url)


@pytest.mark.parametrize(
    ("bind", "shown"),
    [
        (Bind("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        (Bind("0.0.0.0", 8080), "http://127.0.0.1:8080"),  # noqa: S104
        (Bind("::", 8080), "http://[::1]:8080"),
        (Bind(path="/run/s"), "unix:/run/s"),
    ],
)
def test_where_a_proxy_listens(bind: Bind, shown: str) -> None:
    """What listens on every address is asked on loopback."""
    assert str(place_of(bind, None)) == shown


def test_a_port_that_nobody_knows() -> None:
    """A port that the proxy picks by itself has to be told."""
    with pytest.raises(SettingsError, match="picked a port by itself"):
        place_of(Bind("127.0.0.1", 0), None)


# ---- what it hears


async def test_asking(origin: Origin) -> None:
    """A plain GET, with the client token where there is one, and nothing else that is known."""
    origin.answers = [answer({"version": "1"})]
    told = await asyncio.to_thread(Inquiry(parse_place(origin.url), SecretStr("a token")).status)
    assert told == {"version": "1"}
    (request,) = origin.requests
    assert request.request_line == b"GET /-/status HTTP/1.1"
    assert request.values(b"X-UL-Proxy-Token") == [b"a token"]
    assert request.values(b"Host") == [origin.url.removeprefix("http://").encode()]
    assert not request.values(b"Authorization")


@pytest.mark.parametrize(
    ("reply", "said", "hint"),
    [
        (answer({"detail": "no token", "hint": "Send it."}, "401 Unauthorized"), "refuses: no token", "Send it."),
        (answer({"other": 1}), "is no ul-proxy", "Check listen"),
        (answer(["version"]), "is no ul-proxy", "Check listen"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ht>", "is no ul-proxy", "Check listen"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"[" * 2000, "is no ul-proxy", "Check listen"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "cannot be asked: ", "Check listen"),
    ],
)
async def test_answers_that_are_none(reply: bytes, said: str, hint: str, origin: Origin) -> None:
    """A refusal is told in the proxy's own words; whatever else answers there is no proxy."""
    origin.answers = [reply]
    with pytest.raises(StartError) as caught:
        await asyncio.to_thread(Inquiry(parse_place(origin.url)).status)
    assert said in caught.value.detail
    assert hint in caught.value.hint


def test_nobody_there(tmp_path: Path) -> None:
    """Where nothing listens, or no socket is, it is told how to start a proxy."""
    with pytest.raises(StartError, match="no proxy runs at unix:"):
        Inquiry(ProxyAddress(path=str(tmp_path / "none"))).status()


# ---- how it tells


PROFILE: dict[str, Any] = {
    "state": "fresh",
    "email": "me@example.com",
    "expires_in": 3540.0,
    "next_refresh_in": 2700.0,
    "last_outcome": "signed in",
    "clock_skew": 0.4,
}
TOLD: dict[str, Any] = {"version": "1", "ready": True, "uptime": 93784.0, "requests_in_flight": 2}


def test_a_table() -> None:
    """One row a profile, in columns; below it what is wrong with any of them, and what mends it."""
    error = {"detail": "Cognito is throttling", "hint": "Wait."}
    profiles = {"default": PROFILE, "survey": {"state": "retrying", "username": "two", "error": error}}
    lines = table(TOLD | {"profiles": profiles}, "http://localhost").splitlines()
    assert lines == [
        "ul-proxy 1 at http://localhost: ready, up for 1 d 2 h, 2 requests under way",
        "",
        "profile  state     signed in as    good for  renewed in  last outcome",
        "default  fresh     me@example.com  59 min    45 min      signed in",
        "survey   retrying  two             -         -           None",
        "",
        "survey: Cognito is throttling. Wait.",
    ]


@pytest.mark.parametrize(("changes", "state"), [({"ready": False}, "NOT ready"), ({"draining": True}, "draining")])
def test_states(changes: dict[str, Any], state: str) -> None:
    """Whether it serves stands in the first line."""
    assert f": {state}, up for" in table(TOLD | changes, "x").splitlines()[0]


@pytest.mark.parametrize(
    ("skew", "said"), [(7205.0, "2 h ahead of"), (-90.0, "1 min 30 s behind"), (12.0, ""), (None, "")]
)
def test_a_clock_that_is_off(skew: float | None, said: str) -> None:
    """A clock that is off is told in words, since it does no harm here, but will elsewhere."""
    text = table(TOLD | {"profiles": {"default": PROFILE | {"clock_skew": skew}}}, "x")
    assert (f"this machine's clock is {said} Cognito's" in text) is bool(said)
    assert ("clock" in text) is bool(said)


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (None, ["not ready: requests met a defect. Restart it."]),
        ({"detail": "requests met a defect", "hint": "Restart it."}, ["default: requests met a defect. Restart it."]),
    ],
    ids=["of the process", "of the profile"],
)
def test_why_it_is_not_ready(error: dict[str, Any] | None, lines: list[str]) -> None:
    """The reason is told once, with the profile that it is about where there is one."""
    reason = {"code": "defective", "detail": "requests met a defect", "hint": "Restart it."}
    told = TOLD | {"ready": False, "reason": reason, "profiles": {"default": PROFILE | {"error": error}}}
    assert table(told, "x").splitlines()[-2:] == ["", *lines]


def test_nothing_that_a_terminal_would_act_on() -> None:
    """What a proxy says of itself may be anything."""
    text = table(TOLD | {"profiles": {"default": PROFILE | {"email": "\x1b[2J"}}}, "x")
    assert "\x1b" not in text
    assert r"\x1b[2J" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (-1, "ended"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (90000, "1 d 1 h")],
)
def test_durations(seconds: float | None, text: str) -> None:
    """In the two largest units."""
    assert rough_duration(seconds) == text


async def test_another_version(origin: Origin, capsys: pytest.CaptureFixture[str]) -> None:
    """Facts of another shape are no traceback; as JSON they are shown all the same."""
    origin.answers = [answer({"version": "9", "profiles": ["default"]})]

    def run(*, as_json: bool) -> int:
        return status.run({}, None, json=as_json, url=origin.url)

    with pytest.raises(StartError, match="is of another version"):
        await asyncio.to_thread(run, as_json=False)
    assert await asyncio.to_thread(run, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "9"
