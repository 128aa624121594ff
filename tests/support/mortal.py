"""A proxy's token manager that is killed at a moment of a rotating renewal which the test chooses; a program.

Everything is imported once. For each number on stdin a child is forked, which starts from the file store and tells its
state; then it renews, and is killed by SIGKILL as the line of that number runs, counted over those of the store, the
token manager and the Cognito client. For 0 it lives, and tells how many lines there are.
"""

import asyncio
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import proxy.identity.cognito.sdk
import proxy.identity.stores
import proxy.identity.tokens
from proxy.clock import SystemClock
from proxy.demo.protocol import PoolConfig
from proxy.errors import ProxyError
from proxy.http.options import OutboundProxies
from proxy.identity.cognito.flows import Cognito
from proxy.identity.profile import CognitoPool, Profile
from proxy.identity.stores.file import FileStore
from proxy.identity.tokens.manager import TokenManager
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.identity.tokens.single_flight import Terms

_PACKAGE = Path(proxy.__file__).parent
_TRACED = tuple(str(_PACKAGE / part) for part in ("identity/stores", "identity/tokens", "identity/cognito/flows.py"))


class Lines:
    """Counts lines as they run, in every thread, and ends the process with the `last` one."""

    def __init__(self, last: int) -> None:
        self.count = 0
        self._last = last

    def trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(_TRACED):
            return None
        if event == "line":
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace


def profile_at(url: str) -> Profile:
    """The profile of the embedded pool at `url`, without a password."""
    config = PoolConfig()
    return Profile("default", CognitoPool(config.region, config.user_pool_id, config.client_id, endpoint_url=url))


async def live(url: str, path: Path, last: int) -> None:
    clock = SystemClock()
    cognito = Cognito(
        clock=clock,
        random=secrets.token_bytes,
        draw=lambda: 0.5,
        policy=RenewalPolicy(),
        timeout=60.0,
        outbound=OutboundProxies(),
    )
    store = FileStore(path, clock)
    manager = TokenManager(
        cognito,
        {"default": profile_at(url)},
        lambda _: store,
        Terms(clock, lambda: 0.5, RenewalPolicy(new=0.0), 60.0),
    )
    try:
        await manager.get("default")
    except ProxyError as error:
        say(error.code)
    else:
        say("started")
        lines = Lines(last)
        threading.settrace(lines.trace)
        sys.settrace(lines.trace)
        await manager.refresh("default")
        sys.settrace(None)
        say(f"lines {lines.count}")
    await manager.close()
    await cognito.close()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(url: str, path: str) -> None:
    for number in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(live(url, Path(path), int(number)))
            os._exit(0)
        say(f"began {child}")
        _, status = os.waitpid(child, 0)
        say(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
