"""Chunked content, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pieces import MALFORMED_SECTIONS, byte_by_byte, cut_up, every_cut

from proxy.http.grammar import MANY_CHUNKS, MAX_HEAD, ChunkedDecoder, FramingError, chunk, chunked_content, last_chunk

MAX_CHUNK_LINE = 4096


def decode(*pieces: bytes) -> tuple[bytes, ChunkedDecoder]:
    decoder = ChunkedDecoder()
    return b"".join(part for piece in pieces for part in decoder.feed(piece)), decoder


WHOLE = b'5;name=value;q="x"\r\nhello\r\n1a \r\n' + b"abcdefghijklmnopqrstuvwxyz" + b"\r\n00\r\nA: b\r\nC:\r\n\r\nrest"


def test_chunks_in_pieces() -> None:
    """Where a packet ends makes no difference to content, trailers or what lies behind."""
    for pieces in every_cut(WHOLE):
        decoder, content, behind = ChunkedDecoder(), b"", b""
        for piece in pieces:
            if decoder.done:
                behind += piece
            else:
                content += b"".join(decoder.feed(piece))
        assert decoder.done, pieces
        assert content == b"helloabcdefghijklmnopqrstuvwxyz", pieces
        assert decoder.trailers == [(b"A", b"b"), (b"C", b"")], pieces
        assert decoder.rest + behind == b"rest", pieces


def test_chunks_are_handed_on_as_they_come() -> None:
    """A part of a chunk is content already."""
    decoder = ChunkedDecoder()
    assert decoder.feed(b"5\r\nhe") == [b"he"]
    assert decoder.feed(b"ll") == [b"ll"]
    assert decoder.feed(b"o") == [b"o"]
    assert not decoder.done


@pytest.mark.parametrize("size", [1, 64])
def test_many_chunks_are_enough(size: int) -> None:
    """Without `all_of_it` no more than many chunks come at a time, and nothing is lost."""
    content = bytes(size * 1000)
    data = chunk(bytes(size)) * 1000 + last_chunk([(b"A", b"b")]) + b"rest"
    decoder, pieces = ChunkedDecoder(), []
    while not decoder.done:
        fed = decoder.feed(data, all_of_it=False)
        assert decoder.costly != decoder.done
        pieces += fed
        data = b""
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) == size * (MANY_CHUNKS + 1)
    assert (decoder.trailers, decoder.rest) == ([(b"A", b"b")], b"rest")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b"x\r\n", id="no hexadecimal digit"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"+1\r\n", id="a plus sign"),
        pytest.param(b"0x1\r\n", id="0x"),
        pytest.param(b"1_0\r\n", id="as Python writes numbers"),
        pytest.param(b" 1\r\n", id="space before"),
        pytest.param(b"1 1\r\n", id="two sizes"),
        pytest.param(b"\xb2\r\n", id="a digit that is none"),
        pytest.param(b"1" * 16 + b"\r\n", id="huge"),
        pytest.param(b"1\n", id="LF ends the size"),
        pytest.param(b"1\r\r\n", id="two CR"),
        pytest.param(b"1;a\rb\r\n", id="CR in an extension"),
        pytest.param(b"1;a\x00b\r\n", id="NUL in an extension"),
        pytest.param(b"1;" + b"x" * 5000, id="an endless extension"),
        pytest.param(b"1" * 5000, id="an endless size"),
        pytest.param(b"1\r\nab\r\n", id="longer than its size"),
        pytest.param(b"1\r\na\n", id="LF ends a chunk"),
        pytest.param(b"1\r\na\rb", id="CR ends a chunk"),
        *(
            pytest.param(b"0\r\n%b\r\n\r\n" % section, id=f"trailers: {name}")
            for name, section in MALFORMED_SECTIONS.items()
        ),
        pytest.param(b"0\r\n" + b"A: b\r\n" * (MAX_HEAD // 6 + 1) + b"\r\n", id="endless trailers"),
    ],
)
def test_malformed_chunks(data: bytes) -> None:
    """Chunk framing that is not exact is an error, whether it comes at once or byte by byte."""
    with pytest.raises(FramingError):
        decode(data)
    first = data[: MAX_HEAD + 16]
    with pytest.raises(FramingError):
        decode(first[:-200], *byte_by_byte(first[-200:]))


@pytest.mark.parametrize("step", [5000, 100], ids=["at once", "in pieces"])
@pytest.mark.parametrize(("size", "fine"), [(MAX_CHUNK_LINE, True), (MAX_CHUNK_LINE + 1, False)])
def test_the_limit_of_a_chunk_size_line(size: int, fine: bool, step: int) -> None:
    """An extension may be as long as the line's limit allows, however it comes."""
    line = b"1;" + b"x" * (size - 4) + b"\r\n"
    pieces = [line[at : at + step] for at in range(0, len(line), step)]
    if fine:
        assert decode(*pieces, b"a")[0] == b"a"
    else:
        with pytest.raises(FramingError):
            decode(*pieces)


