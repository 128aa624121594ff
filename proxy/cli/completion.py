"""`ul-proxy completion`: a script that teaches a shell the commands, their flags and what follows those."""

import importlib
from collections.abc import Mapping
from typing import Any

from proxy.cli.arguments import known_by_command
from proxy.cli.shells.words import words_of
from proxy.cli.streams import put_out


def run(flags: Mapping[str, Any], config: str | None, *, shell: str) -> int:
    script: str = importlib.import_module(f"proxy.cli.shells.{shell}").script(words_of(known_by_command()))
    put_out(script.removesuffix("\n"))
    return 0
