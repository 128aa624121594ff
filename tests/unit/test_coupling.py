"""What is used of other libraries beyond their documentation: all of it is declared, and its absence is told."""

import ast
import importlib
import inspect
import re
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import IncompatibleLibrary, coupling
from proxy.errors.coupling import COUPLINGS, PYTHON, PYTHONS, Coupling, Part, check, incompatible, missing

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coupling.md"
DECLARED = [one for part in Part for one in COUPLINGS[part]]
NAMES = {name.removesuffix("=") for one in DECLARED for name in one.names}

DOCUMENTED = {"_asdict", "_fields", "_make", "_replace", "_exit"}
"""Underscored, and yet documented: of named tuples, so that no field has such a name, and of `os`."""
OWN = {"self", "cls"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "proxy").rglob("*.py"))}
TREES = {name: ast.parse(path.read_bytes()) for name, path in MODULES.items()}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.isidentifier() and name != "_"


def foreign_privates(tree: ast.AST) -> Iterator[str]:
    """Private names that are asked for of something that is not the object itself, or imported."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name)) if name in OWN:
                continue
            case ast.Attribute(attr=name):
                yield name
            case ast.Import(names=names):
                yield from (part for alias in names for part in alias.name.split("."))
            case ast.ImportFrom(module=origin, names=names):
                yield from (alias.name for alias in names)
                yield from (origin or "").split(".")
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "delattr" | "hasattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                yield name


def privates_of(tree: ast.AST) -> set[str]:
    """The private names of a class itself: attributes, methods, slots."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super")), attr=name):
                found.add(name)
            case ast.Constant(value=str(name)) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return set(filter(is_private, found))


@cache
def inner_names(library: type) -> set[str]:
    """The private names of a class of another library, as far as its source can be read."""
    found = set(filter(is_private, vars(library)))
    with suppress(OSError, TypeError):  # it is not written in Python
        found |= privates_of(ast.parse(textwrap.dedent(inspect.getsource(library))))
    return found


def classes() -> Iterator[tuple[type, ast.ClassDef]]:
    """The classes of the program, and their source."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and module != "proxy.__main__":
                made = getattr(importlib.import_module(module), node.name, None)
                if isinstance(made, type):
                    yield made, node


def declared_of(library: type) -> set[str]:
    """What is declared of a class, or of what it derives from."""
    owners = {f"{base.__module__}:{base.__qualname__}" for base in library.__mro__}
    return {name for one in DECLARED if one.owner in owners for name in one.names}


# ---- nothing is used that is not declared


def test_private_names_are_declared() -> None:
    """Whatever begins with an underscore and is another's is in the list."""
    found = {module: set(filter(is_private, foreign_privates(tree))) - DOCUMENTED for module, tree in TREES.items()}
    undeclared = {f"{name} in {module}" for module, names in found.items() for name in names - NAMES}
    assert not undeclared, "use public names, or declare these in proxy/errors/coupling.py"


def test_private_names_of_bases_are_declared() -> None:
    """A class that derives from another library's uses, and hides, none of its private names but those of the list."""
    undeclared = {
        f"{name} of {base.__qualname__}, in {made.__module__}"
        for made, node in classes()
        for base in made.__mro__
        if base.__module__.partition(".")[0] not in ("proxy", "builtins")
        for name in (privates_of(node) & inner_names(base)) - declared_of(made)
    }
    assert not undeclared, "use public names, or declare these in proxy/errors/coupling.py"


def test_the_search_finds_what_it_looks_for() -> None:
    """Attributes, methods of a base, imports and names in words are found; one's own and documented ones are not."""
    source = """
        import lib._inner
        from lib import _hidden
        other._attribute = getattr(other, "_worded")
        super()._method()
        self._own = cls._own = pair._replace(x=1)
    """
    found = set(filter(is_private, foreign_privates(ast.parse(textwrap.dedent(source)))))
    assert found - DOCUMENTED == {"_inner", "_hidden", "_attribute", "_worded", "_method"}
    assert "_split_lines" in inner_names(importlib.import_module("argparse").HelpFormatter)


def test_declarations_are_of_use() -> None:
    """What nobody uses any more is in no list."""
    used = {
        getattr(node, field, None)
        for module, tree in TREES.items()
        if module != "proxy.errors.coupling"
        for node in ast.walk(tree)
        for field in ("attr", "id", "arg", "name", "value")
        if isinstance(getattr(node, field, None), str)
    }
    assert not NAMES - used


# ---- the page, and the ceilings


