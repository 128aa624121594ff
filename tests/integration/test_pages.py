"""What the README and the pages in docs/ tell people to type is typed, as it is written there.

The commands of a page run one after the other, in a home of their own. A sandbox listens, to which ~/.curlrc leads
`curl` where the page says port 8080, and `curl` ends badly where the answer is an error. A Cognito is at hand for the
commands that sign in themselves.
"""

import asyncio
import os
import re
import shlex
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.containers import BUILD, Ended, Engine
from support.environment import ROOT, guarded_environment
from support.origin import Origin
from support.servers import free_port
from support.shell_blocks import Command, commands_in, pages, shows
from support.stack import PASSWORD, SIGNER, closing, talk

from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig

PATIENCE = 60.0
USERNAME = "me@example.com"
COMMANDS = {page: tuple(commands_in(page, text)) for page, text in pages(ROOT).items()}
LISTENING = r"listens on (\S+)|\"urls\": \[\"([^\"]+)"
DOCKER = "docker "

SERVES = frozenset(
    (
        "make demo",
        "ul-proxy serve",
        "UL_PROXY_USERNAME=me@example.com UL_PROXY_PASSWORD_FILE=~/.unleash-live-password ul-proxy serve",
        "ul-proxy serve --listen 127.0.0.1:0 --port-file ul-proxy.port",
        "ul-proxy serve --listen unix:$XDG_RUNTIME_DIR/ul-proxy.sock",
    )
)
"""What runs until it is ended: it listens, goes on during the next commands of its page, and SIGTERM ends it with 0."""

_PROFILES = "the sandbox has one login; test_profiles.py asks for others in both ways"
_AWS = "AWS is not on this machine; AWS's tools fetch credentials in both ways in test_aws_tools.py"
LOGIN = "docker run --rm -it -v ul-proxy:/var/lib/ul-proxy ul-proxy:0.1.0 login"
ELSEWHERE: Mapping[str, str] = {
    "make test": "this test is a part of it",
    "curl http://127.0.0.1:8080/@survey/v1/job": _PROFILES,
    "curl http://127.0.0.1:8080/v1/job -H 'X-UL-Proxy-Profile: survey'": _PROFILES,
    "ID=$(ul-proxy status --json | jq -r .profiles.default.identityId)": _AWS,
    "aws --profile unleash s3 cp flight.mp4 s3://library-upload-syd-cloud/$ID/$(uuidgen)/flight.mp4 \\\n"
    "       --metadata name=flight.mp4,location=FOLDER": _AWS,
    "aws sts get-caller-identity": _AWS,
    BUILD: "the fixture `image` runs it",
    LOGIN: "it asks a person; test_containers has the settings answer",
    "docker run --rm -p 127.0.0.1:8080:8080 -e UL_PROXY_USERNAME -e UL_PROXY_PASSWORD \\\n"
    "       -e UL_PROXY_LISTEN=0.0.0.0:8080 -e UL_PROXY_CLIENT_TOKEN \\\n"
    "       -e UL_PROXY_ALLOWED_HOSTS=ul-proxy ul-proxy:0.1.0": "a published port wants a bridge on this machine; "
    "test_beyond_loopback_with_a_token has the settings",
}
"""What is not run here, and why."""


def test_every_exception_is_written() -> None:
    """The tables above name commands that are in the pages, letter by letter."""
    written = {command.text for commands in COMMANDS.values() for command in commands}
    assert SERVES | ELSEWHERE.keys() <= written


