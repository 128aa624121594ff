"""What the environment says. Like every setting's, a variable's name may be in any case, and empty is unset."""

import os
import re
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic_settings import EnvSettingsSource
from pydantic_settings import SettingsError as SourceError

from proxy.errors import SettingsError, names
from proxy.errors.names import FILE_SUFFIX, PREFIX
from proxy.http.client.outbound import parse_proxy
from proxy.http.options import OutboundProxies, OutboundProxy
from proxy.settings import profiles
from proxy.settings.complaints import did_you_mean
from proxy.settings.leaf import Leaf, leaves, sections
from proxy.settings.nested import paths
from proxy.settings.profiles import folded
from proxy.settings.schema import PlainSettings

CONFIG_VARIABLE = names.variable("config")

Variables: TypeAlias = Mapping[str, tuple[str, str]]
"""Variables by the folded name: the name as it is spelt, and the value."""


def variables() -> Variables:
    """Return what is set. To be asked once for many settings: it goes through the whole environment."""
    return {folded(name): (name, value) for name, value in os.environ.items() if value}


def setter_of(leaf: Leaf, given: Variables) -> str | None:
    """Return the variable, as it is spelt, that sets a setting: its own, or one that holds a whole section."""
    setters = (names.variable(".".join(leaf.path[:length])) for length in range(len(leaf.path), 0, -1))
    return next((given[setter][0] for setter in setters if setter in given), None)


def user_folder() -> str:
    """Where users keep their config files, by the XDG base directory specification."""
    return os.environ.get("XDG_CONFIG_HOME") or "~/.config"


def state_home() -> Path | None:
    """Where programs keep what should outlive them, by the XDG base directory specification; None without a home."""
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        return None


def bears_colours() -> bool:
    """Return whether the user's terminal may be sent colours (no-color.org)."""
    return not os.environ.get("NO_COLOR") and bears_control_sequences()


def bears_control_sequences() -> bool:
    """Return whether lines on the user's terminal can be drawn over."""
    return os.environ.get("TERM") != "dumb"


def debugging(flags: Mapping[str, Any]) -> bool:
    """Whether `log_level` asks for debug output, as far as it can be told before the settings are read."""
    level = flags.get("log_level")
    if level is None:
        found = variables().get(names.variable("log_level"))
        level = found[1] if found else None
    return level == "debug"


def read_environment(declared: Collection[str]) -> dict[str, Any]:
    """The settings that variables hold; `declared` are the names of profiles in the config file."""
    try:
        found = EnvSettingsSource(PlainSettings)()
    except SourceError as error:
        name = re.search(r'field "(\w+)"', str(error))
        named = names.variable(name[1]) if name else PREFIX + "…"
        raise SettingsError(f"{named} is not valid JSON", hint=f"Mend or unset {named}.") from None
    except RecursionError:
        raise SettingsError(
            f"a variable {PREFIX}… holds JSON that is nested too deeply",
            hint="No setting is more than a list of tables.",
        ) from None
    for section in {path[0] for path in sections(leaves(PlainSettings))} & found.keys():
        profiles.table(found[section], names.variable(section))
    held = {name: value for name, (_, value) in variables().items()}
    return found | {profiles.SECTION: profiles.read_variables(held, declared)}


def outbound_proxies() -> OutboundProxies:
    """What HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say, in either case."""
    given = urllib.request.getproxies_environment()

    def proxy_for(scheme: str) -> OutboundProxy | None:
        url = given.get(scheme) or given.get("all")
        try:
            return parse_proxy(url) if url else None
        except ValueError as error:
            named = f"{scheme.upper()}_PROXY" if given.get(scheme) else "ALL_PROXY"
            raise SettingsError(f"{named}: {error}", hint=f"Mend or unset {named}.") from None

    return OutboundProxies(proxy_for("http"), proxy_for("https"), given.get("no", ""))


def warnings(known: Mapping[str, Leaf], environment: Mapping[str, Any]) -> list[str]:
    """What a person should hear about the variables; `environment` is what `read_environment` made of them."""
    return [*_given_twice(known), *_unknown_variables(known), *_unknown_in_sections(known, environment)]


def _given_twice(known: Mapping[str, Leaf]) -> list[str]:
    given = variables()
    both = [
        leaf.variable
        for leaf in known.values()
        if leaf.secret and {leaf.variable, leaf.variable + FILE_SUFFIX} <= given.keys()
    ]
    return [
        f"{given[name][0]} and {given[name + FILE_SUFFIX][0]} are both set: {given[name][0]} wins, unset the other"
        for name in both
    ]


def _unknown_variables(known: Mapping[str, Leaf]) -> list[str]:
    read = {CONFIG_VARIABLE, *(folded(names.variable(".".join(path))) for path in sections(known.values()))}
    for leaf in known.values():
        read.add(leaf.variable)
        if leaf.secret:
            read.add(leaf.variable + FILE_SUFFIX)
    return [
        # Without the prefix, which alone would make every name look like every other.
        f"unknown variable {name} is ignored{did_you_mean(folded(name), read, skip=len(PREFIX))}"
        for name in sorted(os.environ)
        if name.upper().startswith(PREFIX) and folded(name) not in read
    ]


def _unknown_in_sections(known: Mapping[str, Leaf], environment: Mapping[str, Any]) -> list[str]:
    """Keys inside a section's JSON. A key that has a variable of its own is among the unknown variables."""
    given = variables()
    return [
        f"unknown setting {name} in {names.variable(name.partition('.')[0])} is ignored"
        + did_you_mean(name, known.keys())
        for name in sorted(".".join(path) for path in paths(environment, sections(known.values())) if len(path) > 1)
        if name not in known and folded(names.variable(name)) not in given
    ]
