"""Have an interpreter from Debian: in the root of a file system, where commands run chrooted."""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tools.matrix.interpreters import SUITES, Interpreter, version_of

PACKAGES = ("make", "curl", "openssl")
"""What the tests call beside Python."""
PROBE = "import ensurepip, platform, ssl, sys, venv; print(platform.python_version())"
"""Tells the version of an interpreter that can make an environment, and fails on every other."""
_AUTHORITIES = ("/etc/ssl/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates")
_NAMED_IN = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_WRITTEN = re.compile(r"cache.dir|\blog\b", re.IGNORECASE)
"""Settings of pip whose paths are written to: those stay inside."""
_PATH = re.compile(r"(?:file://|(?<![\w:/.]))(/[^\s',]+?)(?:/simple)?/?(?=[\s',]|$)")
"""A path, or the folder that an index is in: its pages, in `simple`, link to files beside them."""


class NotToBeHadError(Exception):
    """A version is in no suite of Debian, or the suite cannot be had here; the message says why."""


def from_debian(version: str, folder: Path, settings_of_pip: str) -> Interpreter:
    """The interpreter of the suite that has `version`, below `folder`, where it is made if it is not there."""
    suite = SUITES.get(version)
    if suite is None:
        raise NotToBeHadError("no suite of Debian has it")
    root = folder / suite
    if not root.is_dir():
        print(f"\nPython {version}: making {root}, which takes a minute, once", flush=True)
    made = subprocess.run(
        ["tools/debian_root", suite, str(root), *PACKAGES], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        print(made.stderr, flush=True)
        raise NotToBeHadError(f"Debian {suite} cannot be had: {reason(made.stderr)}")
    asked = subprocess.run(
        inside(root, ["python3", "-c", PROBE], settings_of_pip), capture_output=True, text=True, check=False
    )
    release = asked.stdout.strip()
    if asked.returncode != 0:
        raise NotToBeHadError(f"Debian {suite} is at hand and its Python does not run: {reason(asked.stderr)}")
    if version_of(release) != version:
        raise NotToBeHadError(f"Debian {suite} has Python {release}")
    return Interpreter(release, f"Debian {suite}", "python3", root)


def inside(root: Path, command: Sequence[str], settings_of_pip: str) -> list[str]:
    """A command that runs `command` below `root`, where pip finds what it finds outside."""
    shown = outermost(filter(os.path.exists, named(settings_of_pip, os.environ)))
    return ["tools/in_debian_root", str(root), *shown, "--", *command]


def named(settings_of_pip: str, environment: Mapping[str, str]) -> list[str]:
    """The files and folders that pip reads, by what `pip config debug` printed and by variables, and certificates."""
    lines = [line for line in settings_of_pip.splitlines() if not _WRITTEN.search(line)]
    lines += [environment.get(name, "") for name in _NAMED_IN]
    return [*_AUTHORITIES, *(path for line in lines for path in _PATH.findall(line))]


def outermost(paths: Iterable[str]) -> list[str]:
    """Paths without those that are inside another."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(f"{other}/") for other in kept):
            kept.append(path)
    return kept


def reason(told: str) -> str:
    """Why a command failed: the first error of apt, from which the others follow, else the last line that it told."""
    lines = told.strip().splitlines() or ["it did not say why"]
    return next((line for line in lines if line.startswith("E: ")), lines[-1])
