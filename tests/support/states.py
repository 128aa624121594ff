"""What changes of state a module's docstring promises, and which ones happen."""

import re
from enum import Enum
from types import ModuleType
from typing import Any

import pytest

Changes = set[tuple[str, str]]


def promised(module: ModuleType) -> Changes:
    """Read the changes of the table at the beginning of a module: its first column is the state, its last the next."""
    changes: Changes = set()
    states: list[str] = []
    for line in (module.__doc__ or "").splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            states = re.findall(r"\b[A-Z_]{4,}\b", cells[0]) or states
            changes |= {
                (state, following) for state in states for following in re.findall(r"^([A-Z_]{4,}):", cells[-1])
            }
    assert changes, f"{module.__name__} begins without a table of its states"
    return changes


class Recorder:
    """Notes the changes of an attribute that is an enumeration's, of all instances of a class."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type, attribute: str = "state") -> None:
        self.changes: Changes = set()
        write: Any = kind.__setattr__

        def noting(instance: object, name: str, value: Any) -> None:
            before = getattr(instance, name, None) if name == attribute else None
            if isinstance(before, Enum) and before is not value:
                self.changes.add((before.name, value.name))
            write(instance, name, value)

        monkeypatch.setattr(kind, "__setattr__", noting)
