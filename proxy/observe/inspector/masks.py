"""What is never shown of what went over the wire: whatever lets somebody in, wherever it stands.

Field lines, queries, forms, JSON, XML and GraphQL give their values names, and a name tells a secret. Tokens and keys
of known shapes, and the proxy's own secrets in the spellings that text has for them, are found without one. What is
hidden in error does no harm.
"""

import dataclasses
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

from pydantic import SecretStr

HIDDEN = "•••"

_SHORTEST = 6
"""Letters of the shortest secret that is looked for as it is: shorter ones stand in any text."""
_ENCODED = 3
"""Times that a value is percent-encoded in one that leads somewhere that leads somewhere."""
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_TELLING = re.compile(
    r"token|secret|passw|passphrase|passcode|apikey|accesskey|privatekey|signature|credential|cookie|authori[sz]ation"
    r"|assertion|sessionid|jwt|csrf|xsrf|dpop|hmac|samlre|codeverifier|authentication$|pwd$"
    r"|(?:auth|encryption|functions|master|shared|signing|stream|subscription)key"
    r"|(?:access|auth|confirmation|device|mfa|otp|user|verification)code$"
)
_WHOLE = frozenset(
    ("auth", "otp", "pass", "pin", "psk", "pw", "session", "sid", "sig", "smscode", "srpa", "totp", "xauth")
)
_IN_QUERIES = frozenset(("code", "key", "policy", "ticket"))
_HARMLESS = frozenset(("nexttoken", "tokentype", "tokenuse"))
"""How far a list has been read, and of which kind a token is."""

