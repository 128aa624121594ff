"""The table in docs/settings.md says what the settings are: names, defaults and meanings are compared with the code."""

import re
import tomllib
from typing import Any

import pytest
from support.environment import ROOT

from proxy.settings import leaves

PAGE = ROOT / "docs" / "settings.md"
HEADER = ["setting", "default", "meaning"]
Row = tuple[str, str, str]


def shipped_default(name: str, document: dict[str, Any]) -> str:
    """A default as the shipped file has it, as a table shows it."""
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value in (None, [], ""):
        return "-"
    if isinstance(value, bool):
        value = str(value).lower()
    return ", ".join(f"`{item}`" for item in (value if isinstance(value, list) else [value]))


def expected_rows() -> list[Row]:
    document = tomllib.loads((ROOT / "config" / "defaults.toml").read_text("utf-8"))
    return [(f"`{leaf.name}`", shipped_default(leaf.name, document), leaf.info.description or "") for leaf in leaves()]


def as_markdown(rows: list[Row]) -> str:
    """The table to paste into the README."""
    lines = [HEADER, ["---"] * 3, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells_of(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def rows_in(markdown: str) -> list[Row]:
    """The rows of every table whose first column is headed `setting`."""
    rows: list[Row] = []
    inside = False
    for line in markdown.splitlines():
        if not line.lstrip().startswith("|"):
            inside = False
            continue
        cells = cells_of(line)
        if cells[0].lower() == HEADER[0]:
            assert [cell.lower() for cell in cells] == HEADER, f"these columns are wanted: {HEADER}"
            inside = True
        elif inside and not set(line) <= set("|-: "):
            assert len(cells) == len(HEADER), f"a row of {len(cells)} cells: {line}"
            rows.append((cells[0], cells[1], cells[2]))
    return rows


def test_reads_tables() -> None:
    """Tables of settings are found among others, escaped bars included, and read back as they are made."""
    rows: list[Row] = [("`a`", "-", "this | that"), ("`b.c`", "`1`, `2`", "more")]
    other = "| command | meaning |\n|---|---|\n| `x` | y |"
    assert rows_in(f"# Title\n\n{other}\n\n{as_markdown(rows)}\n\ntext\n\n{other}\n") == rows


def test_settings_table() -> None:
    """Every setting has one row with its default and its description, in the order of declaration."""
    expected = expected_rows()
    found = rows_in(PAGE.read_text("utf-8"))
    if found != expected:
        wrong = [row for row in found if row not in expected]
        missing = [row for row in expected if row not in found]
        pytest.fail(
            f"docs/settings.md differs from the settings.\nwrong: {wrong}\nmissing: {missing}\n"
            f"Paste this:\n\n{as_markdown(expected)}",
            pytrace=False,
        )
