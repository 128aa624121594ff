"""What this program uses of other libraries without their documentation's promise, and a check that it is there.

docs/coupling.md shows the same to people; a test holds the two equal, and finds in the source what is missing here.
"""

import dis
import importlib
import inspect
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from proxy.errors import IncompatibleLibrary

PYTHON = "Python"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Those that the tests run on."""
_NAMED = 3


class Part(Enum):
    """A part of the program that is loaded as a whole, and is checked when it is."""

    COMMANDS = "every command"
    SERVER = "`serve` and `demo`"
    SDK = "whatever calls Cognito"
    METRICS = "`/-/metrics`"


@dataclass(frozen=True, slots=True)
class Coupling:
    """Names of one owner: a module, or `module:Class`. A name that ends in `=` is a parameter of it."""

    library: str
    owner: str
    names: tuple[str, ...]
    why: str


COUPLINGS: dict[Part, tuple[Coupling, ...]] = {
    Part.COMMANDS: (
        Coupling(
            PYTHON,
            "argparse:HelpFormatter",
            ("_action_max_length", "_indent_increment", "_split_lines"),
            "help that leaves room for the longest command, and breaks no address at its hyphens",
        ),
        Coupling(
            PYTHON,
            "urllib.request",
            ("getproxies_environment", "proxy_bypass_environment"),
            "`HTTPS_PROXY` and `NO_PROXY` as curl and other programs read them",
        ),
    ),
    Part.SERVER: (
        Coupling(
            "aiohttp",
            "aiohttp.web:RequestHandler",
            ("access_log=", "force_close", "keepalive_timeout=", "shutdown", "start", "transport"),
            "a caller's connection is aiohttp's, with a request loop of our own in place of `start`",
        ),
    ),
    Part.SDK: (
        Coupling(
            "aiobotocore",
            "aiobotocore.config:AioConfig",
            ("http_session_cls=",),
            "an HTTP client of our own: the SDK's follows redirects, with the password",
        ),
        Coupling("aiobotocore", "aiobotocore.awsrequest", ("AioAWSResponse",), "what that client returns"),
        Coupling(
            "botocore",
            "botocore.httpsession",
            ("get_cert_path",),
            "trust in the authorities that the SDK brings",
        ),
        Coupling("botocore", "botocore", ("xform_name",), "the method of a client that has an operation"),
        Coupling(
            "botocore",
            "botocore.configprovider",
            ("BOTOCORE_DEFAUT_SESSION_VARIABLES",),
            "every setting of the SDK, to take away what variables and files would set it",
        ),
        Coupling(
            "botocore",
            "botocore.session:Session",
            ("session_vars=", "register_component"),
            "a session with those settings, and with descriptions from where we say",
        ),
        Coupling(
            "botocore",
            "botocore.loaders:Loader",
            ("BUILTIN_DATA_PATH", "extra_search_paths=", "file_loader=", "include_default_search_paths="),
            "descriptions of services from the SDK alone: a file in `~/.aws/models` could send the password anywhere",
        ),
        Coupling(
            "botocore", "botocore.loaders:JSONFileLoader", ("load_file",), "descriptions without what only takes memory"
        ),
        Coupling(
            "botocore",
            "botocore.plugin",
            ("PluginContext", "set_plugin_context"),
            "no plugins, which a variable could name",
        ),
    ),
    Part.METRICS: (
        Coupling(
            "prometheus-client", "prometheus_client.exposition", ("choose_encoder",), "either of Prometheus's forms"
        ),
    ),
}


def check(part: Part) -> None:
    """Raise IncompatibleLibrary where something that `part` stands on is not there; imports what it looks into."""
    for library in dict.fromkeys(coupling.library for coupling in COUPLINGS[part]):
        lacking = tuple(missing(coupling for coupling in COUPLINGS[part] if coupling.library == library))
        if lacking:
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            raise incompatible(library, f"lacks {', '.join(lacking[:_NAMED])}{more}")


def missing(couplings: Iterable[Coupling]) -> Iterator[str]:
    """The full names of what is not there."""
    for coupling in couplings:
        module, _, path = coupling.owner.partition(":")
        named = coupling.owner.replace(":", ".")
        try:
            owner: Any = importlib.import_module(module)
            for name in filter(None, path.split(".")):
                owner = getattr(owner, name)
        except (ImportError, AttributeError):
            yield named
            continue
        for name in coupling.names:
            if not _has(owner, name):
                yield f"{named}.{name}" if name[-1] != "=" else f"the parameter {name[:-1]} of {named}"


def incompatible(library: str, what: str) -> IncompatibleLibrary:
    """The error that says what is wrong with the library that is installed, and which one would do."""
    if library == PYTHON:
        return IncompatibleLibrary(
            f"Python {platform.python_version()} {what}, which ul-proxy needs",
            hint=f"Run it with Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}, which it was tested with.",
        )
    version, tested = _installed(library)
    return IncompatibleLibrary(
        f"{library} {version} {what}, which ul-proxy needs",
        hint=f"Install a version that was tested: pip install '{library}{tested}'.",
    )


def _has(owner: Any, name: str) -> bool:
    if name.endswith("="):
        return name[:-1] in inspect.signature(owner).parameters
    if hasattr(owner, name):
        return True
    # An attribute of instances stands in no class: what sets it is looked into.
    makers = (vars(base).get("__init__") for base in getattr(owner, "__mro__", ()))
    steps = (step for maker in makers if inspect.isfunction(maker) for step in dis.get_instructions(maker))
    return any(step.opname == "STORE_ATTR" and step.argval == name for step in steps)


def _installed(library: str) -> tuple[str, str]:
    """The version that is installed, and those that were tested, as pip is told them."""
    from importlib import metadata  # noqa: PLC0415 - takes long, and is for the worst case alone

    try:
        version = metadata.version(library)
    except metadata.PackageNotFoundError:
        version = "(which is not installed)"
    for wanting in ("unleash-live-proxy", "aiobotocore"):
        try:
            wanted = metadata.requires(wanting) or []
        except metadata.PackageNotFoundError:
            continue
        found = (re.fullmatch(rf"{re.escape(library)}(?:\[.*?\])?\s*((?:[<>=!~][^;]*)?).*", line) for line in wanted)
        if tested := next((match[1].strip() for match in found if match), ""):
            return version, tested
    return version, ""
