"""The wheel: what is in it, and that it works where nothing of the repository is."""

import subprocess
import sys
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from support.environment import ROOT, SUPPORT, guarded_environment

from proxy import __version__

Environment = Callable[..., dict[str, str]]

# The guard stays on the path, the repository does not: an import of `proxy` must find the wheel's.
BUILDING = guarded_environment(PYTHONPATH=str(SUPPORT))


def run(argv: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def pip(*argv: str) -> list[str]:
    # Isolated from the machine's pip settings, which may name indexes and constraints.
    return [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", *argv]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(ROOT))
    run(command, BUILDING, folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    run(pip("install", "--no-deps", "--no-index", "--target", str(folder / "site"), str(wheel)), BUILDING, folder)
    return folder / "site"


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """The files in the wheel."""
    with ZipFile(wheel) as archive:
        return archive.namelist()


def test_name(wheel: Path) -> None:
    """The wheel has the distribution's name and version, and is for every platform."""
    assert wheel.name == f"unleash_live_proxy-{__version__}-py3-none-any.whl"


PAGE = [f"proxy/observe/inspector/page.{ending}" for ending in ("html", "css", "js")]


@pytest.mark.parametrize(
    "name", ["proxy/defaults.toml", "proxy/py.typed", "proxy/__main__.py", "proxy/cli/serve.py", *PAGE]
)
def test_holds(name: str, names: list[str]) -> None:
    """The shipped defaults, the inspector's page and the mark of typed packages travel with the code."""
    assert names.count(name) == 1


def test_holds_every_module(names: list[str]) -> None:
    """No module of the package is left out."""
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "proxy").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_holds_nothing_else(names: list[str]) -> None:
    """Tests, benchmarks, caches and the repository's own files stay at home."""
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"proxy", f"unleash_live_proxy-{__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name or "test" in name]


def test_defaults_are_the_repository_s(wheel: Path) -> None:
    """The defaults in the wheel are the file that people look at in `config/`."""
    with ZipFile(wheel) as archive:
        assert archive.read("proxy/defaults.toml") == (ROOT / "config" / "defaults.toml").read_bytes()


def test_metadata(wheel: Path) -> None:
    """The package index is told the licence, the Python versions and the README."""
    with ZipFile(wheel) as archive:
        info = f"unleash_live_proxy-{__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "ul-proxy = proxy.__main__:main" in scripts.splitlines()


@pytest.fixture
def outside(installed: Path, guarded_env: Environment) -> dict[str, str]:
    """An environment that finds the installed package, and the repository nowhere."""
    return guarded_env(PYTHONPATH=f"{SUPPORT}:{installed}", XDG_CONFIG_HOME="/nonexistent")


def test_settings_load_from_the_wheel(installed: Path, outside: dict[str, str], tmp_path: Path) -> None:
    """The installed package finds its defaults within itself."""
    code = (
        "import proxy; from proxy.settings import load; print(proxy.__file__, load({}).settings.cognito.user_pool_id)"
    )
    done = run([sys.executable, "-c", code], outside, tmp_path)
    assert done.stdout.split() == [str(installed / "proxy" / "__init__.py"), "ap-southeast-2_UnpJmDeN5"]


def test_page_loads_from_the_wheel(outside: dict[str, str], tmp_path: Path) -> None:
    """The installed package has the inspector's page whole."""
    code = "from proxy.observe.inspector.page import PAGE; print(b'</html>' in PAGE.body, PAGE.status)"
    assert run([sys.executable, "-c", code], outside, tmp_path).stdout.split() == ["True", "200"]


def test_command(installed: Path, outside: dict[str, str], tmp_path: Path) -> None:
    """The installed command runs and knows its version and its defaults."""
    command = str(installed / "bin" / "ul-proxy")
    assert run([command, "--version"], outside, tmp_path).stdout == f"ul-proxy {__version__}\n"
    assert "ap-southeast-2_UnpJmDeN5" in run([command, "config"], outside, tmp_path).stdout


def test_module(outside: dict[str, str], tmp_path: Path) -> None:
    """`python -m proxy` is the same command."""
    assert run([sys.executable, "-m", "proxy", "--version"], outside, tmp_path).stdout == f"ul-proxy {__version__}\n"
