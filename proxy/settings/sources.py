"""Where settings come from: every source is read, and the strongest that names a setting wins.

Precedence: flag > environment > secret file > config file > shipped defaults. Each layer is a plain mapping; they are
merged here, not inside pydantic-settings, so that `ul-proxy config` can say where every value came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proxy.model import OutboundProxies
from proxy.settings import complaints, environment, files
from proxy.settings.nested import dig, nest, put
from proxy.settings.options import refuse_contradictions
from proxy.settings.schema import PREFIX, Leaf, Settings, leaves

DEFAULTS = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings, where each came from (by dotted name), and what a person should hear about them."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]
    outbound: OutboundProxies
    config: Path | None
    """The config file in use."""
    searched: tuple[Path, ...]
    """Where a config file was looked for; nowhere if it was named."""

    def value(self, leaf: Leaf) -> Any:
        value: Any = self.settings
        for name in leaf.path:
            value = getattr(value, name)
        return value


@dataclass(frozen=True, slots=True)
class _Layer:
    origin: str
    values: Mapping[str, Any]
    config: Path | None = None
    """The file whose folder relative names are in."""


def load(flags: Mapping[str, Any], config: str | None = None) -> Loaded:
    """Read every source. `flags` are by dotted name; `config` is the path that --config named.

    Raises SettingsError, one sentence that names the setting and the fix.
    """
    known = {leaf.name: leaf for leaf in leaves()}
    path, searched = files.find_config(config)
    layers, warnings = _file_layers(known, path)
    held = environment.read_environment(known)
    warnings += environment.warnings(known, held)
    layers = [_Layer(DEFAULTS, files.shipped_defaults()), *layers, _Layer("environment", held)]
    merged, origins = _merged(known, [*layers, _Layer("flag", nest(flags))])
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise complaints.sentence(error, known, origins) from None
    refuse_contradictions(settings)
    return Loaded(
        settings,
        origins,
        tuple(warnings),
        environment.outbound_proxies(),
        config=files.absolute(path) if path is not None else None,
        searched=tuple(map(files.absolute, searched)),
    )


def _file_layers(known: Mapping[str, Leaf], config: Path | None) -> tuple[list[_Layer], list[str]]:
    """The config file and the secrets that files hold, and what to say about who can read them."""
    document: dict[str, Any] = {}
    layers: list[_Layer] = []
    warnings: list[str] = []
    if config is not None:
        document = files.read_toml(config)
        files.refuse_unknown(document, known, config)
        layers.append(_Layer(f"file {config}", document, config))
        if any(leaf.secret and dig(document, leaf.path) for leaf in known.values()):
            warnings += files.warn_if_readable(config)
    for leaf in known.values():
        if leaf.secret and (found := files.secret_file(leaf, document, config)):
            origin, path = found
            layers.append(_Layer(origin, nest({leaf.name: files.read_secret(leaf, path)})))
            warnings += files.warn_if_readable(path)
    return layers, warnings


def _merged(known: Mapping[str, Leaf], layers: list[_Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """What is in force, and where it came from by dotted name; later layers are stronger."""
    merged: dict[str, Any] = {}
    origins = {name: DEFAULTS for name, leaf in known.items() if leaf.info.default == []}
    for layer in layers:
        for leaf in known.values():
            if (value := dig(layer.values, leaf.path)) is not None:
                if leaf.is_path and isinstance(value, str):
                    value = files.resolved(value, layer.config)
                put(merged, leaf.path, value)
                origins[leaf.name] = _origin(layer.origin, leaf)
    return merged, origins


def _origin(origin: str, leaf: Leaf) -> str:
    if origin == "environment":
        own = environment.variable(leaf.variable)
        return f"environment {own[0] if own else PREFIX + leaf.path[0].upper()}"
    return f"flag {leaf.flag}" if origin == "flag" else origin
