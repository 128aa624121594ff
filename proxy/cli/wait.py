"""`ul-proxy wait`: until the running proxy is ready."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from proxy.cli.inquiry import PATIENCE, Inquiry, InquiryReply
from proxy.cli.places import find
from proxy.cli.progress import Waiting
from proxy.cli.streams import put_out
from proxy.errors import NotRunning, StartError
from proxy.observe.logs import printable
from proxy.settings import load

INTERVAL = 0.05
"""Seconds between two questions: a tenth of a second is what a person takes for at once, and each costs little."""
_LEAST = 0.1
"""Seconds that even the last question may take."""
_BY_A_PERSON = ("login_required", "credential_missing", "defective", "incompatible_library")
"""What does not mend itself, and has a hint that says how."""
WAIT_LONGER = "Wait longer with --max, or see `ul-proxy status`."
_REFUSALS = (401, 403, 404)


class Reason(NamedTuple):
    """Why a proxy is not ready."""

    code: str
    detail: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.detail}. {self.hint}".rstrip()


def run(flags: Mapping[str, Any], config: str | None, *, max: float, url: str | None, profile: str, json: bool) -> int:  # noqa: A002
    options = load(flags, config).options()

    def inquiry() -> Inquiry:
        return Inquiry(find(options, url, public=True), options.policy.client_token, profile)

    return _wait(inquiry, max, as_json=json)


def _wait(inquiry: Callable[[], Inquiry], limit: float, *, as_json: bool) -> int:
    began = time.monotonic()
    whom = _whom(inquiry)
    with Waiting(f"waiting for {whom}") as progress:
        reason = until_ready(
            lambda patience: look(inquiry, patience),
            limit,
            now=time.monotonic,
            pause=time.sleep,
            tell=lambda reason: progress.say(f"waiting for {whom}: {reason.detail}"),
        )
    if as_json:
        reply = {"ready": reason is None, "url": _whom(inquiry), "seconds": round(time.monotonic() - began, 3)}
        put_out(json.dumps(reply | (reason._asdict() if reason is not None else {}), ensure_ascii=False))
        return 0 if reason is None else 1
    if reason is not None:
        raise StartError(f"not ready within {limit:g} s: {reason.detail}", hint=reason.hint)
    put_out(f"{_whom(inquiry)} is ready.")
    return 0


def _whom(inquiry: Callable[[], Inquiry]) -> str:
    try:
        return str(inquiry().place)
    except NotRunning:
        return "the proxy"


def until_ready(
    look: Callable[[float], Reason | None],
    limit: float,
    *,
    now: Callable[[], float],
    pause: Callable[[float], None],
    tell: Callable[[Reason], None],
) -> Reason | None:
    """None once `look` finds no reason why not, or the last one after `limit` seconds.

    `look` is given how many seconds it may take. `now` and `pause` are a clock, and `tell` hears every reason.
    """
    end = now() + limit
    while True:
        reason = look(min(PATIENCE, max(_LEAST, end - now())))
        if reason is None:
            return None
        tell(reason)
        left = end - now()
        if left <= 0:
            return reason
        pause(min(INTERVAL, left))


def look(where: Callable[[], Inquiry], patience: float) -> Reason | None:
    """Why the proxy is not ready now; raises StartError where it will not tell this caller.

    `where` raises NotRunning while nobody knows where the proxy is.
    """
    try:
        inquiry = where()
        reply = inquiry.ask("/-/ready", patience=patience)
    except NotRunning as error:
        return Reason(error.code, error.detail, error.hint)
    if reply.good:
        return None
    if reply.status in _REFUSALS:
        raise inquiry.refusal(reply)
    return _reason(reply)


def _reason(reply: InquiryReply) -> Reason:
    code, detail, hint = (printable(str(reply.document.get(name, ""))) for name in ("code", "detail", "hint"))
    return Reason(code, detail, hint if code in _BY_A_PERSON else WAIT_LONGER)
