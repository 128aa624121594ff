"""The profiles in the sources. Their names are found first: each setting of each is then one like every other.

In variables a name's capitals do not count, nor whether it has `-` or `_`; a config file says how it is really written.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from proxy.errors import SettingsError, names
from proxy.identity.profile import DEFAULT_PROFILE
from proxy.settings.leaf import Leaf, leaves
from proxy.settings.nested import put
from proxy.settings.schema import ProfileSettings

SECTION = "profiles"
VARIABLE = names.variable(SECTION)

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FIELDS = tuple(leaves(ProfileSettings))


def leaves_of(name: str) -> Iterator[Leaf]:
    """Every setting of a profile."""
    return leaves(ProfileSettings, (SECTION, name))


def declared_in(document: Mapping[str, Any]) -> list[str]:
    """The names of the profiles in a config file; raises SettingsError."""
    tables = document.get(SECTION, {})
    if not isinstance(tables, Mapping):
        return []
    for name in tables:
        _check(name)
    return list(tables)


def read_variables(variables: Mapping[str, str], declared: Iterable[str]) -> dict[str, Any]:
    """What variables say of profiles, by name: as in `declared`, else as JSON has it, else in lower case.

    Raises SettingsError.
    """
    spelt = _Names(declared)
    found: dict[str, Any] = {}
    for name, values in _json(VARIABLE, variables).items():
        _check(name)
        found[spelt.known_as(name)] = table(values, f"{VARIABLE}: {name}")
    for variable, text in variables.items():
        if name := _subject(variable, text):
            _check(name)
            found.setdefault(spelt.known_as(name), {})
    for name, values in found.items():
        own = names.variable(f"{SECTION}.{name}")
        _merge(values, _json(own, variables))
        pool = values["cognito"] = table(values.get("cognito", {}), f"{own}: cognito")
        _merge(pool, _json(f"{own}__COGNITO", variables))
        for leaf in _FIELDS:
            if held := variables.get(names.variable(f"{SECTION}.{name}.{leaf.name}")):
                put(values, leaf.path, held)
    return found


def _subject(variable: str, text: str) -> str:
    """The name of the profile that a variable is about, empty for every other variable."""
    rest = variable.removeprefix(f"{VARIABLE}__")
    if rest == variable:
        return ""
    for ending in _ENDINGS:
        name = rest.removesuffix(ending)
        if name != rest:
            return name.lower()
    return rest.lower() if text.lstrip().startswith("{") else ""


class _Names:
    """Names of profiles as they are really written."""

    def __init__(self, declared: Iterable[str]) -> None:
        """Raises SettingsError where variables could not tell two of them apart."""
        self._spelt: dict[str, str] = {}
        for name in declared:
            other = self._spelt.setdefault(folded(name), name)
            if other != name:
                raise SettingsError(
                    f"the profiles {other} and {name} differ in capitals or dashes alone", hint="Rename one of them."
                )

    def known_as(self, name: str) -> str:
        return self._spelt.setdefault(folded(name), name)


def _endings() -> Iterator[str]:
    """How variables end that are about one setting of a profile, the longest first."""
    for leaf in _FIELDS:
        ending = f"__{'__'.join(leaf.path)}".upper()
        yield from (ending, ending + names.FILE_SUFFIX) if leaf.secret else (ending,)
    yield "__COGNITO"


_ENDINGS = tuple(sorted(_endings(), key=len, reverse=True))


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{SECTION}: {name!r} is no profile's name", hint="Names are of letters, digits, _ and - alone."
        )
    if name == DEFAULT_PROFILE:
        raise SettingsError(
            f"{SECTION}: the profile {DEFAULT_PROFILE} is the login outside of any profile",
            hint="Give its settings there, or choose another name.",
        )


def _json(name: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """The object that a variable holds, empty where it is not set."""
    text = variables.get(name)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return table(value, name)


def table(value: Any, name: str) -> dict[str, Any]:
    """Return what a variable holds; raises SettingsError where that is no table. A colon ends the variable's name."""
    if not isinstance(value, dict):
        raise SettingsError(f"{name} is not a JSON object", hint=f"Mend or unset {name.partition(':')[0]}.")
    return value


def _merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        inner = values.get(name)
        if isinstance(inner, dict) and isinstance(value, Mapping):
            _merge(inner, value)
        else:
            values[name] = value


def folded(name: str) -> str:
    """Return a name as variables have it, in which neither capitals nor dashes count."""
    return name.upper().replace("-", "_")
