"""The standard streams, whatever the process was given for them."""

import io
import os
import sys

from proxy.errors import StartError


class Nowhere(io.TextIOBase):
    """Stands for a stream that was closed before the program began."""

    def write(self, text: str) -> int:
        return len(text)


def settle() -> None:
    """Make the streams safe to use.

    Numbers 0 to 2 are taken up where they are closed, or the next file or socket would have one of them and get what
    was meant for a terminal. Terminals that lack a letter get its number, not the end of the program.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = Nowhere()
    if sys.stderr is None:
        sys.stderr = Nowhere()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def put_out(text: str) -> None:
    """Print a line of what was asked for; raises StartError where nobody can have got it, BrokenPipeError likewise."""
    if isinstance(sys.stdout, Nowhere):
        raise StartError("stdout is closed, so there is nowhere to print to")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up_stdout()
        raise StartError(f"stdout cannot be written to: {error.strerror}") from None


def give_up_stdout() -> None:
    """Let what is left in stdout's buffer go nowhere: Python would complain about it once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
