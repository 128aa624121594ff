"""Messages in pieces, as packets cut them; and field sections that are well-formed or not, for all who read some."""

from collections.abc import Iterator, Sequence


def cut_up(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """`data` in pieces of these sizes, and what is left over."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def every_cut(data: bytes) -> Iterator[list[bytes]]:
    """`data` whole, in two pieces at every byte, and byte by byte."""
    yield [data]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]
    yield byte_by_byte(data)


FIELD_LINES: dict[str, tuple[bytes, tuple[bytes, bytes]]] = {
    "usual": (b"A: b", (b"A", b"b")),
    "no space": (b"A:b", (b"A", b"b")),
    "white space around": (b"A: \t b \t ", (b"A", b"b")),
    "empty": (b"A:", (b"A", b"")),
    "only white space": (b"A: \t", (b"A", b"")),
    "white space inside": (b"A: b  c\td", (b"A", b"b  c\td")),
    "a second colon": (b"A: b: c", (b"A", b"b: c")),
    "UTF-8": (b"A: caf\xc3\xa9", (b"A", b"caf\xc3\xa9")),
    "latin-1": (b"A: caf\xe9\xff\x80", (b"A", b"caf\xe9\xff\x80")),
    "every token character": (b"!#$%&'*+-.^_`|~09azAZ: x", (b"!#$%&'*+-.^_`|~09azAZ", b"x")),
}
"""A line without its end, and its name and value."""

MALFORMED_SECTIONS: dict[str, bytes] = {
    "LF ends a field": b"A: b\nC: d\r\n",
    "CR ends a field": b"A: b\rC: d\r\n",
    "LF ends the last field": b"A: b\r\nC: d\n",
    "two CR": b"A: b\r\r\n",
    "a line of CR": b"\r\r\n",
    "a line of LF": b"\nA: b\r\n",
    "obs-fold with a space": b"A: b\r\n c\r\n",
    "obs-fold with a tab": b"A: b\r\n\tc\r\n",
    "space before the first field": b" A: b\r\n",
    "space before the colon": b"A : b\r\n",
    "tab before the colon": b"A\t: b\r\n",
    "space in the name": b"A B: c\r\n",
    "no name": b": b\r\n",
    "no colon": b"A\r\n",
    "name that is no token": b"(A): b\r\n",
    "name beyond ASCII": b"\xc3\xa9: b\r\n",
    "NUL in the name": b"A\x00: b\r\n",
    **{f"control byte {byte:#04x}": b"A: b%cc\r\n" % byte for byte in (0, 1, 8, 11, 31)},
    "control byte 0x7f": b"A: b\x7fc\r\n",
}
"""Field sections that nobody may believe, up to their empty line."""
