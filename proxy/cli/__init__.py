"""The command `ul-proxy`: parses arguments, runs a command, maps errors to exit statuses.

0 is a clean end (SIGTERM and SIGINT included), 1 a runtime failure, 2 unusable arguments or settings.
"""

import gc
import importlib
import signal
import sys
import traceback
from collections.abc import Sequence

from proxy import coupling
from proxy.cli import streams
from proxy.cli.arguments import flags_of, options_of, parse
from proxy.errors import ProxyError, SettingsError
from proxy.logs import printable
from proxy.settings import debugging

_SERVING = ("serve", "demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    # Before the event loop has its own handlers, a signal ends the program just as cleanly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
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
        status: int = command.run(flags, arguments.config, **options_of(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
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
