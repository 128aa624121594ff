"""`make settings-page`: write the tables of docs/settings.md as the settings are declared."""

import re
from collections.abc import Sequence
from pathlib import Path

from proxy.cli.config import table
from proxy.settings import Group, leaves, load

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEADER = ("setting", "default", "meaning")
_PRINTED = re.compile(r"(\S+)  +(.*?)  +(?:default|not set)")
"""A line of `ul-proxy config`: a setting, its value and where that comes from."""


def as_row(cells: Sequence[str]) -> str:
    """Write a row of a table, in which a bar that divides no cells is escaped."""
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def defaults() -> dict[str, str]:
    """Return what is in force when nobody has set anything, by name, as `ul-proxy config` prints it."""
    lines = table(load({})).splitlines()
    return {found[1]: found[2] for line in lines if (found := _PRINTED.fullmatch(line.rstrip()))}


def section(group: Group) -> str:
    """Write the heading and the table of a group."""
    in_force, lines = defaults(), [f"## {group[0].upper()}{group[1:]}", "", as_row(HEADER), as_row(["---"] * 3)]
    for leaf in leaves():
        if leaf.group is group:
            value = in_force[leaf.name]
            default = value if value == "-" else ", ".join(f"`{item}`" for item in value.split(", "))
            lines.append(as_row([f"`{leaf.name}`", default, leaf.meaning]))
    return "\n".join([*lines, ""])


def written(page: str) -> str:
    """Return the page with the tables as they are to be; raises ValueError where a group has no heading."""
    for group in Group:
        wanted = section(group)
        heading = re.escape(wanted.partition("\n")[0])
        replacement = wanted.replace("\\", r"\\")  # the pattern's own escapes
        page, found = re.subn(rf"^{heading}\n\n(?:\|.*\n)*", replacement, page, flags=re.MULTILINE)
        if found != 1:
            raise ValueError(f"docs/settings.md has no heading for {group}")
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
