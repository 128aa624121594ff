"""The settings that docs/settings.md and config/defaults.toml promise are those that are declared, and no others.

Names and defaults are what people's files and scripts hold on to: who changes one changes the page as well.
"""

import re
import tomllib

from support.environment import ROOT
from support.markdown import cells_of, rows_below

from proxy.settings import Group, leaves
from tools.settings_page import HEADER, as_row, defaults, written

PAGE = (ROOT / "docs" / "settings.md").read_text("utf-8")
SHIPPED = (ROOT / "config" / "defaults.toml").read_text("utf-8")


def test_page_has_every_setting() -> None:
    """Each has a row with its default in force and its meaning, under the heading of its group."""
    assert written(PAGE) == PAGE, "run `make settings-page`"


def test_page_has_no_other_setting() -> None:
    """What is not declared any more has no row, and the groups are in the order of the help."""
    declared = [f"`{leaf.name}`" for group in Group for leaf in leaves() if leaf.group is group]
    assert [row[0] for row in rows_below(HEADER, PAGE)] == declared


def test_defaults_are_read_off_every_setting() -> None:
    """The reading of what `ul-proxy config` prints misses none."""
    assert list(defaults()) == [leaf.name for leaf in leaves()]


def test_shipped_file_has_every_default() -> None:
    """The shipped file holds exactly the settings that have no default in the code: neither can hide the other."""
    document = tomllib.loads(SHIPPED)
    shipped = {
        f"{name}.{key}" if isinstance(value, dict) else name
        for name, value in document.items()
        for key in (value if isinstance(value, dict) else [""])
    }
    assert shipped == {leaf.name for leaf in leaves() if leaf.info.is_required()}


def test_shipped_file_shows_the_other_settings_in_its_comments() -> None:
    """Who copies the shipped file sees what else could stand in it, each secret as the name of a file."""
    comments = "\n".join(line.partition("#")[2] for line in SHIPPED.splitlines())
    keys = set(re.findall(r"[a-z_]+", comments))
    expected = {leaf.path[-1] + ("_file" if leaf.secret else "") for leaf in leaves() if not leaf.info.is_required()}
    assert expected - keys == set()


def test_settings_are_described_on_one_line() -> None:
    """Help texts and the page are made from the meanings, so each setting has one, on one line."""
    assert [leaf.name for leaf in leaves() if not leaf.meaning or "\n" in leaf.meaning] == []


def test_reads_tables() -> None:
    """Rows of a table are found by its header among other tables, with escaped bars read as bars."""
    text = "| command | meaning |\n|---|---|\n| `x` | y |\n\n| a | b |\n| --- | --- |\n| `c` | d \\| e |\n| f | g |"
    assert list(rows_below(("a", "b"), text)) == [["`c`", "d | e"], ["f", "g"]]
    assert as_row(cells_of("| a | b \\| c |")) == "| a | b \\| c |"
