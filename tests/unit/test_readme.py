"""What the README and the pages in docs/ say of settings, commands and each other is compared with what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.environment import ROOT
from support.markdown import cells_of
from support.shell_blocks import Command, commands_in, pages, shows

from proxy.cli.manual import COMMANDS
from proxy.settings import load

# ---- every page


PAGES = {**pages(ROOT), "SECURITY.md": (ROOT / "SECURITY.md").read_text("utf-8")}


def fenced(markdown: str) -> list[tuple[str, str]]:
    """The fenced blocks: the language of each, and what is in it."""
    return re.findall(r"^```(\S*)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a language, each with its page."""
    for page, text in PAGES.items():
        for found, block in fenced(text):
            if found == language:
                yield page, block


def test_every_command_is_in_the_readme() -> None:
    """The README's table of commands is whole."""
    rows = [cells_of(line)[0] for line in PAGES["README.md"].splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([a-z]+)`", row)} >= COMMANDS.keys()


@pytest.mark.parametrize(("page", "block"), list(blocks("toml")))
def test_config_loads(page: str, block: str, tmp_path: Path) -> None:
    """What a page shows of a config file can be used."""
    for name in re.findall(r'_file = "([^"]+)"', block):
        (tmp_path / name).write_text("something")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "ul-proxy.toml").write_text(block)
    assert load({}, str(tmp_path / "ul-proxy.toml")).warnings == ()


@pytest.mark.parametrize("page", PAGES)
def test_shells(page: str) -> None:
    """Commands are in blocks of one kind, which the tests type; a block without a name has none."""
    found = fenced(PAGES[page])
    assert {language for language, _ in found} <= {"console", "json", "toml", "ini", "mermaid", ""}
    assert not [block for language, block in found if "$ " in block and language != "console"]


@pytest.mark.parametrize(("page", "block"), list(blocks("json")))
def test_json_is_json(page: str, block: str) -> None:
    """Answers are shown whole."""
    assert json.loads(block)


# ---- the reading of commands


def test_reads_commands() -> None:
    """A backslash continues a command; what follows is what it prints, and exports hold for the rest of the page."""
    first = "```console\n$ export A=1\n$ one \\\n   two\nprinted …\n```\n"
    text = f"text\n\n{first}\n```json\n$ no\n```\n```console\n$ . x\n$ three\n```\n"
    assert list(commands_in("page", text)) == [
        Command("page", "export A=1", (), ()),
        Command("page", "one \\\n   two", ("printed …",), ("export A=1",)),
        Command("page", ". x", (), ("export A=1",)),
        Command("page", "three", (), ("export A=1", ". x")),
    ]


@pytest.mark.parametrize(
    ("line", "printed", "shown"),
    [("a … c", "a b c", True), ("a … c", "a b d", False), ("a.c", "abc", False), ("…", "", True)],
)
def test_shows(line: str, printed: str, shown: bool) -> None:
    """An ellipsis stands for anything, and all else for itself."""
    assert shows(line, printed) is shown
