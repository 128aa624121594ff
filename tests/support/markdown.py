"""Tables in the project's pages."""

import re
from collections.abc import Iterator, Sequence


def cells_of(line: str) -> list[str]:
    """The cells of a row."""
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def rows_below(header: Sequence[str], markdown: str) -> Iterator[list[str]]:
    """The rows of every table that has this header."""
    inside = False
    for line in markdown.splitlines():
        cells = cells_of(line) if line.startswith("|") else []
        if inside and cells and not set(line) <= set("|-: "):
            yield cells
        inside = bool(cells) and (inside or cells == list(header))
