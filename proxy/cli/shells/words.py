"""What there is to complete."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from proxy.cli.manual import COMMANDS

DEFAULT_COMMAND = "serve"
"""What flags without a command belong to."""

PROFILES = r"s/^[[:space:]]*\[profiles\.\([A-Za-z0-9_-]*\).*/\1/p"
"""For `sed -n`: the names of the profiles in a config file."""


class Takes(Enum):
    """What follows a flag."""

    NOTHING = auto()
    CHOICE = auto()
    FILE = auto()
    PROFILE = auto()
    TEXT = auto()
    """Something that nobody else can know."""


@dataclass(frozen=True, slots=True)
class Flag:
    spelling: str
    help: str
    takes: Takes
    called: str = ""
    """What follows, as the help has it."""
    choices: tuple[str, ...] = ()
    again: bool = False
    """Whether it may be given again."""


@dataclass(frozen=True, slots=True)
class Words:
    """What may follow a command."""

    summary: str
    flags: tuple[Flag, ...]
    positional: tuple[str, ...] = ()
    """What may stand there that is no flag."""


def words_of(known: Mapping[str, Sequence[argparse.Action]]) -> dict[str, Words]:
    """By command, from what its parser knows."""
    return {name: _words(COMMANDS[name].summary, actions) for name, actions in known.items()}


def _words(summary: str, actions: Sequence[argparse.Action]) -> Words:
    flags = [
        _flag(action, spelling) for action in actions for spelling in action.option_strings if spelling[:2] == "--"
    ]
    positional = [choice for action in actions if not action.option_strings for choice in _choices(action)]
    return Words(summary, tuple(flags), tuple(positional))


def _flag(action: argparse.Action, spelling: str) -> Flag:
    choices, called = _choices(action), str(action.metavar or action.dest.upper())
    if action.nargs == 0:
        takes = Takes.NOTHING
    elif choices:
        takes = Takes.CHOICE
    elif action.dest == "profile":
        takes = Takes.PROFILE
    else:
        takes = Takes.FILE if called == "FILE" else Takes.TEXT
    again = "extend" in type(action).__name__.lower()
    return Flag(spelling, (action.help or "").replace("%%", "%"), takes, called, choices, again)


def _choices(action: argparse.Action) -> tuple[str, ...]:
    """The only values there are: argparse knows them, or the help shows them in braces."""
    if action.choices is not None:
        return tuple(action.choices)
    shown = re.fullmatch(r"\{(.+)\}", action.metavar) if isinstance(action.metavar, str) else None
    return tuple(shown[1].split(",")) if shown else ()
