"""Where settings come from. This is the only reader of the environment and of the config file.

Precedence: flag > environment > secret file > config file > shipped defaults. Each layer is a plain mapping; they are
merged here, not inside pydantic-settings, so that `ul-proxy config` can say where every value came from.
"""

import os
import re
import stat
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource
from pydantic_settings import SettingsError as SourceError

from proxy.errors import SettingsError
from proxy.model import OutboundProxies, OutboundProxy
from proxy.outbound import parse_proxy
from proxy.settings.options import refuse_contradictions
from proxy.settings.schema import PREFIX, Leaf, RouteSettings, Settings, leaves

CONFIG_VARIABLE = PREFIX + "CONFIG"
DEFAULTS = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings, where each came from (by dotted name), and what a person should hear about them."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]
    outbound: OutboundProxies

    def value(self, leaf: Leaf) -> Any:
        value: Any = self.settings
        for name in leaf.path:
            value = getattr(value, name)
        return value


def load(flags: Mapping[str, Any], config: str | None = None) -> Loaded:
    """Read every source. `flags` are by dotted name; `config` is the path that --config named.

    Raises SettingsError, one sentence that names the setting and the fix.
    """
    known = {leaf.name: leaf for leaf in leaves()}
    layers = [(DEFAULTS, _read_toml(_shipped_defaults()))]
    warnings: list[str] = []
    from_file: dict[str, Any] = {}
    if (path := _config_path(config)) is not None:
        from_file = _read_toml(path)
        _refuse_unknown(from_file, known, path)
        layers.append((f"file {path}", from_file))
        if any(leaf.secret and _dig(from_file, leaf.path) for leaf in known.values()):
            warnings += _warn_if_readable(path)
    for leaf in known.values():
        if leaf.secret and (found := _secret_file(leaf, from_file)):
            origin, secret_path = found
            layers.append((origin, _nest(leaf.path, _read_secret(leaf, secret_path))))
            warnings += _warn_if_readable(secret_path)
    environment = _read_environment(known)
    layers.append(("environment", environment))
    warnings += _warn_unknown_variables(known, environment)
    layers.append(("flag", _unflatten(flags)))

    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for leaf in known.values():
            if (value := _dig(layer, leaf.path)) is not None:
                _put(merged, leaf.path, value)
                origins[leaf.name] = _origin(origin, leaf)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise _as_sentence(error, origins) from None
    refuse_contradictions(settings)
    return Loaded(settings, origins, tuple(warnings), _outbound_proxies())


def _read_environment(known: Mapping[str, Leaf]) -> dict[str, Any]:
    try:
        found = EnvSettingsSource(Settings)()
    except SourceError as error:
        name = re.search(r'field "(\w+)"', str(error))
        variable = PREFIX + name[1].upper() if name else PREFIX + "…"
        raise SettingsError(f"{variable} is not valid JSON", hint=f"Mend or unset {variable}.") from None
    for section in _sections(known) & found.keys():
        if not isinstance(found[section], Mapping):
            variable = PREFIX + section.upper()
            raise SettingsError(f"{variable} is not a JSON object", hint=f"Mend or unset {variable}.")
    return found


def _variable(name: str) -> tuple[str, str] | None:
    """A variable as it is spelt, and its value: like every setting's it may be in any case, and empty is unset."""
    return next(((key, value) for key, value in os.environ.items() if value and key.upper() == name), None)


def _sections(known: Mapping[str, Leaf]) -> set[str]:
    return {leaf.path[0] for leaf in known.values() if len(leaf.path) > 1}


def _outbound_proxies() -> OutboundProxies:
    """What HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say, in either case."""
    given = urllib.request.getproxies_environment()

    def proxy_for(scheme: str) -> OutboundProxy | None:
        url = given.get(scheme) or given.get("all")
        try:
            return parse_proxy(url) if url else None
        except ValueError as error:
            variable = f"{scheme.upper()}_PROXY" if given.get(scheme) else "ALL_PROXY"
            raise SettingsError(f"{variable}: {error}", hint=f"Mend or unset {variable}.") from None

    return OutboundProxies(proxy_for("http"), proxy_for("https"), given.get("no", ""))


def _shipped_defaults() -> Path:
    package = Path(__file__).parent.parent
    in_wheel = package / "defaults.toml"
    return in_wheel if in_wheel.exists() else package.parent / "config" / "defaults.toml"


def _config_path(given: str | None) -> Path | None:
    if given:
        return _expanded(given)
    if variable := _variable(CONFIG_VARIABLE):
        return _expanded(variable[1])
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    candidates = (Path("ul-proxy.toml"), _expanded(home) / "ul-proxy" / "config.toml")
    return next((path for path in candidates if _is_file(path)), None)


