"""What is known while somebody looks on: from the first request that is remembered to the last that can be read."""

import json
from typing import TYPE_CHECKING, Any

from proxy.model import OWN, AccessEntry
from proxy.observe.inspector.masks import Masks
from proxy.observe.inspector.session import Session
from proxy.observe.request_log import Journal, Recent

if TYPE_CHECKING:
    from proxy.forward.forwarder import Tap


class Onlooker:
    """What somebody who looks on is told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.more = 0

    def __call__(self, lines: list[str], more: int) -> None:
        self.paths += [json.loads(line)["target"] for line in lines]
        self.more += more


def ended(path: str, **facts: Any) -> AccessEntry:
    made = AccessEntry("GET", 1.0)
    made.path, made.ended = path, 2.0
    for name, value in facts.items():
        setattr(made, name, value)
    return made


async def test_from_beginning_to_end() -> None:
    """What was before is there for whoever comes; what ends meanwhile is told; the end leaves nobody listening."""
    taps: list[Tap | None] = []
    recent, onlooker = Recent(5), Onlooker()
    journal = Journal(recent)
    journal(ended("/before"))
    session = Session(journal, recent, taps.append, onlooker, Masks())
    assert [json.loads(line)["target"] for line in session.lines] == ["/before"]
    journal(ended("/meanwhile"))
    journal(ended("/-/live", route=OWN))
    journal.flush()
    assert onlooker.paths == ["/meanwhile"]
    session.end()
    journal(ended("/after"))
    journal.flush()
    assert (onlooker.paths, [tap is None for tap in taps]) == (["/meanwhile"], [False, True])


async def test_a_flood() -> None:
    """Of more than anybody can read some are told, and how many more there were; looks at the proxy do not count."""
    recent, onlooker = Recent(5), Onlooker()
    journal = Journal(recent)
    session = Session(journal, recent, lambda _: None, onlooker, Masks())
    for turn in range(3):
        for n in range(90):
            journal(ended(f"/{turn}/{n}"))
            journal(ended("/-/live", route=OWN))
        journal.flush()
    assert (len(onlooker.paths), onlooker.more) == (200, 70)
    journal(ended("/later"))
    journal.flush()
    assert onlooker.more == 71
    session.end()
