"""Try an installed ul-proxy: its sandbox must answer a request that goes through the proxy, and end when told to.

python tools/try_demo.py .venv/bin/ul-proxy
"""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from subprocess import PIPE
from threading import Timer

_PATIENCE = 60.0
_ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
"""Asks directly, whatever proxies the environment names."""


def main(command: str) -> None:
    print(subprocess.run([command, "--version"], stdout=PIPE, text=True, check=True).stdout.strip())
    with subprocess.Popen([command, "demo", "--listen", "127.0.0.1:0"], stdout=PIPE, text=True) as demo:
        late = Timer(_PATIENCE, demo.kill)
        late.start()
        try:
            jobs = _jobs(demo)
            demo.send_signal(signal.SIGTERM)
            status = demo.wait()
        finally:
            late.cancel()
            demo.kill()
    if status != 0:
        sys.exit(f"{command} demo ended with {status} on SIGTERM")
    if not jobs:
        sys.exit(f"{command} demo has no jobs")
    print(f"{command} demo: {jobs} jobs through the proxy")


def _jobs(demo: "subprocess.Popen[str]") -> int:
    """The number of jobs that the sandbox tells of, asked through the proxy."""
    for line in demo.stdout or ():
        if found := re.search(r"listens on (http://\S+)", line):
            with _ask(f"{found[1]}/v1/job", timeout=_PATIENCE) as answer:
                return len(json.load(answer))
    sys.exit("the sandbox ended before it listened")


if __name__ == "__main__":
    main(*sys.argv[1:])
