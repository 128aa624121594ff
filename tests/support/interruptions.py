"""The ways in which a command is interrupted."""

import signal

import pytest

BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
"""Starts the command behind it as a script starts what stands before an `&`: SIGINT is ignored."""

interruptions = pytest.mark.parametrize(
    ("number", "launcher"),
    [
        pytest.param(signal.SIGINT, (), id="SIGINT"),
        pytest.param(signal.SIGTERM, (), id="SIGTERM"),
        pytest.param(signal.SIGTERM, BACKGROUND, id="SIGTERM in the background"),
    ],
)
