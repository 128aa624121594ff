"""What the README and the pages in docs/ tell people to type is typed, as it is written there.

The commands of a page run one after the other, in a home of their own. A sandbox listens, to which ~/.curlrc leads
`curl` where the page says port 8080, and `curl` ends badly where the answer is an error. A Cognito is at hand for the
commands that sign in themselves.
"""

import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.machine import lacking, program
from support.servers import free_port
from support.shell import SIGNED_IN, Shell
from support.shell_blocks import COMMANDS, Command
from support.stack import closing, talk

IN_CONTAINERS = "docker "
"""What begins like this is in test_image.py."""

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
ELSEWHERE: Mapping[str, str] = {
    "make test": "this test is a part of it",
    "curl http://127.0.0.1:8080/@survey/v1/job": _PROFILES,
    "curl http://127.0.0.1:8080/v1/job -H 'X-UL-Proxy-Profile: survey'": _PROFILES,
    "aws --profile unleash s3 cp flight.mp4 s3://library-upload-syd-cloud/$ID/$(uuidgen)/flight.mp4 \\\n"
    "       --metadata name=flight.mp4,location=FOLDER": _AWS,
    "aws sts get-caller-identity": _AWS,
}
"""What is not run here, and why."""


def test_every_exception_is_written() -> None:
    """The tables above name commands that are in the pages, letter by letter."""
    written = {command.text for commands in COMMANDS.values() for command in commands}
    assert SERVES | ELSEWHERE.keys() <= written
    others = {name for reason in ELSEWHERE.values() for name in re.findall(r"test_\w+\.py", reason)}
    assert [name for name in others if not (Path(__file__).parent / name).is_file()] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page, commands in COMMANDS.items() if commands])
async def test_page(page: str, shell: Shell) -> None:
    """Every command does what the page says, one after the other."""
    for name in ("bash", "curl", "make", "openssl"):
        program(name)
    port = free_port()
    curlrc = Path(shell.environment["HOME"]) / ".curlrc"
    curlrc.write_text(
        "fail\n" + "".join(f'connect-to = "{host}:8080:127.0.0.1:{port}"\n' for host in ("127.0.0.1", "localhost"))
    )
    sandbox = Command(page, "exec .venv/bin/ul-proxy demo", (), ())
    at_the_sandbox = {"UL_PROXY_LISTEN": f"127.0.0.1:{port}"}
    login = {}
    if page != "README.md":
        # Whoever reads on has entered the environment and signed in, as the README says.
        login = SIGNED_IN
        shell.environment["PATH"] = f"{Path(sys.prefix) / 'bin'}:{shell.environment['PATH']}"
    not_typed: list[str] = []
    async with shell.left_running(sandbox, **at_the_sandbox), AsyncExitStack() as stack:
        await shell.run(Command(page, ".venv/bin/ul-proxy wait", (), ()), **at_the_sandbox)
        for command in COMMANDS[page]:
            if "| jq " in command.text and shutil.which("jq") is None:
                not_typed.append(command.text)
                continue
            if command.text in ELSEWHERE or command.text.startswith(IN_CONTAINERS):
                continue
            if command.text in SERVES:
                await stack.aclose()
                left_running = shell.left_running(command, UL_PROXY_LISTEN="127.0.0.1:0", **login)
                running = await stack.enter_async_context(left_running)
                if running.url.startswith("http:"):
                    answer = await talk(running.url, closing("GET", "/v1/job"))
                    assert b" 200 OK" in answer, f"{command}: {answer.decode()}"
            else:
                await shell.run(command, **at_the_sandbox, **SIGNED_IN)
    if not_typed:
        lacking(f"all but this was typed, for want of jq: {not_typed}")