_SCHEME = re.compile(r"(?:AWS4-HMAC-SHA256|Basic|Bearer|Digest|Negotiate)(?= )", re.IGNORECASE)
# None of them begins at the beginning of a word: `\\n` and `%3D` end in letters.
_SHAPES = re.compile(
    r"(?-i:eyJ)[\w-]{8,}+(?:(?:\.|%2E)[\w-]*+)*+"  # RFC 7519: JSON in base64, `{"` first, whole or cut off
    r"|(?-i:ZXlK)[\w+/=-]{8,}+"  # the same in base64 once more
    r"|ul(?:_|%5F)pat(?:_|%5F)[\w-]++"
    r"|(?P<scheme>(?:bearer|basic|negotiate)(?:\s|\+|%20){1,4}+)[\w.~+/=%-]{12,}+"
    r"|(?P<begin>-----BEGIN [A-Z ]{0,20}?PRIVATE KEY-----)(?:(?!-----END)[\s\S])*+"
    # The user and password of an address (RFC 3986 section 3.2.1).
    r"|(?:(?<=://)|(?<=:\\/\\/))[^\s/?#@\"'<>\\]++(?=@)"
    r"|(?<=%3A%2F%2F)(?:(?!%2F|%3F|%40)[^\s/?#&@])*+(?=%40|@)",
    re.IGNORECASE,
)
# What gives a value its name, and how far that value goes. A value may hold others, so that the next name is looked for
# in it. Every part is possessive and begins where no other can: hostile text takes no longer than any.
_NAME = r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]*+)"
_MEMBER = _NAME + r"\\*+[\"']?\s{0,8}+[:=]\s{0,8}+(?P<quote>(?P<mark>\\*+[\"'])(?:(?P=mark){2})?)"
_BARE = _NAME + r"\\*+[\"']?\s{0,8}+[:=]\s{0,8}+(?=-?\d|\[)"
_SETTING = r"^[ \t-]{0,64}+(?P<name>[A-Za-z_][\w.-]*+)(?::|[ \t]{1,8}+=)[ \t]{0,8}+(?=[^\s\"'\[{])"
_PART = r"\bname=\"?(?P<name>[^\";\r\n]{1,200}+)[^\r\n]{0,200}+\r\n(?:[^\r\n]{1,200}+\r\n){0,8}+\r\n"  # RFC 7578
_ELEMENT = r"<(?P<name>[A-Za-z_][\w.:-]*+)[^<>]*+>"
_PAIR = (
    r"(?:(?<![\w.\[\]%+-])|(?<=%26)|(?<=%3F)|(?<=%3f))"
    r"(?P<name>[A-Za-z_](?:[\w.\[\]+-]++|%(?!3[DdFf]|26))*+)(?:=|(?P<coded>%3[Dd]))"
)
_VALUES = (
    (re.compile(_MEMBER), re.compile(_MEMBER + r"(?P<value>(?:(?!(?<!\\)(?P=quote)).)*+)", re.DOTALL)),
    (re.compile(_BARE), re.compile(_BARE + r"(?P<value>\[[^\]]*+|[\w.-]++)")),
    (re.compile(_SETTING, re.MULTILINE), re.compile(_SETTING + r"(?P<value>[^\r\n]++)", re.MULTILINE)),
    (
        re.compile(_ELEMENT),
        re.compile(_ELEMENT + r"(?P<value>(?:[^<]++|<!\[CDATA\[(?:(?!\]\]>).)*+)*+)", re.DOTALL),
    ),
    (re.compile(_PART), re.compile(_PART + r"(?P<value>(?:(?!\r\n--).)*+)", re.DOTALL)),
    (re.compile(_PAIR), re.compile(_PAIR + r"(?P<value>(?(coded)(?:(?!%26)[^&;\s\"'<>#])*+|[^&;\s\"'<>#]*+))")),
)
_OF_QUERIES = _VALUES[-1][0]
_FORM = re.compile(r"(?:^|(?<=[?&]))(?P<name>[^?&=]*+)=(?P<value>[^&]++)")


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

    def __init__(self, secrets: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """`secrets` are hidden wherever they stand, as far as they are long enough to be told from other text.

        `names` are of header fields that hold one besides those that tell it.
        """
        self._names = frozenset(name.lower() for name in names)
        known = {written for secret in secrets if len(secret) >= _SHORTEST for written in _spellings(secret)}
        self._known = re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True)))) if known else None

    def text(self, text: str) -> str:
        """`text` without the secrets in it."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        text = _SHAPES.sub(lambda found: f"{found['scheme'] or found['begin'] or ''}{HIDDEN}", text)
        for name, value in _VALUES:
            text = _without_values(text, name, value)
        return text

    def form(self, text: str, *, decoding: int = _ENCODED) -> str:
        """As `text`, for what is nothing but a form or a target: there a value goes on to the next `&`, or the end.

        Values are looked into that are percent-encoded up to `decoding` times.
        """

        def masked(found: re.Match[str]) -> str:
            name, value = found["name"], found["value"]
            if tells_secret(unquote_plus(name), in_query=True):
                return f"{name}={HIDDEN}"
            if "%" not in value or not decoding:
                return found[0]
            decoded = unquote_plus(value)
            shown = self.form(decoded, decoding=decoding - 1)
            return found[0] if shown == decoded else f"{name}={HIDDEN.join(map(quote_plus, shown.split(HIDDEN)))}"

        return _FORM.sub(masked, self.text(text))

    def field(self, name: str, value: str) -> str:
        """The value of a header field, without the secrets in it; of credentials the scheme is left."""
        if not tells_secret(name) and name.lower() not in self._names:
            return self.text(value)
        return hidden(value)


def hidden(value: str) -> str:
    """What is shown in place of a credential, or of nothing."""
    scheme = _SCHEME.match(value)
    return f"{scheme[0]} {HIDDEN}" if scheme else HIDDEN if value else ""


def _spellings(secret: str) -> Iterator[str]:
    """How text has a secret: as it is, in JSON, percent-encoded, and in base64 at any place."""
    yield from (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    for coded in (make(secret, safe, errors="surrogatepass") for make in (quote, quote_plus) for safe in ("", "/")):
        yield from (coded, re.sub("%..", lambda found: found[0].lower(), coded))
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        # But for letters in which others have a share.
        letters = b64encode(bytes(before) + data, b"+/")[-(-before * 8 // 6) : (before + len(data)) * 8 // 6].decode()
        yield from (letters, letters.replace("+", "-").replace("/", "_"))


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
