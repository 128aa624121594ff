"""What is said of settings that cannot be used: sentences for a person. Pure, and no secret is ever quoted."""

import re
from collections.abc import Mapping, Set
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from proxy.errors import SettingsError
from proxy.settings.schema import Leaf
from proxy.settings.values import quoted

_KINDS = {
    "bool_parsing": "{value} is neither true nor false",
    "bool_type": "{value} is neither true nor false",
    "string_type": "{value} must be text, in quotes",
    "path_type": "{value} must be text, in quotes",
    "list_type": "{value} is no list of tables: write [[routes]]",
    "model_type": "is no table",
    "model_attributes_type": "is no table",
    "too_short": "must not be empty",
}
"""By pydantic's name for what is wrong. The checks of `values.py` bring their sentences along."""


def sentence(error: ValidationError, known: Mapping[str, Leaf], origins: Mapping[str, str]) -> SettingsError:
    """The first thing that is wrong. `known` settings and their `origins` are by dotted name."""
    details = error.errors(include_url=False)
    first = details[0]
    place = tuple(map(str, first["loc"]))
    name = next((".".join(place[:n]) for n in (4, 3, 2, 1) if ".".join(place[:n]) in known), ".".join(place))
    inner = place[name.count(".") + 1 :]
    leaf = known.get(name)
    message = _message(first["type"], first, "its value" if leaf is None or leaf.secret else quoted(first["input"]))
    if name == "routes" and inner:
        same_route = [other["loc"] for other in details if other["type"] == "missing"]
        lacking = [str(loc[-1]) for loc in same_route if loc[:-1] == first["loc"][:-1]]
        message = _of_route(int(inner[0]) + 1, inner[1:], message, first["type"], lacking)
    where = f" ({origins[name]})" if name in origins else ""
    return SettingsError(f"{name}{where}: {message}", hint="See `ul-proxy serve --help`.")


def did_you_mean(name: str, known: Set[str], skip: int = 0) -> str:
    """A suggestion to put behind a complaint about `name`; the first `skip` characters are not compared."""
    near = get_close_matches(name[skip:], sorted(other[skip:] for other in known), 1)
    return f": did you mean {name[:skip] + near[0]}?" if near else ""


def _message(kind: str, detail: Mapping[str, Any], value: str) -> str:
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        return f"{value} is none of {', '.join(choices)}"
    if kind in _KINDS:
        return _KINDS[kind].format(value=value)
    return str(detail["msg"]).removeprefix("Value error, ")


def _of_route(number: int, keys: tuple[str, ...], message: str, kind: str, lacking: list[str]) -> str:
    if lacking and kind == "missing":
        return f"route {number} lacks {' and '.join(lacking)}"
    if kind == "extra_forbidden":
        return f"route {number}: unknown key {keys[0]}"
    return f"route {number}: {keys[0]} {message}" if keys else f"route {number} {message}"
