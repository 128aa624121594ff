"""What names mean: lookups in threads, what is remembered of them, and which address comes first."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.environment import guarded_environment
from support.wire import PATIENCE

from proxy.http.client import dns as module
from proxy.http.client.dns import Names

V4, V6 = socket.AF_INET, socket.AF_INET6


def address(host: str, port: int = 443) -> tuple[Any, ...]:
    family = V6 if ":" in host else V4
    return (family, socket.SOCK_STREAM, 6, "", (host, port) if family == V4 else (host, port, 0, 0))


class Servers:
    """The name servers: `answers` is what they say in turn, the last one for good."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, host: str, port: int, **options: Any) -> list[Any]:
        self.asked.append(host)
        assert threading.current_thread() is not threading.main_thread()
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        assert self.go_on.wait(PATIENCE)
        if isinstance(said, OSError):
            raise said
        return [address(one, port) for one in said]


SERVFAIL = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
NXDOMAIN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def ask(names: Names, host: str = "api.example") -> list[str]:
    return [found[4][0] for found in await names.addresses(host, 443)]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been looked up is looked up again."""
    monkeypatch.setattr(module, "_FRESH", -1.0)


async def test_a_crowd_asks_once() -> None:
    """Lookups of a name at the same time, and within the next seconds, are one."""
    servers = Servers(["127.0.0.1", "::1"])
    names = Names(servers)
    for _ in range(2):
        assert await asyncio.gather(*(ask(names) for _ in range(10))) == [["127.0.0.1", "::1"]] * 10
    assert servers.asked == ["api.example"]


@pytest.mark.usefixtures("at_once")
async def test_a_name_is_followed() -> None:
    """After some seconds it is asked for again."""
    names = Names(Servers(["127.0.0.1"], ["127.0.0.2"]))
    assert [await ask(names), await ask(names)] == [["127.0.0.1"], ["127.0.0.2"]]


async def test_addresses_that_lead_nowhere() -> None:
    """Their name is looked up again, once for all requests that found them."""
    servers = Servers(["127.0.0.1"], ["127.0.0.2"], ["127.0.0.3"])
    names, now = Names(servers), asyncio.get_running_loop().time
    await ask(names)
    found = now()
    names.forget("api.example", 443, found)
    names.forget("other.example", 443, found)
    assert await ask(names) == ["127.0.0.2"]
    names.forget("api.example", 443, found)
    assert await ask(names) == ["127.0.0.2"]
    names.forget("api.example", 443, now())
    assert await ask(names) == ["127.0.0.3"]


@pytest.mark.parametrize("failure", [SERVFAIL, NXDOMAIN])
@pytest.mark.usefixtures("at_once")
async def test_addresses_are_used_while_dns_fails(failure: OSError, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it says: systems without a network say that there is no such name. The log tells of it once."""
    caplog.set_level("INFO")
    names = Names(Servers(["127.0.0.1"], failure, failure, ["127.0.0.2"]))
    found = [await ask(names) for _ in range(4)]
    assert found == [["127.0.0.1"]] * 3 + [["127.0.0.2"]]
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", f"api.example cannot be looked up ({failure.strerror}): its last addresses are used"),
        ("INFO", "api.example can be looked up again"),
    ]


@pytest.mark.usefixtures("at_once")
async def test_addresses_are_used_for_an_hour_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """After that they may belong to another host."""
    monkeypatch.setattr(module, "_KNOWN", 0.0)
    names = Names(Servers(["127.0.0.1"], SERVFAIL))
    await ask(names)
    with pytest.raises(socket.gaierror):
        await ask(names)


async def test_a_name_that_was_never_known() -> None:
    """Everybody hears why, and the next one asks again."""
    servers = Servers(SERVFAIL, NXDOMAIN, ["127.0.0.1"])
    names = Names(servers)
    for code in (socket.EAI_AGAIN, socket.EAI_NONAME):
        failed = await asyncio.gather(*(ask(names) for _ in range(3)), return_exceptions=True)
        assert [error.errno for error in failed if isinstance(error, socket.gaierror)] == [code] * 3
    assert await ask(names) == ["127.0.0.1"]
    assert len(servers.asked) == 3


