"""What holds for every test of the settings."""

import os
from pathlib import Path

import pytest
from support.environment import is_ambient


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings anywhere: an empty working directory, home and environment."""
    for name in [name for name in os.environ if is_ambient(name)]:
        monkeypatch.delenv(name)
    for name in ("work", "home", "xdg"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
