"""`ul-proxy completion` in the shells themselves: what TAB makes of what was typed."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.environment import guarded_environment
from support.machine import program
from support.screen import terminal

from proxy.cli.arguments import known_by_command
from proxy.cli.manual import COMMANDS
from proxy.cli.shells import bash, fish, zsh
from proxy.cli.shells.words import words_of

SCRIPTS = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script}
INTERACTIVE = {
    "bash": ("bash", "--noprofile", "--norc", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
SAYING = {
    "bash": 'ul-proxy() { echo "got[$*]"; }',
    "zsh": 'autoload -Uz compinit; compinit -u -D; ul-proxy() { echo "got[$*]"; }',
    "fish": 'function ul-proxy; echo "got[$argv]"; end',
}
"""A function in the program's place that says what it was given."""
TABLE = {
    "ul-proxy to": ["token"],
    "ul-proxy ": list(COMMANDS),
    "ul-proxy --li": ["--listen"],
    "ul-proxy serve --no-access": ["--no-access-log"],
    "ul-proxy token --ki": ["--kind"],
    "ul-proxy token --kind ": ["id", "access"],
    "ul-proxy token --kind=a": ["access"],
    "ul-proxy token --profile ": ["ops", "survey"],
    "ul-proxy check --profile=s": ["survey"],
    "ul-proxy check --json --pro": ["--profile"],
    "ul-proxy serve --log-level w": ["warning"],
    "ul-proxy serve --config my": ["my settings.toml"],
    "ul-proxy serve --upstreams-ca-file my": ["my settings.toml"],
    "ul-proxy serve --listen ": [],
    "ul-proxy completion z": ["zsh"],
    "ul-proxy completion --": ["--help"],
    "ul-proxy nonsense": [],
}
"""What TAB offers behind what was typed."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a config file that has profiles, and the scripts, as the command prints them."""
    (tmp_path / "ul-proxy.toml").write_text(
        "[profiles.survey]\n[profiles.ops]\n[profiles.ops.cognito]\n# [profiles.gone]\n"
    )
    (tmp_path / "my settings.toml").write_text("")
    known = known_by_command()
    for shell, script in SCRIPTS.items():
        (tmp_path / shell).write_text(script(words_of(known)))
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return guarded_environment(HOME=str(folder), XDG_CONFIG_HOME=str(folder), TERM="dumb", LC_ALL="C.UTF-8", PS1="$ ")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_command_prints_the_script(shell: str, folder: Path) -> None:
    """The command prints the script and nothing else, whatever the settings are, and the shell finds no fault in it."""
    process = subprocess.run(
        [sys.executable, "-m", "proxy", "completion", shell],
        env=environment(folder) | {"UL_PROXY_TIMEOUTS__IDLE": "nonsense"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == (folder / shell).read_text()
    subprocess.run([program(shell), "-n", str(folder / shell)], check=True, timeout=60)


def offered(shell: str, lines: Mapping[str, str], folder: Path) -> list[str]:
    """What a shell prints for a program of its own, by line."""
    script = "\n".join([f"source '{folder / shell}'", *lines.values()])
    process = subprocess.run(
        [program(shell), "-c", script],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.stderr == ""
    return process.stdout.split("\0\n")[:-1]


def test_bash(folder: Path) -> None:
    """Commands, flags, choices, files and profiles in bash, `--flag=value` taken apart as bash does it."""
    lines = {}
    for typed in TABLE:
        words = [f"'{word}'" for word in typed.replace("=", " = ").split(" ")]
        lines[typed] = (
            f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _ul_proxy; "
            "printf '%s\\n' \"${COMPREPLY[@]}\"; printf '\\0\\n'"
        )
    found = [text.split("\n") for text in offered("bash", lines, folder)]
    assert {typed: sorted(filter(None, got)) for typed, got in zip(TABLE, found, strict=True)} == {
        typed: sorted(wanted) for typed, wanted in TABLE.items()
    }


def test_fish(folder: Path) -> None:
    """The same in fish, which also shows what each is for, and completes `--flag=` with the flag in front."""
    lines = {typed: f"complete -C '{typed}'; printf '\\0\\n'" for typed in TABLE}
    found = [text.split("\n") for text in offered("fish", lines, folder)]
    for (typed, wanted), got in zip(TABLE.items(), found, strict=True):
        names = [line.partition("\t")[0].replace("\\ ", " ") for line in filter(None, got)]
        assert sorted(name.rpartition("=")[2] for name in names) == sorted(wanted), typed
    assert "token\tprint a good token, and nothing else" in found[0]


@pytest.mark.parametrize("shell", SCRIPTS)
async def test_somebody_presses_tab(shell: str, folder: Path) -> None:
    """On a terminal, TAB completes a command, a flag, its choice, a profile and a file."""
    program(shell)
    async with terminal(env=environment(folder), cwd=folder, program=INTERACTIVE[shell]) as screen:
        screen.types(f"{SAYING[shell]}; source {folder / shell}; echo rea''dy")
        await screen.sees("ready\n")
        screen.presses("ul-proxy tok\t--ki\tacc\t--prof\tsur\t--conf\tmy\t\n")
        await screen.sees("got[")
        given = (await screen.sees("]"))[:-1]
        # zsh joins a flag and its value.
        got = " ".join(given.replace("=", " ").split())
        assert got == "token --kind access --profile survey --config my settings.toml"
        screen.types("exit")
        await screen.ended()
