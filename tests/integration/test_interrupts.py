"""SIGTERM and SIGINT at any moment of a command: nobody is told that all is well who has not got what was asked for.

A few moments are tried, unless SIGNAL_STEP says how many seconds lie between two of them: `make fuzz` tries one every
50 ms.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path

import pytest
from support.arrivals import Arrivals
from support.commands import PATIENCE, Outcome, settings_for
from support.desk import Desk
from support.environment import ROOT, guarded_environment
from support.interruptions import BACKGROUND
from support.served import isolated_settings, serving, url_of
from support.stack import PASSWORD, USERNAME, closing, direct_options, new_cognito, options_for, running_proxy, talk

from proxy.app import App
from proxy.cli.signals import LEFT
from proxy.demo.api import API_KEY, FLIGHTS_CDN, LIBRARY_CDN, EmbeddedApi
from proxy.demo.cognito import EmbeddedCognito

BOTH = [signal.SIGTERM, signal.SIGINT]
NOBODY = "http://127.0.0.1:9"
READY = "/-/ready"
RENEWAL = "GetTokensFromRefreshToken"
ONE = (sys.executable, "-m", "proxy")

STEP = os.environ.get("SIGNAL_STEP")
EVERY = takewhile(lambda at: at <= 2.0, (round(0.05 + float(STEP or 1) * number, 3) for number in count()))
MOMENTS = list(EVERY) if STEP else [0.05, 0.35, 1.0]
"""Seconds from when the program has begun; Python takes its time before, in which no program hears of a signal."""
AT_ONCE = 4
BEGUN = """
import sys
from proxy.cli import signals
signals.catch(sys.argv[1:])
print("begun", file=sys.stderr, flush=True)
from proxy.__main__ import main
sys.exit(main())
"""
WHOLE = {
    "token": r"eyJ[\w-]+\.[\w-]+\.[\w-]+\n",
    "credentials": r'\{"Version": 1, .*\}\n',
    "check": r"ok .*\n\nAll is well: 12 hops in .*\n",
    "wait": r"http://\S+ is ready\.\n",
}
"""What each prints when it has not been interrupted."""


def interrupted(command: str) -> Outcome:
    """How a command ends that has printed nothing."""
    return Outcome(1, "", f"\nul-proxy: interrupted: {LEFT[command]}.\n")


@asynccontextmanager
async def started(command: Sequence[str], env: dict[str, str], folder: Path) -> AsyncIterator[Process]:
    """A command that runs beside the test, and is killed with it."""
    process = await asyncio.create_subprocess_exec(
        *command, env=env, cwd=folder, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    """What the process says next on stderr."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stderr.readline()).decode()


def outcome_of(process: Process | subprocess.Popen[bytes], out: bytes, err: bytes) -> Outcome:
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())


async def end_of(process: Process) -> Outcome:
    async with asyncio.timeout(PATIENCE):
        return outcome_of(process, *await process.communicate())


# ---- at any moment


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedCognito, dict[str, str]]]:
    """A Cognito, and an environment in which every command gets what it asks for."""
    cognito = new_cognito()
    api = EmbeddedApi(cognito.verify)
    async with cognito.running() as cognito_url, api.running() as url:
        places = {"REST": url, "GRAPHQL": f"{url}/graphql", "FLIGHTS_CDN": url + FLIGHTS_CDN}
        places["LIBRARY_CDN"] = url + LIBRARY_CDN
        env = settings_for(
            tmp_path,
            cognito_url,
            UL_PROXY_USERNAME=USERNAME,
            UL_PROXY_PASSWORD=PASSWORD,
            UL_PROXY_API_KEY=API_KEY,
            **{f"UL_PROXY_UPSTREAMS__{name}": place for name, place in places.items()},
        )
        yield cognito, env


