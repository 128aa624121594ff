"""The targets of the Makefile that have a mind of their own."""

import os
import subprocess
from itertools import chain
from pathlib import Path

import pytest
from support.environment import ROOT

TOOLS = ("ruff", "mypy")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment that looks installed and whose tools do nothing but tell that they were called."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        pretend(tmp_path, tool, status=0)
    for mark in (".runtime", ".dev"):
        (tmp_path / mark).touch()
    return tmp_path


def pretend(venv: Path, tool: str, *, status: int) -> None:
    path = venv / "bin" / tool
    path.write_text(f'#!/bin/sh\necho "{tool} $*"\nexit {status}\n')
    path.chmod(0o755)


def lint(venv: Path) -> tuple[bool, list[str]]:
    """Whether `make lint` succeeded, and which tools it called."""
    done = subprocess.run(
        ["make", "--silent", "lint", f"VENV={venv}"],
        # `make test` hands its own flags to the makes below it.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, [line.split()[0] for line in done.stdout.splitlines() if line.startswith(TOOLS)]


def test_lint_passes(venv: Path) -> None:
    """Ruff twice, for faults and for format, and mypy."""
    assert lint(venv) == (True, ["ruff", "ruff", "mypy"])


@pytest.mark.parametrize("failing", TOOLS)
def test_lint_fails_at_the_end(failing: str, venv: Path) -> None:
    """Every tool has its say, also after one that complained, and the complaint is not forgotten."""
    pretend(venv, failing, status=1)
    assert lint(venv) == (False, ["ruff", "ruff", "mypy"])


def test_phony_targets_exist() -> None:
    """No target is announced that there is not."""
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = [line.split()[1:] for line in text.splitlines() if line.startswith(".PHONY:")]
    assert phony
    for target in chain.from_iterable(phony):
        assert f"\n{target}:" in text
