"""Each setting by itself, as flags, variables, help and documentation need it: read off the declarations."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from proxy.errors import names
from proxy.settings.forms import Form
from proxy.settings.schema import Group, Section, Settings


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting that holds a value, not a section."""

    path: tuple[str, ...]
    info: FieldInfo
    group: Group

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return names.variable(self.name)

    @property
    def flag(self) -> str:
        return names.flag(self.name)

    @property
    def meaning(self) -> str:
        return self.info.description or ""

    @property
    def secret(self) -> bool:
        return SecretStr in _types(self.info.annotation)

    @property
    def is_path(self) -> bool:
        """Whether the value is the name of a file."""
        return Path in _types(self.info.annotation)

    @property
    def is_store(self) -> bool:
        """Whether the value says where sessions are kept."""
        return self.path[-1] == "token_store"

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values that it may have, where there are few."""
        annotation = self.info.annotation
        if get_origin(annotation) is Literal:
            return get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, StrEnum):
            return tuple(annotation)
        return ()

    @property
    def metavar(self) -> str:
        """What a help text calls its value."""
        if self.choices:
            return "{" + ",".join(self.choices) + "}"
        known = (*self.info.metadata, *_types(self.info.annotation))
        return next((form.metavar for form in known if isinstance(form, Form)), self.path[-1].upper())

    @property
    def boolean(self) -> bool:
        return self.info.annotation is bool

    @property
    def listed(self) -> bool:
        return self.info.annotation is not None and "list" in str(self.info.annotation)

    @property
    def tabular(self) -> bool:
        """Whether the value is one or several tables, for which flags and lines have no room."""
        return any(isinstance(known, type) and issubclass(known, BaseModel) for known in _types(self.info.annotation))


def leaves(model: type[BaseModel] = Settings, path: tuple[str, ...] = (), group: Group = Group.LOGIN) -> Iterator[Leaf]:
    """Every setting, in the order of declaration; those that name no group are in `group`."""
    for name, info in model.model_fields.items():
        extra, annotation = info.json_schema_extra, info.annotation
        own = Group(str(extra["group"])) if isinstance(extra, dict) else group
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from leaves(annotation, (*path, name), own)
        else:
            yield Leaf((*path, name), info, own)


def sections(known: Iterable[Leaf]) -> set[tuple[str, ...]]:
    """The paths of the sections that settings are in."""
    return {leaf.path[:length] for leaf in known for length in range(1, len(leaf.path))} | {("profiles",)}


def _types_in(annotation: Any) -> frozenset[Any]:
    return frozenset((annotation,)).union(*map(_types_in, get_args(annotation)))


_types: Callable[[Any], frozenset[Any]] = cache(_types_in)
"""The types in an annotation. There are few, and a thousand profiles ask for each of them."""
