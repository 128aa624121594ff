"""A request with its credential, sent once more where an upstream refuses that.

==============================  ============================  =========================
the response                    another proof, and the body   what becomes of it
==============================  ============================  =========================
accepts the credential          not looked at                 passed on
refuses the credential          there is none                 passed on
refuses the credential          a proof, and no body any more passed on
refuses the credential          both                          dropped, and asked again
comes to the second request     not looked at                 passed on
==============================  ============================  =========================
"""

from time import perf_counter

from proxy.forward.plan import ForwardPlan
from proxy.http.client.transport import Transport, UpstreamAnswer, UpstreamRequest
from proxy.identity.credentials import Proof
from proxy.model import RequestRecord


async def exchange(
    outgoing: UpstreamRequest, plan: ForwardPlan, id_line: bytes, transport: Transport, record: RequestRecord
) -> tuple[UpstreamAnswer, bytes]:
    """Send a request as planned, and once more where its credential is refused.

    `id_line` is as `ForwardPlan.head` has it. Returns the response, which is to be closed, and what has been read of
    its content to judge it. Raises a CredentialError or UpstreamError.
    """
    credential = plan.credential
    proof = credential.at_hand() or await credential.get()
    outgoing.head = plan.head(proof, id_line)
    record.asked = perf_counter()
    try:
        response = await transport.send(outgoing)
    finally:
        record.answered = perf_counter()
    if response.head.status not in proof.judged:
        return response, b""
    again, content = await _is_refused(proof, response)
    if not again or (outgoing.body is not None and not outgoing.body.replayable):
        return response, content
    response.close()
    outgoing.head = plan.head(await credential.get(), id_line)
    # What went between the two is the proxy's own share.
    record.asked += perf_counter() - record.answered
    try:
        return await transport.send(outgoing), b""
    finally:
        record.answered = perf_counter()


async def _is_refused(proof: Proof, response: UpstreamAnswer) -> tuple[bool, bytes]:
    """Judge a response: whether another proof can help, and the content where that had to be read to know."""
    content = b""
    try:
        if proof.wants_content(response.head):
            while data := await response.read():
                content += data
        return proof.refused(response.head, content), content
    except BaseException:
        response.close()
        raise
