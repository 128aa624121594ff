"""What is never shown of what went over the wire: whatever lets somebody in, wherever it stands.

Field lines, queries, forms, JSON, XML and GraphQL give their values names, and a name tells a secret. Tokens and keys
of known shapes, and the proxy's own secrets letter by letter, are found without one. What is hidden in error does no
harm.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from pydantic import SecretStr

HIDDEN = "•••"

_SHORTEST = 6
"""Letters of the shortest secret that is looked for as it is: shorter ones stand in any text."""
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_TELLING = re.compile(
    r"token|secret|passw|passphrase|passcode|apikey|accesskey|privatekey|signature|credential|cookie|authori[sz]ation"
    r"|assertion|sessionid|jwt"
)
_WHOLE = frozenset(("auth", "mfacode", "otp", "pass", "pin", "pwd", "session", "sig", "smscode", "srpa", "totp"))
_IN_QUERIES = frozenset(("code", "key", "policy"))
_HARMLESS = frozenset(("nexttoken", "tokentype", "tokenuse"))
"""How far a list has been read, and of which kind a token is."""

_SCHEME = re.compile(r"(?:AWS4-HMAC-SHA256|Basic|Bearer|Digest|Negotiate)(?= )", re.IGNORECASE)
_SHAPES = re.compile(
    r"(?<![\w-])eyJ[\w-]{8,}+(?:\.[\w-]*+)*+"  # RFC 7519: JSON in base64, `{"` first, whole or cut off
    r"|(?<![A-Za-z0-9_])ul_pat_[\w-]++"
    r"|(?<=bearer )[\w.~+/=-]{12,}+|(?<=basic )[\w+/=-]{12,}+",
    re.IGNORECASE,
)
# What gives a value its name, and how far that value goes. A value may hold others, so that the next name is looked for
# in it. Every part is possessive and begins where no other can: hostile text takes no longer than any.
_NAME = r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]*+)"
_MEMBER = _NAME + r"\\*+[\"']?\s{0,8}+[:=]\s{0,8}+(?P<quote>\\*+[\"'])"
_ELEMENT = r"<(?P<name>[A-Za-z_][\w.:-]*+)[^<>]*+>"
_PAIR = (
    r"(?:(?<![\w.\[\]%+-])|(?<=%26)|(?<=%3F)|(?<=%3f))"
    r"(?P<name>[A-Za-z_](?:[\w.\[\]+-]++|%(?!3[DdFf]|26))*+)(?:=|(?P<coded>%3[Dd]))"
)
_VALUES = (
    (re.compile(_MEMBER), re.compile(_MEMBER + r"(?P<value>(?:(?!(?<!\\)(?P=quote)).)*+)", re.DOTALL)),
    (re.compile(_ELEMENT), re.compile(_ELEMENT + r"(?P<value>[^<]*+)")),
    (re.compile(_PAIR), re.compile(_PAIR + r"(?P<value>(?(coded)(?:(?!%26)[^&;\s\"'<>#])*+|[^&;\s\"'<>#]*+))")),
)
_OF_QUERIES = _VALUES[-1][0]


def tells_secret(name: str, *, in_query: bool = False) -> bool:
    """Whether what is called `name` is a secret, going by the words in it."""
    plain = _SEPARATORS.sub("", name.lower())
    if plain in _WHOLE or (in_query and plain in _IN_QUERIES):
        return True
    return plain not in _HARMLESS and _TELLING.search(plain) is not None


def secrets_in(value: Any) -> Iterator[str]:
    """Every secret in settings, however deep."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from secrets_in(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from secrets_in(getattr(value, field.name))


class Masks:
    """Hides secrets in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are hidden wherever they stand, as far as they are long enough to be told from other text."""
        known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """`text` without the secrets in it."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        text = _SHAPES.sub(HIDDEN, text)
        for name, value in _VALUES:
            text = _without_values(text, name, value)
        return text

    def field(self, name: str, value: str) -> str:
        """The value of a header field, without the secrets in it; of credentials the scheme is left."""
        if not tells_secret(name):
            return self.text(value)
        return hidden(value)


def hidden(value: str) -> str:
    """What is shown in place of a credential, or of nothing."""
    scheme = _SCHEME.match(value)
    return f"{scheme[0]} {HIDDEN}" if scheme else HIDDEN if value else ""


def _without_values(text: str, name: re.Pattern[str], value: re.Pattern[str]) -> str:
    """`text` with every value hidden that has a secret's `name` in front; `value` is that name and what it names."""
    out, at, done = [], 0, 0
    while (found := name.search(text, at)) is not None:
        at = found.end()
        if tells_secret(unquote_plus(found["name"]), in_query=name is _OF_QUERIES):
            whole = value.match(text, found.start())
            if whole is not None and whole["value"]:
                out += [text[done:at], HIDDEN]
                at = done = whole.end()
    return "".join([*out, text[done:]])
