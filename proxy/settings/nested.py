"""Mappings in mappings, by dotted path: what every source of settings is read into."""

from collections.abc import Iterator, Mapping, Set
from typing import Any


def dig(mapping: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What stands at `path`, None where nothing does."""
    value: Any = mapping
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def put(mapping: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        mapping = mapping.setdefault(name, {})
    mapping[path[-1]] = value


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted name, as a mapping of mappings."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        put(result, tuple(name.split(".")), value)
    return result


def paths(
    values: Mapping[str, Any], sections: Set[tuple[str, ...]], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield where everything stands, also what stands in `sections`."""
    for key, value in values.items():
        inner = (*path, key)
        if inner in sections and isinstance(value, Mapping):
            yield from paths(value, sections, inner)
        else:
            yield inner
