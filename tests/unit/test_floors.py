"""The shape of the house: who may import whom, read off the source with `ast`, where no import can hide."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "proxy"

# A module is on the floor of its first name: `proxy.cognito.keys` is a part of `cognito`.
FLOORS = {
    0: {"model", "errors", "access", ""},
    1: {
        "srp",
        "claims",
        "coupling",
        "defects",
        "lifetime",
        "guard",
        "graphql",
        "routing",
        "headers",
        "problem",
        "outbound",
        "framing",
        "buffers",
        "outbox",
        "operation",
        "metrics",
        "totp",
        "sockets",
    },
    2: {
        "clock",
        "tokens",
        "cognito",
        "aws",
        "upstream",
        "downstream",
        "store",
        "settings",
        "replay",
        "listen",
        "tls",
        "signals",
        "systemd",
        "logs",
        "journal",
        "banner",
    },
    3: {"forward", "admin", "exposition", "doctor", "doors"},
    4: {"app"},
    5: {"cli", "__main__"},
}
FLOOR_OF = {part: floor for floor, parts in FLOORS.items() for part in parts}

# Built on the floors below `app`, and left out of everything but the two modules that start them.
ANNEXES = {"demo", "inspector"}
ANNEX_FLOOR = 3.5
ANNEX_IMPORTERS = {"cli", "app"}

# `python -m proxy` is another door to the same room.
SIDEWAYS = {("__main__", "cli")}

PURE_FLOORS = {0, 1}
IMPURE = {"asyncio", "aiohttp", "aiobotocore", "time", "os", "random", "secrets"}
CLOCK_CALLS = {"now", "utcnow", "today"}

SOLE_IMPORTERS = {"aiobotocore": "cognito", "botocore": "cognito", "jose": "claims", "prometheus_client": "exposition"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_bytes()) for name, path in MODULES.items()}


def part_of(module: str) -> str:
    """`proxy.cognito.keys` → `cognito`; "" for the package itself."""
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
                # `from proxy import srp` imports a module, `from proxy import __version__` the package.
                yield from (full if (full := f"{base}.{alias.name}") in MODULES else base for alias in names)
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield name


def own_imports_of(module: str) -> set[str]:
    return {name for name in imports_of(module) if name == "proxy" or name.startswith("proxy.")}


def floor_of(module: str) -> float:
    part = part_of(module)
    return ANNEX_FLOOR if part in ANNEXES else FLOOR_OF[part]


def is_known(module: str) -> bool:
    return part_of(module) in FLOOR_OF or part_of(module) in ANNEXES


every_module = pytest.mark.parametrize("module", MODULES)
every_pure_module = pytest.mark.parametrize(
    "module", [name for name in MODULES if FLOOR_OF.get(part_of(name)) in PURE_FLOORS]
)


@every_module
def test_has_a_floor(module: str) -> None:
    """Every module stands on a floor that somebody chose."""
    assert is_known(module), f"{module} is new: add {part_of(module)!r} to FLOORS in tests/unit/test_floors.py"


@every_module
def test_imports_only_from_lower_floors(module: str) -> None:
    """A module imports from lower floors, and from its own folder; never from its own floor or above."""
    part = part_of(module)
    # What has no floor fails in test_has_a_floor, and only there.
    known = {name for name in own_imports_of(module) if is_known(name)} if is_known(module) else set()
    wrong = {
        f"{name} (floor {floor_of(name)})"
        for name in known
        if part_of(name) != part and (part, part_of(name)) not in SIDEWAYS and floor_of(name) >= floor_of(module)
    }
    assert not wrong, f"{module} (floor {floor_of(module)}) imports {', '.join(sorted(wrong))}"


@every_module
def test_annexes_are_left_alone(module: str) -> None:
    """Nobody but `cli` and `app` imports `demo` or `inspector`."""
    allowed = {part_of(module), *(ANNEXES if part_of(module) in ANNEX_IMPORTERS else ())}
    assert not {name for name in own_imports_of(module) if part_of(name) in ANNEXES - allowed}


def test_folders_have_no_cycles() -> None:
    """Inside a folder, too, imports go one way only."""
    graph = {module: own_imports_of(module) - {module, "proxy"} for module in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' → '.join(error.args[1])}", pytrace=False)


@every_pure_module
def test_pure_floors_import_no_effects(module: str) -> None:
    """Floors 0 and 1 have no access to the network, the event loop, clocks, the environment or randomness."""
    assert not IMPURE & {name.partition(".")[0] for name in imports_of(module)}


@every_pure_module
def test_pure_floors_read_no_clock(module: str) -> None:
    """`datetime` is there to write times with; the time itself is an argument."""
    called = {
        node.func.attr
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not CLOCK_CALLS & called


@pytest.mark.parametrize(("library", "importer"), SOLE_IMPORTERS.items())
def test_sole_importers(library: str, importer: str) -> None:
    """A library that one module hides from the others stays hidden."""
    importing = {
        part_of(module) for module in MODULES if library in {name.partition(".")[0] for name in imports_of(module)}
    }
    assert importing <= {importer}


def test_every_floor_is_drawn_once() -> None:
    """No module stands on two floors."""
    drawn = list(chain.from_iterable(FLOORS.values()))
    assert len(drawn) == len(set(drawn))
    assert not ANNEXES & set(drawn)


@pytest.mark.parametrize("command", ["check", "config", "credentials", "login", "logout", "status", "token", "wait"])
def test_commands_that_serve_nobody_load_no_server(command: str) -> None:
    """Each of them is a process of its own, and starts as soon as what it needs has been loaded."""
    needed, left = set(), {f"proxy.cli.{command}"}
    while left:
        needed |= left
        left = set(chain.from_iterable(map(own_imports_of, left))) - needed
    assert not {"app", "doors", "downstream", "forward"} & set(map(part_of, needed))
