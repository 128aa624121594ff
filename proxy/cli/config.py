"""`ul-proxy config`: what is in force, and why."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from proxy.cli.streams import put_out
from proxy.settings import Leaf, Loaded, leaves, load
from proxy.settings.quantities import shown_duration, shown_size

MASK = "********"
_UNITS: dict[str, Callable[[Any], str]] = {"DURATION": shown_duration, "SIZE": shown_size}
"""By what a help text calls the value."""


def run(flags: Mapping[str, Any], config: str | None, *, json: bool) -> int:
    loaded = load(flags, config)
    put_out(_as_json(loaded) if json else table(loaded))
    return 0


def table(loaded: Loaded) -> str:
    """The settings for people."""
    rows = [(leaf.name, _shown(leaf, loaded.value(leaf)), _source(leaf, loaded)) for leaf in _rows(loaded)]
    name_width = max(len(name) for name, _, _ in rows)
    value_width = min(60, max(len(value) for _, value, _ in rows))
    lines = [f"{name:<{name_width}}  {value:<{value_width}}  {origin}" for name, value, origin in rows]
    return "\n".join([_whence(loaded), *lines, *(f"warning: {warning}" for warning in loaded.warnings)])


def _as_json(loaded: Loaded) -> str:
    """The settings for scripts, durations in seconds and sizes in bytes."""
    settings = {
        leaf.name: {"value": _plain(loaded.value(leaf)), "source": _source(leaf, loaded)} for leaf in _rows(loaded)
    }
    document = {"config": loaded.config, "settings": settings, "warnings": loaded.warnings}
    return json.dumps(document, indent=2, ensure_ascii=False, default=str)


def _source(leaf: Leaf, loaded: Loaded) -> str:
    origins = [loaded.origins.get(leaf.name, "not set")]
    if leaf.name == "profiles":
        # What they have is set one by one.
        origins = sorted({origin for name, origin in loaded.origins.items() if name.startswith("profiles.")}) or origins
    return " and ".join(origins)


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


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return sorted(value)
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
