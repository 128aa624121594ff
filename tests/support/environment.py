"""Environments for subprocesses of tests: nothing of the machine's own AWS settings, and no way off loopback."""

import os
from pathlib import Path

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parent.parent

_AMBIENT_PREFIXES = ("AWS_", "UL_PROXY_", "BOTO_")
_AMBIENT = ("ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE")


def is_ambient(name: str) -> bool:
    """Whether a variable would let the machine that runs the tests change their outcome."""
    return name.upper().startswith(_AMBIENT_PREFIXES) or name.upper() in _AMBIENT


def guarded_environment(**more: str) -> dict[str, str]:
    """An environment whose Python processes stay on loopback and find `proxy`, with `more` set in it."""
    environment = {name: value for name, value in os.environ.items() if not is_ambient(name)}
    # Each of hundreds of processes would compile everything anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    # Nor is anybody asked whom the machine's authorities vouch for, all of which each process would read.
    environment["SSL_CERT_FILE"] = environment["SSL_CERT_DIR"] = os.devnull
    environment["PYTHONPATH"] = os.pathsep.join((str(SUPPORT), str(ROOT)))
    return environment | more
