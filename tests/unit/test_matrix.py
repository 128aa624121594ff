"""Which interpreters the tests run on, and when `make matrix` fails."""

import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.environment import ROOT

from tools.matrix.debian import named, outermost, reason
from tools.matrix.interpreters import SUITES, Interpreter, installed, of_the_image, supported
from tools.matrix.verdict import Outcome, State, complaints, summary

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
PASSED, FAILED, MISSING = State.PASSED, State.FAILED, State.MISSING
CLASSIFIERS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]


# ---- which versions


def test_the_project_names_the_versions() -> None:
    """What is tested is what the metadata say is supported, and what the image is built on is one of it."""
    assert tuple(supported(CLASSIFIERS)) == VERSIONS
    assert of_the_image((ROOT / "Dockerfile").read_text("utf-8")) in VERSIONS
    assert set(SUITES) <= set(VERSIONS)


@pytest.mark.parametrize(
    "image",
    ["docker.io/library/python:3.13.16-slim-trixie", "localhost:5000/python:3.13", "python:3.13-slim@sha256:ab3.1"],
)
def test_the_version_of_the_image(image: str) -> None:
    """Major and minor of the tag, whatever registry the image is in."""
    assert of_the_image(f"# docker build .\nARG PYTHON_IMAGE={image}\nFROM ${{PYTHON_IMAGE}}\n") == "3.13"


def test_an_image_without_a_version() -> None:
    """An image of no version that is told cannot be tested, and that is said."""
    with pytest.raises(ValueError, match="PYTHON_IMAGE"):
        of_the_image("ARG PYTHON_IMAGE=python:latest\n")


# ---- where an interpreter is found

SHIM, PYENV = "/shims", Path("/pyenv")


@pytest.mark.parametrize(
    ("working", "found"),
    [
        pytest.param({}, None, id="nowhere"),
        pytest.param({"/bin/python3.13": "3.13.5"}, ("3.13.5", "PATH", "/bin/python3.13"), id="on PATH"),
        pytest.param(
            {"/bin/python3.13": "3.13.5", "3.13.9": "3.13.9"}, ("3.13.5", "PATH", "/bin/python3.13"), id="PATH first"
        ),
        pytest.param({"3.13.9": "3.13.9"}, ("3.13.9", "pyenv", "3.13.9"), id="in pyenv alone: its shim does not run"),
        pytest.param({"3.13.9": "3.13.9", "3.13.10": "3.13.10"}, ("3.13.10", "pyenv", "3.13.10"), id="the newest"),
        pytest.param({"3.13.9": "3.13.9", "3.13.10": None}, ("3.13.9", "pyenv", "3.13.9"), id="the newest that works"),
        pytest.param({"/bin/python3.13": "3.12.1"}, None, id="a file with the name of another version"),
        pytest.param({"3.13.10t": "3.13.10", "3.13.7/envs/x": "3.13.7"}, None, id="a variant, and an environment"),
    ],
)
def test_where_it_is_found(
    working: Mapping[str, str | None], found: tuple[str, str, str] | None, tmp_path: Path
) -> None:
    """The first that works: of PATH, with every folder in it, then the newest of pyenv."""
    answers: dict[Path, str | None] = {}
    for name, release in working.items():
        file = Path(name) if name.startswith("/") else tmp_path / "versions" / name / "bin" / "python3.13"
        if not name.startswith("/"):
            file.parent.mkdir(parents=True)
            file.touch()
        answers[file] = release
    interpreter = installed("3.13", [SHIM, "/bin"], tmp_path, answers.get)
    if found is None:
        assert interpreter is None
    else:
        release, where, name = found
        command = name if name.startswith("/") else str(tmp_path / "versions" / name / "bin" / "python3.13")
        assert interpreter == Interpreter(release, where, command)


