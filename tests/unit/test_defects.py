"""Counting exceptions that nobody expected, and when they make the proxy unready."""

import logging
from typing import Any

import pytest

from proxy.errors.defects import Defects, Where

D, W, OWN, RENEWAL, STRAY = "defect", "well", "own endpoint", "renewal", "event loop"


def after(*events: str) -> Defects:
    defects = Defects()
    for event in events:
        match event:
            case "defect":
                defects.met(Where.ANSWERING, request=True)
            case "well":
                defects.went_well()
            case "own endpoint":
                defects.met(Where.OWN_ENDPOINTS)
            case "renewal":
                defects.met(Where.RENEWING)
            case "event loop":
                defects.count({"message": "", "exception": TypeError("a coroutine was expected")})
    return defects


@pytest.mark.parametrize(
    ("events", "lasting"),
    [
        ([], False),
        ([D, D], False),
        ([D, D, D], True),
        ([D, D, D, D], True),
        ([STRAY, STRAY, STRAY], True),
        ([D, STRAY, D], True),
        ([D, D, W, D, D], False),
        ([D, W, D, W, D, W], False),
        ([D, D, D, W], False),
        ([D, D, D, W, D, D], False),
        ([D, D, D, W, D, D, D], True),
        ([OWN, OWN, OWN, OWN], False),
        ([D, OWN, D, OWN], False),
        ([D, OWN, D, OWN, D], True),
        ([RENEWAL, RENEWAL, RENEWAL], False),
    ],
)
def test_in_a_row(events: list[str], lasting: bool) -> None:
    """Three requests in a row make it unready, until one goes well; own endpoints and renewals have no part in it."""
    assert after(*events).lasting is lasting


def test_counts() -> None:
    """Each is counted by where it was met, and those that went well take nothing away."""
    assert after(D, OWN, W, D, RENEWAL, STRAY).counts == {
        "answering": 2,
        "own_endpoints": 1,
        "renewing": 1,
        "event_loop": 1,
    }


@pytest.mark.parametrize(
    ("context", "counted", "in_a_row"),
    [
        ({"exception": TypeError()}, 1, 1),
        ({"exception": TypeError(), "protocol": object()}, 1, 1),
        ({"exception": TypeError(), "handle": object()}, 1, 1),
        ({"exception": TypeError(), "future": object()}, 1, 0),
        ({"exception": ConnectionResetError()}, 0, 0),
        ({"exception": TimeoutError()}, 0, 0),
        ({"message": "Task was destroyed but it is pending!", "task": object()}, 0, 0),
        ({"exception": KeyboardInterrupt()}, 0, 0),
    ],
    ids=["bare", "protocol", "callback", "task", "network", "time", "no exception", "interrupt"],
)
def test_what_the_event_loop_tells(context: dict[str, Any], counted: int, in_a_row: int) -> None:
    """What callbacks and protocols raise counts as a request's, what tasks raise does not; the network never counts."""
    defects = Defects()
    defects.count({"message": "", **context})
    assert (defects.counts[Where.EVENT_LOOP], defects.in_a_row) == (counted, in_a_row)


def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """That it turns unready is an error in the log, once, and that it is ready again a line as well."""
    after(D, D, D, D, D, W, W, D, W)
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, "3 requests in a row met a defect: not ready until one goes well"),
        (logging.WARNING, "a request went well again after 5 that met a defect: ready"),
    ]
