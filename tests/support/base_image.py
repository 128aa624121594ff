"""A stand-in for the image that the Dockerfile builds on: this machine's Python, and the few programs a build calls.

No registry of images is asked: all of it is copied from this machine, with the libraries that the loader finds.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

_PROGRAMS = ("sh", "find", "mkdir", "chown", "chmod", "rm")
_LEFT_OUT = ("site-packages", "dist-packages", "test", "idlelib", "lib2to3", "tkinter", "turtledemo", "__pycache__")
_MANYLINUX = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libutil.so.1", "libresolv.so.2"),
    *("libnss_files.so.2", "libgcc_s.so.1", "libstdc++.so.6"),
)
"""What wheels for Linux expect every system to have (PEP 600), as far as it has no window."""
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/nsswitch.conf": "hosts: files\n",
}


def lay_out(folder: Path, pip: Path) -> None:
    """Make `folder` the root of a file system that holds Python and pip, where Python's official images have them.

    `pip` is the folder of an installed pip.
    """
    python = Path(os.path.realpath(sys.executable))
    library = Path(sysconfig.get_path("stdlib"))
    extensions = Path(sysconfig.get_config_var("DESTSHARED"))
    for directory in ("bin", "etc", "tmp", "usr/local/bin", "usr/bin", "lib64", "root", "var/lib"):
        (folder / directory).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    for name, text in _FILES.items():
        (folder / name).write_text(text, "utf-8")
    shutil.copytree(library, folder / library.relative_to("/"), ignore=shutil.ignore_patterns(*_LEFT_OUT, "*.a"))
    binaries = [python, *extensions.glob("*.so")]
    _copy(python, folder)
    for program in _PROGRAMS:
        found = shutil.which(program)
        assert found is not None, f"{program} is nowhere on this machine"
        shutil.copy2(os.path.realpath(found), folder / "bin" / program)
        binaries.append(Path(found))
    for needed in sorted(_libraries(binaries)):
        _copy(needed, folder)
    for name in ("python", "python3"):
        (folder / "usr/local/bin" / name).symlink_to(python)
    shutil.copytree(pip, folder / library.relative_to("/") / "site-packages" / "pip", ignore=_no_bytecode)


def _no_bytecode(_: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]


def _copy(path: Path, folder: Path) -> None:
    target = folder / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """The shared libraries that binaries are linked with, and those that wheels expect of every system."""
    return {library for binary in binaries for library in _linked(binary)} | set(_expected())


def _linked(binary: Path) -> Iterator[Path]:
    told = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
    for found in re.finditer(r"(?:=> |^\s*)(/\S+) \(0x", told, re.MULTILINE):
        yield Path(found[1])


def _expected() -> Iterator[Path]:
    told = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for name in _MANYLINUX:
        found = re.search(rf"^\s*{re.escape(name)} .* => (\S+)$", told, re.MULTILINE)
        if found:
            yield Path(found[1])