def test_the_page_says_the_same() -> None:
    """docs/coupling.md has a row for each declaration, under its part, and no other."""
    told: list[tuple[str, ...]] = []
    part = ""
    for line in PAGE.read_text().partition("\n## Behaviour")[0].splitlines():
        if line.startswith("### "):
            part = line.removeprefix("### ")
        elif line.startswith("| ") and "`" in line:
            told.append((part, *(cell.strip() for cell in line.strip("|").split("|"))))
    expected = [
        (part.value, one.library, f"`{one.owner}`", ", ".join(f"`{name}`" for name in one.names), one.why)
        for part in Part
        for one in COUPLINGS[part]
    ]
    assert told == expected


# ---- what is missing is told


class Whole:
    __slots__ = ("_slot",)
    constant = 1

    def __init__(self, known: int = 0) -> None:
        self._slot = known

    def _method(self) -> None: ...


class Late:
    def __init__(self) -> None:
        self._attribute = self._read()

    def __getattr__(self, name: str) -> Any: ...


class Later(Late): ...


@pytest.mark.parametrize(
    ("owner", "name", "there"),
    [
        ("Whole", "_slot", True),
        ("Whole", "_method", True),
        ("Whole", "constant", True),
        ("Whole", "known=", True),
        ("Whole", "unknown=", False),
        ("Whole", "_renamed", False),
        ("Later", "_attribute", True),
        ("Later", "_renamed", False),
        ("Later", "_read", False),
        ("Nobody", "_slot", False),
        ("", "Whole", True),
        ("", "_renamed", False),
    ],
)
def test_what_is_missing(owner: str, name: str, there: bool) -> None:
    """Methods, slots, attributes that `__init__` sets, parameters and names of modules are looked for."""
    named = f"{__name__}:{owner}" if owner else __name__
    found = list(missing([Coupling("lib", named, (name,), "")]))
    assert (not found) is there
    assert all(__name__ in full for full in found)


def test_a_module_that_is_gone() -> None:
    """A module that was moved is told like a name that was."""
    assert list(missing([Coupling("lib", "botocore.nowhere:Loader", ("a", "b"), "")])) == ["botocore.nowhere.Loader"]


@pytest.mark.parametrize("part", Part)
def test_what_is_installed_has_it_all(part: Part) -> None:
    """The versions that the tests run with lack nothing."""
    check(part)


@pytest.mark.parametrize(
    ("lacking", "sentence"),
    [
        (("_a",), r"aiohttp \d[\w.]+ lacks argparse\._a, which ul-proxy needs"),
        (tuple("abcde"), r"aiohttp \S+ lacks argparse\.a, argparse\.b, argparse\.c and 2 more, which .*"),
    ],
)
def test_the_sentence(lacking: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence has the library, its version and what it lacks, and the hint has the versions that were tested."""
    monkeypatch.setitem(COUPLINGS, Part.SERVER, (Coupling("aiohttp", "argparse", lacking, ""),))
    with pytest.raises(IncompatibleLibrary) as caught:
        check(Part.SERVER)
    assert re.fullmatch(sentence, caught.value.detail)
    assert re.fullmatch(r"Install a version that was tested: pip install 'aiohttp[<>=].*3\.14.*'\.", caught.value.hint)


@pytest.mark.parametrize(
    ("library", "tested"),
    [("aiohttp", r"'aiohttp[<>=].+'"), ("botocore", r"'botocore[<>=].+'"), ("no-such-library", "'no-such-library'")],
)
def test_the_versions_that_were_tested(library: str, tested: str) -> None:
    """They are those that the installed distribution asks for, or the SDK that it asks for."""
    error = incompatible(library, "lacks it")
    assert re.search(tested, error.hint)
    assert ("which is not installed" in error.detail) == (library == "no-such-library")


def test_a_python_that_lacks_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Python itself it says which ones would do."""
    monkeypatch.setitem(COUPLINGS, Part.COMMANDS, (Coupling(PYTHON, "argparse", ("_a",), ""),))
    with pytest.raises(IncompatibleLibrary, match=r"Python 3\.\d+\.\d+ lacks argparse\._a") as caught:
        check(Part.COMMANDS)
    assert "Python 3.11, 3.12, 3.13 or 3.14" in caught.value.hint


def test_pythons_are_those_of_the_package() -> None:
    """The oldest Python is the one that the package asks for."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == f">={PYTHONS[0]}"


def test_without_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a source tree that was never installed the sentence is there without versions."""
    from importlib import metadata  # noqa: PLC0415 - what is patched

    def unknown(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", unknown)
    monkeypatch.setattr(metadata, "version", unknown)
    assert "pip install 'aiohttp'" in coupling.incompatible("aiohttp", "lacks it").hint
