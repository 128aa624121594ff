"""The command `ul-proxy`: parses arguments, runs a command, maps errors to exit statuses.

0 is a clean end (SIGTERM and SIGINT included), 1 a runtime failure, 2 unusable arguments or settings.
"""

import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from proxy.cli.arguments import flags_of, options_of, parse
from proxy.errors import ProxyError, SettingsError
from proxy.logs import printable
from proxy.settings import debugging


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    _hold_standard_streams()
    # Before the event loop has its own handlers, a signal ends the program just as cleanly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Terminals that lack a letter get its number, not the end of the program.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = parse(sys.argv[1:] if argv is None else argv)
    flags = flags_of(arguments)
    try:
        # Commands load what they need and no more: `config` needs no HTTP server, `serve` no sandbox.
        command = importlib.import_module(f"proxy.cli.{arguments.command}")
        status: int = command.run(flags, arguments.config, **options_of(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read stdout has gone, as `head` does. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ProxyError as error:
        if debugging(flags):
            traceback.print_exception(error)
        hint = f" {error.hint}" if error.hint else ""
        print(printable(f"ul-proxy: {error.detail.rstrip('.')}.{hint}"), file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    return status


def _hold_standard_streams() -> None:
    """Give standard streams that are closed somewhere to lead: else a socket takes their place, and what they get."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
