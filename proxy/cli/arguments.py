"""Flags. Every setting that is not a secret has one, made from its declaration."""

import argparse
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from proxy import __version__
from proxy.cli.manual import COMMANDS
from proxy.cli.signals import with_command
from proxy.observe.logs import printable
from proxy.settings import Group, Leaf, leaves, shipped_defaults
from proxy.settings.kinds import KINDS
from proxy.settings.nested import dig

_DESCRIPTION = """\
A local reverse proxy that signs in to Unleash Live and adds a fresh token to every request.

  ul-proxy demo                  try it offline, without an account
  ul-proxy login                 sign in once, whatever that takes
  ul-proxy serve                 then this needs no password
  curl http://127.0.0.1:8080/v1/job
  ul-proxy check                 where something is wrong: what it is, and what mends it
"""
_MORE = """\
Every command explains itself, with examples: ul-proxy COMMAND --help. Flags without a command are those of serve.

Exit status: 0 a clean end, 1 a failure, 2 unusable arguments or settings. What went wrong, and what mends it, is one
sentence on stderr.
"""
_ELSEWHERE = {"start": "serve", "run": "serve"} | dict.fromkeys(("--port", "--host", "--bind"), "--listen")
"""What other programs call it: the nearest spelling would be something else."""
_SOURCES = """\
DURATION is a number of seconds, or 500ms, 10s, 5m, 1h; SIZE a number of bytes, or 64 KiB, 1 MiB, 1 GiB.
A list is written between commas, or by giving the flag again; a variable may also hold a JSON list.

Every setting can also be an environment variable (--cognito-region is UL_PROXY_COGNITO__REGION) or stand in a
TOML file: --config, else ./ul-proxy.toml, else ~/.config/ul-proxy/config.toml. Secrets have no flag:
{secrets}, each also with _FILE behind it.
Routes of your own stand in the file under [[routes]]: path, upstream, auth
({kinds}) and, where it is not the usual one, the header for the
credential. Further logins stand under [profiles.NAME], or in variables such as UL_PROXY_PROFILES__NAME__USERNAME.
"""
_CONFIG = "--config"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Does not break addresses where they have a hyphen."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, and how to go on."""

    def error(self, message: str) -> NoReturn:
        sentence = _worded(message)
        mark = "" if sentence.endswith("?") else f". See `{self.prog} --help`."
        self.exit(2, printable(f"ul-proxy: {sentence}{mark}") + "\n")


class _Overview(argparse.RawDescriptionHelpFormatter):
    """Leaves room for the longest command: argparse forgets that commands are indented."""

    def add_arguments(self, actions: Iterable[argparse.Action]) -> None:
        super().add_arguments(actions)
        self._action_max_length += self._indent_increment


class _CommandParser(_Parser):
    """Shows the shipped defaults in its help, and reads them for that alone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(add_help=False, **options)
        self.known = [self.add_argument("-h", "--help", action="help", help="show this help message and exit")]
        """What there is to be given."""

    def format_help(self) -> str:
        defaults = shipped_defaults()
        settings = {leaf.name: leaf for leaf in leaves()}
        for action in self.known:
            leaf = settings.get(action.dest)
            if leaf is not None and (shown := _default_of(leaf, defaults)):
                action.help = f"{action.help} (default: {shown})"
        return super().format_help()


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `command` set; without one it is `serve`."""
    argv = with_command(argv)
    parser, parsers = _parsers()
    if argv[0] in COMMANDS:
        # One command is run: the flags of the others need not be known.
        _add_flags(parsers[argv[0]], argv[0])
    elif not argv[0].startswith("-"):
        near = _near(argv[0], COMMANDS)
        suggestion = f": did you mean {near[0]}?" if near else f": there are {', '.join(COMMANDS)}"
        parser.error(f"there is no command {argv[0]!r}{suggestion}")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        command: str = arguments.command
        parsers[command].error(_complaint(command, unknown[0].partition("=")[0]))
    return arguments


