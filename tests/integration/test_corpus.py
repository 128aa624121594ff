"""Hostile and odd bytes, one case after the other, against a running proxy; on both event loops.

The upstream is a strict reader: what it may see of each case stands in the table of `support.corpus`.
"""

import logging
from collections.abc import AsyncIterator

import pytest
from support.corpus import CANARY, FAMILIES, Case, get, post
from support.loops import EVERY_LOOP
from support.oracle import ANSWERED
from support.rig import BARE_ROUTE, CREDENTIAL, GOOD, Forwarded, Heard, Rig, running_rig

loop_factories = EVERY_LOOP


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running_rig() as rig:
        yield rig


def check(case: Case, heard: Heard, rig: Rig) -> None:
    """The proxy answered and forwarded what the table allows."""
    assert len(heard.statuses) == len(case.steps), heard
    for status, step in zip(heard.statuses, case.steps, strict=True):
        assert status in step.statuses, heard
    assert heard.closed, "the connection stays open"
    let_in = [step.forwarded for status, step in zip(heard.statuses, case.steps, strict=True) if status == ANSWERED]
    assert rig.forwarded == let_in
    assert rig.origin.violations == []
    assert [read.credentials for read in rig.origin.requests] == [[CREDENTIAL]] * len(let_in)
    refused = heard.statuses[-1] != ANSWERED
    assert (case.partly and refused) or rig.origin.stray == 0, "the upstream saw bytes of what was refused"
    assert not refused or CANARY not in heard.data
    assert not case.hidden or not any(CANARY in read.raw for read in rig.origin.requests)


def check_log(case: Case, text: str) -> None:
    """Nothing of what was refused is logged but a path that could be read, and nothing as it came."""
    assert all(line.isprintable() for line in text.split("\n"))
    assert "Traceback" not in text
    if not any(403 in step.statuses or ANSWERED in step.statuses for step in case.steps):
        assert CANARY.decode() not in text


@pytest.mark.parametrize("cases", FAMILIES.values(), ids=FAMILIES)
async def test_cases(cases: list[Case], rig: Rig, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests) -> None:
    """Each case is answered and forwarded as its row says, wherever the network cuts it, and harms no other request."""
    caplog.set_level(logging.DEBUG)
    for case in cases:
        with subtests.test(case.name):
            caplog.clear()
            before = len(rig.logged())
            for pieces in case.ways:
                check(case, await rig.send(*pieces), rig)
                assert await rig.good_request_passes()
            check_log(case, caplog.text + rig.logged()[before:])


REFUSED = {name: refused for name, cases in FAMILIES.items() if (refused := [case for case in cases if case.refused])}


@pytest.mark.parametrize("cases", REFUSED.values(), ids=REFUSED)
async def test_a_refusal_ends_the_connection(cases: list[Case], rig: Rig, subtests: pytest.Subtests) -> None:
    """Behind what has no reading, or two, nobody knows where a request begins: none is read, whoever asks for it."""
    for case in cases:
        with subtests.test(case.name):
            check(case, await rig.send(case.persistent), rig)


@pytest.mark.parametrize(
    "refused",
    [
        post(b"Content-Length: %d" % len(GOOD)).replace(b"Host: localhost", b"Host: evil.example"),
        post(b"Content-Length: %d" % len(GOOD), target=b"/-/live"),
        get(b"Content-Length: %d" % len(GOOD), method=b"TRACE"),
    ],
    ids=["Host", "own endpoint", "TRACE"],
)
async def test_the_content_of_a_refused_request_is_no_request(refused: bytes, rig: Rig) -> None:
    """On a connection that could live on, what a refused request brings along is never served."""
    kept = refused.replace(b"Connection: close\r\n", b"")
    inner = GOOD.replace(b"good", b"evil")
    await rig.send(kept, inner, GOOD, quiet=0.2)
    assert rig.forwarded in ([], [Forwarded(b"/v1/good")])


@pytest.mark.parametrize("rest", [b"/a", b"/../v1/job", b"/%2e%2e/graphql", b"%2f..%2fv1/job", b"s/../../v1/job"])
async def test_a_credential_belongs_to_the_route_as_written(rest: bytes, rig: Rig) -> None:
    """Whatever an upstream makes of a path, the route that it was written for decides about the credential."""
    heard = await rig.send(get(b"Authorization: mine", target=BARE_ROUTE + rest))
    if heard.statuses == [ANSWERED]:
        (read,) = rig.origin.requests
        bare = rest.startswith(b"/")
        assert read.target == (rest if bare else BARE_ROUTE + rest)
        assert read.credentials == [b"mine" if bare else CREDENTIAL]
    else:
        assert heard.statuses == [400]
        assert rig.origin.received == 0
