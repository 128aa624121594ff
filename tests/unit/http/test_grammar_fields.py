"""Field sections: one grammar for requests, answers and trailers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pieces import FIELD_LINES, MALFORMED_SECTIONS

from proxy.http.grammar import FramingError, field_lines, lines_of
from proxy.http.grammar.fields import Header, checked_lines, proxy_fields_of, values_of

names = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=8).map(str.encode)
values = st.binary(max_size=12).map(
    lambda data: bytes(byte for byte in data if byte == 9 or (byte >= 32 and byte != 127)).strip(b" \t")
)


@pytest.mark.parametrize(("line", "field"), FIELD_LINES.values(), ids=FIELD_LINES)
def test_field_lines(line: bytes, field: Header) -> None:
    """A field keeps its bytes; only the white space around its value goes."""
    assert checked_lines(b"X: 1\r\n" + line + b"\r\nY: 2\r\n") == [(b"X", b"1"), field, (b"Y", b"2")]


def test_an_empty_section() -> None:
    """No fields are a section, too."""
    assert checked_lines(b"") == []
    assert proxy_fields_of(b"") == []


def test_fields_keep_their_order() -> None:
    """Repeated names stay apart and in their order."""
    lines = [(b"B", b"1"), (b"a", b"2"), (b"B", b"3"), (b"b", b"4")]
    assert checked_lines(b"".join(b"%b: %b\r\n" % line for line in lines)) == lines


@pytest.mark.parametrize("section", MALFORMED_SECTIONS.values(), ids=MALFORMED_SECTIONS)
def test_malformed_sections(section: bytes) -> None:
    """Whatever is not exactly a section is an error, alone and among good lines."""
    for data in (section, b"X: 1\r\n" + section, section + b"X: 1\r\n"):
        with pytest.raises(FramingError):
            checked_lines(data)


def test_control_bytes() -> None:
    """None may be in a value but a tab."""
    for byte in {*range(32), 127} - {9}:
        with pytest.raises(FramingError):
            checked_lines(b"A: b%cc\r\n" % byte)


@pytest.mark.parametrize("section", [b"A: b", b"A: b\r", b"A: b\n", b"A", b"A: b\r\n\r\n", b"\r\n"])
def test_sections_that_end_elsewhere(section: bytes) -> None:
    """A section is whole lines, without the empty one behind them."""
    with pytest.raises(FramingError):
        checked_lines(section)


@given(st.lists(st.tuples(names, values), max_size=8))
def test_what_is_written_is_read_back(lines: list[Header]) -> None:
    """Fields come back in their order and bytes."""
    assert checked_lines(field_lines(lines)) == lines
    assert lines_of(field_lines(lines)) == lines


NOTABLE = [
    b"connection",
    b"content-length",
    b"host",
    b"keep-alive",
    b"te",
    b"transfer-encoding",
    b"upgrade",
    b"proxy-authorization",
    b"proxy-connection",
    b"proxy-",
    b"location",
    b"access-control-allow-origin",
]


@pytest.mark.parametrize("name", NOTABLE)
@pytest.mark.parametrize("spelled", [bytes.lower, bytes.upper, bytes.title])
def test_notable_lines(name: bytes, spelled: type[bytes]) -> None:
    """What frames a message, concerns a connection or is rewritten is found in any case, first, last and alone."""
    line = b"%b:\t Some Value \r\n" % spelled(name)
    for section in (line, b"A: b\r\n" + line, line + b"A: b\r\n"):
        [(found, value)] = proxy_fields_of(section)
        assert found == name
        assert values_of([(found, value)], name) == [b"some value"]


@pytest.mark.parametrize(
    "line",
    [
        *(b"x%b: a" % name for name in NOTABLE),
        *(b"%bx: a" % name for name in NOTABLE if not name.startswith((b"proxy-", b"access-control-"))),
        *(b"A: %b: a" % name for name in NOTABLE),
        b"t: a",
        b"con: a",
        b"proxy: a",
        b"content-type: a",
        b"access-control: a",
    ],
)
def test_lines_that_concern_nobody(line: bytes) -> None:
    """A longer or shorter name, or a name in a value, is something else."""
    assert proxy_fields_of(line + b"\r\n") == []


@given(st.lists(st.tuples(st.sampled_from([*NOTABLE, b"a", b"x-host", b"tee"]), values), max_size=8))
def test_notable_lines_keep_their_order(lines: list[Header]) -> None:
    """They are what a search line by line finds."""
    expected = [(name, value.lower()) for name, value in lines if name in NOTABLE]
    assert [(name, value.rstrip(b" \t")) for name, value in proxy_fields_of(field_lines(lines))] == expected


def test_values_of() -> None:
    """The values of one name in any case, in their order, without what follows them."""
    assert values_of([(b"host", b"a \t"), (b"te", b"x"), (b"HoSt", b"b")], b"host") == [b"a", b"b"]
