"""The beginning of a content, as it is shown: JSON set out on lines, text as it is, and of anything else its size."""

import json
import re
import zlib
from itertools import zip_longest
from typing import NamedTuple

from proxy.observe.inspector.masks import HIDDEN, Masks, tells_secret

MOST = 64 * 1024
"""Bytes of the longest content that is shown, decoded: a few compressed ones may stand for gigabytes."""
_DEEPEST = 16
"""Levels beyond which nothing is moved further to the right: brackets alone would fill the memory with spaces."""
_CODINGS = {"gzip": zlib.MAX_WBITS | 32, "x-gzip": zlib.MAX_WBITS | 32, "deflate": zlib.MAX_WBITS | 32}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}:,]|[^\s"\[\]{}:,]++', re.DOTALL)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UNCUT = 4
"""Bytes of the longest character in UTF-8."""


class ShownContent(NamedTuple):
    """A content for people."""

    kind: str
    """`none`, `json`, `text` or `binary`."""
    text: str
    note: str
    """What is to be known of it besides, such as how much is missing."""

    def __repr__(self) -> str:
        return f"ShownContent({self.kind!r})"


def shown(data: bytes, total: int, media_type: str, coding: str, masks: Masks) -> ShownContent:
    """The first bytes of a content of `total` bytes, whose fields name `media_type` and the content `coding`."""
    if not total:
        return ShownContent("none", "", "")
    if not data:
        return ShownContent("binary", "", f"{size(total)}, not kept")
    notes = [f"the first {size(len(data))} of {size(total)}" if len(data) < total else size(total)]
    whole = len(data) >= total
    if coding not in ("", "identity"):
        decoded = _decoded(data, coding)
        if decoded is None:
            return ShownContent("binary", "", f"{notes[0]}, compressed ({coding})")
        data, ended = decoded
        whole = whole and ended
        notes.append(f"decoded from {coding}" if whole else f"the beginning, decoded from {coding}")
    text = _text(data, whole=whole)
    if text is None:
        return ShownContent("binary", "", ", ".join([*notes, "binary"]))
    if _is_json(text, media_type, whole=whole):
        return ShownContent("json", pretty(text, masks), ", ".join(notes))
    return ShownContent("text", _plain(text, media_type, masks), ", ".join(notes))


def as_written(text: str, media_type: str, masks: Masks) -> str:
    """The whole of a content that is text, letter by letter, but without the secrets in it."""
    if not _is_json(text, media_type, whole=True):
        return _plain(text, media_type, masks)
    masked = iter(_masked(_TOKEN.findall(text), masks))
    return _TOKEN.sub(lambda _: next(masked), text)


def size(count: int) -> str:
    """A number of bytes, for people."""
    if count < 1 << 10:
        return f"{count} B"
    amount, unit = (count / (1 << 10), "KiB") if count < 1 << 20 else (count / (1 << 20), "MiB")
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"


def is_plain(text: str) -> bool:
    """Whether `text` holds nothing that a terminal would act on, but for ends of lines and tabs."""
    return _CONTROL.search(text) is None


def pretty(text: str, masks: Masks) -> str:
    """JSON, perhaps cut off, with a line for every member and element, and without the secrets in it.

    It is taken apart and not parsed: numbers, escapes and members that come twice are shown as they were written.
    """
    tokens = _masked(_TOKEN.findall(text), masks)
    out: list[str] = []
    depth = 0
    for i, token in enumerate(tokens):
        following = tokens[i + 1] if i + 1 < len(tokens) else ""
        if token in "{[":
            depth += 1
            out += [token] if following in ("}", "]") else [token, _line(depth)]
        elif token in "}]":
            depth = max(0, depth - 1)
            out += [token] if tokens[i - 1] in "{[" else [_line(depth), token]
        elif token == ",":
            out += [",", _line(depth)]
        else:
            out.append(": " if token == ":" else token)
    return "".join(out)


def _masked(tokens: list[str], masks: Masks) -> list[str]:
    """The tokens of JSON without the secrets in them: all below the name of one is one."""
    out: list[str] = []
    secret, levels = False, [False]
    for token, following in zip_longest(tokens, tokens[1:], fillvalue=""):
        if token in "{[":
            levels.append(secret)
        elif token in "}]":
            levels[1:] = levels[1:-1]
            secret = levels[-1]
        elif token == ",":
            secret = levels[-1]
        elif following == ":":
            secret = levels[-1] or tells_secret(_name(token))
        elif token != ":":
            out.append(_value(token, masks, secret=secret))
            continue
        out.append(token)
    return out


def _plain(text: str, media_type: str, masks: Masks) -> str:
    """Text that is no JSON without the secrets in it."""
    return masks.form(text) if "form-urlencoded" in media_type else masks.text(text)


def _name(token: str) -> str:
    """The name of a member, whose letters may be written as escapes."""
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def _value(token: str, masks: Masks, *, secret: bool) -> str:
    if not token.startswith('"'):
        return HIDDEN if secret and token not in ("null", "true", "false") else token
    if secret and token != '""':
        return f'"{HIDDEN}"'
    return '"' + masks.text(token[1:])


def _line(depth: int) -> str:
    return "\n" + "  " * min(depth, _DEEPEST)


def _decoded(data: bytes, coding: str) -> tuple[bytes, bool] | None:
    """The beginning of what a content coding stands for, and whether that is all; None where it cannot be told."""
    wbits = _CODINGS.get(coding)
    if wbits is None:
        return None
    decoder = zlib.decompressobj(wbits)
    try:
        return decoder.decompress(data, MOST), decoder.eof
    except zlib.error:
        return None


def _text(data: bytes, *, whole: bool) -> str | None:
    """`data` as text, None where it is none."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if whole or error.start < len(data) - _UNCUT:
            return None
        text = data[: error.start].decode()
    return text if is_plain(text) else None


def _is_json(text: str, media_type: str, *, whole: bool) -> bool:
    if not whole:
        return "json" in media_type
    if "json" not in media_type and text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
