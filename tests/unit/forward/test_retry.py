"""A request and its credential, against an upstream that the test decides: what is sent, and what is sent again."""

from collections.abc import Sequence
from typing import cast

import pytest

from proxy.forward.plan import ForwardPlan
from proxy.forward.planner import Planner
from proxy.forward.policy import Policy
from proxy.forward.retry import exchange
from proxy.forward.route import Route
from proxy.forward.routes import RouteTable
from proxy.http.address import Upstream
from proxy.http.client.transport import Transport, UpstreamAnswer, UpstreamRequest
from proxy.http.grammar import Head, parse_head, parse_request
from proxy.identity.credentials import NO_SOURCES, Credential, CredentialKind, Credentials, Proof, Sources
from proxy.identity.profile import CognitoPool, Profile
from proxy.model import RequestRecord

PROFILE = Profile("default", CognitoPool("ap-southeast-2", "ap-southeast-2_Test", "client"))


class Signature(Proof):
    """Several lines, which differ for each request, its time included."""

    judged = (403,)

    def __init__(self, times: list[int]) -> None:
        super().__init__(b"")
        self._times = times

    def field_lines(self, request_line: bytes, fields: bytes) -> bytes:
        method, target, _ = request_line.split(b" ")
        signed = b";".join((method, target, b"%d" % fields.count(b"\r\n")))
        return b"X-Date: %d\r\nX-Signature: %b\r\n" % (self._times[-1], signed)

    def wants_content(self, head: Head) -> bool:
        return True

    def refused(self, head: Head, content: bytes) -> bool:
        if content == b"skewed":
            self._times.append(int(dict(head.headers)[b"Date"]))
        return content == b"skewed"


class Signing(Credential):
    """A kind of which this program knows nothing."""

    name, title = "toy", "the signature"

    def __init__(self, profile: Profile, _header: str | None, _sources: Sources) -> None:
        super().__init__(profile, ("X-Date", "X-Signature"))
        self._proof = Signature([1])
        self.waited = 0

    def at_hand(self) -> Proof | None:
        return None

    async def get(self) -> Proof:
        self.waited += 1
        return self._proof


ROUTE = Route("", Upstream.parse("https://api.example/base"), CredentialKind("toy", Signing))


def planned(head: bytes) -> ForwardPlan:
    planner = Planner(Policy(), RouteTable((), (ROUTE,)), Credentials({"default": PROFILE}, NO_SOURCES))
    plan = planner.plan(parse_request(head, 0, len(head)), secure=False)
    assert isinstance(plan, ForwardPlan)
    return plan


class Answer:
    """A response, and whether it has been let go."""

    def __init__(self, status: int, content: bytes = b"", date: int = 0) -> None:
        self.head = parse_head(b"HTTP/1.1 %d X\r\nDate: %d\r\n\r\n" % (status, date))[0]
        self._content = content
        self.closed = False

    async def read(self) -> bytes:
        content, self._content = self._content, b""
        return content

    def close(self) -> None:
        self.closed = True


class Scripted:
    """The transport: gives the responses in their order."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = iter(answers)
        self.heads: list[list[bytes]] = []

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        self.heads.append(request.head.split(b"\r\n"))
        return cast("UpstreamAnswer", next(self._answers))

    async def close(self) -> None: ...


class Body:
    """A content that can, or cannot, be sent again."""

    def __init__(self, *, replayable: bool) -> None:
        self.replayable = replayable


async def asked(plan: ForwardPlan, *answers: Answer, body: Body | None = None) -> tuple[Answer, bytes, Scripted]:
    transport = Scripted(*answers)
    outgoing = UpstreamRequest("GET", ROUTE.upstream, b"", lambda _head: None)
    outgoing.body = cast("None", body)
    response, content = await exchange(outgoing, plan, b"", cast("Transport", transport), RequestRecord("GET", 0.0))
    return cast("Answer", response), content, transport


GET = b"GET /a?b=c HTTP/1.1\r\nHost: localhost\r\nx_signature: mine\r\nX-Api-Key: mine\r\nAccept: d\r\n\r\n"


def lines(head: Sequence[bytes]) -> set[bytes]:
    return set(head) - {b""}


async def test_a_kind_that_signs() -> None:
    """A kind of several lines, made of the request as it goes out, fits: its caller's own lines stay behind."""
    plan = planned(GET)
    response, _, transport = await asked(plan, Answer(200))
    assert response.head.status == 200
    assert lines(transport.heads[0]) == {
        b"GET /base/a?b=c HTTP/1.1",
        b"Host: api.example",
        b"Accept: d",
        b"Via: 1.1 ul-proxy",
        b"X-Date: 1",
        b"X-Signature: GET;/base/a?b=c;3",
    }
    assert cast("Signing", plan.credential).waited == 1


async def test_what_a_refusal_teaches() -> None:
    """A refusal that another proof can mend has the request sent again, once, with what was learned from it."""
    first, second = Answer(403, b"skewed", date=7), Answer(403, b"skewed", date=8)
    response, content, transport = await asked(planned(GET), first, second)
    assert (response, content) == (second, b"")
    assert [b"X-Date: 1" in transport.heads[0], b"X-Date: 7" in transport.heads[1]] == [True, True]
    assert (first.closed, second.closed) == (True, False)


async def test_a_refusal_that_stays() -> None:
    """A refusal that no other proof mends is passed on, with the content that was read to judge it."""
    answer = Answer(403, b"not yours")
    response, content, transport = await asked(planned(GET), answer)
    assert (response, content, answer.closed, len(transport.heads)) == (answer, b"not yours", False, 1)


@pytest.mark.parametrize(("replayable", "sent"), [(True, 2), (False, 1)])
async def test_a_content_that_is_gone(replayable: bool, sent: int) -> None:
    """A request is sent again only where all of its content is still held; either way the credential learns of it."""
    answers = [Answer(403, b"skewed", date=7), Answer(200)]
    plan = planned(GET)
    response, _, transport = await asked(plan, *answers, body=Body(replayable=replayable))
    assert (response, len(transport.heads)) == (answers[sent - 1], sent)
    *_, later = (await asked(plan, Answer(200)))[2].heads
    assert b"X-Date: 7" in later


async def test_a_defect_while_judging() -> None:
    """A response is let go of where judging it fails."""

    class Broken(Answer):
        async def read(self) -> bytes:
            raise ZeroDivisionError

    answer = Broken(403)
    with pytest.raises(ZeroDivisionError):
        await asked(planned(GET), answer)
    assert answer.closed
