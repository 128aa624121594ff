"""Contents as the inspector shows them: set out where they are JSON, decoded within bounds, never guessed at."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.observe.inspector.contents import MOST, ShownContent, as_written, is_plain, pretty, shown, size
from proxy.observe.inspector.masks import HIDDEN, Masks

MASKS = Masks(["hunter2!"])
JSON = "application/json"
GONE = f'"{HIDDEN}"'
DEEP = "[" * 200_000 + "]" * 200_000
"""Deeper than the JSON of any Python goes: some take a thousand levels, others tens of thousands."""


def show(data: bytes, media_type: str = JSON, coding: str = "", total: int | None = None) -> ShownContent:
    return shown(data, len(data) if total is None else total, media_type, coding, MASKS)


@pytest.mark.parametrize(
    ("data", "media_type", "kind", "text"),
    [
        (b'{"a":1}', JSON, "json", '{\n  "a": 1\n}'),
        (b'{"a":1}', "", "json", '{\n  "a": 1\n}'),
        (b'{"a":1}', "text/plain; charset=utf-8", "json", '{\n  "a": 1\n}'),
        (b'"1.0.1"', "application/problem+json", "json", '"1.0.1"'),
        (b'"1.0.1"', "", "text", '"1.0.1"'),
        (b"{ no json", JSON, "text", "{ no json"),
        (DEEP.encode(), JSON, "text", DEEP),
        (b"a: hunter2!\r\n\tb", "text/plain", "text", f"a: {HIDDEN}\r\n\tb"),
        ("größer".encode(), "text/plain", "text", "größer"),
        ("größer".encode("latin-1"), "text/plain", "binary", ""),
        (b"a\x1b[31mb", "text/plain", "binary", ""),
        (b"\x89PNG\r\n\x1a\n\0", "image/png", "binary", ""),
    ],
)
def test_kinds(data: bytes, media_type: str, kind: str, text: str) -> None:
    """JSON is set out, text is text, and what is neither is only counted."""
    content = show(data, media_type)
    assert (content.kind, content.text) == (kind, text)
    assert content.note.startswith(size(len(data)))
    assert ("binary" in content.note) == (kind == "binary")


def test_none() -> None:
    """No content is no content, and one that was not kept is counted."""
    assert show(b"") == ShownContent("none", "", "")
    assert show(b"", total=2048) == ShownContent("binary", "", "2 KiB, not kept")
    assert repr(show(b"c4n4ry")) == "ShownContent('text')"


def test_cut_off() -> None:
    """Of a long content the beginning is shown, at whatever byte it was cut, and how much is missing."""
    content = show('{"a": [1, "é'.encode()[:-1], total=1 << 20)
    assert content == ShownContent("json", '{\n  "a": [\n    1,\n    "', "the first 12 B of 1 MiB")
    assert show(b"\xff" * 9, "text/plain", total=99).kind == "binary"
    assert show(b"plain", "text/plain", total=99).text == "plain"
    assert show(b'{"a"', "text/plain", total=99).kind == "text"


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate"])
def test_decoded(coding: str) -> None:
    """Compressed content is decoded for showing, also where it was cut off."""
    plain = json.dumps({"a": list(range(99))}).encode()
    data = zlib.compress(plain) if coding == "deflate" else gzip.compress(plain)
    whole, part = show(data, coding=coding), show(data[:60], coding=coding, total=len(data))
    assert (whole.kind, json.loads(whole.text)) == ("json", json.loads(plain))
    assert whole.note == f"{len(data)} B, decoded from {coding}"
    assert part.kind == "json"
    assert whole.text.startswith(part.text.rstrip(", \n"))
    assert part.note == f"the first 60 B of {len(data)} B, the beginning, decoded from {coding}"


def test_a_bomb() -> None:
    """A content that unpacks to more than anybody wants is unpacked to a bound."""
    content = show(gzip.compress(b"a" * (50 << 20)), "text/plain", "gzip")
    assert len(content.text) == MOST
    assert "the beginning, decoded from gzip" in content.note


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip"])
def test_not_decoded(coding: str) -> None:
    """What cannot be decoded is said to be compressed."""
    assert show(b"\x00 no such thing", coding=coding) == ShownContent("binary", "", f"15 B, compressed ({coding})")
    assert show(b"as it is", "text/plain", "identity").text == "as it is"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("{}", ["{}"]),
        ("[ ]", ["[]"]),
        ('{"a":{"b":[]},"c":1.50}', ["{", '  "a": {', '    "b": []', "  },", '  "c": 1.50', "}"]),
        ('{"a":1,"a":2}', ["{", '  "a": 1,', '  "a": 2', "}"]),
        ('"\\u00e9"', ['"\\u00e9"']),
        # Secrets by their names, of which arrays, objects and numbers are no way out, and within other values.
        ('{"password":"x","ok":true}', ["{", f'  "password": "{HIDDEN}",', '  "ok": true', "}"]),
        ('{"pass\\u0077ord":"x"}', ["{", f'  "pass\\u0077ord": "{HIDDEN}"', "}"]),
        ('{"pin":1234,"token":null}', ["{", f'  "pin": {HIDDEN},', '  "token": null', "}"]),
        ('{"token":""}', ["{", '  "token": ""', "}"]),
        (
            '{"tokens":["a",["b"]],"c":"d"}',
            ["{", '  "tokens": [', f"    {GONE},", "    [", f"      {GONE}", "    ]", "  ],", '  "c": "d"', "}"],
        ),
        ('{"token":{"id":"a"},"b":"c"}', ["{", '  "token": {', f'    "id": {GONE}', "  },", '  "b": "c"', "}"]),
        (
            '{"pin":[{"a":1,"c":"d"}]}',
            ["{", '  "pin": [', "    {", f'      "a": {HIDDEN},', f'      "c": {GONE}', "    }", "  ]", "}"],
        ),
        ('{"u":"/x?token=a"}', ["{", f'  "u": "/x?token={HIDDEN}"', "}"]),
        ('{"q":"login(password: \\"a\\")"}', ["{", f'  "q": "login(password: \\"{HIDDEN}\\")"', "}"]),
        ('"hunter2!"', [f'"{HIDDEN}"']),
        # What is not quite JSON.
        ('{token:"a",b:c}', ["{", f"  token: {GONE},", "  b: c", "}"]),
        # Cut off.
        ('{"password":"x', ["{", f'  "password": "{HIDDEN}"']),
        ('{"a":[1,', ["{", '  "a": [', "    1,", "    "]),
        ("]]}", ["", "]", "]", "}"]),
    ],
)
def test_pretty(text: str, lines: list[str]) -> None:
    """JSON is set out without being read: it keeps its spelling, and may end anywhere."""
    assert pretty(text, MASKS).splitlines() == lines


def test_depth() -> None:
    """Brackets alone do not fill the memory with spaces."""
    assert len(pretty("[" * 16_384, MASKS)) < 1 << 20


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abcé"\\ \n', max_size=4), inner, max_size=4),
)


@given(VALUES, st.integers(0, 200))
def test_says_the_same(value: object, end: int) -> None:
    """Set out, JSON means what it meant; cut off anywhere, it is shown without a fault."""
    text = json.dumps(value, ensure_ascii=False)
    out = pretty(text, Masks())
    if HIDDEN not in out:
        assert json.loads(out) == value
    pretty(text[:end], MASKS)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (16 << 10, "16 KiB"), (3 << 20, "3 MiB")],
)
def test_size(count: int, text: str) -> None:
    """Sizes are for people."""
    assert size(count) == text


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x7f", "\x9b"])
def test_plain(character: str) -> None:
    """What a terminal would act on is told from text."""
    assert is_plain("a\r\n\té•")
    assert not is_plain(f"a{character}b")


@pytest.mark.parametrize(
    ("text", "media_type", "written"),
    [
        ('{ "pin": 1234,\n"a":"b" }', JSON, f'{{ "pin": {HIDDEN},\n"a":"b" }}'),
        ('{"pass\\u0077ord":"x"}', JSON, f'{{"pass\\u0077ord":{GONE}}}'),
        ('{"tokens": ["a", {"b": "c"}]}', "", f'{{"tokens": [{GONE}, {{"b": {GONE}}}]}}'),
        ("password=a;b&c=d", "application/x-www-form-urlencoded", f"password={HIDDEN}&c=d"),
        ("a: hunter2!", "text/plain", f"a: {HIDDEN}"),
    ],
)
def test_as_written(text: str, media_type: str, written: str) -> None:
    """What is to be sent once more hides what is hidden where it is set out, and is otherwise as it was."""
    assert as_written(text, media_type, MASKS) == written


def test_forms() -> None:
    """A form's value goes on to the next `&`, whatever it holds."""
    content = show(b"password=a;b 'c<d#e&f=g", "application/x-www-form-urlencoded")
    assert content.text == f"password={HIDDEN}&f=g"
