"""Field lines as they came and as they were passed on, one beside the other."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from proxy.http.grammar.fields import Header, Headers
from proxy.observe.inspector.masks import Masks, hidden

PASSED, STAYED, ADDED = " ", "-", "+"

_OPEN = frozenset(
    (b"connection", b"content-length", b"host", b"te", b"transfer-encoding", b"upgrade", b"via", b"x-request-id")
)
"""What the proxy adds to a request that is no credential."""


class FieldLine(NamedTuple):
    """A field line for people."""

    mark: str
    """Whether it passed, stayed at the proxy or was added there."""
    name: str
    value: str

    def __repr__(self) -> str:
        return f"FieldLine({self.mark!r}, {self.name!r})"


def came(lines: Headers, masks: Masks) -> list[FieldLine]:
    """Field lines that were not passed on, nor kept from it."""
    return [_shown(PASSED, line, masks) for line in lines]


def compared(before: Headers, after: Headers, masks: Masks, *, credential: bool = False) -> list[FieldLine]:
    """The lines `before`, of which some stayed, and behind them what was added for `after`.

    Where a `credential` may be among what was added, it is hidden whatever its name.
    """
    left = Counter(map(_key, after))
    lines: list[FieldLine] = []
    for line in before:
        passed = left[_key(line)] > 0
        left[_key(line)] -= passed
        lines.append(_shown(PASSED if passed else STAYED, line, masks))
    for line in _rest(after, left):
        name = line[0].lower()
        shown = _shown(ADDED, line, masks)
        lines.append(shown._replace(value=hidden(_text(line[1]))) if credential and name not in _OPEN else shown)
    return lines


def value_of(lines: Iterable[Header], name: bytes) -> str:
    """The value of the first line of a name, which is in lower case; empty where there is none."""
    return next((_text(value) for other, value in lines if other.lower() == name), "")


def _rest(after: Headers, left: Counter[Header]) -> Iterable[Header]:
    """The lines of `after` that are still counted in `left`: of equal ones the last."""
    rest = []
    for line in reversed(after):
        if left[_key(line)] > 0:
            left[_key(line)] -= 1
            rest.append(line)
    return reversed(rest)


def _shown(mark: str, line: Header, masks: Masks) -> FieldLine:
    name, value = map(_text, line)
    return FieldLine(mark, name, masks.field(name, value))


def _text(data: bytes) -> str:
    """Bytes of a head, which are UTF-8 where they are not ASCII, as a rule."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _key(line: Header) -> Header:
    return line[0].lower(), line[1]