@contextmanager
def popen(command: Sequence[str], env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that may be signalled as it ends: asyncio takes the exit status of one away from itself there."""
    with subprocess.Popen(command, bufsize=0, env=env, cwd=folder, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "kept waiting"])
@pytest.mark.parametrize("command", WHOLE)
async def test_at_any_moment(
    command: str, answered: bool, world: tuple[EmbeddedCognito, dict[str, str]], tmp_path: Path
) -> None:
    """Whenever a signal comes: 0 with the whole result, else 1 with a sentence, and never a traceback."""
    cognito, env = world

    def interrupt(number: signal.Signals, at: float, flags: Sequence[str]) -> str | None:
        """What is wrong with how a command ends that is interrupted."""
        with popen((sys.executable, "-c", BEGUN, command, *flags), env, tmp_path) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == b"begun\n"
            time.sleep(at)
            process.send_signal(number)
            outcome = outcome_of(process, *process.communicate(timeout=PATIENCE))
        if outcome.status == 0 and answered:
            good = re.fullmatch(WHOLE[command], outcome.out, re.DOTALL) and not outcome.err
        else:
            good = (outcome.status, outcome.err) == (1, interrupted(command).err)
        return None if good else f"{number.name} at {at}: {outcome}"

    if not answered:
        cognito.faults.hold()
    loop = asyncio.get_running_loop()
    async with running_proxy(direct_options(NOBODY)) as app:
        flags = ("--url", app.urls[0] if answered else NOBODY) if command == "wait" else ()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            moments = [(number, at, flags) for number in BOTH for at in MOMENTS]
            wrong = await asyncio.gather(*(loop.run_in_executor(pool, interrupt, *moment) for moment in moments))
    assert [text for text in wrong if text] == []


def test_handlers_come_first() -> None:
    """Signals are caught before anything is loaded that takes its time."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import proxy.__main__; print(*sys.modules)"
    # Without what the tests' own environment loads into every Python.
    done = subprocess.run([sys.executable, "-S", "-c", code], env={}, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("proxy")} == {
        "proxy",
        "proxy.__main__",
        "proxy.cli",
        "proxy.cli.signals",
    }
    assert loaded.isdisjoint({"argparse", "asyncio", "dataclasses", "logging", "re", "threading", "typing"})


SIGNALLED = """
import os, sys
class Signals:
    def find_spec(self, name, *_):
        if name == "{module}":
            os.kill(os.getpid(), {number:d})
sys.meta_path.insert(0, Signals())
from proxy.__main__ import main
sys.exit(main())
"""
"""The program, with a signal in the midst of an import."""


@pytest.mark.parametrize("number", BOTH, ids=lambda number: number.name)
@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("serve", "proxy.cli.command"),
        ("serve", "aiohttp"),
        ("serve", "proxy.app"),
        ("demo", "proxy.demo.cognito"),
        ("token", "proxy.cli.command"),
        ("token", "proxy.identity.cognito"),
    ],
)
async def test_while_loading(command: str, module: str, number: signal.Signals, tmp_path: Path) -> None:
    """A signal while the program loads ends it at once: what runs until it is told to end with 0, silently."""
    code = SIGNALLED.format(module=module, number=number)
    env = isolated_settings(tmp_path, NOBODY)
    async with started((sys.executable, "-c", code, command), env, tmp_path) as process:
        outcome = await end_of(process)
    assert outcome == (interrupted(command) if command == "token" else Outcome(0, "", ""))


async def test_before_the_handlers(tmp_path: Path) -> None:
    """Ctrl-C before signals are caught shows no traceback, and is no success."""
    code = SIGNALLED.format(module="proxy.cli.signals", number=signal.SIGINT)
    env = isolated_settings(tmp_path, NOBODY)
    async with started((sys.executable, "-c", code, "token"), env, tmp_path) as process:
        assert await end_of(process) == Outcome(1, "", "\nul-proxy: interrupted.\n")


# ---- in the background of a script, where SIGINT is ignored


async def test_wait_ignores_sigint(tmp_path: Path, cognito: EmbeddedCognito) -> None:
    """`wait` goes on asking after a SIGINT that is not meant for it, and SIGTERM ends it."""
    arrivals = Arrivals()
    cognito.faults.hold()
    async with cognito.running() as url, App(options_for(url, url), access=arrivals) as app:
        command = (*BACKGROUND, *ONE, "wait", "--url", app.urls[0])
        async with started(command, settings_for(tmp_path, NOBODY), tmp_path) as process:
            await arrivals.of({READY})
            process.send_signal(signal.SIGINT)
            arrivals.entries.clear()
            await arrivals.of({READY})
            process.terminate()
            assert await end_of(process) == interrupted("wait")


