"""Find an interpreter of each version: on PATH, in pyenv, or in a suite of Debian.

Nothing is run here: whether a file is an interpreter that works is asked of a function.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SUITES: Mapping[str, str] = {"3.11": "bookworm", "3.13": "trixie", "3.14": "sid"}
"""The suite of Debian that has a version. Sid moves on one day, and its Python is asked for its version."""
_CLASSIFIER = re.compile(r"Programming Language :: Python :: (\d+\.\d+)")
_IMAGE = re.compile(r"^ARG PYTHON_IMAGE=.*:(\d+\.\d+)", re.MULTILINE)
_RELEASE = re.compile(r"\d+(\.\d+)+")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that works."""

    release: str
    """Its version in full, such as `3.13.5`."""
    where: str
    """Where it was found, in words."""
    command: str
    root: Path | None = None
    """The root of the file system that `command` is in, where that is not this machine's own."""


Probe = Callable[[Path], str | None]
"""The version in full of the interpreter at a path; None where none is, or one that cannot make an environment."""


def supported(classifiers: Iterable[str]) -> list[str]:
    """The versions that the project's metadata name."""
    return [found[1] for line in classifiers if (found := _CLASSIFIER.fullmatch(line))]


def of_the_image(dockerfile: str) -> str:
    """The version of the image that the container image is built on."""
    found = _IMAGE.search(dockerfile)
    if found is None:
        raise ValueError("the Dockerfile has no line `ARG PYTHON_IMAGE=NAME:VERSION`")
    return found[1]


def version_of(release: str) -> str:
    """The major and minor version of a release."""
    return ".".join(release.split(".")[:2])


def installed(version: str, path: Iterable[str], pyenv: Path, probe: Probe) -> Interpreter | None:
    """The first interpreter of a version that works, of those that are installed."""
    for where, command in _candidates(version, path, pyenv):
        release = probe(command)
        # A file may have the name of one version and be another.
        if release is not None and version_of(release) == version:
            return Interpreter(release, where, str(command))
    return None


def _candidates(version: str, path: Iterable[str], pyenv: Path) -> Iterator[tuple[str, Path]]:
    """Files that may be an interpreter. All of PATH: pyenv has a file there for a version that is not active."""
    for folder in path:
        yield "PATH", Path(folder) / f"python{version}"
    found = pyenv.glob(f"versions/{version}.*/bin/python{version}")
    named = {file: file.parts[-3] for file in found}
    releases = [file for file, name in named.items() if _RELEASE.fullmatch(name)]
    for file in sorted(releases, key=lambda file: [int(part) for part in named[file].split(".")], reverse=True):
        yield "pyenv", file
