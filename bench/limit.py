"""A limit on a process's memory, as a container has it: by a control group, where this machine lets us have one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT = 256 << 20
"""Bytes: what our examples give a container."""
_GROUPS = Path("/sys/fs/cgroup")
_JOIN = 'echo $$ > "$0" && exec "$@"'
"""What a shell does to become another program in the group whose file is $0."""
_SYSTEMD = ("systemd-run", "--scope", "--quiet", "-p", f"MemoryMax={LIMIT}", "-p", "MemorySwapMax=0")


@dataclass(frozen=True)
class Limit:
    """A limit for one process. Where there is none, that process runs all the same."""

    told: str
    """How it is made, or why there is none."""
    prefix: tuple[str, ...] | None = None
    """What makes a command run within it; None where there is no limit."""
    group: Path | None = None

    def command(self, argv: list[str]) -> list[str]:
        """`argv` within the limit, in the process that is started."""
        return [*(self.prefix or ()), *argv]

    def sockets(self) -> float | None:
        """MB that the kernel holds for the sockets of the group; None where nobody tells."""
        if self.group is None:
            return None
        used = self.group / "memory.kmem.tcp.usage_in_bytes"
        if used.exists():
            return int(used.read_text()) / (1 << 20)
        rows = dict(row.split() for row in (self.group / "memory.stat").read_text().splitlines())
        return int(rows["sock"]) / (1 << 20)


@contextmanager
def limited() -> Iterator[Limit]:
    """A limit of `LIMIT` bytes for one process, by whichever way there is."""
    name = f"ul-bench-{os.getpid()}"
    if os.geteuid() != 0:
        yield Limit("None: root alone may limit memory.")
    elif (_GROUPS / "memory" / "memory.limit_in_bytes").exists():
        # The last is no limit: sockets are counted where they have one.
        limits = {
            "memory.limit_in_bytes": LIMIT,
            "memory.memsw.limit_in_bytes": LIMIT,
            "memory.kmem.tcp.limit_in_bytes": 1 << 40,
        }
        told = "By a control group of version 1, which leaves out what the kernel holds for sockets."
        with _group(_GROUPS / "memory" / name, limits, told) as limit:
            yield limit
    elif "memory" in _read(_GROUPS / "cgroup.subtree_control").split():
        told = "By a control group of version 2, which counts what the kernel holds for sockets as well."
        with _group(_GROUPS / name, {"memory.max": LIMIT, "memory.swap.max": 0}, told) as limit:
            yield limit
    elif Path("/run/systemd/system").exists() and shutil.which("systemd-run"):
        yield Limit("By a scope of systemd's.", _SYSTEMD)
    else:
        yield Limit("None: this machine has no control groups for memory.")


@contextmanager
def _group(path: Path, limits: dict[str, int], told: str) -> Iterator[Limit]:
    try:
        path.mkdir()
    except OSError as error:
        yield Limit(f"None: control groups cannot be made here ({error.strerror}).")
        return
    try:
        for file, value in limits.items():
            with suppress(FileNotFoundError):  # no swap, or a kernel that does not count sockets apart
                (path / file).write_text(str(value))
        yield Limit(told, ("sh", "-c", _JOIN, str(path / "cgroup.procs")), path)
    finally:
        with suppress(OSError):  # somebody of it is still on the way out
            path.rmdir()


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
