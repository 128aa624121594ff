"""`ul-proxy config`: what is in force, and why."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from proxy.cli.streams import put_out
from proxy.settings import Leaf, Loaded, leaves, load
from proxy.settings.values import shown_duration, shown_size

MASK = "********"
_UNITS: dict[str, Callable[[Any], str]] = {"DURATION": shown_duration, "SIZE": shown_size}
"""By what a help text calls the value."""


def run(flags: Mapping[str, Any], config: str | None) -> int:
    loaded = load(flags, config)
    rows = [
        (leaf.name, _shown(leaf, loaded.value(leaf)), loaded.origins.get(leaf.name, "not set"))
        for leaf in _rows(loaded)
    ]
    name_width = max(len(name) for name, _, _ in rows)
    value_width = min(60, max(len(value) for _, value, _ in rows))
    lines = [
        _whence(loaded),
        *(f"{name:<{name_width}}  {value:<{value_width}}  {origin}" for name, value, origin in rows),
        *(f"warning: {warning}" for warning in loaded.warnings),
    ]
    put_out("\n".join(lines))
    return 0


def _rows(loaded: Loaded) -> list[Leaf]:
    """Every setting, and of each profile what it has; what it lacks is as for everybody, or not there."""
    of_profiles = [leaf for leaf in loaded.leaves if leaf.path[0] == "profiles" and leaf.name in loaded.origins]
    return [*leaves(), *of_profiles]


def _whence(loaded: Loaded) -> str:
    """Which config file is in use, or where one was looked for."""
    if loaded.config is not None:
        return f"config file: {loaded.config}"
    return f"no config file: looked for {' and '.join(map(str, loaded.searched))}"


def _shown(leaf: Leaf, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, (list, dict)):
        return ", ".join(_shown(leaf, item) for item in value) or "-"
    if isinstance(value, BaseModel):
        return " ".join(str(item) for item in value.model_dump(exclude_none=True).values())
    if isinstance(value, bool):
        return str(value).lower()
    return _UNITS.get(leaf.metavar, str)(value)
