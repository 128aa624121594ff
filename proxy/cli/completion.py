"""`ul-proxy completion`: a script that teaches a shell the commands, their flags and what follows those."""

import importlib
from collections.abc import Mapping
from typing import Any

from proxy.cli.arguments import parsers_of_all
from proxy.cli.shells.words import words_of
from proxy.cli.streams import put_out


def run(flags: Mapping[str, Any], config: str | None, *, shell: str) -> int:
    parsers = parsers_of_all()
    script: str = importlib.import_module(f"proxy.cli.shells.{shell}").script(words_of(parsers))
    put_out(script.removesuffix("\n"))
    return 0
