"""Run the tests on every interpreter, one after the other, and tell at the end what came of each.

Called by `make matrix`, with the Python of VENV. There the whole suite runs; on each other, which has an environment of
its own, what tells whether an interpreter works.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tools.matrix.debian import PROBE, NotToBeHadError, from_debian, inside
from tools.matrix.interpreters import Interpreter, installed, of_the_image, supported, version_of
from tools.matrix.verdict import Outcome, State, complaints, summary

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
WHOLE, SELECTION = "make test", "make test-interpreter"
_CLOSING = re.compile(r"\d+ (?:passed|failed|skipped|error).* in [\d.]+s")
"""The last line of pytest, without what it is adorned with."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make matrix", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("versions", nargs="*", help="the only ones to be tested")
    parser.add_argument("--venv", required=True, help="what the names of the environments begin with")
    parser.add_argument("--tested", action="store_true", help=f"`{WHOLE}` has just passed")
    asked = parser.parse_args()
    os.chdir(ROOT)
    every = supported(tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["classifiers"])
    image = of_the_image(Path("Dockerfile").read_text("utf-8"))
    unknown = [version for version in asked.versions if version not in every]
    if unknown:
        parser.error(f"not supported: {', '.join(unknown)}; supported: {', '.join(every)}")
    outcomes = [_outcome(version, asked.venv, tested=asked.tested) for version in asked.versions or every]
    complaining = complaints(outcomes, of_the_image=image, all_asked_for=not asked.versions)
    print(f"\n{summary(outcomes, complaining)}", flush=True)
    return 1 if complaining else 0


def _outcome(version: str, venv: str, *, tested: bool) -> Outcome:
    """What comes of one version."""
    if version == version_of(platform.python_version()):
        here = Interpreter(platform.python_version(), "the Python at hand", sys.executable)
        if tested:
            return Outcome(version, State.PASSED, "before", here.release, here.where, WHOLE)
        return _tested(here, [*WHOLE.split(), f"VENV={venv}"], WHOLE)
    pip = [sys.executable, "-m", "pip", "config", "debug"]
    settings_of_pip = subprocess.run(pip, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    path = os.environ.get("PATH", "").split(os.pathsep)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = installed(version, path, pyenv, _probe)
    try:
        found = found or from_debian(version, Path(f"{venv}-debian"), settings_of_pip)
    except NotToBeHadError as error:
        return Outcome(version, State.MISSING, f"neither on PATH nor in pyenv, and {error}")
    own = Path(f"{venv}-{found.release}{'' if found.root is None else '-debian'}")
    command = [*SELECTION.split(), f"VENV={own}", f"PYTHON={found.command}"]
    if found.root is not None:
        command = inside(found.root, command, settings_of_pip)
    return _tested(found, command, SELECTION)


def _probe(file: Path) -> str | None:
    """The release of the interpreter at a path, where there is one that works."""
    if shutil.which(file) is None:
        return None
    try:
        asked = subprocess.run([file, "-c", PROBE], capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None  # it is another machine's, or hangs
    return asked.stdout.strip() if asked.returncode == 0 else None


def _tested(interpreter: Interpreter, command: Sequence[str], ran: str) -> Outcome:
    """The outcome of the tests on one interpreter. What they print is shown as it comes."""
    print(f"\nPython {interpreter.release} ({interpreter.where}): {ran}", flush=True)
    closing = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None  # noqa: S101 - mypy cannot see that it is a pipe
        for line in process.stdout:
            print(line, end="", flush=True)
            closing = found[0] if (found := _CLOSING.search(line)) else closing
    state = State.PASSED if process.returncode == 0 else State.FAILED
    told = closing or f"it ended with {process.returncode} before any test"
    return Outcome(version_of(interpreter.release), state, told, interpreter.release, interpreter.where, ran)


if __name__ == "__main__":
    sys.exit(main())
