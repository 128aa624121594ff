"""What is known while somebody looks on: from the first request that is remembered to the last that can be read."""

import json
from typing import TYPE_CHECKING, Any

from proxy.model import OWN, RequestRecord
from proxy.observe.inspector.masks import Masks
from proxy.observe.inspector.session import InspectorSession
from proxy.observe.request_log import Recent, RequestLog

if TYPE_CHECKING:
    from proxy.forward.forwarder import Interceptor


class Onlooker:
    """What somebody who looks on is told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.more = 0

    def __call__(self, lines: list[str], more: int) -> None:
        self.paths += [json.loads(line)["target"] for line in lines]
        self.more += more


def ended(path: str, **facts: Any) -> RequestRecord:
    made = RequestRecord("GET", 1.0)
    made.path, made.ended = path, 2.0
    for name, value in facts.items():
        setattr(made, name, value)
    return made


async def test_from_beginning_to_end() -> None:
    """What was before is there for whoever comes; what ends meanwhile is told; the end leaves nobody listening."""
    taps: list[Interceptor | None] = []
    recent, onlooker = Recent(5), Onlooker()
    request_log = RequestLog(recent)
    request_log(ended("/before"))
    session = InspectorSession(request_log, recent, taps.append, onlooker, Masks())
    assert [json.loads(line)["target"] for line in session.lines] == ["/before"]
    request_log(ended("/meanwhile"))
    request_log(ended("/-/live", route=OWN))
    request_log.flush()
    assert onlooker.paths == ["/meanwhile"]
    session.end()
    request_log(ended("/after"))
    request_log.flush()
    assert (onlooker.paths, [interceptor is None for interceptor in taps]) == (["/meanwhile"], [False, True])


async def test_a_flood() -> None:
    """Of more than anybody can read some are told, and how many more there were; looks at the proxy do not count."""
    recent, onlooker = Recent(5), Onlooker()
    request_log = RequestLog(recent)
    session = InspectorSession(request_log, recent, lambda _: None, onlooker, Masks())
    for turn in range(3):
        for n in range(90):
            request_log(ended(f"/{turn}/{n}"))
            request_log(ended("/-/live", route=OWN))
        request_log.flush()
    assert (len(onlooker.paths), onlooker.more) == (200, 70)
    request_log(ended("/later"))
    request_log.flush()
    assert onlooker.more == 71
    session.end()
