"""The files that settings come from: the shipped defaults, the config file, and those that hold one secret each."""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import SecretStr

from proxy.errors import SettingsError
from proxy.errors.names import FILE_SUFFIX
from proxy.settings.environment import CONFIG_VARIABLE, Variables, user_folder, variables
from proxy.settings.leaf import Leaf, sections
from proxy.settings.nested import dig, paths
from proxy.settings.profiles import SECTION
from proxy.settings.quantities import quoted
from proxy.settings.schema import RouteSettings

_SUFFIX = FILE_SUFFIX.lower()

Mark: TypeAlias = tuple[int, int, int, int] | None
"""What changes when a file does: also where a link to it is turned, as containers' secrets are."""


def shipped_defaults() -> dict[str, Any]:
    """The settings that the program ships with: a config file, in the wheel or in the repository."""
    package = Path(__file__).parent.parent
    in_wheel = package / "defaults.toml"
    return read_toml(in_wheel if in_wheel.exists() else package.parent / "config" / "defaults.toml")


def find_config(given: str | None) -> tuple[Path | None, tuple[Path, ...]]:
    """The config file in use, if any, and where one was looked for; `given` is what --config named."""
    found = variables().get(CONFIG_VARIABLE)
    if named := given or (found[1] if found else None):
        return _expanded(named), ()
    places = (Path("ul-proxy.toml"), _expanded(user_folder()) / "ul-proxy" / "config.toml")
    return next(filter(is_file, places), None), places


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(
            f"config file {path} cannot be read: {error.strerror}",
            hint="Check its permissions."
            if isinstance(error, PermissionError)
            else f"Check --config and {CONFIG_VARIABLE}.",
        ) from None
    except RecursionError:
        raise SettingsError(
            f"config file {path} is nested too deeply", hint="No setting is more than a list of tables."
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"config file {path} is not valid TOML: it is not UTF-8 text (at line {line})", hint="Save it as UTF-8."
        ) from None
    except tomllib.TOMLDecodeError as error:
        # The parser quotes positions, never the text of a line.
        raise SettingsError(f"config file {path} is not valid TOML: {error}", hint="Mend that line.") from None


def refuse_unknown(document: Mapping[str, Any], known: Mapping[str, Leaf], path: Path) -> None:
    """Raises SettingsError where a config file holds a key that no setting has."""
    files = {leaf.name + _SUFFIX for leaf in known.values() if leaf.secret}
    inner = sections(known.values())
    for section in sorted(inner):
        named = ".".join(section)
        if not isinstance(dig(document, section) or {}, Mapping):
            raise SettingsError(f"config file {path}: {named} is a section", hint=f"Write {_heading(section)}.")
    names = {*known, *files, *(f"routes.{name}" for name in RouteSettings.model_fields)}
    unknown = [name for name in _names_in(document, inner) if name not in names]
    if unknown:
        known_ones = sorted(names | {".".join(section) for section in inner})
        nearest = " and ".join(get_close_matches(name, known_ones, 1, 0)[0] for name in unknown)
        likely = all(get_close_matches(name, known_ones, 1) for name in unknown)
        hint = f"Did you mean {nearest}?" if likely else f"The nearest known: {nearest}. `ul-proxy config` lists all."
        raise SettingsError(f"config file {path}: unknown setting {' and '.join(unknown)}", hint=hint)


def _heading(section: tuple[str, ...]) -> str:
    return f"[{'.'.join(section)}], and its settings below" if section != (SECTION,) else f"[{SECTION}.NAME] for each"


def secret_file(
    leaf: Leaf, document: Mapping[str, Any], config: Path | None, given: Variables
) -> tuple[str, Path] | None:
    """Where a setting's secret is to be read, and who says so: a variable before `document`, the config file's.

    `given` are the variables that are set.
    """
    in_variable = leaf.variable + FILE_SUFFIX
    if found := given.get(in_variable):
        path = resolved(found[1])
        return f"secret file {path} ({found[0]})", path
    key = leaf.name + _SUFFIX
    named = dig(document, (*leaf.path[:-1], leaf.path[-1] + _SUFFIX))
    if not named:
        return None
    if not isinstance(named, str):
        raise SettingsError(f"{key} (file {config}): {quoted(named)} must be text, in quotes", hint="Name a file.")
    path = resolved(named, config)
    return f"secret file {path}", path


def read_secret(leaf: Leaf, path: Path) -> SecretStr:
    key = leaf.name + _SUFFIX
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{key}: {path} is not UTF-8 text", hint="Write the secret as text.") from None
    except (OSError, ValueError) as error:  # a ValueError is about a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"{key}: {path} cannot be read: {reason}", hint="Check the path and its permissions."
        ) from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SettingsError(f"{key}: {path} is empty", hint="Write the secret into it.")
    return SecretStr(secret)


def warn_if_readable(path: Path) -> list[str]:
    """A warning where everybody on the machine can read a file that holds a secret, and its owner can mend that."""
    try:
        mode = path.stat().st_mode
        mounted = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:  # whoever reads it complains
        return []
    # What orchestrators mount may be a pipe, or readable by all, and nobody in the container can change that.
    if stat.S_ISREG(mode) and mode & stat.S_IROTH and not mounted:
        return [f"{path} holds a secret and everybody on this machine can read it: chmod 600 {path}"]
    return []


def holds_key(path: Path) -> bool:
    """Whether there is a private key in a PEM file."""
    try:
        return b"PRIVATE KEY" in path.read_bytes()
    except OSError:  # whoever uses it complains
        return False


def mark(path: Path) -> Mark:
    """How a file is now; None for what is missing, and for pipes, which can be read but once."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a ValueError is about a NUL in the path
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev) if stat.S_ISREG(found.st_mode) else None


def resolved(named: str, config: Path | None = None) -> Path:
    """The absolute path that a name stands for: in a config file beside that file, else in the current directory."""
    return absolute((config.parent if config is not None else Path()) / _expanded(named))


def absolute(path: Path) -> Path:
    with suppress(OSError):  # the current directory may have been removed
        return path.absolute()
    return path


def _expanded(named: str) -> Path:
    """`~` stands for a home directory; a container's arbitrary user has none, and then it stands for itself."""
    with suppress(RuntimeError):
        return Path(named).expanduser()
    return Path(named)


def is_file(path: Path) -> bool:
    """Whether there is a file, which may be read again and again."""
    try:
        return path.is_file()
    except OSError:  # the home directory of another user, say, whom a container's image was made for
        return False


def _names_in(document: Mapping[str, Any], inner: Set[tuple[str, ...]]) -> Iterator[str]:
    """The dotted names of all keys; `inner` are the paths of the sections."""
    for path in paths(document, inner):
        if path == ("routes",) and isinstance(document["routes"], list):
            yield from (f"routes.{field}" for route in document["routes"] if isinstance(route, dict) for field in route)
        else:
            yield ".".join(path)
