"""What a response says of the hop that it came from."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from proxy.doctor.faults import captive
from proxy.doctor.findings import Finding, fail, ok, warn
from proxy.doctor.hops import CheckedRequest
from proxy.settings.quantities import estimated_duration

_CLOSE, _BEARABLE = 30.0, 300.0
"""Seconds. AWS refuses signatures of clocks that are more than five minutes off (Signature Version 4)."""
_SUCCESS, _REDIRECTION, _SERVER_ERROR = 2, 3, 5
"""First digits of a status."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _THROTTLED, _LOGIN_TO_NETWORK = 401, 403, 404, 429, 511
_HTML = re.compile(rb"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)
_ERROR_TYPE = re.compile(r"\w{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """What came back; `body` may be its beginning alone."""

    status: int
    media_type: str = ""
    location: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def is_page(self) -> bool:
        """Whether it is meant for a browser."""
        return self.media_type in ("text/html", "application/xhtml+xml") or _HTML.match(self.body) is not None

    @property
    def portal(self) -> str:
        """What a captive portal has put in the place of a response, "" where none has (RFC 6585 section 6)."""
        if self.outcome == _REDIRECTION:
            return f"{self.status}, a redirect{_to(self.location)}"
        is_portal = self.status == _LOGIN_TO_NETWORK or (self.outcome == _SUCCESS and self.is_page)
        return f"{self.status} with a web page" if is_portal else ""

    @property
    def outcome(self) -> int:
        """The first digit of the status."""
        return self.status // 100


def of_response(response: ProbeResponse, request: CheckedRequest) -> Finding:
    """Judge a route by the response to its `request`."""
    status, title, setting = response.status, request.credential.title, request.setting
    if status == _LOGIN_TO_NETWORK:
        return captive(response.portal)
    if response.outcome == _SERVER_ERROR:
        return fail(
            f"the upstream answers {status}", f"Try again later; if it stays, check {setting} or tell its owner."
        )
    if title and status in (_UNAUTHORIZED, _FORBIDDEN):
        return _refused(response, request)
    if status == _THROTTLED:
        return warn(f"reached, and throttled: {status}", "Send fewer requests for a while.")
    if request.known and (fault := _unexpected(response, request)) is not None:
        return fault
    words = f"{status} with {title}" if title else str(status)
    return ok(words if response.outcome == _SUCCESS else f"reached: {status}")


def of_keys(response: ProbeResponse, *, emulator: bool) -> Finding:
    """Judge a user pool by its published keys; an `emulator` may have none."""
    if response.portal:
        return captive(response.portal)
    keys = _object(response.body).get("keys")
    if response.outcome == _SUCCESS and isinstance(keys, list):
        return ok(f"{len(keys)} keys")
    detail = f"{response.status}, and no keys of the user pool"
    if emulator:
        return warn(detail, "The signatures of tokens go unchecked. Check cognito.user_pool_id.")
    return fail(detail, "Check cognito.region and cognito.user_pool_id with `ul-proxy config`.")


def of_clock(ahead: float, server: float, whose: str) -> Finding:
    """Judge a wall clock that is `ahead` seconds ahead of `server`, the time in a response of `whose`."""
    if abs(ahead) <= _CLOSE:
        return ok(f"as {whose} has it")
    time = datetime.fromtimestamp(server, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    detail = f"{estimated_duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} {whose}, where it is {time}"
    if abs(ahead) <= _BEARABLE:
        return warn(detail, "Let the machine keep its time: timedatectl set-ntp true.")
    return fail(
        detail,
        "Set the clock (timedatectl set-ntp true). The proxy copes with a wrong one, but AWS refuses what is signed "
        "with its time, and certificates seem to have ended.",
    )


def _refused(response: ProbeResponse, request: CheckedRequest) -> Finding:
    if response.is_page:
        return fail(
            f"{response.status} with a web page, which is not how the API refuses",
            f"Something on the way blocks it: ask whoever runs the network, and check {request.setting}.",
        )
    advice = request.credential.advice(response.status, request.setting)
    return (fail if advice.grave else warn)(advice.detail, advice.fix)


def _unexpected(response: ProbeResponse, request: CheckedRequest) -> Finding | None:
    """Find what is wrong with the response of an API to a good request."""
    status, setting = response.status, request.setting
    if response.portal:
        return captive(response.portal)
    if status == _NOT_FOUND:
        return fail(f"{status}: the API is not there", f"Check the address in {setting}.")
    if response.outcome != _SUCCESS:
        return warn(f"reached: {status}", f"Check the address in {setting}.")
    return _graphql_fault(response, setting) if request.route.graphql else None


def _graphql_fault(response: ProbeResponse, setting: str) -> Finding | None:
    document = _object(response.body)
    errors = document.get("errors")
    if errors:
        first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
        kind = first.get("errorType")
        named = f" ({kind})" if isinstance(kind, str) and _ERROR_TYPE.fullmatch(kind) else ""
        fix = "Ask your Unleash Live administrator whether the account may use Media Drive."
        return fail(f"{response.status}, but GraphQL errors{named}", fix)
    if "data" not in document:
        return fail(f"{response.status}, but no GraphQL answer", f"Check the address in {setting}.")
    return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _to(location: str) -> str:
    """Say where a redirect leads: the host alone, for the rest may hold a secret."""
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return f" to {host}" if host else ""