def known_by_command() -> dict[str, list[argparse.Action]]:
    """What may be given to each command."""
    _, parsers = _parsers()
    for name, parser in parsers.items():
        _add_flags(parser, name)
    return {name: parser.known for name, parser in parsers.items()}


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, _CommandParser]]:
    """The parser of the program, and that of each command, without its flags."""
    parser = _Parser(
        prog="ul-proxy",
        description=_DESCRIPTION,
        epilog=_MORE,
        formatter_class=_Overview,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ul-proxy {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_CommandParser)
    return parser, {name: _add(commands, name) for name in COMMANDS}


def flags_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags, by dotted name."""
    given = {leaf.name: getattr(arguments, leaf.name, None) for leaf in leaves()}
    return {name: value for name, value in given.items() if value is not None}


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command was told that is no setting, by the parameters of its `run`."""
    return {option.name: getattr(arguments, option.name) for option in COMMANDS[arguments.command].options}


def _worded(message: str) -> str:
    """What argparse says of an argument, in the words of all other errors."""
    found = re.fullmatch(r"argument (?P<name>[\w-]+)[^:]*: (?P<what>.*)", message, re.DOTALL)
    if found is None:
        return message
    name, what = found["name"], found["what"]
    if what.startswith("expected"):
        return f"{name} needs a value"
    if what.startswith("ignored"):
        # The value is not quoted: somebody may have hoped to pass a secret.
        return f"{name} takes no value"
    choice = re.fullmatch(r"invalid choice: (?P<given>.*) \(choose from (?P<known>.*)\)", what, re.DOTALL)
    if choice is not None:
        return f"{name}: {choice['given']} is none of {choice['known'].replace(chr(39), '')}"
    return f"{name}: {what}"


def _settings_of(command: str) -> list[Leaf]:
    """The settings that a command has flags for."""
    return [leaf for leaf in leaves() if not (leaf.secret or leaf.tabular or _ignored(command, leaf))]


def _ignored(command: str, leaf: Leaf) -> bool:
    described, names = COMMANDS[command], {leaf.name, leaf.path[0]}
    used = described.settings is None or not names.isdisjoint(described.settings)
    return not used or not names.isdisjoint(described.ignored)


def _near(unknown: str, known: Iterable[str]) -> list[str]:
    """What was meant, if that can be told."""
    names = list(known)
    meant = _ELSEWHERE.get(unknown)
    return [meant] if meant in names else get_close_matches(unknown, names, 1)


def _complaint(command: str, unknown: str) -> str:
    """What is wrong with an argument. What follows it is not quoted: somebody may have hoped to pass a secret."""
    leaf = next((leaf for leaf in leaves() if unknown in _spellings(leaf)), None)
    if leaf is not None and leaf.secret:
        return f"a secret has no flag, since process lists show flags: set {leaf.variable} or {leaf.variable}_FILE"
    if leaf is not None and _ignored(command, leaf):
        if command == "demo":
            return f"{unknown} has no effect on the sandbox, which has a login and upstreams of its own"
        return f"{unknown} has no effect on ul-proxy {command}"
    own = [option.flag for option in COMMANDS[command].options]
    known = [_CONFIG, *own, *(flag for leaf in _settings_of(command) for flag in _spellings(leaf))]
    near = _near(unknown, known) if unknown.startswith("--") else []
    return f"unrecognized argument {unknown}" + (f": did you mean {near[0]}?" if near else "")


def _spellings(leaf: Leaf) -> tuple[str, ...]:
    return (leaf.flag, f"--no-{leaf.flag[2:]}") if leaf.boolean else (leaf.flag,)


def _comma_separated(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]


def _default_of(leaf: Leaf, defaults: Mapping[str, Any]) -> str:
    """A shipped default as one would write it, "" where there is none."""
    value = dig(defaults, leaf.path)
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, list) else str(value or "")


def _sources() -> str:
    """What help says of the other places that settings come from."""
    variables = ", ".join(leaf.variable for leaf in leaves() if leaf.secret)
    return _SOURCES.format(secrets=textwrap.fill(variables, 115), kinds=", ".join(KINDS))


def _add(commands: Any, name: str) -> _CommandParser:
    """The parser of a command, without its flags."""
    command = COMMANDS[name]
    summary = f"{command.summary[0].upper()}{command.summary[1:]}."
    parser: _CommandParser = commands.add_parser(
        name,
        help=command.summary,
        usage="%(prog)s [--config FILE] [FLAGS]" if command.settings != () else None,
        description=f"{summary}\n\n{command.text}".rstrip(),
        epilog=_sources() if command.settings != () else None,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=name)
    return parser


def _add_flags(parser: _CommandParser, name: str) -> None:
    command = COMMANDS[name]
    for option in command.options:
        # What has no dashes is named by what it is.
        named: dict[str, Any] = {"dest": option.name} if option.flag.startswith("-") else {}
        parser.known.append(parser.add_argument(option.flag, help=option.help, **named, **option.form))
    if command.settings == ():
        parser.set_defaults(config=None)
        return
    parser.known.append(parser.add_argument(_CONFIG, metavar="FILE", help="the config file to read"))
    groups = {group: parser.add_argument_group(group) for group in Group}
    for leaf in _settings_of(name):
        description = leaf.meaning.replace("`", "").replace("%", "%%")
        form: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        if not leaf.boolean:
            form = {
                "metavar": f"{leaf.metavar}[,{leaf.metavar}]" if leaf.listed else leaf.metavar,
                "action": "extend" if leaf.listed else "store",
                "type": _comma_separated if leaf.listed else str,
            }
        parser.known.append(groups[leaf.group].add_argument(leaf.flag, dest=leaf.name, help=description, **form))
