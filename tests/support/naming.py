"""What texts call settings, variables, commands and flags, held against those that there are."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from proxy.cli.arguments import known_by_command
from proxy.cli.manual import COMMANDS
from proxy.errors.names import FILE_SUFFIX, PREFIX, variable
from proxy.settings import Leaf, leaves
from proxy.settings.leaf import sections
from proxy.settings.profiles import leaves_of

HOLE = "\0"
"""Stands for what an f-string fills in."""
SETTINGS = {leaf.name for leaf in leaves()}
SECTIONS = {".".join(path) for path in sections(leaves())}
TABLES = SECTIONS | {"routes", "profiles.NAME"}

_VARIABLE = re.compile(rf"\b{PREFIX}[A-Z0-9_]*{HOLE}?")
# An image, too, is called ul-proxy, and what it runs.
_COMMAND = re.compile(r"(?<![\w./-])(?:ul-proxy +)+(?!ul-proxy)(?P<name>[a-z][a-z-]*)(?P<arguments>[^`|;&)#\n]*)")
_FLAG = re.compile(r"(?<![\w-])--[a-z-]*[a-z]" + f"|(?<![\\w-])--(?={HOLE})")
_TABLE = re.compile(r"\[{1,2}([a-z_]+(?:\.[A-Za-z_]+)*)\]")
_WORD = re.compile(r"(?<![\w.$/@-])[a-z]+(?:[_.][a-z]+)+(?![\w(@-])")
_ASSIGNED = re.compile(r"\b([a-z_.]+) = (?:true|false|\d|\")")


def _variables_of(leaf: Leaf) -> set[str]:
    return {leaf.variable, leaf.variable + FILE_SUFFIX} if leaf.secret else {leaf.variable}


VARIABLES = {PREFIX, variable("config"), *map(variable, SECTIONS)}.union(*map(_variables_of, leaves()))
_ENDINGS = set[str]().union(*map(_variables_of, leaves_of("")))
"""How the variables of a profile go on behind its name."""


@cache
def flags() -> dict[str, set[str]]:
    """The flags of each command."""
    return {
        name: {flag for action in known for flag in action.option_strings} for name, known in known_by_command().items()
    }


def wrong_variables(text: str) -> Iterator[str]:
    """Variables that the program does not read, and those that are not spelt by `proxy.errors.names`."""
    for name in _VARIABLE.findall(text):
        of_profile = re.sub(r"(?<=PROFILES__)[A-Z0-9]+(?:_[A-Z0-9]+)*", "", name)
        if name not in VARIABLES and of_profile not in _ENDINGS:
            yield name


def wrong_commands(text: str) -> Iterator[str]:
    """Commands that there are not, and flags that a command does not have."""
    for found in _COMMAND.finditer(text):
        name = found["name"]
        if name not in COMMANDS:
            yield f"ul-proxy {name}"
        else:
            yield from (f"ul-proxy {name} {flag}" for flag in set(_FLAG.findall(found["arguments"])) - flags()[name])


def wrong_flags(text: str) -> Iterator[str]:
    """Flags that no command has."""
    yield from set(_FLAG.findall(text)).difference(*flags().values())


def wrong_settings(text: str) -> Iterator[str]:
    """Words that look like the name of a setting or a section and are none; only sentences are of such words."""
    yield from set(_WORD.findall(text)) - SETTINGS - SECTIONS
    yield from (f"{name} =" for name in set(_ASSIGNED.findall(text)) - SETTINGS)
    yield from (f"[{name}]" for name in set(_TABLE.findall(text)) - TABLES)


def wrong_arguments(tree: ast.AST) -> Iterator[str]:
    """What `proxy.errors.names` is asked to name although it is no setting."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function), args=[given, *_]):
                parts = given.elts if isinstance(given, ast.List | ast.Tuple) else [given]
                if function in ("variable", "variables", "flag"):
                    constants = {part.value for part in parts if isinstance(part, ast.Constant)}
                    yield from map(str, constants - SETTINGS - {"config", ""})


def strings_in(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Every string of a module: its line, its text and whether it is a sentence that people read.

    Those are all that have a space but for docstrings, which speak of the code.
    """
    nodes = list(ast.walk(tree))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        match node:
            case ast.JoinedStr(values=values):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in values)
            case ast.Constant(value=str(text)) if id(node) not in parts:
                pass
            case _:
                continue
        yield node.lineno, text, " " in text and id(node) not in docstrings
