"""The container image: built as the Dockerfile says, run as nobody with nothing to write to."""

import asyncio
import json
import secrets
import shlex
import urllib.request
from pathlib import Path
from typing import Any, TypedDict
from urllib.error import HTTPError

import pytest
from support.containers import BUILD, PATIENCE, Container, Ended, Engine
from support.origin import Origin
from support.servers import free_port
from support.shell import SIGNED_IN, Shell
from support.shell_blocks import COMMANDS
from support.stack import PASSWORD, USERNAME, closing, talk

from proxy import __version__

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def config(engine: Engine, image: str) -> Any:
    inspected = json.loads(engine.out("image", "inspect", image))[0]
    return inspected["Config"] | {"Healthcheck": inspected["Healthcheck"]}


class Given(TypedDict):
    environment: dict[str, str]
    flags: tuple[str, ...]


@pytest.fixture
def given(cognito_url: str, origin: Origin, tmp_path: Path) -> Given:
    """What a container is given: a login whose password is in a file, as orchestrators mount them."""
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    environment = {
        # Not port 0: the health check must know where to ask.
        "UL_PROXY_LISTEN": f"127.0.0.1:{free_port()}",
        "UL_PROXY_COGNITO__ENDPOINT_URL": cognito_url,
        "UL_PROXY_UPSTREAMS__REST": origin.url,
        "UL_PROXY_USERNAME": USERNAME,
        "UL_PROXY_PASSWORD_FILE": "/run/secrets/password",
    }
    return Given(environment=environment, flags=("--volume", f"{file}:/run/secrets/password:ro"))


@pytest.fixture
def health(config: Any) -> list[str]:
    """The command of the image's HEALTHCHECK."""
    form, *command = config["Healthcheck"]["Test"]
    assert form == "CMD"
    return list(command)


def test_what_it_says_of_itself(config: dict[str, Any]) -> None:
    """Nobody runs it as root, no command of it needs a shell, and it has a version."""
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["ul-proxy"], ["serve"])
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "ul-proxy", "wait"]
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert config.get("StopSignal") in (None, "", "SIGTERM", "15")


def test_size(engine: Engine, image: str, base: str) -> None:
    """What is added to the base is small, although it is compiled."""
    sizes = [int(engine.out("image", "inspect", name, "--format", "{{.Size}}")) for name in (image, base)]
    assert sizes[0] - sizes[1] < 100_000_000


def test_it_is_compiled(engine: Engine, image: str) -> None:
    """The bytecode of the proxy, of what it needs and of Python's own library is there, and taken."""
    modules = "asyncio, aiobotocore, proxy"
    code = f"import os, {modules}; print(*[os.path.exists(module.__cached__) for module in ({modules})])"
    with engine.running("-c", code, flags=("--entrypoint", "/opt/ul-proxy/bin/python")) as container:
        assert container.ended() == Ended(0, "True True True\n")


_ANYBODY = secrets.SystemRandom().randint(20_000, 60_000)
USERS = {
    "its own user": (),
    # As OpenShift runs containers: a number that nobody in the container has. Podman alone would give it a name.
    "any user": ("--user", f"{_ANYBODY}:{_ANYBODY}", "--passwd=false"),
}


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
async def test_serve(  # noqa: PLR0917 - fixtures
    user: tuple[str, ...], engine: Engine, image: str, origin: Origin, given: Given, health: list[str]
) -> None:
    """It signs in, answers with the credential added, is healthy by its own command, and SIGTERM ends it with 0."""

    def scenario() -> Ended:
        with engine.running(environment=given["environment"], flags=(*given["flags"], *user)) as container:
            url = listening(container)
            container.line("signed in")
            assert container.execute(*health) == 0
            assert get(f"{url}/v1/job") == (200, b"ok")
            return container.stop()

    ended = await asyncio.to_thread(scenario)
    assert ended.status == 0, ended.err
    assert ended.err == ""
    assert PASSWORD not in ended.out
    # The file's mode is what the mount says it is.
    assert "everybody" not in ended.out
    (request,) = origin.requests
    assert request.values(b"X-Amz-Cognito-Security-Token")


async def test_unhealthy_without_a_credential(engine: Engine, image: str, health: list[str]) -> None:
    """A proxy that nobody has told a password lives, and is not healthy."""
    bare = Given(environment={"UL_PROXY_LISTEN": f"127.0.0.1:{free_port()}"}, flags=())

    def scenario() -> None:
        with engine.running(**bare) as container:
            assert get(f"{listening(container)}/-/live")[0] == 200
            assert container.execute(*health) == 1

    await asyncio.to_thread(scenario)


DEFECT = """\
from proxy.http.client.transport import PooledTransport

send = PooledTransport.send

async def with_a_bug(self, request):
    if b"/v1/odd" in request.head:
        raise ZeroDivisionError("a bug")
    return await send(self, request)

PooledTransport.send = with_a_bug
"""
"""Python imports it at every start, where it is called sitecustomize and is on the path."""


