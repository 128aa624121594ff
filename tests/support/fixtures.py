"""What most integration tests stand between: an embedded Cognito and an upstream that records."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.demo.cognito import EmbeddedCognito
from support.desk import Desk, desk_in
from support.origin import Origin
from support.stack import new_cognito


@pytest.fixture
def cognito() -> EmbeddedCognito:
    return new_cognito()


@pytest.fixture
async def cognito_url(cognito: EmbeddedCognito) -> AsyncIterator[str]:
    async with cognito.running() as url:
        yield url


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin().running() as origin:
        yield origin


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_in(tmp_path) as made:
        yield made
