"""Fixtures: user pools on Cognito emulators that other people wrote. `tests/conftest.py` loads them for every test."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from support import servers
from support.servers import ForeignCognito

_RUN_MAKE_TEST = "MiniStack is not at hand (MINISTACK_PYTHON): run make test"


@pytest.fixture(scope="session")
def moto_cognito(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignCognito]:
    """A user pool on moto, which is right about passwords and refresh tokens but believes any SRP proof."""
    with servers.moto(tmp_path_factory.mktemp("moto")) as endpoint_url:
        yield servers.create_pool(endpoint_url)


@pytest.fixture(scope="session")
def ministack_cognito(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignCognito]:
    """A user pool on MiniStack, which really verifies SRP and honours lifetimes."""
    with servers.ministack(tmp_path_factory.mktemp("ministack"), _ministack_python()) as endpoint_url:
        yield servers.create_pool(endpoint_url)


@pytest.fixture(scope="session", params=["moto", "ministack"])
def foreign_cognito(request: pytest.FixtureRequest) -> ForeignCognito:
    """Each of the foreign user pools in turn."""
    pool: ForeignCognito = request.getfixturevalue(f"{request.param}_cognito")
    return pool


def _ministack_python() -> str:
    """The interpreter that has MiniStack. Its absence fails the tests: a silent skip would look like a pass."""
    python = os.environ.get("MINISTACK_PYTHON")
    if not python:
        pytest.fail(_RUN_MAKE_TEST, pytrace=False)
    # Without cryptography MiniStack starts all the same and signs its tokens with nothing that verifies.
    check = [python, "-c", "import cryptography, ministack"]
    if subprocess.run(check, capture_output=True, check=False).returncode != 0:
        pytest.fail(f"{_RUN_MAKE_TEST} ({python} lacks ministack or cryptography)", pytrace=False)
    return python