async def test_token_ignores_sigint(desk: Desk) -> None:
    """`token` is still there for Cognito's answer after a SIGINT that is not meant for it."""
    await desk.keep_session()
    opened = desk.cognito.faults.hold()
    async with started((*BACKGROUND, *ONE, "token"), desk.env, desk.folder) as process:
        await asked(desk.cognito, RENEWAL)
        process.send_signal(signal.SIGINT)
        opened.set()
        outcome = await end_of(process)
    assert re.fullmatch(WHOLE["token"], outcome.out)
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_serve_ignores_sigint(loop: str, tmp_path: Path) -> None:
    """`serve` goes on after a SIGINT that is not meant for it, and SIGTERM ends it with 0."""
    async with serving(isolated_settings(tmp_path, NOBODY), loop=loop, launcher=BACKGROUND) as served:
        url = await url_of(served)
        served.process.send_signal(signal.SIGINT)
        assert (await talk(url, closing("GET", "/-/live"))).startswith(b"HTTP/1.1 200 ")
        served.process.terminate()
        assert await served.ended() == (0, "")
    assert not [line for line in served.printed if "SIGINT" in line]


def test_the_tests_hear_sigint() -> None:
    """A script may have the tests in its background: what they start is interrupted all the same."""
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--numprocesses", "0")
    chosen = (f"{ROOT}/tests/integration/test_serve_process.py", "-k", "test_ends_when_idle and SIGINT")
    done = subprocess.run(
        [*BACKGROUND, *tests, *chosen], cwd=ROOT, env=guarded_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


# ---- whatever it is blocked in


HANGING = """
import signal, socket, sys, time
def hang(*_, **__):
    # As inside a look-up that signals do not reach: Python's handlers do not run in this thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    print("asked", file=sys.stderr, flush=True)
    time.sleep(3600)
socket.getaddrinfo = hang
from proxy.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("number", BOTH, ids=lambda number: number.name)
@pytest.mark.parametrize("command", ["wait", "token"])
async def test_while_a_name_is_looked_up(command: str, number: signal.Signals, tmp_path: Path) -> None:
    """A name that takes long to find, in whatever thread, holds nobody up."""
    env = settings_for(tmp_path, "http://localhost:9", UL_PROXY_USERNAME=USERNAME, UL_PROXY_PASSWORD=PASSWORD)
    flags = ("--url", "http://localhost:9") if command == "wait" else ()
    async with started((sys.executable, "-c", HANGING, command, *flags), env, tmp_path) as process:
        assert await line_of(process) == "asked\n"
        process.send_signal(number)
        assert await end_of(process) == interrupted(command)


async def test_who_insists(desk: Desk) -> None:
    """A command that waits for the session's new token, so as not to lose it, is ended by who goes on signalling."""
    await desk.keep_session()
    desk.cognito.faults.hold()

    def insist(process: subprocess.Popen[bytes]) -> int:
        """How many signals it takes."""
        for number in range(1, 300):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                return number
        pytest.fail("it goes on")

    with popen((*ONE, "token"), desk.env, desk.folder) as process:
        await asked(desk.cognito, RENEWAL)
        assert await asyncio.to_thread(insist, process) > 1
        assert outcome_of(process, *process.communicate()) == interrupted("token")


async def test_two_at_a_time(desk: Desk) -> None:
    """Two signals at a time, as shells and supervisors often send, are one: the new token is waited for and kept."""
    desk.configure(rotation=True, rotation_grace=0)
    await desk.keep_session()
    opened = desk.cognito.faults.hold(RENEWAL)
    async with started((*ONE, "token"), desk.env, desk.folder) as process:
        await asked(desk.cognito, RENEWAL)
        process.send_signal(signal.SIGINT)
        process.terminate()
        opened.set()
        assert await end_of(process) == interrupted("token")
    assert (await desk.run("token")).status == 0


async def asked(cognito: EmbeddedCognito, operation: str) -> None:
    """Return once Cognito has been asked for `operation`."""
    async with asyncio.timeout(PATIENCE):
        while not cognito.counts[operation]:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(0.01)
