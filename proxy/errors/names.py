"""Names of settings, variables, flags and commands, as messages write them.

The declared settings take their variables and flags from here, so that a hint spells them as they are read.
"""

import re
from collections.abc import Iterable

PREFIX = "UL_PROXY_"
FILE_SUFFIX = "_FILE"
_DEFAULT = "default"


def variable(setting: str, profile: str = _DEFAULT) -> str:
    """Name the environment variable of a setting: `cognito.region` is UL_PROXY_COGNITO__REGION."""
    name = setting if profile == _DEFAULT else f"profiles.{profile}.{setting}"
    return PREFIX + name.replace(".", "__").replace("-", "_").upper()


def variables(settings: Iterable[str], profile: str = _DEFAULT) -> str:
    """Name the variables of several settings."""
    return " and ".join(variable(setting, profile) for setting in settings)


def flag(setting: str) -> str:
    """Name the flag of a setting: `cognito.region` is --cognito-region."""
    return "--" + setting.replace(".", "-").replace("_", "-")


def login_command(profile: str = _DEFAULT) -> str:
    """Name the command that signs a profile in."""
    return "`ul-proxy login`" if profile == _DEFAULT else f"`ul-proxy login --profile {profile}`"


def addressed(hint: str, profile: str) -> str:
    """Write a hint that speaks of the default profile as one that speaks of `profile`."""
    if profile == _DEFAULT:
        return hint
    of_profile = re.sub(rf"\b{PREFIX}(?!PROFILES__)", variable("", profile), hint)
    return of_profile.replace(login_command(), login_command(profile))
