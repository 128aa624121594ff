"""The Dockerfile and what it is given, read without a builder."""

import fnmatch
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.base_image import BASE
from support.environment import ROOT

from proxy import __version__
from proxy.cli.arguments import parse


@dataclass(frozen=True, slots=True)
class Instruction:
    stage: int
    name: str
    value: str


def instructions() -> Iterator[Instruction]:
    """The Dockerfile, a continued line as one; `stage` counts from 1."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    stage = 0
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, value = line.partition(" ")
            stage += name == "FROM"
            yield Instruction(stage, name, " ".join(value.split()))


ALL = list(instructions())
FINAL = [instruction for instruction in ALL if instruction.stage == max(each.stage for each in ALL)]


def final(name: str) -> list[str]:
    return [instruction.value for instruction in FINAL if instruction.name == name]


def ignored(path: Path) -> bool:
    """Whether `.dockerignore` keeps a file from the builder: the last pattern that matches has its say."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.removeprefix("!").rstrip("/")
        places = [str(place) for place in (path, *path.parents) if str(place) != "."]
        anywhere = wanted.removeprefix("**/")
        found = any(
            fnmatch.fnmatchcase(place, wanted) or (anywhere != wanted and place.rpartition("/")[2] == anywhere)
            for place in places
        )
        if found:
            verdict = not pattern.startswith("!")
    return verdict


def sent() -> set[Path]:
    """The files of the repository that a builder is sent; environments and caches are not even looked into."""
    found: set[Path] = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith((".", "node_modules"))]
        found |= {(Path(folder) / name).relative_to(ROOT) for name in files}
    return {path for path in found if not ignored(path)}


def test_the_base_is_pinned() -> None:
    """Both stages stand on one image, whose tag says which Python, which Debian, and that it is the slim one."""
    (base,) = (each.value.partition("=")[2] for each in ALL if each.name == "ARG" and "=" in each.value)
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-[a-z]+", base)
    assert base == BASE.name
    assert {each.value.partition(" ")[0] for each in ALL if each.name == "FROM"} == {"${PYTHON_IMAGE}"}
    assert max(each.stage for each in ALL) == 2


def test_what_runs_needs_no_shell() -> None:
    """Start, arguments and health check are lists, which are run as they stand, and get the signals; nothing is left
    to be run when the image itself is put together."""
    (entrypoint,), (command,), (health,) = final("ENTRYPOINT"), final("CMD"), final("HEALTHCHECK")
    start = [*json.loads(entrypoint), *json.loads(command)]
    check = json.loads(health.partition("CMD ")[2])
    assert start == ["ul-proxy", "serve"]
    assert check[0] == "ul-proxy"
    assert parse(check[1:]).command == "wait"
    assert final("RUN") == []


def test_nobody_is_root() -> None:
    """The user is a number other than 0, by which Kubernetes can tell, and is set before anything runs."""
    assert final("USER") == ["10001:10001"]


def test_labels() -> None:
    """The labels say which version this is, and under which licence."""
    (labels,) = final("LABEL")
    pairs = dict(re.findall(r'(\S+)="([^"]*)"', labels))
    assert pairs["org.opencontainers.image.version"] == __version__
    assert pairs["org.opencontainers.image.licenses"] == "MIT"


@pytest.mark.parametrize("lock", ["locks/build.txt", "locks/runtime.txt"])
def test_what_is_locked_is_installed(lock: str) -> None:
    """What is installed, and what makes the wheel, have the hashes of the lock files, and nothing else is built."""
    (install,) = (each.value for each in ALL if each.name == "RUN" and lock in each.value)
    assert re.search(r'locked="[^"]* --require-hashes --only-binary=:all:"', install)
    assert re.search(rf"\$locked (--target \S+ )?--requirement {lock}", install)


def test_the_project_itself_fetches_nothing() -> None:
    """The wheel is made of what has been installed, from no index."""
    (install,) = (each.value for each in ALL if each.name == "RUN" and each.value.endswith(" ."))
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(install.split())


@pytest.mark.parametrize("copied", [each.value for each in ALL if each.name == "COPY" and "--from" not in each.value])
def test_sources_exist(copied: str) -> None:
    """What is copied is there, and not kept from the builder."""
    for source in copied.split()[:-1]:
        files = [path for path in sent() if path.is_relative_to(source.rstrip("/"))]
        assert files, f"{source} is not there, or in .dockerignore"


def test_nothing_else_is_sent() -> None:
    """The builder gets what it copies, and no secret, test or cache that lies about."""
    copied = [each.value.split()[:-1] for each in ALL if each.name == "COPY" and "--from" not in each.value]
    sources = [Path(source.rstrip("/")) for sources in copied for source in sources]
    strays = {path for path in sent() if not any(path.is_relative_to(source) for source in sources)}
    assert strays == set()
    assert not [path for path in sent() if "__pycache__" in path.parts]


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("proxy/app.py", False),
        ("proxy/cli/__pycache__/serve.cpython-313.pyc", True),
        ("config/defaults.toml", False),
        ("locks/runtime.txt", False),
        ("locks/dev.txt", True),
        ("config/examples/unleash-live-password", True),
        (".env", True),
        ("ul-proxy.toml", True),
        (".git/config", True),
    ],
)
def test_ignored(path: str, kept: bool) -> None:
    """The reading of .dockerignore in this file is Docker's."""
    assert ignored(Path(path)) is kept
