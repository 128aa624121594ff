"""The shape of the house: who may import whom, read off the source with `ast`, where no import can hide."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "proxy"

VALUES = {"model", "errors"}
MAY_IMPORT = {
    "__main__": {"cli"},
    "cli": {"app", "clock", "demo", "doctor", "observe", "forward", "identity", "http", "settings", *VALUES},
    "app": {"clock", "observe", "forward", "identity", "http", "settings", *VALUES},
    "demo": {"http", "identity", *VALUES},
    "doctor": {"observe", "forward", "identity", "http", "settings", *VALUES},
    "observe": {"forward", "identity", "http", *VALUES},
    "forward": {"identity", "http", *VALUES},
    "identity": {"http", *VALUES},
    "http": VALUES,
    "settings": {"forward", "identity", "http", *VALUES},  # of the first three what is pure alone
    "clock": {"model"},
    "model": set(),
    "errors": set(),
}
"""By the first name of a module: which others it may import from, besides its own."""

PURE = (
    "proxy.errors",
    "proxy.forward.graphql",
    "proxy.forward.guard",
    "proxy.forward.headers",
    "proxy.forward.operation_name",
    "proxy.forward.policy",
    "proxy.forward.problems",
    "proxy.forward.route",
    "proxy.forward.routes",
    "proxy.http.address",
    "proxy.http.batching",
    "proxy.http.buffers",
    "proxy.http.client.outbound",
    "proxy.http.grammar",
    "proxy.http.options",
    "proxy.http.response",
    "proxy.http.sockets",
    "proxy.identity.claims",
    "proxy.identity.credentials",
    "proxy.identity.cognito.srp",
    "proxy.identity.cognito.totp",
    "proxy.identity.issued",
    "proxy.identity.profile",
    "proxy.identity.tokens.policy",
    "proxy.identity.stores.specs",
    "proxy.identity.tokens.lifetime",
    "proxy.model",
    "proxy.observe.metrics",
)
"""Modules, and whole packages, that know no network, event loop, clock, environment or randomness."""
IMPURE = {"asyncio", "aiohttp", "aiobotocore", "time", "os", "random", "secrets"}
CLOCK_CALLS = {"now", "utcnow", "today"}

IMPORTERS = {
    "aiobotocore": ("proxy.identity.cognito",),
    "botocore": ("proxy.identity.cognito",),
    "jose": ("proxy.identity.claims",),
    "prometheus_client": ("proxy.observe.prometheus",),
    "graphql": ("proxy.forward.graphql", "proxy.demo"),
}
"""Libraries that few modules or packages hide from the others."""

LIGHT = ("check", "config", "credentials", "login", "logout", "status", "token", "wait")
"""Commands that serve nobody: each is a process of its own, and starts as soon as what it needs has been loaded."""
LONGEST, LARGEST = 40, 320
SERVING = (
    "proxy.app",
    *(f"proxy.forward.{name}" for name in ("forwarder", "plan", "planner", "read_only", "relay", "retry")),
    *(f"proxy.http.server.{name}" for name in ("connection", "listeners", "request", "server", "turns")),
    *("proxy.observe.endpoints", "proxy.observe.inspector", "proxy.observe.prometheus"),
)
"""What answers requests."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_bytes()) for name, path in MODULES.items()}


def room_of(module: str) -> str:
    """`proxy.identity.claims` → `identity`; "" for the package itself."""
    return f"{module}.".split(".")[1]


def imports_of(module: str) -> Iterator[str]:
    """Every module that `module` imports, wherever in its text, also for type checking or by `import_module`."""
    is_package = MODULES[module].name == "__init__.py"
    for node in ast.walk(TREES[module]):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                package = module.split(".")[: None if is_package and level == 1 else -level or None]
                base = ".".join(filter(None, [*(package if level else ()), origin]))
                # `from proxy.identity import claims` imports a module, `from proxy import __version__` the package.
                yield from (full if (full := f"{base}.{alias.name}") in MODULES else base for alias in names)
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield name


OWN_IMPORTS = {
    module: {name for name in imports_of(module) if name == "proxy" or name.startswith("proxy.")} for module in MODULES
}


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


PURE_MODULES = [module for module in MODULES if within(module, PURE)]


def test_every_room_is_known() -> None:
    """Whatever stands at the top of `proxy/` is there because somebody chose its place, and it is a dozen at most."""
    rooms = {room_of(module) for module in MODULES} - {"", "__main__"}
    assert rooms == MAY_IMPORT.keys() - {"__main__"}
    assert len(rooms) <= 12


