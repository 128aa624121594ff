"""`ul-proxy stop`: the running proxy drains and ends."""

from collections.abc import Mapping
from typing import Any

from proxy.cli.inquiry import Inquiry, InquiryConnection, InquiryReply
from proxy.cli.places import find
from proxy.cli.progress import Waiting
from proxy.cli.streams import put_out
from proxy.errors import NoRoute, NotRunning, ProxyError, StartError
from proxy.observe.logs import printable
from proxy.settings import load


def run(flags: Mapping[str, Any], config: str | None, *, max: float, url: str | None) -> int:  # noqa: A002
    options = load(flags, config).options()
    inquiry = Inquiry(find(options, url), options.policy.client_token)
    return _stop(inquiry, max)


def _stop(inquiry: Inquiry, limit: float) -> int:
    place = inquiry.place
    with InquiryConnection(inquiry) as conversation:
        try:
            reply = conversation.say("POST", "/-/stop")
        except NotRunning as error:
            raise NotRunning(error.detail, hint="If it is elsewhere, give --url.") from None
        if not reply.good:
            raise _refusal(inquiry, reply)
        under_way = _requests(reply)
        with Waiting(f"{place} is draining: {under_way} under way"):
            ended = conversation.ended(limit)
    if not ended:
        raise StartError(
            f"the proxy at {place} is draining, and has not ended within {limit:g} s; it had {under_way} under way",
            hint="Wait longer with --max, or send it SIGTERM, which cuts them off.",
        )
    put_out(f"The proxy at {place} has ended; it had {under_way} under way.")
    return 0


def _requests(reply: InquiryReply) -> str:
    count = printable(str(reply.document.get("requests_in_flight")))
    return f"{count} request{'' if count == '1' else 's'}"


def _refusal(inquiry: Inquiry, reply: InquiryReply) -> ProxyError:
    """Why the proxy does not stop, and what helps."""
    if reply.document.get("code") != NoRoute.code:
        return inquiry.refusal(reply)
    pid = inquiry.ask("/-/status").document.get("pid")
    process = f": kill {pid}" if isinstance(pid, int) else ""
    return StartError(
        f"the proxy at {inquiry.place} does not end on request",
        hint=f"Set enable_stop = true (UL_PROXY_ENABLE_STOP=true) for it, or send it SIGTERM{process}",
    )
