"""The stand-in for the image's base, as far as it needs no builder."""

import tarfile
from pathlib import Path

import pytest
from support.base_image import BASE, Base, NoSuchPython, archive, named_in
from support.machine import lacking

TRIXIE = Base("docker.io/library/python:3.13.16-slim-trixie", "3.13", "trixie")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a file system like Debian's, with Python 3.13."""
    for name in (
        "usr/bin/python3.13",
        "usr/lib/python3.13/__pycache__/os.pyc",
        "usr/lib/python3.13/EXTERNALLY-MANAGED",
    ):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    return tmp_path / "root"


def test_the_dockerfile_names_a_base() -> None:
    """The stand-in has the Python and the Debian of the tag."""
    assert named_in("FROM x\nARG PYTHON_IMAGE=docker.io/library/python:3.13.16-slim-trixie\n") == TRIXIE
    assert BASE.name.endswith(f"-slim-{BASE.suite}")


def test_it_has_what_official_images_have(root: Path, tmp_path: Path) -> None:
    """`python` is in /usr/local/bin and any pip may install; bytecode is left out."""
    archive(root, TRIXIE, tmp_path / "base.tar")
    with tarfile.open(tmp_path / "base.tar") as archived:
        members = {member.name.removeprefix("./"): member for member in archived}
    assert members["usr/local/bin/python"].linkname == "/usr/bin/python3.13"
    assert {"usr/bin/python3.13", "usr/local/bin/python3"} <= members.keys()
    assert not [name for name in members if "__pycache__" in name or "EXTERNALLY-MANAGED" in name]


def test_another_python_fails(root: Path, tmp_path: Path) -> None:
    """A Debian without the Python that the Dockerfile names is no base for it, and both are told."""
    with pytest.raises(NoSuchPython, match=r"names Python 3\.14 on trixie, which has python3\.13"):
        archive(root, Base("python:3.14.1-slim-trixie", "3.14", "trixie"), tmp_path / "base.tar")


@pytest.mark.parametrize(
    ("ci", "apt", "outcome"),
    [
        ("", "/usr/bin/apt-get", pytest.skip.Exception),
        ("true", None, pytest.skip.Exception),
        ("true", "/usr/bin/apt-get", pytest.fail.Exception),
    ],
)
def test_ci_skips_nothing_that_it_can_install(
    ci: str, apt: str | None, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a builder is lacking, its tests are skipped with the reason; in CI they fail wherever there is apt."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("support.containers.shutil.which", lambda _: apt)
    with pytest.raises(outcome, match="no builder"):
        lacking("no builder")