def test_imports_go_downward() -> None:
    """A package imports from those below it, and from nothing else."""
    assert [
        f"{module} imports {name}"
        for module in MODULES
        for name in sorted(OWN_IMPORTS[module])
        if room_of(name) not in {"", room_of(module), *MAY_IMPORT.get(room_of(module), ())}
    ] == []


def test_imports_have_no_circle() -> None:
    """Inside a package, too, imports go one way only."""
    graph = {module: names - {module, "proxy"} for module, names in OWN_IMPORTS.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import circle: {' → '.join(error.args[1])}", pytrace=False)


def test_settings_import_values_alone() -> None:
    """Of what is built from them, the settings know the values and the pure rules that they are judged by."""
    assert [
        f"{module} imports {name}"
        for module in MODULES
        if room_of(module) == "settings"
        for name in sorted(OWN_IMPORTS[module])
        if room_of(name) not in ("", "settings") and not within(name, PURE)
    ] == []


def test_pure_modules_are_pure() -> None:
    """They import no effects, and `datetime` is there to write times with: the time itself is an argument."""
    assert [
        f"{module} imports {name}"
        for module in PURE_MODULES
        for name in imports_of(module)
        if name.partition(".")[0] in IMPURE or (name.startswith("proxy.") and not within(name, PURE))
    ] == []
    assert [
        f"{module} calls {node.func.attr}"
        for module in PURE_MODULES
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_CALLS
    ] == []


def test_pure_modules_exist() -> None:
    """The list of what is pure has no module that is gone."""
    assert [name for name in PURE if name not in MODULES] == []


def test_hidden_libraries() -> None:
    """A library that some modules hide from the others stays hidden."""
    assert [
        f"{module} imports {library}"
        for library, importers in IMPORTERS.items()
        for module in MODULES
        if not within(module, importers) and library in {name.partition(".")[0] for name in imports_of(module)}
    ] == []


def test_class_names_stand_once() -> None:
    """A reader who meets a class name knows which one it is."""
    places: dict[str, list[str]] = {}
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in places.items() if modules[1:]} == {}


def test_functions_are_short() -> None:
    """Where requests and credentials pass, no function takes more than 40 lines."""
    assert [
        f"{module}.{node.name}: {node.end_lineno - node.lineno + 1}"
        for module, tree in TREES.items()
        if room_of(module) in ("forward", "identity", "http")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LONGEST
    ] == []


def test_modules_are_small() -> None:
    """A module of more than 320 lines lacks an idea that would divide it."""
    assert [module for module, path in MODULES.items() if len(path.read_bytes().splitlines()) > LARGEST] == []


def test_commands_that_serve_nobody_load_no_server() -> None:
    """What such a command imports, directly or not, has no server in it."""
    for command in LIGHT:
        needed: set[str] = set()
        left = {f"proxy.cli.{command}"}
        while left:
            needed |= left
            left = set(chain.from_iterable(OWN_IMPORTS[module] for module in left)) - needed
        assert [name for name in needed if within(name, SERVING)] == [], command


# ---- what is written of it

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_picture() -> None:
    """The arrows in docs/architecture.md lead, directly or not, to all that a package may import from."""
    arrows: dict[str, set[str]] = {}
    for package, imported in re.findall(r"^  (\w+) --> (\w+)$", PAGE, re.MULTILINE):
        arrows.setdefault(package, set()).add(imported)
    reached: dict[str, set[str]] = {}
    for package in TopologicalSorter(arrows).static_order():
        direct = arrows.get(package, set())
        reached[package] = direct.union(*(reached[one] for one in direct))
    assert reached == {package: names for package, names in MAY_IMPORT.items() if package != "__main__"}


def test_table() -> None:
    """Each package has a row in docs/architecture.md, above the rows of those that it imports from."""
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(rows) == MAY_IMPORT.keys() - {"__main__"}
    assert [row for number, row in enumerate(rows) if not MAY_IMPORT[row] <= set(rows[number:])] == []


def test_packages_say_where_to_begin() -> None:
    """The docstring of a package names modules of it, or what it defines or exports, and nothing that is gone."""
    for module, path in MODULES.items():
        if path.name == "__init__.py":
            named = set(re.findall(r"`(\w+)`", ast.get_docstring(TREES[module]) or ""))
            body = TREES[module].body
            known = {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
            known |= {node.name for node in body if isinstance(node, ast.ClassDef)}
            assert named, f"{module} names nothing"
            assert {name for name in named if f"{module}.{name}" not in MODULES} <= known, module