@dataclass
class Running:
    """A command that goes on. `url` is where it listens."""

    process: asyncio.subprocess.Process
    by_make: bool
    printed: list[str] = field(default_factory=list)
    url: str = ""

    async def listens(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode():
                self.printed.append(line)
                if found := re.search(LISTENING, line):
                    self.url = found[1] or found[2]
                    return
        pytest.fail("it ended without listening:\n" + "".join(self.printed))

    async def end(self) -> None:
        """SIGTERM, after which it must end in order, and with 0, unless it is make that ends."""
        assert self.process.stdout is not None
        os.killpg(self.process.pid, signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            self.printed += (await self.process.stdout.read()).decode().splitlines(keepends=True)
            status = await self.process.wait()
        printed = "".join(self.printed)
        assert status == (-signal.SIGTERM if self.by_make else 0), printed
        assert "stopped" in self.printed[-1], printed


@dataclass(frozen=True, slots=True)
class Shell:
    """Where commands are typed."""

    environment: dict[str, str]
    folder: Path

    @asynccontextmanager
    async def typed(self, command: Command, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A command while it runs, after what the page did before; nothing of it is left at the end."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", "\n".join([*command.before, command.text])),
            env={**self.environment, **more},
            cwd=self.folder,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    @asynccontextmanager
    async def left_running(self, command: Command, **more: str) -> AsyncIterator[Running]:
        async with self.typed(command, **more) as process:
            running = Running(process, command.text.startswith("make "))
            await running.listens()
            yield running
            await running.end()

    async def run(self, command: Command, **more: str) -> None:
        """To its end, which must be good, and with the output that the page shows."""
        async with self.typed(command, **more) as process, asyncio.timeout(PATIENCE):
            out = (await process.communicate())[0].decode()
        assert process.returncode == 0, f"{command} ended with {process.returncode}:\n{out}"
        missing = [line for line in command.printed if not shows(line, out)]
        assert missing == [], f"{command} printed:\n{out}"


@pytest.fixture
def cognito() -> EmbeddedCognito:
    """It knows the user of the pages."""
    return EmbeddedCognito(PoolConfig(), [User(USERNAME, PASSWORD)], signer=SIGNER)


@pytest.fixture
def shell(tmp_path: Path, cognito_url: str, origin: Origin) -> Shell:
    """A clone of the repository with its environment made, and a home."""
    clone, home, run = (tmp_path / name for name in ("clone", "home", "run"))
    for folder in (clone, home, run):
        folder.mkdir()
    for path in ROOT.iterdir():
        if not path.name.startswith("."):
            (clone / path.name).symlink_to(path)
    (clone / ".venv").mkdir()
    (clone / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (clone / ".venv" / ".runtime").touch()
    (home / ".unleash-live-password").write_text(PASSWORD)
    (home / ".unleash-live-password").chmod(0o600)
    environment = guarded_environment(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_STATE_HOME=str(home / "state"),
        XDG_RUNTIME_DIR=str(run),
        UL_PROXY_COGNITO__ENDPOINT_URL=cognito_url,
        UL_PROXY_UPSTREAMS__REST=origin.url,
        PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring",
        PYTHONDONTWRITEBYTECODE="1",
    )
    # Who runs the tests by make has flags of that make, and who has entered an environment has its prompt.
    for name in [name for name in environment if name.startswith(("MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTHONHOME"))]:
        del environment[name]
    return Shell(environment, clone)


def needed(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"the pages' commands want {program}, which this machine does not have")


@pytest.mark.parametrize("page", [page for page, commands in COMMANDS.items() if commands])
async def test_page(page: str, shell: Shell) -> None:
    """Every command does what the page says, one after the other."""
    needed("bash", "curl", "make", "openssl")
    port = free_port()
    curlrc = Path(shell.environment["HOME"]) / ".curlrc"
    curlrc.write_text(
        "fail\n" + "".join(f'connect-to = "{host}:8080:127.0.0.1:{port}"\n' for host in ("127.0.0.1", "localhost"))
    )
    sandbox = Command(page, "exec .venv/bin/ul-proxy demo", (), ())
    signed_in = {"UL_PROXY_USERNAME": USERNAME, "UL_PROXY_PASSWORD": PASSWORD}
    at_the_sandbox = {"UL_PROXY_LISTEN": f"127.0.0.1:{port}"}
    login = {}
    if page != "README.md":
        # Whoever reads on has entered the environment and signed in, as the README says.
        login = signed_in
        shell.environment["PATH"] = f"{Path(sys.prefix) / 'bin'}:{shell.environment['PATH']}"
    async with shell.left_running(sandbox, **at_the_sandbox), AsyncExitStack() as stack:
        for command in COMMANDS[page]:
            if command.text in ELSEWHERE or command.text.startswith(DOCKER):
                continue
            if command.text in SERVES:
                await stack.aclose()
                left_running = shell.left_running(command, UL_PROXY_LISTEN="127.0.0.1:0", **login)
                running = await stack.enter_async_context(left_running)
                if running.url.startswith("http:"):
                    answer = await talk(running.url, closing("GET", "/v1/job"))
                    assert b" 200 OK" in answer, f"{command}: {answer.decode()}"
            else:
                await shell.run(command, **at_the_sandbox, **signed_in)


# ---- what is typed for containers


CONTAINERS = [
    command
    for commands in COMMANDS.values()
    for command in commands
    if command.text.startswith(DOCKER) and command.text not in ELSEWHERE
]


@pytest.fixture
def docker(engine: Engine, image: str, shell: Shell) -> Shell:
    """`docker` is podman here, and every container has the test's Cognito, on this machine's loopback."""
    podman = shlex.join(engine.command())
    given = " ".join(f"--env {name}" for name in shell.environment if name.startswith("UL_PROXY_"))
    bin_folder = shell.folder.parent / "bin"
    bin_folder.mkdir()
    script = bin_folder / "docker"
    script.write_text(
        f"""#!/bin/sh
verb=$1; shift
case "$*" in *--network*) network= ;; *) network="--network host" ;; esac
exec {podman} "$verb" --health-interval disable $network {given} "$@"
"""
    )
    script.chmod(0o755)
    path = f"{bin_folder}:{shell.environment['PATH']}"
    return Shell({**engine.environment, **shell.environment, "PATH": path}, shell.folder)


@pytest.mark.timeout(900)
async def test_containers(engine: Engine, base: str, docker: Shell) -> None:
    """Every container that the pages start serves beside the tool that it is to serve, and SIGTERM ends it with 0."""
    signed_in = {"UL_PROXY_USERNAME": USERNAME, "UL_PROXY_PASSWORD": PASSWORD}
    volume = tuple(shlex.split(LOGIN)[4:6])
    settings = {name: value for name, value in docker.environment.items() if name.startswith("UL_PROXY_")} | signed_in

    def sign_in() -> Ended:
        with engine.running("login", "--no-input", environment=settings, flags=volume) as container:
            return container.ended()

    ended = await asyncio.to_thread(sign_in)
    assert ended.status == 0, ended.err
    my_tool = ("--entrypoint", "python", "--name", "my-tool")
    with engine.running("-c", "import signal; signal.pause()", image=base, flags=my_tool):
        for command in CONTAINERS:
            login = signed_in if "UL_PROXY_USERNAME" in command.text else {}
            async with docker.left_running(command, UL_PROXY_LISTEN="127.0.0.1:0", **login) as running:
                answer = await talk(running.url, closing("GET", "/v1/job"))
                assert b" 200 OK" in answer, f"{command}: {answer.decode()}"
