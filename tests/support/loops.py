"""The event loops that tests run on; a plugin of pytest, which conftest names."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

EVERY_LOOP: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""Those that the proxy runs on."""
_DEFAULT: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """A module of tests asks for the loops of its choice by a global of the name `loop_factories`.

    Its tests whose subject runs in another process, on a loop of its own, are marked `one_loop`.
    """
    if item.get_closest_marker("one_loop") is not None:
        return _DEFAULT
    module = item.getparent(pytest.Module)
    factories: Mapping[str, LoopFactory] = getattr(module and module.obj, "loop_factories", _DEFAULT)
    return factories
