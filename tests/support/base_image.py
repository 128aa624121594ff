"""A stand-in for the image that the Dockerfile builds on: Debian of the same name, with its Python of the same version.

No registry of images is asked. `tools/debian_root` makes the root of its file system of Debian's packages, and
`make test` says in BASE_ROOT where it is.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.environment import ROOT

_ARGUMENT = re.compile(r"ARG PYTHON_IMAGE=(?P<name>\S+/python:(?P<python>3\.\d+)\.\d+-slim-(?P<suite>[a-z]+))")


class NoSuchPython(Exception):
    """Debian of that name has another Python than the Dockerfile names: the stand-in would be none."""


@dataclass(frozen=True, slots=True)
class Base:
    """The image that a Dockerfile names: `name`, the Python in it (3.13) and the name of its Debian (trixie)."""

    name: str
    python: str
    suite: str


def named_in(dockerfile: str) -> Base:
    """The base that the text of a Dockerfile names."""
    (found,) = _ARGUMENT.finditer(dockerfile)
    return Base(**found.groupdict())


BASE = named_in((ROOT / "Dockerfile").read_text("utf-8"))


def archive(root: Path, base: Base, target: Path) -> None:
    """Write the tar of a file system: that below `root`, with what Python's official images have and Debian has not.

    That is `python` and `python3` in /usr/local/bin, a pip that may install everywhere, and no bytecode.
    """
    python = f"usr/bin/python{base.python}"
    if not (root / python).is_file():
        there = sorted(path.name for path in (root / "usr/bin").glob("python3*"))
        raise NoSuchPython(f"the Dockerfile names Python {base.python} on {base.suite}, which has {', '.join(there)}")
    links = target.with_suffix(".links")
    (links / "usr/local/bin").mkdir(parents=True)
    names = ("usr/local/bin/python", "usr/local/bin/python3")
    for name in names:
        (links / name).symlink_to(f"/{python}")
    without = ("./dev/*", "./proc/*", "./sys/*", "__pycache__", "EXTERNALLY-MANAGED")
    command = ["tar", "--numeric-owner", "-cf", str(target), *(f"--exclude={pattern}" for pattern in without)]
    subprocess.run([*command, "-C", str(root), ".", "-C", str(links), *names], check=True, timeout=300)
    shutil.rmtree(links)
