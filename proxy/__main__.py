"""The command `ul-proxy`, which is also `python -m proxy`."""

import sys

try:
    # Before all the rest is loaded, which takes a while.
    from proxy.cli import signals
except KeyboardInterrupt:  # which Python makes of SIGINT until `signals` has its say
    sys.exit("\nul-proxy: interrupted.")


def main() -> int:
    """Run the command line and return the exit status."""
    signals.catch(sys.argv[1:])
    import importlib  # noqa: PLC0415 - see above

    status: int = importlib.import_module("proxy.cli.command").main()
    signals.settle(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
