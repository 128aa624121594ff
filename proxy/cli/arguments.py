"""Flags. Every setting that is not a secret has one, made from its declaration."""

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

from proxy import __version__
from proxy.settings import Leaf, leaves

COMMANDS = {
    "serve": "run the proxy (also what a bare ul-proxy does)",
    "demo": "an offline sandbox: an embedded Cognito and API with the proxy in front",
    "config": "print the effective settings, secrets masked, and where each came from",
}
"""Each is the module of `proxy.cli` that runs it."""

_DESCRIPTION = """\
A local reverse proxy that signs in to Unleash Live and adds a fresh token to every request.

  ul-proxy demo                  try it offline
  UL_PROXY_USERNAME=me@example.com UL_PROXY_PASSWORD=… ul-proxy serve
  curl http://127.0.0.1:8080/v1/job
"""
_SOURCES = """\
Every setting can also be an environment variable (--cognito-region is UL_PROXY_COGNITO__REGION) or stand in a
TOML file: --config, else ./ul-proxy.toml, else ~/.config/ul-proxy/config.toml. Secrets have no flag:
UL_PROXY_PASSWORD, UL_PROXY_API_KEY, UL_PROXY_PERSONAL_ACCESS_TOKEN, each also with _FILE behind it.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `command` set; without one it is `serve`."""
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help", "--version")):
        argv = ["serve", *argv]
    parser = argparse.ArgumentParser(
        prog="ul-proxy", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"ul-proxy {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        _add(commands, name, summary)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(_complaint(unknown[0].partition("=")[0]))
    return arguments


def flags_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags, by dotted name."""
    given = {leaf.name: getattr(arguments, leaf.name, None) for leaf in leaves()}
    return {name: value for name, value in given.items() if value is not None}


def _complaint(unknown: str) -> str:
    """What is wrong with an argument. What follows it is not quoted: somebody may have hoped to pass a secret."""
    variable = next((leaf.variable for leaf in leaves() if leaf.secret and _flag(leaf) == unknown), None)
    if variable is not None:
        return f"a secret has no flag, since process lists show flags: set {variable} or {variable}_FILE"
    return f"unrecognized argument {unknown}"


def _flag(leaf: Leaf) -> str:
    return "--" + "-".join(leaf.path).replace("_", "-")


def _comma_separated(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]


def _add(commands: Any, name: str, summary: str) -> None:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=textwrap.dedent(_SOURCES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=name)
    parser.add_argument("--config", metavar="FILE", help="the config file to read")
    for leaf in leaves():
        if leaf.secret or leaf.name == "routes":
            continue
        description = (leaf.info.description or "").replace("`", "").replace("%", "%%")
        if leaf.boolean:
            parser.add_argument(_flag(leaf), dest=leaf.name, action=argparse.BooleanOptionalAction, help=description)
        else:
            parser.add_argument(
                _flag(leaf),
                dest=leaf.name,
                metavar=leaf.path[-1].upper(),
                action="extend" if leaf.listed else "store",
                type=_comma_separated if leaf.listed else None,
                help=description,
            )
