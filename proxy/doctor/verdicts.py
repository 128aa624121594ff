"""What an answer says of the hop that it came from."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from proxy.doctor.faults import captive
from proxy.doctor.findings import Finding, fail, ok, warn
from proxy.doctor.plan import CheckedRequest
from proxy.errors.names import variables
from proxy.forward.route import Auth
from proxy.settings.quantities import estimated_duration

_CLOSE, _BEARABLE = 30.0, 300.0
"""Seconds. AWS refuses signatures of clocks that are more than five minutes off (Signature Version 4)."""
_SUCCESS, _REDIRECTION, _SERVER_ERROR = 2, 3, 5
"""First digits of a status."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _THROTTLED, _LOGIN_TO_NETWORK = 401, 403, 404, 429, 511
_SHOWN = {
    Auth.REST: " with the ID token",
    Auth.GRAPHQL: " with the ID token",
    Auth.API_KEY: " with the API key",
    Auth.BEARER: " with the personal access token",
    Auth.NONE: "",
}
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
        """What a captive portal has put in the place of an answer, "" where none has (RFC 6585 section 6)."""
        if self.outcome == _REDIRECTION:
            return f"{self.status}, a redirect{_to(self.location)}"
        is_portal = self.status == _LOGIN_TO_NETWORK or (self.outcome == _SUCCESS and self.is_page)
        return f"{self.status} with a web page" if is_portal else ""

    @property
    def outcome(self) -> int:
        """The first digit of the status."""
        return self.status // 100


def of_answer(answer: ProbeResponse, request: CheckedRequest, profile: str) -> Finding:
    """The verdict on a route, which `request` was made for with the credentials of a profile."""
    status, auth, setting = answer.status, request.auth, request.setting
    if status == _LOGIN_TO_NETWORK:
        return captive(answer.portal)
    if answer.outcome == _SERVER_ERROR:
        return fail(
            f"the upstream answers {status}", f"Try again later; if it stays, check {setting} or tell its owner."
        )
    if auth is not Auth.NONE and status in (_UNAUTHORIZED, _FORBIDDEN):
        return _refused(answer, request, profile)
    if status == _THROTTLED:
        return warn(f"reached, and throttled: {status}", "Send fewer requests for a while.")
    if request.known and (fault := _unexpected(answer, request)) is not None:
        return fault
    return ok(f"{status}{_SHOWN[auth]}" if answer.outcome == _SUCCESS else f"reached: {status}")


def of_keys(answer: ProbeResponse, *, emulator: bool) -> Finding:
    """The verdict on a user pool's published keys; an `emulator` may have none."""
    if answer.portal:
        return captive(answer.portal)
    keys = _object(answer.body).get("keys")
    if answer.outcome == _SUCCESS and isinstance(keys, list):
        return ok(f"{len(keys)} keys")
    detail = f"{answer.status}, and no keys of the user pool"
    if emulator:
        return warn(detail, "The signatures of tokens go unchecked. Check cognito.user_pool_id.")
    return fail(detail, "Check cognito.region and cognito.user_pool_id with `ul-proxy config`.")


def of_clock(ahead: float, server: float, whose: str) -> Finding:
    """The verdict on a wall clock that is `ahead` of the time `server`, both in seconds, that `whose` answer has."""
    if abs(ahead) <= _CLOSE:
        return ok(f"as {whose} has it")
    told = datetime.fromtimestamp(server, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    detail = f"{estimated_duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} {whose}, where it is {told}"
    if abs(ahead) <= _BEARABLE:
        return warn(detail, "Let the machine keep its time: timedatectl set-ntp true.")
    return fail(
        detail,
        "Set the clock (timedatectl set-ntp true). The proxy copes with a wrong one, but AWS refuses what is signed "
        "with its time, and certificates seem to have ended.",
    )


def _refused(answer: ProbeResponse, request: CheckedRequest, profile: str) -> Finding:
    status, auth, setting = answer.status, request.auth, request.setting
    if answer.is_page:
        return fail(
            f"{status} with a web page, which is not how the API refuses",
            f"Something on the way blocks it: ask whoever runs the network, and check {setting}.",
        )
    if request.route.auth is Auth.ANALYTICS and auth is not Auth.API_KEY:
        # Its usual credential is a key. Who has none may not want it.
        key = variables(["api_key"], profile)
        return warn(f"{status}: there is no API key, and analytics refuses the token", f"If you want it, set {key}.")
    if auth is Auth.API_KEY:
        fix = f"Correct {variables(['api_key'], profile)}, or ask your Unleash Live administrator for another key."
        return fail(f"{status}: the API key is refused", fix)
    if auth is Auth.BEARER:
        fix = f"Make a new token at Unleash Live, and set {variables(['personal_access_token'], profile)}."
        return fail(f"{status}: the personal access token is refused", fix)
    if status == _FORBIDDEN:
        fix = f"Ask your Unleash Live administrator what this account may do, and check {setting}."
        return fail(f"{status}: the token is refused, though Cognito has just issued it", fix)
    fix = f"Check that {setting} and cognito.user_pool_id belong together, and the header of a route of your own."
    return fail(f"{status}: the token is refused, though Cognito has just issued it", fix)


def _unexpected(answer: ProbeResponse, request: CheckedRequest) -> Finding | None:
    """What is wrong with an answer that should be a good one of an API."""
    status, setting = answer.status, request.setting
    if answer.portal:
        return captive(answer.portal)
    if status == _NOT_FOUND:
        return fail(f"{status}: the API is not there", f"Check the address in {setting}.")
    if answer.outcome != _SUCCESS:
        return warn(f"reached: {status}", f"Check the address in {setting}.")
    return _graphql_fault(answer, setting) if request.route.auth is Auth.GRAPHQL else None


def _graphql_fault(answer: ProbeResponse, setting: str) -> Finding | None:
    document = _object(answer.body)
    errors = document.get("errors")
    if errors:
        first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
        kind = first.get("errorType")
        named = f" ({kind})" if isinstance(kind, str) and _ERROR_TYPE.fullmatch(kind) else ""
        fix = "Ask your Unleash Live administrator whether the account may use Media Drive."
        return fail(f"{answer.status}, but GraphQL errors{named}", fix)
    if "data" not in document:
        return fail(f"{answer.status}, but no GraphQL answer", f"Check the address in {setting}.")
    return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _to(location: str) -> str:
    """Where a redirect leads: the host alone, for the rest may hold a secret."""
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return f" to {host}" if host else ""
