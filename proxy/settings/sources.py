"""Where settings come from: every source is read, and the strongest that names a setting wins.

Precedence: flag > environment > secret file > config file > shipped defaults. Each layer is a plain mapping; they are
merged here, not inside pydantic-settings, so that `ul-proxy config` can say where every value came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr, ValidationError

from proxy.http.options import OutboundProxies
from proxy.settings import complaints, environment, files, profiles
from proxy.settings.assemble import log_options, refuse_contradictions, serve_options
from proxy.settings.forms import STORE_FILE
from proxy.settings.leaf import Leaf, leaves
from proxy.settings.nested import dig, nest, put
from proxy.settings.options import LogOptions, ServeOptions
from proxy.settings.schema import PlainSettings, Settings

DEFAULTS = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings, where each came from (by dotted name), and what a person should hear about them."""

    settings: Settings
    leaves: tuple[Leaf, ...]
    """Every setting that there is, those of profiles included."""
    origins: Mapping[str, str]
    warnings: tuple[str, ...]
    outbound: OutboundProxies
    state_home: Path | None
    config: Path | None
    """The config file in use."""
    searched: tuple[Path, ...]
    """Where a config file was looked for; nowhere if it was named."""
    secret_files: tuple[Path, ...]
    """The files that hold one secret each."""
    pipes: Mapping[Path, SecretStr]
    """The secrets among them that can be read but once."""
    certificates: Mapping[Path, files.Mark]
    """The files of HTTPS, and how they were just before anybody read them."""

    def value(self, leaf: Leaf) -> Any:
        value: Any = self.settings
        for name in leaf.path:
            value = value[name] if isinstance(value, dict) else getattr(value, name)
        return value

    def options(self) -> ServeOptions:
        """What the running proxy is built from; raises SettingsError."""
        return serve_options(self.settings, self.outbound, self.state_home)

    def log_options(self) -> LogOptions:
        """What logging is set up from."""
        return log_options(self.settings)


@dataclass(frozen=True, slots=True)
class _Layer:
    origin: str
    values: Mapping[str, Any]
    config: Path | None = None
    """The file whose folder relative names are in."""
    only: Leaf | None = None
    """The one setting that it has; any where None."""


def load(
    flags: Mapping[str, Any], config: str | None = None, pipes: Mapping[Path, SecretStr] = MappingProxyType({})
) -> Loaded:
    """Read every source. `flags` are by dotted name; `config` is the path that --config named.

    `pipes` are secrets that were read earlier and cannot be read again. Raises SettingsError, one sentence that names
    the setting and the fix.
    """
    path, searched = files.find_config(config)
    document = {} if path is None else files.read_toml(path)
    declared = profiles.declared_in(document)
    held = environment.read_environment(declared)
    names = dict.fromkeys([*declared, *held[profiles.SECTION]])
    known = {leaf.name: leaf for leaf in leaves(PlainSettings)}
    known |= {leaf.name: leaf for name in names for leaf in profiles.leaves_of(name)}
    from_files = _from_files(known, document, path, pipes)
    layers = [
        _Layer(DEFAULTS, files.shipped_defaults()),
        *from_files.layers,
        _Layer("environment", held),
        _Layer("flag", nest(flags)),
    ]
    merged, origins = _merged(known, layers)
    # A profile without settings is one all the same.
    merged[profiles.SECTION] = {name: {} for name in names} | merged.get(profiles.SECTION, {})
    settings = _validated(merged, known, origins)
    certificates = [path for path in (settings.tls_cert, settings.tls_key) if path is not None]
    return Loaded(
        settings,
        tuple(known.values()),
        origins,
        (*from_files.warnings, *_key_warnings(certificates, settings.tls_key), *environment.warnings(known, held)),
        environment.outbound_proxies(),
        environment.state_home(),
        config=files.absolute(path) if path is not None else None,
        searched=tuple(map(files.absolute, searched)),
        secret_files=tuple(dict.fromkeys(from_files.secrets)),
        pipes=from_files.pipes,
        certificates={path: files.mark(path) for path in certificates},
    )


def _validated(merged: Mapping[str, Any], known: Mapping[str, Leaf], origins: Mapping[str, str]) -> Settings:
    """The settings, of which each can be used by itself and beside the others; raises SettingsError."""
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise complaints.sentence(error, known, origins) from None
    refuse_contradictions(settings)
    return settings


def _key_warnings(certificates: list[Path], key: Path | None) -> list[str]:
    """Warnings about private keys that everybody can read."""
    # In this order: only of a file that stays is it asked what it holds, since a pipe can be read but once.
    readable = [(path, warning) for path in certificates for warning in files.warn_if_readable(path)]
    return [warning for path, warning in readable if path == key or files.holds_key(path)]


@dataclass(slots=True)
class _FromFiles:
    layers: list[_Layer] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    secrets: list[Path] = field(default_factory=list)
    pipes: dict[Path, SecretStr] = field(default_factory=dict)


def _from_files(
    known: Mapping[str, Leaf], document: Mapping[str, Any], config: Path | None, pipes: Mapping[Path, SecretStr]
) -> _FromFiles:
    """The config file and the secrets that files hold, and what to say about who can read them."""
    found = _FromFiles()
    if config is not None:
        files.refuse_unknown(document, known, config)
        found.layers.append(_Layer(f"file {config}", document, config))
        if any(leaf.secret and dig(document, leaf.path) for leaf in known.values()):
            found.warnings += files.warn_if_readable(config)
    given = environment.variables()
    for leaf in known.values():
        if leaf.secret and (named := files.secret_file(leaf, document, config, given)):
            origin, path = named
            secret = pipes.get(path) or files.read_secret(leaf, path)
            if files.is_file(path):
                found.warnings += files.warn_if_readable(path)
            else:
                found.pipes[path] = secret
            found.layers.append(_Layer(origin, nest({leaf.name: secret}), only=leaf))
            found.secrets.append(path)
    return found


def _merged(known: Mapping[str, Leaf], layers: list[_Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """What is in force, and where it came from by dotted name; later layers are stronger."""
    merged: dict[str, Any] = {}
    origins = {leaf.name: DEFAULTS for leaf in leaves() if leaf.info.default in ([], {})}
    given = environment.variables()
    for layer in layers:
        for leaf in known.values() if layer.only is None else [layer.only]:
            if (value := dig(layer.values, leaf.path)) is not None:
                put(merged, leaf.path, _located(leaf, value, layer.config))
                origins[leaf.name] = _origin(layer.origin, leaf, given)
    return merged, origins


def _located(leaf: Leaf, value: Any, config: Path | None) -> Any:
    """A value that names a file, with the file's whole path."""
    if not isinstance(value, str):
        return value
    if leaf.is_path:
        return files.resolved(value, config)
    path = value.removeprefix(STORE_FILE)
    return f"{STORE_FILE}{files.resolved(path, config)}" if leaf.is_store and path not in (value, "") else value


def _origin(origin: str, leaf: Leaf, given: environment.Variables) -> str:
    if origin == "environment":
        return f"environment {environment.setter_of(leaf, given)}"
    return f"flag {leaf.flag}" if origin == "flag" else origin
