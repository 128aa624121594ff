"""What is forwarded at all: the settings `allow`, `deny` and `read_only`.

A pattern of `allow` and `deny` is a method and a path, `DELETE /v1/job/*`:

- the method is in capitals, or `*` for every method; GET covers HEAD;
- the path is written decoded, without a query, and begins with a slash;
- `*` stands for any text within one segment, also for none, and may be there once a segment;
- `**` is the last segment alone and stands for any rest: `/v1/**` covers `/v1`, `/v1/` and everything below.

`deny` wins over `allow`. A path is compared as it was written and in all of its readings: one that `deny` covers is
enough to refuse it, and all must be covered by `allow`. `deny` minds neither capitals nor a slash at the end, since
some servers do not; `allow` minds both.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proxy.errors import NotPermitted, ReadOnly
from proxy.forward.policy import EVERYTHING, Policy
from proxy.http.grammar.fields import Header

_ANY = "*"
_METHOD = re.compile(r"[!#$%&'+.^_`|~0-9A-Z-]+")
_SEGMENT = re.compile(r"[^*]*\*?[^*]*")
_BELOW = "(?:/.*)?"
_SAFE = ("GET", "HEAD", "OPTIONS")
_CARRY_DOCUMENTS = ("GET", "HEAD", "POST")
_OVERRIDES = frozenset((b"x-http-method", b"x-http-method-override", b"x-method-override"))


class Pattern(NamedTuple):
    """One pattern of `allow` or `deny`: a method or `*`, and a regular expression for the whole path."""

    method: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """`METHOD PATH` as a Pattern; raises ValueError, in words for a person."""
        method, _, path = text.strip().partition(" ")
        path = path.strip()
        if not path.startswith("/"):
            raise ValueError(f"{text!r} is no pattern: write a method and a path, as in 'DELETE /v1/job/*'")
        if method != _ANY and not _METHOD.fullmatch(method):
            raise ValueError(f"{text!r}: a method is written in capitals, or * for every method")
        if not path.isprintable() or re.search(r"[%?#\\]", path):
            raise ValueError(f"{text!r}: a path is written decoded, without a query: no %, ?, # or backslash")
        *folders, last = path[1:].split("/")
        if any(segment in ("", ".", "..") for segment in folders) or last in (".", ".."):
            raise ValueError(f"{text!r}: a path has no empty and no dot segments")
        if not all(map(_SEGMENT.fullmatch, folders)) or not (last == "**" or _SEGMENT.fullmatch(last)):
            raise ValueError(f"{text!r}: * may be once in a segment, and ** is the last segment alone")
        expression = "".join(["/" + _expression(segment) for segment in folders])
        return cls(method, expression + (_BELOW if last == "**" else "/" + _expression(last)))


class Permissions:
    """`allow` and `deny`, made ready to judge many requests."""

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        """Both as the settings have them; raises ValueError for what is no pattern."""
        self._all = not deny and EVERYTHING in allow
        allowed, denied = [*map(Pattern.parse, allow)], [*map(Pattern.parse, deny)]
        methods = {pattern.method for pattern in (*allowed, *denied)} | {"HEAD", _ANY}
        self._allowed = {method: _combined(allowed, method) for method in methods}
        self._denied = {method: _combined(map(_widened, denied), method, re.IGNORECASE) for method in methods}

    def check(self, method: str, ways: Sequence[str]) -> None:
        """Let a request through that may be forwarded; `ways` are its path's `readings`. Raises NotPermitted."""
        if self._all:
            return
        if method not in self._allowed:
            method = _ANY
        allowed, denied = self._allowed[method], self._denied[method]
        if any(map(denied.fullmatch, ways)) or not all(map(allowed.fullmatch, ways)):
            raise NotPermitted(
                "the settings allow and deny do not permit this request", hint="See `ul-proxy config`, and change them."
            )


def check_read_only(method: str, *, graphql: bool, upgrade: bool) -> bool:
    """Let a request through that writes nothing, as far as its head can tell; raises ReadOnly.

    `graphql`: its route leads to a GraphQL endpoint; `upgrade`: it asks for a WebSocket, in which anything may be said.
    Returns whether `graphql.judge` must still look at the document in it.
    """
    if upgrade:
        raise ReadOnly("the proxy is read-only and forwards no WebSocket", hint="Unset read_only to use WebSockets.")
    if graphql and method in _CARRY_DOCUMENTS:
        return True
    if method not in _SAFE:
        raise ReadOnly("the proxy is read-only and forwards GET, HEAD and OPTIONS alone", hint="Unset read_only.")
    return False


def check_override(headers: Sequence[Header], policy: Policy) -> None:
    """Refuse a field that makes some servers take the request for one with another method; raises NotPermitted.

    It matters only where the policy distinguishes methods.
    """
    if not policy.read_only and not policy.deny and EVERYTHING in policy.allow:
        return
    if any(name.lower().replace(b"_", b"-") in _OVERRIDES for name, _ in headers):
        raise NotPermitted("the request overrides its own method", hint="Send the method itself.")


def _expression(segment: str) -> str:
    return "[^/]*".join(map(re.escape, segment.split("*")))


def _combined(patterns: Iterable[Pattern], method: str, flags: int = 0) -> re.Pattern[str]:
    """Make one expression of all patterns for `method`; it matches nothing where there is none."""
    wanted = {_ANY, method} | ({"GET"} if method == "HEAD" else set())
    paths = [pattern.path for pattern in patterns if pattern.method in wanted]
    return re.compile("|".join(paths) or "(?!)", re.DOTALL | flags)


def _widened(pattern: Pattern) -> Pattern:
    return pattern._replace(path=pattern.path.removesuffix("/") + "/?")
