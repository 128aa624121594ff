"""The command `ul-proxy`: parses arguments, runs a command, maps errors to exit statuses.

0 is a clean end (SIGTERM and SIGINT included, for what runs until it is told to end), 1 a runtime failure, 2 unusable
arguments or settings. `proxy.cli.signals` has what a signal means to which command, and when.
"""

import gc
import importlib
import sys
import traceback
from collections.abc import Sequence
from functools import partial

from proxy.cli import streams
from proxy.cli.arguments import flags_of, options_of, parse
from proxy.cli.signals import UNTIL_TOLD
from proxy.cli.worker import in_worker
from proxy.errors import ProxyError, SettingsError, coupling
from proxy.observe.logs import printable
from proxy.settings import debugging

_SERVING = ("serve", "demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    streams.settle()
    arguments = parse(sys.argv[1:] if argv is None else argv)
    flags = flags_of(arguments)
    try:
        coupling.check(coupling.Part.COMMANDS)
        if arguments.command in _SERVING:
            coupling.check(coupling.Part.SERVER)
        # Commands load what they need and no more: `config` needs no HTTP server, `serve` no sandbox.
        command = importlib.import_module(f"proxy.cli.{arguments.command}")
        if argv is None:
            # A process of its own: not to look through all that was loaded, at its end, saves a tenth of a second.
            gc.freeze()
        work = partial(command.run, flags, arguments.config, **options_of(arguments))
        status: int = work() if arguments.command in UNTIL_TOLD else in_worker(work)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read stdout has gone, as `head` does.
        streams.give_up_stdout()
        return 1
    except ProxyError as error:
        if debugging(flags):
            traceback.print_exception(error)
        hint = f" {error.hint}" if error.hint else ""
        print(printable(f"ul-proxy: {error.detail.rstrip('.')}.{hint}"), file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    return status
