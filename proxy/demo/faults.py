"""Faults on demand: what a test asks a server of the sandbox to do wrong."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from aiohttp import web


class Fault(Enum):
    THROTTLE = auto()
    """Refused for coming too often, before anything is done."""
    FAIL = auto()
    """Answered as an internal error, before anything is done."""
    DROP = auto()
    """The connection is closed without an answer, before anything is done."""
    DROP_ANSWER = auto()
    """The work is done and its answer lost: the connection is closed instead."""


@dataclass
class _Order:
    fault: Fault
    operation: str | None
    remaining: int | None


@dataclass
class _Chance:
    fault: Fault
    operation: str | None
    probability: float
    draw: Callable[[], float]


@dataclass
class _Gate:
    operation: str | None
    opened: asyncio.Event


class Faults:
    """What goes wrong with the next calls. An `operation` of None means all; `calls` of None means until `clear`.

    Orders are carried out in the order in which they were given.
    """

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._chances: list[_Chance] = []
        self._gates: list[_Gate] = []

    def throttle(self, calls: int | None = 1, operation: str | None = None) -> None:
        """Refuse the next calls as too many."""
        self._order(Fault.THROTTLE, calls, operation)

    def fail(self, calls: int | None = 1, operation: str | None = None) -> None:
        """Answer the next calls with an internal error."""
        self._order(Fault.FAIL, calls, operation)

    def drop(self, calls: int | None = None, operation: str | None = None) -> None:
        """Be down: close the connection of the next calls without an answer."""
        self._order(Fault.DROP, calls, operation)

    def drop_answer(self, calls: int | None = 1, operation: str | None = None) -> None:
        """Do what the next calls ask for, but lose the answer."""
        self._order(Fault.DROP_ANSWER, calls, operation)

    def sometimes(
        self, fault: Fault, probability: float, draw: Callable[[], float], operation: str | None = None
    ) -> None:
        """Let `fault` befall calls with a `probability` until `clear`; `draw` returns uniform numbers in [0, 1)."""
        self._chances.append(_Chance(fault, operation, probability, draw))

    def hold(self, operation: str | None = None) -> asyncio.Event:
        """Do what calls ask for, but hold their answers until the returned event is set."""
        gate = _Gate(operation, asyncio.Event())
        self._gates.append(gate)
        return gate.opened

    def clear(self) -> None:
        """Be well again, and let go of every held answer."""
        for gate in self._gates:
            gate.opened.set()
        self._gates.clear()
        self._orders.clear()
        self._chances.clear()

    def take(self, operation: str) -> Fault | None:
        """What goes wrong with this call of `operation`; counts it."""
        for order in self._orders:
            if order.operation in (None, operation) and order.remaining != 0:
                if order.remaining is not None:
                    order.remaining -= 1
                return order.fault
        for chance in self._chances:
            if chance.operation in (None, operation) and chance.draw() < chance.probability:
                return chance.fault
        return None

    async def wait(self, operation: str) -> None:
        """Return once no gate holds answers of `operation`."""
        for gate in [gate for gate in self._gates if gate.operation in (None, operation)]:
            await gate.opened.wait()

    def _order(self, fault: Fault, calls: int | None, operation: str | None) -> None:
        self._orders.append(_Order(fault, operation, calls))


def hang_up(request: web.Request) -> web.Response:
    """Close the connection of `request`; returns a response for aiohttp's sake, which nobody receives."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
