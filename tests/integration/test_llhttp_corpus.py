"""llhttp's own requests through the proxy: whatever is let in, h11 reads the forwarded bytes as the same request."""

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest
from support.llhttp_corpus import FILES, Sample, at_home, corpus, requests_in, unescaped
from support.loops import EVERY_LOOP
from support.oracle import ANSWERED
from support.rig import Rig, disagreements, running_rig

loop_factories = EVERY_LOOP

LANES = 8
NOTHING_GOOD = ("invalid", "lenient-header-value-relaxed", "lenient-headers", "lenient-version")
"""Files that may hold nothing that is right."""
QUIET = 0.05
"""Seconds of silence after which a request is taken to be incomplete."""


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("GET / HTTP/1.1\n\n\n", b"GET / HTTP/1.1\r\n\r\n"),
        ("a\\\nb\n", b"ab"),
        ("a\\tb\\r\\n\\f\n", b"a\tb\r\n\f"),
        ("\\x00\\xff\\12\n", b"\x00\xff\n"),
        ("\\xe9 €\n", "\xe9 €".encode()),
    ],
)
def test_escapes(text: str, data: bytes) -> None:
    """Blocks are read as llhttp's own runner reads them."""
    assert unescaped(text) == data


def test_the_corpus_is_whole() -> None:
    """Every file with requests is known here, and there are as many requests as one would think."""
    folder = corpus()
    assert {file.stem for file in (folder / "request").glob("*.md")} == set(FILES)
    samples = [sample for file in (folder / "request").glob("*.md") for sample in requests_in(file)]
    assert len(samples) >= 150
    assert sum(at_home(sample.data) != sample.data for sample in samples) >= 100


async def verdict(sample: Sample, data: bytes, rig: Rig) -> tuple[list[str], bool]:
    """What is wrong with how one request went, and whether it was let in."""
    heard = await rig.send(data, quiet=QUIET)
    wrong = [f"{sample.name}: {fault}\n  of {data!r}" for fault in disagreements(data, heard, rig.origin)]
    if not await rig.good_request_passes():
        wrong.append(f"{sample.name}: the next request failed\n  after {data!r}")
    return wrong, ANSWERED in heard.statuses


async def judge(samples: list[Sample]) -> tuple[list[str], int]:
    """All that is wrong, and how many were let in."""
    left = [(sample, data) for sample in samples for data in dict.fromkeys((sample.data, at_home(sample.data)))]
    verdicts: list[tuple[list[str], bool]] = []

    async def lane(rig: Rig) -> None:
        while left:
            sample, data = left.pop()
            verdicts.append(await verdict(sample, data, rig))

    async with AsyncExitStack() as stack:
        rigs = [await stack.enter_async_context(running_rig()) for _ in range(LANES)]
        await asyncio.gather(*map(lane, rigs))
    return [fault for wrong, _ in verdicts for fault in wrong], sum(let_in for _, let_in in verdicts)


@pytest.mark.parametrize("name", [*FILES, "url"])
async def test_same_reading(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each request of the corpus is refused, or read by the upstream as h11 reads it in the caller's bytes."""
    folder = corpus() / ("" if name == "url" else "request")
    caplog.set_level(logging.DEBUG)
    wrong, let_in = await judge(requests_in(folder / f"{name}.md"))
    assert not wrong, "\n".join(wrong)
    assert let_in or name in NOTHING_GOOD, "nothing was let in: the proof would be empty"
    assert "Traceback" not in caplog.text
