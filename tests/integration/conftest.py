"""What integration tests stand between; a test of `unit/` needs none of it and loads none of it."""

import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support import servers
from support.containers import base, engine, image
from support.desk import Desk, desk_in
from support.servers import ForeignCognito
from support.shell import shell
from support.stack import new_cognito

from proxy.demo.cognito import EmbeddedCognito

__all__ = ["base", "engine", "image", "shell"]

STARTS_PROCESSES = re.compile(r"subprocess|bench\.|support\.(browser|commands|mortal|screen|served|servers|silence)\b")
"""In the text of a module."""
STARTED = {"engine", "desk", "moto_cognito", "ministack_cognito", "foreign_cognito", "shell"}
"""Fixtures that start processes."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark as `slow` what starts processes: nothing else takes much more than a second."""
    text = item.path.read_text("utf-8")
    if STARTS_PROCESSES.search(text) or not STARTED.isdisjoint(getattr(item, "fixturenames", ())):
        item.add_marker("slow")


_RUN_MAKE_TEST = "MiniStack is not at hand (MINISTACK_PYTHON): run make test"


@pytest.fixture
def cognito() -> EmbeddedCognito:
    return new_cognito()


@pytest.fixture
async def cognito_url(cognito: EmbeddedCognito) -> AsyncIterator[str]:
    async with cognito.running() as url:
        yield url


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_in(tmp_path) as made:
        yield made


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
