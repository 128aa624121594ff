"""RESULTS.md: a section of tables for each Python, between what people write around them."""

import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEADING = "### "


def machine(*, rounds: int, turns: int, seconds: int, lacking: list[str]) -> str:
    """What stands above the tables."""
    cpu = next((row.partition(":")[2].strip() for row in _rows(Path("/proc/cpuinfo")) if row.startswith("model name")),
               platform.machine())  # fmt: skip
    told = (
        f"Machine: {os.cpu_count()} cores ({cpu}), {platform.system()} {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}. {rounds} round{'s' * (rounds != 1)}, in each of which every load goes round "
        f"all proxies {turns} times, {seconds} s a turn; medians. Load, origin and proxy share the machine."
    )
    return "\n\n".join([told, *([f"Not installed: {', '.join(lacking)}."] if lacking else [])])


def write(intro: str, tables: Mapping[str, str]) -> None:
    """Put tables into the section of this Python; its other tables, and everything else, stay."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    RESULTS.write_text(recorded(RESULTS.read_text(), version, intro, tables))


def recorded(document: str, version: str, intro: str, tables: Mapping[str, str]) -> str:
    """`document` with these tables, by their titles, in the section of that version of Python."""
    begin, end = _begin(version), _end(version)
    before, found, rest = document.partition(begin)
    if found:
        old, _, after = rest.partition(end)
        tables = {**_tables(old), **tables}
    else:
        before, after = _split_behind_sections(document)
        before += f"## Python {version}\n\n"
        after = f"\n\n{after}"
    text = "\n\n".join([intro, *(f"{_HEADING}{title}\n\n{table}" for title, table in tables.items())])
    return f"{before}{begin}\n{text}\n{end}{after}"


def _tables(section: str) -> dict[str, str]:
    """The tables of a section by their titles."""
    _, *parts = re.split(f"^{_HEADING}", section, flags=re.MULTILINE)
    split = (part.partition("\n") for part in parts)
    return {title: text.strip() for title, _, text in split}


def _split_behind_sections(document: str) -> tuple[str, str]:
    """The document up to the last section's end, and the rest; without sections, up to the first heading of level 2."""
    ends = [match.end() for match in re.finditer(r"<!-- end of figures: [\d.]+ -->", document)]
    at = ends[-1] if ends else document.find("\n## ") if "\n## " in document else len(document)
    return document[:at].rstrip() + "\n\n", document[at:].lstrip()


def _begin(version: str) -> str:
    return f"<!-- figures: {version} -->"


def _end(version: str) -> str:
    return f"<!-- end of figures: {version} -->"


def _rows(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