@pytest.mark.parametrize(
    ("size", "content"),
    [(b"a", 10), (b"A", 10), (b"0A", 10), (b"00000000000000a", 10), (b"a \t", 10), (b"a;", 10), (b"a ; b = c", 10)],
)
def test_chunk_sizes(size: bytes, content: int) -> None:
    """A size is hexadecimal in either case; what follows a semicolon means nothing."""
    assert decode(size + b"\r\n" + b"x" * content + b"\r\n0\r\n\r\n")[0] == b"x" * content


@pytest.mark.parametrize(("size", "fine"), [(MAX_HEAD, True), (MAX_HEAD + 1, False)])
@pytest.mark.parametrize("step", [1 << 20, 1000], ids=["at once", "in pieces"])
def test_the_limit_of_a_trailer_section(size: int, fine: bool, step: int) -> None:
    """The limit is the same however the section comes."""
    section = b"A: " + b"x" * (size - 7) + b"\r\n\r\n"
    pieces = [section[at : at + step] for at in range(0, len(section), step)]
    decoder = ChunkedDecoder()
    decoder.feed(b"0\r\n")
    if fine:
        for piece in pieces:
            decoder.feed(piece)
        assert decoder.done
    else:
        with pytest.raises(FramingError):
            _ = [decoder.feed(piece) for piece in pieces]


# What is written.


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(1, 30), max_size=20))
def test_what_is_written_is_read_back(pieces: list[bytes], cuts: list[int]) -> None:
    """Chunks and trailers come back as they went, however they were cut up."""
    data = b"".join(map(chunk, pieces)) + last_chunk([(b"A", b"b"), (b"A", b"c")])
    content, decoder = decode(*cut_up(data, cuts))
    assert content == b"".join(pieces)
    assert decoder.done
    assert decoder.trailers == [(b"A", b"b"), (b"A", b"c")]


def test_what_is_written() -> None:
    """An empty content is the last chunk alone; a piece is one chunk, its size in hexadecimal."""
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert last_chunk() == b"0\r\n\r\n"
    assert chunked_content(b"") == b"0\r\n\r\n"
    assert chunked_content(b"hi", [(b"A", b"b")]) == b"2\r\nhi\r\n0\r\nA: b\r\n\r\n"


@given(st.binary(max_size=300), st.lists(st.integers(1, 20), max_size=10))
def test_noise(data: bytes, sizes: list[int]) -> None:
    """Random bytes raise FramingError and nothing else, as chunks and as trailers."""
    for beginning in (b"", b"0\r\n", b"5\r\nhello\r\n"):
        try:
            content, decoder = decode(*cut_up(beginning + data, sizes))
        except FramingError:
            continue
        assert content in beginning + data
        assert decoder.done or not decoder.trailers