def make_root(folder: Path, programs: Path) -> tuple[int, str]:
    """The status and the error of the script that makes the root of a file system, with no program but those."""
    for program in ("id", "dirname"):
        (programs / program).symlink_to(str(shutil.which(program)))
    command = ["/bin/sh", str(ROOT / "tools" / "debian_root"), "sid", str(folder)]
    done = subprocess.run(command, env={"PATH": str(programs)}, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_a_root_is_made_once(tmp_path: Path) -> None:
    """Where the root of a file system is, nothing is done, and nothing needed."""
    assert make_root(tmp_path, tmp_path) == (0, "")


def test_what_a_root_is_made_with(tmp_path: Path) -> None:
    """Where it cannot be made, the script says what is missing, and leaves nothing."""
    (tmp_path / "bin").mkdir()
    status, error = make_root(tmp_path / "made" / "sid", tmp_path / "bin")
    assert (status, "mmdebstrap is not installed" in error, error.count("\n")) == (1, True, 1)
    assert not (tmp_path / "made").exists()


# ---- what pip reads is seen in the root of another file system

TOLD = """\
env_var:
  PIP_CERT='/etc/ssl/own.pem'
  PIP_FIND_LINKS='/opt/wheels https://mirror.example/links'
env:
global:
  /etc/pip.conf, exists: True
    global.extra-index-url: file:///opt/index/simple file:///opt/more/simple/
    global.index-url: https://index.example/simple
    global.cache-dir: /var/cache/pip
    global.log: /var/log/pip.log
site:
  /venv/pip.conf, exists: False
"""


def test_paths_of_pip() -> None:
    """Its files, certificates and folders, of an index all of it, and nothing of an address or that pip writes to."""
    found = named(TOLD, {"SSL_CERT_FILE": "/etc/own/ca.pem", "OTHER": "/other"})
    assert [path for path in found if "share" not in path and path != "/etc/ssl/certs"] == [
        *("/etc/ssl/own.pem", "/opt/wheels", "/etc/pip.conf", "/opt/index", "/opt/more", "/venv/pip.conf"),
        "/etc/own/ca.pem",
    ]


def test_nothing_is_shown_twice() -> None:
    """A path inside another is there with it; one that merely begins like it is not."""
    assert outermost(["/a/b/c", "/a/b", "/a/bc", "/a/b", "/d"]) == ["/a/b", "/a/bc", "/d"]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            "I: updating\nErr:2 sid Release\nE: sid has no Release\nE: apt-get failed\nI: done\n",
            "E: sid has no Release",
        ),
        ("unshare: not permitted\n", "unshare: not permitted"),
        ("", "it did not say why"),
    ],
)
def test_why_a_suite_cannot_be_had(told: str, why: str) -> None:
    """One line of what was told, the first error of apt if there is one."""
    assert reason(told) == why


# ---- what fails the whole


def outcomes(*states: State) -> list[Outcome]:
    return [Outcome(version, state, "") for version, state in zip(VERSIONS, states, strict=False)]


@pytest.mark.parametrize(
    ("states", "complaining"),
    [
        ((PASSED, PASSED, PASSED, PASSED), []),
        ((PASSED, PASSED, PASSED, MISSING), []),
        ((MISSING, PASSED, PASSED, PASSED), []),
        ((PASSED, FAILED, PASSED, PASSED), ["the tests failed on Python 3.12"]),
        ((PASSED, PASSED, FAILED, PASSED), ["the tests failed on Python 3.13"]),
        ((PASSED, PASSED, MISSING, PASSED), ["Python 3.13 was not tested, which the Dockerfile names"]),
        ((PASSED, MISSING, PASSED, MISSING), ["2 of 4 interpreters were tested, and 3 must be"]),
        (
            (FAILED, MISSING, MISSING, MISSING),
            [
                "the tests failed on Python 3.11",
                "1 of 4 interpreters were tested, and 3 must be",
                "Python 3.13 was not tested, which the Dockerfile names",
            ],
        ),
    ],
)
def test_what_fails_all(states: tuple[State, ...], complaining: list[str]) -> None:
    """A failure anywhere, fewer than three tested, or the image's Python not tested."""
    assert complaints(outcomes(*states), of_the_image="3.13", all_asked_for=True) == complaining


@pytest.mark.parametrize(
    ("state", "complaining"),
    [
        (PASSED, []),
        (FAILED, ["the tests failed on Python 3.11"]),
        (MISSING, ["Python 3.11 was asked for and is nowhere"]),
    ],
)
def test_one_that_was_asked_for(state: State, complaining: list[str]) -> None:
    """Whoever asks for one gets to hear of that one alone."""
    assert complaints(outcomes(state), of_the_image="3.13", all_asked_for=False) == complaining


def test_the_last_lines() -> None:
    """A line for each version: what it is, where it was found, what ran, what came of it or why it could not be had."""
    told = [
        Outcome("3.11", PASSED, "9 passed in 1.00s", "3.11.7", "PATH", "make test"),
        Outcome("3.14", MISSING, "neither on PATH nor in pyenv, and Debian sid cannot be had: no mirror"),
    ]
    assert summary(told, []).splitlines() == [
        "Python 3.11.7: passed: 9 passed in 1.00s; PATH (make test)",
        "Python 3.14: NOT TESTED: neither on PATH nor in pyenv, and Debian sid cannot be had: no mirror",
        "matrix: passed",
    ]
    assert summary(told, ["so", "and so"]).splitlines()[-1] == "matrix: FAILED: so; and so"