@pytest.mark.usefixtures("at_once")
async def test_a_lookup_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where addresses are known it is awaited only a moment, later not at all; there is no second one meanwhile."""
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    servers = Servers(["127.0.0.1"], ["127.0.0.2"])
    names = Names(servers)
    await ask(names)
    servers.go_on.clear()
    assert await asyncio.gather(*(ask(names) for _ in range(3))) == [["127.0.0.1"]] * 3
    assert await ask(names) == ["127.0.0.1"]
    assert len(servers.asked) == 2
    servers.go_on.set()
    async with asyncio.timeout(PATIENCE):
        while await ask(names) != ["127.0.0.2"]:  # noqa: ASYNC110 - nothing says when it ends
            await asyncio.sleep(0.01)


async def test_names_that_hang_hold_up_no_other() -> None:
    """Each has a thread of its own."""
    hanging = threading.Event()

    def resolve(host: str, port: int, **options: Any) -> list[Any]:
        if host.startswith("bad"):
            hanging.wait(PATIENCE)
        return [address("127.0.0.1", port)]

    names = Names(resolve)
    bad = [asyncio.create_task(ask(names, f"bad{number}.example")) for number in range(20)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(ask(names), PATIENCE) == ["127.0.0.1"]
    assert not any(task.done() for task in bad)
    hanging.set()
    assert await asyncio.gather(*bad) == [["127.0.0.1"]] * 20


async def test_who_gives_up_takes_nobody_elses_answer_away() -> None:
    """A failure that is not awaited any more is not complained of."""
    servers = Servers(["127.0.0.1"])
    servers.go_on.clear()
    names = Names(servers)
    impatient, patient = asyncio.create_task(ask(names)), asyncio.create_task(ask(names))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    servers.go_on.set()
    assert await patient == ["127.0.0.1"]


def test_the_interpreter_ends_while_a_lookup_hangs() -> None:
    """Its thread is not waited for."""
    script = """
import asyncio, threading
from proxy.http.client.dns import Names
async def main():
    lookup = asyncio.ensure_future(Names(lambda *_, **__: threading.Event().wait()).addresses("a.example", 443))
    await asyncio.wait([lookup], timeout=0.1)
asyncio.run(main())
print("the end")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=guarded_environment(),
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("the end\n", "")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_addresses_need_no_lookup(host: str) -> None:
    """They mean themselves, and no thread is begun for that."""
    before = threading.active_count()
    assert await ask(Names(), host) == [host]
    assert threading.active_count() == before


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "ü\ud800"])
async def test_names_that_are_none(host: str) -> None:
    """What cannot be a name is an error like any other."""
    with pytest.raises(UnicodeError):
        await ask(Names(), host)


BOTH = ["::1", "127.0.0.1", "::2", "127.0.0.2"]
TURNED = ["127.0.0.1", "127.0.0.2", "::1", "::2"]


async def test_the_family_that_answered_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """For ten minutes, so that a family that leads nowhere is not waited for each time; then all is as it was."""
    names = Names(Servers(BOTH))
    assert await ask(names) == BOTH
    names.prefer("api.example", 443, V4)
    names.prefer("other.example", 443, V4)
    assert await ask(names) == TURNED
    until = asyncio.get_running_loop().time() + 600
    names.prefer("api.example", 443, V4)
    skip(monkeypatch, lambda now: max(now, until))
    assert await ask(names) == BOTH
    names.prefer("api.example", 443, V4)
    assert await ask(names) == TURNED


async def test_the_family_that_came_first_answers_again() -> None:
    """Then it does come first."""
    names = Names(Servers(BOTH))
    await ask(names)
    names.prefer("api.example", 443, V4)
    names.prefer("api.example", 443, V6)
    assert await ask(names) == BOTH


def skip(monkeypatch: pytest.MonkeyPatch, changed: Callable[[float], float]) -> None:
    """Have the event loop see another time."""
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: changed(time()))
