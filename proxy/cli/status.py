"""`ul-proxy status`: what the running proxy says of itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proxy.cli.inquiry import Inquiry
from proxy.cli.places import find
from proxy.cli.streams import put_out
from proxy.errors import StartError
from proxy.observe.logs import printable
from proxy.settings import load
from proxy.settings.quantities import rough_duration

_HEADINGS = ("profile", "state", "signed in as", "good for", "renewed in", "last outcome")
_SKEW = 30.0
"""Seconds from which on a clock that is off is told of."""


def run(flags: Mapping[str, Any], config: str | None, *, json: bool, url: str | None) -> int:
    options = load(flags, config).options()
    inquiry = Inquiry(find(options, url), options.policy.client_token)
    document = inquiry.status()
    try:
        put_out(_as_json(document) if json else table(document, str(inquiry.place)))
    except (AttributeError, TypeError, ValueError):
        hint = "Try --json."
        raise StartError(f"what answers at {inquiry.place} is of another version", hint=hint) from None
    return 0


def _as_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def table(document: Mapping[str, Any], place: str) -> str:
    """The status for people."""
    state = "draining" if document.get("draining") else "ready" if document.get("ready") else "NOT ready"
    profiles: Mapping[str, Mapping[str, Any]] = document.get("profiles", {})
    rows = [_HEADINGS, *(_row(name, profile) for name, profile in profiles.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    up, busy = rough_duration(document.get("uptime")), document.get("requests_in_flight")
    lines = [
        f"ul-proxy {document.get('version')} at {place}: {state}, up for {up}, {busy} requests under way",
        "",
        *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows),
        *_troubles(profiles, document.get("reason")),
    ]
    return "\n".join(map(printable, lines))


def _row(name: str, profile: Mapping[str, Any]) -> Sequence[str]:
    return (
        name,
        str(profile.get("state")),
        str(profile.get("email") or profile.get("username") or "-"),
        rough_duration(profile.get("expires_in")),
        rough_duration(profile.get("next_refresh_in") if profile.get("state") != "none" else None),
        str(profile.get("last_outcome")),
    )


def _troubles(profiles: Mapping[str, Mapping[str, Any]], reason: Mapping[str, Any] | None) -> list[str]:
    lines = [f"{name}: {text}" for name, profile in profiles.items() for text in _troubles_of(profile)]
    if reason and not any(_sentence(reason) in line for line in lines):
        lines.insert(0, f"not ready: {_sentence(reason)}")
    return ["", *lines] if lines else []


def _sentence(error: Mapping[str, Any]) -> str:
    return f"{error.get('detail')}. {error.get('hint')}".rstrip()


def _troubles_of(profile: Mapping[str, Any]) -> Iterator[str]:
    if error := profile.get("error"):
        yield _sentence(error)
    skew = profile.get("clock_skew") or 0.0
    if abs(skew) >= _SKEW:
        off = f"{rough_duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'}"
        yield f"this machine's clock is {off} Cognito's. Tokens are renewed in time all the same."
