"""The lock files and what pyproject.toml says of the same libraries."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.environment import ROOT

LOCKS = sorted((ROOT / "locks").iterdir())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DEPENDENCIES: list[str] = PROJECT["project"]["dependencies"]
DECLARED: dict[str, list[str]] = {
    "runtime": DEPENDENCIES,
    "dev": [*DEPENDENCIES, *PROJECT["project"]["optional-dependencies"]["dev"]],
    "build": [*PROJECT["build-system"]["requires"], *PROJECT["dependency-groups"]["build"]],
    "ministack": PROJECT["dependency-groups"]["ministack"],
}
SYSTEMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64"), ("darwin", "arm64")]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
INNER_WORKINGS = ("aiohttp", "aiobotocore", "prometheus-client", "uvloop")
"""Libraries of which more is used than their documentation promises."""


def entries(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each requirement of a lock file, and its hashes."""
    text = "\n".join(line for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))
    for line in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = line.split(" --hash=")
        yield requirement.strip(), [each.strip() for each in hashes]


def applies(requirement: Requirement, python: str, system: str, machine: str) -> bool:
    """Whether CPython of a version installs a requirement on a machine."""
    there = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    return requirement.marker is None or requirement.marker.evaluate(there)


def pinned(lock: str, python: str, system: str, machine: str) -> dict[str, Version]:
    """What a lock file has installed there; fails where it names two versions of one library."""
    found: dict[str, Version] = {}
    for requirement in map(Requirement, (name for name, _ in entries(ROOT / "locks" / f"{lock}.txt"))):
        if applies(requirement, python, system, machine):
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            assert found.setdefault(canonicalize_name(requirement.name), Version(pin.version)) == Version(pin.version)
    return found


def test_every_lock_is_declared() -> None:
    """No lock file is left over from something that nobody asks for any more."""
    assert [path.stem for path in LOCKS] == sorted(DECLARED)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_everything_has_hashes(path: Path) -> None:
    """Each library stands at one version with the hashes of its files, and nothing says where to fetch it."""
    found = dict(entries(path))
    assert found
    assert [name for name, hashes in found.items() if not hashes] == []
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for hashes in found.values() for each in hashes)
    assert "://" not in path.read_text("utf-8")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("system", "machine"), SYSTEMS)
def test_what_is_declared_is_locked(system: str, machine: str, python: str) -> None:
    """On every supported system and Python a lock file meets what pyproject.toml declares: `make locks` where it does
    not. Users and the image get the versions that the tests run with; `editables` is only for a checkout."""
    there = {lock: pinned(lock, python, system, machine) for lock in DECLARED}
    for lock, declared in DECLARED.items():
        wanted = [each for each in map(Requirement, declared) if applies(each, python, system, machine)]
        assert [each for each in wanted if canonicalize_name(each.name) not in there[lock]] == []
        assert [each for each in wanted if there[lock][canonicalize_name(each.name)] not in each.specifier] == []
    assert there["runtime"].items() <= there["dev"].items()
    assert there["build"].items() - there["dev"].items() <= {("editables", there["build"]["editables"])}


@pytest.mark.parametrize("name", INNER_WORKINGS)
def test_inner_workings_have_a_ceiling(name: str) -> None:
    """A version that the tests have not seen is not installed where it may lack what nobody promised: the ceiling is
    the locked version's next minor one."""
    (requirement,) = (each for each in map(Requirement, DEPENDENCIES) if each.name == name)
    locked = pinned("runtime", "3.13", "linux", "x86_64")[name]
    assert str(next(each for each in requirement.specifier if each.operator == "<")) == (
        f"<{locked.major}.{locked.minor + 1}"
    )
