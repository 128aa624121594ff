"""A builder and runner of images: Debian's podman, with everything it keeps in a folder of the test's own."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT
from tempfile import TemporaryDirectory
from threading import Timer

import pytest

from support.base_image import BASE, NoSuchPython, archive
from support.environment import ROOT, is_ambient
from support.machine import lacking

PATIENCE = 60.0
BUILD_SECONDS = 600
BUILD = "docker build -t ul-proxy:0.1.0 ."
"""As the pages have it."""
NAME = shlex.split(BUILD)[3]
_CONFIG = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
{runtime}
"""
_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""
_INDEX = "[global]\nno-index = true\nfind-links = /wheels\n"


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    out: str
    err: str = ""


class Container:
    """A container that was started."""

    def __init__(self, engine: "Engine", name: str) -> None:
        self._engine = engine
        self.name = name

    def line(self, pattern: str) -> str:
        """The first line of its log that matches; fails where it ends without one."""
        with self._engine.started("logs", "--follow", self.name) as following:
            assert following.stdout is not None
            seen = []
            for line in following.stdout:
                seen.append(line)
                if re.search(pattern, line):
                    return line
        pytest.fail(f"no line with {pattern!r} before the end: {seen}")

    def execute(self, *argv: str) -> int:
        """The exit status of a command inside, as an orchestrator's probe runs it."""
        return self._engine.run("exec", self.name, *argv, check=False).returncode

    def stop(self) -> Ended:
        """SIGTERM, and how it ended; a container that ignores that is killed, whose status is 137."""
        self._engine.run("stop", "--time", "20", self.name)
        return self.ended()

    def ended(self) -> Ended:
        status = int(self._engine.out("wait", self.name))
        done = self._engine.run("logs", self.name)
        return Ended(status, done.stdout, done.stderr)


class Engine:
    """Podman with its own storage below `folder`. Pulls nothing: what it has is what was put there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # runc takes every arrangement of cgroups that there is, crun does not.
        runtime = 'runtime = "runc"' if shutil.which("runc") else ""
        (folder / "containers.conf").write_text(_CONFIG.format(runtime=runtime), "utf-8")
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder), "utf-8")
        (folder / "pip.conf").write_text(_INDEX, "utf-8")
        (folder / "tmp").mkdir()
        self.environment: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if not is_ambient(name)},
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "TMPDIR": str(folder / "tmp"),
        }

    def command(self, *argv: str) -> list[str]:
        return ["podman", "--tmpdir", str(self.folder / "podman"), *argv]

    @contextmanager
    def started(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """Podman while it runs, its output to be read; ended in any case, also where it hangs."""
        command = self.command(*argv)
        with subprocess.Popen(command, env=self.environment, stdout=PIPE, stderr=STDOUT, text=True) as process:
            late = Timer(PATIENCE, process.kill)
            late.start()
            try:
                yield process
            finally:
                late.cancel()
                process.kill()

    def run(self, *argv: str, check: bool = True, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*argv),
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"podman {' '.join(argv)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def out(self, *argv: str) -> str:
        return self.run(*argv).stdout.strip()

    def import_base(self, root: Path) -> None:
        """The stand-in for Python's official image, under that image's name."""
        tar = self.folder / "base.tar"
        archive(root, BASE, tar)
        self.run("import", str(tar), BASE.name)
        tar.unlink()

    def build_flags(self, wheels: Path) -> list[str]:
        """What a build needs that may reach no registry: wheels in a folder, and pip told to look nowhere else."""
        secret = f"id=pip.conf,src={self.folder / 'pip.conf'}"
        # Without isolation a build needs no cgroups. In the other image format there are no health checks.
        apart = ["--isolation", "chroot", "--format", "docker", "--pull=never", "--layers=false"]
        return [*apart, "--volume", f"{wheels}:/wheels:ro", "--secret", secret]

    @contextmanager
    def running(
        self, *argv: str, image: str = NAME, flags: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
    ) -> Iterator[Container]:
        """A container with a read-only root, no privileges, no shell and this machine's loopback."""
        given = [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
        hardened = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"]
        hardened += ["--volume", "/dev/null:/bin/sh:ro"]
        # Podman has systemd run the health check, which not every machine has: the tests run it themselves.
        own = ["--detach", "--network", "host", "--health-interval", "disable"]
        container = Container(self, self.out("run", *own, *hardened, *given, *flags, image, *argv).splitlines()[-1])
        try:
            yield container
        finally:
            self.run("rm", "--force", "--time", "0", container.name)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Where images are built and run. Where that cannot be, the tests that ask for it are skipped, and say why."""
    if sys.platform != "linux" or os.geteuid() != 0:
        lacking("images are built on a Debian that is made of its packages, by root, on Linux")
    if shutil.which("podman") is None:
        lacking("no builder of images: install Debian's packages podman and runc")
    # Not pytest's folder: sockets are put there, whose paths must be short.
    with TemporaryDirectory(prefix="ul-", ignore_cleanup_errors=True) as folder:
        engine = Engine(Path(folder))
        told = engine.run("info", check=False)
        if told.returncode != 0:
            lacking(f"podman does not work on this machine: {told.stderr.strip()[-300:]}")
        yield engine
        engine.run("rm", "--all", "--force", "--time", "0", check=False)
        engine.run("rmi", "--all", "--force", check=False)


def prepared(variable: str) -> Path:
    """A folder that `make test` has made for the image, and names in a variable."""
    folder = Path(os.environ.get(variable) or os.devnull)
    if not folder.is_dir():
        lacking(f"{variable} names no folder: `make test` makes it with Debian's mmdebstrap, where podman is as well")
    return folder


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    """The name of the image that the Dockerfile builds on, under which the engine has the stand-in."""
    try:
        engine.import_base(prepared("BASE_ROOT"))
    except NoSuchPython as error:
        pytest.fail(str(error), pytrace=False)
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    try:
        with engine.running("-c", code, image=BASE.name, flags=("--entrypoint", "python")) as container:
            ended = container.ended()
    except pytest.fail.Exception as error:
        lacking(f"podman builds on this machine, and runs nothing: {str(error).strip()[-300:]}")
    assert ended == Ended(0, f"{BASE.python}\n")
    return BASE.name


@pytest.fixture(scope="session")
def image(engine: Engine, base: str) -> str:
    """The image of the Dockerfile, built on the stand-in as BUILD builds it on the real one."""
    _, build, *argv = shlex.split(BUILD)
    engine.run(build, *engine.build_flags(prepared("WHEELS")), *argv, timeout=BUILD_SECONDS)
    return NAME
