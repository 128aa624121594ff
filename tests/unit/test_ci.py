"""The files that other programs read: the CI's, the update bot's and pre-commit's."""

import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
import yaml
from support.environment import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEPENDABOT = ROOT / ".github" / "dependabot.yml"


def parsed(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


@pytest.mark.parametrize(("schema", "paths"), [("github-workflows", WORKFLOWS), ("dependabot", [DEPENDABOT])])
def test_schemas(schema: str, paths: list[Any]) -> None:
    """They are what their readers' published schemas want."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_exist() -> None:
    """What CI and pre-commit run are targets of the Makefile, and scripts that are here."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    steps = [step for job in parsed(".github/workflows/ci.yml")["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    commands += [hook["entry"] for repo in parsed(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert commands
    for command in commands:
        name = command.split()[-1]
        assert ("make " in command and name in targets) or (ROOT / name).is_file(), command


def test_every_python() -> None:
    """CI runs each Python that the package says it supports."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    supported = [found[1] for one in classifiers if (found := re.fullmatch(r".*:: (3\.\d+)", one))]
    assert parsed(".github/workflows/ci.yml")["jobs"]["interpreters"]["strategy"]["matrix"]["python"] == supported


def test_actions_are_pinned() -> None:
    """An action of others is named by its commit, which nobody can move, with the version beside it."""
    for workflow in WORKFLOWS:
        used = re.findall(r"uses: (.*)", workflow.read_text("utf-8"))
        assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", one)] == []