def _expanded(named: str) -> Path:
    """`~` stands for a home directory; a container's arbitrary user has none, and then it stands for itself."""
    with suppress(RuntimeError):
        return Path(named).expanduser()
    return Path(named)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the home directory of another user, say, whom a container's image was made for
        return False


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(
            f"config file {path} cannot be read: {error.strerror}", hint=f"Check --config and {CONFIG_VARIABLE}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The parser quotes positions, never the text of a line.
        raise SettingsError(f"config file {path} is not valid TOML: {error}", hint="Mend that line.") from None


def _refuse_unknown(document: Mapping[str, Any], known: Mapping[str, Leaf], path: Path) -> None:
    files = {leaf.name + "_file" for leaf in known.values() if leaf.secret}
    sections = _sections(known)
    for name in sections & document.keys():
        if not isinstance(document[name], dict):
            raise SettingsError(
                f"config file {path}: {name} is a section", hint=f"Write [{name}], and its settings below."
            )
    names = {*known, *files, *(f"routes.{name}" for name in RouteSettings.model_fields)}
    for name in _names_in(document, sections):
        if name not in names:
            nearest = get_close_matches(name, sorted(names | sections), 1, 0)[0]
            raise SettingsError(f"config file {path}: unknown setting {name}", hint=f"Did you mean {nearest}?")


def _names_in(document: Mapping[str, Any], sections: set[str]) -> Iterator[str]:
    for name, value in document.items():
        if name in sections:
            yield from (f"{name}.{key}" for key in value)
        elif name == "routes" and isinstance(value, list):
            yield from (f"{name}.{key}" for route in value if isinstance(route, dict) for key in route)
        else:
            yield name


def _secret_file(leaf: Leaf, from_file: Mapping[str, Any]) -> tuple[str, Path] | None:
    variable = leaf.variable + "_FILE"
    if found := _variable(variable):
        return f"secret file {found[1]} ({found[0]})", _expanded(found[1])
    named = _dig(from_file, (*leaf.path[:-1], leaf.path[-1] + "_file"))
    return (f"secret file {named}", _expanded(str(named))) if named else None


def _read_secret(leaf: Leaf, path: Path) -> SecretStr:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{leaf.name}_file: {path} is not UTF-8 text", hint="Write the secret as text.") from None
    except (OSError, ValueError) as error:  # a ValueError is about a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"{leaf.name}_file: {path} cannot be read: {reason}", hint="Check the path and its permissions."
        ) from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SettingsError(f"{leaf.name}_file: {path} is empty", hint="Write the secret into it.")
    return SecretStr(secret)


def _warn_if_readable(path: Path) -> list[str]:
    mode = path.stat().st_mode
    # A mounted secret may be a pipe, or a file owned by root in a container's tmpfs, readable by its group.
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        return [f"{path} holds a secret and everybody on this machine can read it: chmod 600 {path}"]
    return []


def _warn_unknown_variables(known: Mapping[str, Leaf], environment: Mapping[str, Any]) -> list[str]:
    names = {CONFIG_VARIABLE}
    for leaf in known.values():
        names |= {leaf.variable, PREFIX + leaf.path[0].upper()}
        if leaf.secret:
            names.add(leaf.variable + "_FILE")
    unknown = [name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in names]
    warnings = [
        # Without the prefix, which alone would make every name look like every other.
        f"unknown variable {name} is ignored{_suggestion(name.upper(), names, skip=len(PREFIX))}"
        for name in sorted(unknown)
    ]
    spelt_out = {name.upper() for name in unknown}
    for section in sorted(_sections(known) & environment.keys()):
        variable = PREFIX + section.upper()
        inside = [f"{section}.{key}" for key in environment[section] if f"{variable}__{key}".upper() not in spelt_out]
        warnings += [
            f"unknown setting {name} in {variable} is ignored{_suggestion(name, set(known))}"
            for name in inside
            if name not in known
        ]
    return warnings


def _suggestion(name: str, known: set[str], skip: int = 0) -> str:
    near = get_close_matches(name[skip:], sorted(other[skip:] for other in known), 1)
    return f": did you mean {name[:skip] + near[0]}?" if near else ""


def _as_sentence(error: ValidationError, origins: Mapping[str, str]) -> SettingsError:
    first = error.errors(include_input=False, include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    name = next((".".join(location[:n]) for n in (2, 1) if ".".join(location[:n]) in origins), ".".join(location))
    message = first["msg"].removeprefix("Value error, ")
    inner = location[name.count(".") + 1 :]
    detail = ".".join(inner) if inner[1:] else ""  # a place in a plain list tells nobody anything
    where = f" ({origins[name]})" if name in origins else ""
    return SettingsError(
        f"{name}{where}: {detail + ': ' if detail else ''}{message}", hint="See the README's settings."
    )


def _origin(origin: str, leaf: Leaf) -> str:
    if origin == "environment":
        own = _variable(leaf.variable)
        return f"environment {own[0] if own else PREFIX + leaf.path[0].upper()}"
    return f"flag --{'-'.join(leaf.path).replace('_', '-')}" if origin == "flag" else origin


def _dig(mapping: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = mapping
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _put(mapping: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        mapping = mapping.setdefault(name, {})
    mapping[path[-1]] = value


def _nest(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    _put(result, path, value)
    return result


def _unflatten(flags: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in flags.items():
        _put(result, tuple(name.split(".")), value)
    return result
