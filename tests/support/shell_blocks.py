"""The shell commands in the project's pages, and what the pages say that they print."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.environment import ROOT

_PROMPT = "$ "


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a page, with its continued lines, and the lines that are shown below it."""

    page: str
    text: str
    printed: tuple[str, ...]
    before: tuple[str, ...]
    """What earlier commands of its page did to the shell: variables that they exported, environments they entered."""

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def commands_in(page: str, markdown: str) -> Iterator[Command]:
    """Every command of the blocks that are marked `console`, in their order."""
    done: list[str] = []
    for block in re.findall(r"^```console\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL):
        for part in re.split(rf"^{re.escape(_PROMPT)}", block, flags=re.MULTILINE)[1:]:
            text, printed = _divided(part.splitlines())
            yield Command(page, text, tuple(printed), tuple(done))
            if text.startswith(("export ", ". ")):
                done.append(text)


def _divided(lines: list[str]) -> tuple[str, list[str]]:
    """A command, and what comes after it."""
    end = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\"))
    return "\n".join(lines[:end]), lines[end:]


def pages(root: Path) -> dict[str, str]:
    """The README and the pages in docs/, by name."""
    found = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    return {str(path.relative_to(root)): path.read_text("utf-8") for path in found}


COMMANDS = {page: tuple(commands_in(page, text)) for page, text in pages(ROOT).items()}
"""Every command of every page."""


def shows(line: str, printed: str) -> bool:
    """Whether something printed has what a page shows, in which … stands for anything."""
    return re.search(".*?".join(map(re.escape, line.split("…"))), printed) is not None
