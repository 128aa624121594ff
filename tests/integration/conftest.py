"""Which event loops a module's tests run on, and a proxy between a test and an upstream of its own."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.loops import LoopFactory


@pytest.hookimpl
def pytest_asyncio_loop_factories(item: pytest.Item) -> "Mapping[str, LoopFactory] | None":
    """A module asks for loops of its choice by a global of the name `loop_factories`."""
    module = item.getparent(pytest.Module)
    factories: Mapping[str, Callable[[], object]] | None = getattr(module and module.obj, "loop_factories", None)
    return factories  # type: ignore[return-value]
