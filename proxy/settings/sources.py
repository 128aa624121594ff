"""Where settings come from. This is the only reader of the environment and of the config file.

Precedence: flag > environment > secret file > config file > shipped defaults. Each layer is a plain mapping; they are
merged here, not inside pydantic-settings, so that `ul-proxy config` can say where every value came from.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource
from pydantic_settings import SettingsError as SourceError

from proxy.errors import SettingsError
from proxy.settings.options import refuse_contradictions
from proxy.settings.schema import PREFIX, Leaf, Settings, leaves

CONFIG_VARIABLE = PREFIX + "CONFIG"
DEFAULTS = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings, where each came from (by dotted name), and what a person should hear about them."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]

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
    layers.append(("environment", _read_environment()))
    warnings += _warn_unknown_variables(known)
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
    return Loaded(settings, origins, tuple(warnings))


def _read_environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except SourceError as error:
        name = re.search(r'field "(\w+)"', str(error))
        variable = PREFIX + name[1].upper() if name else PREFIX + "…"
        raise SettingsError(f"{variable} is not valid JSON", hint=f"Mend or unset {variable}.") from None


def _shipped_defaults() -> Path:
    package = Path(__file__).parent.parent
    in_wheel = package / "defaults.toml"
    return in_wheel if in_wheel.exists() else package.parent / "config" / "defaults.toml"


def _config_path(given: str | None) -> Path | None:
    if named := given or os.environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser()
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    candidates = (Path("ul-proxy.toml"), Path(home).expanduser() / "ul-proxy" / "config.toml")
    return next((path for path in candidates if path.is_file()), None)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"config file {path} cannot be read: {error.strerror}", hint="Check --config.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The parser quotes positions, never the text of a line.
        raise SettingsError(f"config file {path} is not valid TOML: {error}", hint="Mend that line.") from None


def _refuse_unknown(document: Mapping[str, Any], known: Mapping[str, Leaf], path: Path) -> None:
    files = {leaf.name + "_file" for leaf in known.values() if leaf.secret}
    sections = {leaf.path[0] for leaf in known.values() if len(leaf.path) > 1}
    for name, value in document.items():
        names = [f"{name}.{key}" for key in value] if name in sections and isinstance(value, dict) else [name]
        for full in names:
            if full not in known and full not in files:
                nearest = get_close_matches(full, [*known, *files], 1, 0)[0]
                raise SettingsError(f"config file {path}: unknown setting {full}", hint=f"Did you mean {nearest}?")


def _secret_file(leaf: Leaf, from_file: Mapping[str, Any]) -> tuple[str, Path] | None:
    variable = leaf.variable + "_FILE"
    if named := os.environ.get(variable):
        return f"secret file {named} ({variable})", Path(named).expanduser()
    named = _dig(from_file, (*leaf.path[:-1], leaf.path[-1] + "_file"))
    return (f"secret file {named}", Path(str(named)).expanduser()) if named else None


def _read_secret(leaf: Leaf, path: Path) -> SecretStr:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(
            f"{leaf.name}_file: {path} cannot be read: {error.strerror}", hint="Check the path and its permissions."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{leaf.name}_file: {path} is not UTF-8 text", hint="Write the secret as text.") from None
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


def _warn_unknown_variables(known: Mapping[str, Leaf]) -> list[str]:
    names = {CONFIG_VARIABLE}
    for leaf in known.values():
        names |= {leaf.variable, PREFIX + leaf.path[0].upper()}
        if leaf.secret:
            names.add(leaf.variable + "_FILE")
    unknown = [name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in names]
    return [f"unknown variable {name} is ignored{_suggestion(name.upper(), names)}" for name in sorted(unknown)]


def _suggestion(name: str, known: set[str]) -> str:
    near = get_close_matches(name, sorted(known), 1)
    return f": did you mean {near[0]}?" if near else ""


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
        own = next((name for name in os.environ if name.upper() == leaf.variable), None)
        return f"environment {own or PREFIX + leaf.path[0].upper()}"
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
