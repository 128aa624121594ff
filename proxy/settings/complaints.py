"""What is said of settings that cannot be used: sentences for a person. Pure, and no secret is ever quoted."""

import re
from collections.abc import Mapping, Sequence, Set
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from proxy.errors import SettingsError
from proxy.settings.leaf import Leaf
from proxy.settings.quantities import quoted

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
"""By pydantic's name for what is wrong. The checks of `forms.py` bring their sentences along."""


def sentence(error: ValidationError, known: Mapping[str, Leaf], origins: Mapping[str, str]) -> SettingsError:
    """Everything that is wrong, of each setting the first thing. `known` and `origins` are by dotted name."""
    details = error.errors(include_url=False)
    found: dict[str, str] = {}
    for detail in details:
        place = tuple(map(str, detail["loc"]))
        name = next((".".join(place[:n]) for n in (4, 3, 2, 1) if ".".join(place[:n]) in known), ".".join(place))
        if name not in found:
            found[name] = _complaint(name, place[name.count(".") + 1 :], detail, details, known.get(name))
    where = {name: f" ({origins[name]})" if name in origins else "" for name in found}
    sentences = [f"{name}{where[name]}: {message}" for name, message in found.items()]
    return SettingsError("; ".join(sentences), hint="See `ul-proxy serve --help`.")


def _complaint(
    name: str,
    inner: tuple[str, ...],
    detail: Mapping[str, Any],
    details: Sequence[Mapping[str, Any]],
    leaf: Leaf | None,
) -> str:
    """What is wrong with a setting, `inner` being the place inside it."""
    value = "its value" if leaf is None or leaf.secret else quoted(detail["input"])
    message = _message(detail["type"], detail, value)
    if name != "routes" or not inner:
        return message
    same_route = [other["loc"] for other in details if other["type"] == "missing"]
    lacking = [str(loc[-1]) for loc in same_route if loc[:-1] == detail["loc"][:-1]]
    return _of_route(int(inner[0]) + 1, inner[1:], message, detail["type"], lacking)


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
