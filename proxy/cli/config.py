"""`ul-proxy config`: what is in force, and why."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from proxy.settings import leaves, load

MASK = "********"


def run(flags: Mapping[str, Any], config: str | None) -> int:
    loaded = load(flags, config)
    rows = [(leaf.name, _shown(loaded.value(leaf)), loaded.origins.get(leaf.name, "not set")) for leaf in leaves()]
    name_width = max(len(name) for name, _, _ in rows)
    value_width = min(60, max(len(value) for _, value, _ in rows))
    for name, value, origin in rows:
        print(f"{name:<{name_width}}  {value:<{value_width}}  {origin}")
    for warning in loaded.warnings:
        print(f"warning: {warning}")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value) or "-"
    if isinstance(value, BaseModel):
        return " ".join(str(item) for item in value.model_dump(exclude_none=True).values())
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g} s"
    return "-" if value is None else str(value)