async def test_unhealthy_after_defects(
    engine: Engine, image: str, given: Given, health: list[str], tmp_path: Path
) -> None:
    """Three requests in a row that meet a defect make the container unhealthy, and one that goes well healthy again."""
    (tmp_path / "defect.py").write_text(DEFECT)
    flags = (*given["flags"], "--volume", f"{tmp_path / 'defect.py'}:/defect/sitecustomize.py:ro")

    def scenario() -> None:
        with engine.running(environment=given["environment"] | {"PYTHONPATH": "/defect"}, flags=flags) as container:
            url = listening(container)
            container.line("signed in")
            for status in (0, 0, 1):
                assert get(f"{url}/v1/odd")[0] == 500
                assert container.execute(*health) == status
            assert get(f"{url}/v1/job") == (200, b"ok")
            assert container.execute(*health) == 0

    await asyncio.to_thread(scenario)


async def test_probes_from_outside(engine: Engine, image: str, given: Given, health: list[str]) -> None:
    """With admin_listen on every interface a kubelet gets its answers there, and the command inside still works."""
    port = free_port()
    environment = given["environment"] | {"UL_PROXY_ADMIN_LISTEN": f"0.0.0.0:{port}"}

    def scenario() -> None:
        with engine.running(environment=environment, flags=given["flags"]) as container:
            container.line("signed in")
            assert container.execute(*health) == 0
            for path in ("/-/live", "/-/ready", "/-/metrics"):
                assert get(f"http://127.0.0.1:{port}{path}")[0] == 200

    await asyncio.to_thread(scenario)


async def test_a_session_is_kept_in_a_volume(engine: Engine, image: str, given: Given) -> None:
    """What one container signed in to, another renews without the password, from a volume that nobody prepared."""
    volume = ("--volume", f"{secrets.token_hex(4)}:/var/lib/ul-proxy")
    login = ("UL_PROXY_USERNAME", "UL_PROXY_PASSWORD_FILE")
    without_login = {name: value for name, value in given["environment"].items() if name not in login}

    def scenario() -> None:
        with engine.running("login", "--no-input", **given | {"flags": (*given["flags"], *volume)}) as container:
            ended = container.ended()
            assert ended.status == 0, ended.err
        with engine.running(environment=without_login, flags=volume) as container:
            assert get(f"{listening(container)}/v1/job") == (200, b"ok")

    await asyncio.to_thread(scenario)


async def test_aws_credentials(engine: Engine, image: str, given: Given) -> None:
    """What was taken out of botocore is not what it needs for the identity pool."""

    def scenario() -> Ended:
        with engine.running("credentials", **given) as container:
            return container.ended()

    ended = await asyncio.to_thread(scenario)
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["SessionToken"]


def listening(container: Container) -> str:
    """Where the proxy in a container listens, on this machine's loopback."""
    return str(json.loads(container.line('"listening"'))["urls"][0])


def get(url: str) -> tuple[int, bytes]:
    try:
        answer = urllib.request.urlopen(url, timeout=PATIENCE)  # noqa: S310  # http, on loopback
    except HTTPError as refused:
        return refused.code, refused.read()
    with answer:
        return answer.status, answer.read()


# ---- what the pages say of containers


LOGIN = "docker run --rm -it -v ul-proxy:/var/lib/ul-proxy ul-proxy:0.1.0 login"
NOT_STARTED = {
    BUILD: "the fixture `image` runs it",
    LOGIN: "it asks a person; here the settings answer instead",
    "docker run --rm -p 127.0.0.1:8080:8080 -e UL_PROXY_USERNAME -e UL_PROXY_PASSWORD \\\n"
    "       -e UL_PROXY_LISTEN=0.0.0.0:8080 -e UL_PROXY_CLIENT_TOKEN \\\n"
    "       -e UL_PROXY_ALLOWED_HOSTS=ul-proxy ul-proxy:0.1.0": "a published port wants a bridge on this machine; "
    "test_beyond_loopback_with_a_token has the settings",
}
"""What is not typed here, and why."""
DOCKER = [command for commands in COMMANDS.values() for command in commands if command.text.startswith("docker ")]


def test_every_exception_is_written() -> None:
    """The table above names commands that are in the pages, letter by letter."""
    assert NOT_STARTED.keys() <= {command.text for command in DOCKER}


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


async def test_what_the_pages_start(engine: Engine, base: str, docker: Shell) -> None:
    """Every container that the pages start serves beside the tool that it is to serve, and SIGTERM ends it with 0."""
    volume = tuple(shlex.split(LOGIN)[4:6])
    settings = {name: value for name, value in docker.environment.items() if name.startswith("UL_PROXY_")} | SIGNED_IN

    def sign_in() -> Ended:
        with engine.running("login", "--no-input", environment=settings, flags=volume) as container:
            return container.ended()

    ended = await asyncio.to_thread(sign_in)
    assert ended.status == 0, ended.err
    started = [command for command in DOCKER if command.text not in NOT_STARTED]
    assert started
    my_tool = ("--entrypoint", "python", "--name", "my-tool")
    with engine.running("-c", "import signal; signal.pause()", image=base, flags=my_tool):
        for command in started:
            login = SIGNED_IN if "UL_PROXY_USERNAME" in command.text else {}
            async with docker.left_running(command, UL_PROXY_LISTEN="127.0.0.1:0", **login) as running:
                answer = await talk(running.url, closing("GET", "/v1/job"))
                assert b" 200 OK" in answer, f"{command}: {answer.decode()}"
