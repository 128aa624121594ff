"""What the machine has that some tests want."""

import os
import shutil
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip the test that wants what the machine lacks; fail it in CI, which installs it wherever there is apt."""
    if os.environ.get("CI") and shutil.which("apt-get"):
        pytest.fail(f"CI must test this as well: {what}", pytrace=False)
    pytest.skip(what)


def program(name: str, package: str | None = None) -> str:
    """Find a program, which is in Debian's `package` where that has another name."""
    found = shutil.which(name)
    if found is None:
        lacking(f"no {name}: install Debian's package {package or name}")
    return found
