"""Upstreams that fall silent, in a network of their own; a program.

To be run by `unshare --net --map-root-user`: there is nothing but loopback then, whose routes are this program's. It
prints, in JSON, what became of the requests: how long the slowest GET took, and how long two tunnels stayed, one at
rest and one that something was sent into.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import time
from contextlib import suppress
from typing import Any

import uvloop

from proxy.clock import SystemClock
from proxy.errors import UpstreamBroken
from proxy.http.address import Upstream
from proxy.http.buffers import Buffers
from proxy.http.client import dns
from proxy.http.client.connect import Connector
from proxy.http.client.transport import PooledTransport, UpstreamAnswer, UpstreamRequest
from proxy.http.options import OutboundProxies, Timeouts
from support.wire import Peer, Scripted, upstream

BEFORE, AFTER = "127.0.0.2", "127.0.0.3"
"""Addresses of the upstream. What the first sends is lost from some moment on."""
UPSTREAM = Upstream.parse("http://api.example")
TIMEOUTS = Timeouts(connect=60.0, headers=600.0, idle=600.0, auth=60.0, drain=60.0)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


class Origin:
    """The upstream. Its answers to GET wait until `crowd` of them are under way."""

    def __init__(self, crowd: int) -> None:
        self._crowd = crowd
        self._waiting = 0
        self._enough = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while True:
            if b"Upgrade" in (await peer.head()).head:
                await peer.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                await peer.rest()
            self._waiting += 1
            if self._waiting == self._crowd:
                self._enough.set()
            await self._enough.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def fall_silent(connections: int, patience: float) -> dict[str, float]:
    ip("link", "set", "lo", "up")
    # What leads to this machine is usually looked up first, before any rule of ours.
    ip("rule", "add", "pref", "100", "lookup", "local")
    ip("rule", "del", "pref", "0")
    origin = Origin(connections)
    async with upstream(origin, host=BEFORE) as before, upstream(origin, host=AFTER) as after:
        return await ask(before, after, connections, patience)


async def ask(before: Scripted, after: Scripted, connections: int, patience: float) -> dict[str, float]:
    """Fill a pool at one address, and ask again when that is silent and the name leads to the other."""
    leads_to = (BEFORE, before.port)

    def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", leads_to)]

    connector = Connector(
        timeout=TIMEOUTS.connect, ca_file=None, outbound=OutboundProxies(), silence=patience, resolve=resolve
    )
    transport = PooledTransport(TIMEOUTS, connector, buffers=Buffers(1 << 20), now=SystemClock().now)

    async def send(fields: bytes = b"", *, upgrade: bool = False) -> UpstreamAnswer:
        head = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % fields
        return await transport.send(UpstreamRequest("GET", UPSTREAM, head, lambda _: None, upgrade=upgrade))

    async def get() -> int:
        answer = await send()
        answer.close()
        return answer.head.status

    async def all_are_answered() -> None:
        statuses = await asyncio.gather(*(get() for _ in range(connections)))
        assert statuses == [200] * connections, statuses

    async def end_of(tunnel: UpstreamAnswer) -> float:
        with suppress(UpstreamBroken):
            await tunnel.read()
        return time.monotonic() - began

    tunnel, spoken_to = [await send(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", upgrade=True) for _ in range(2)]
    await all_are_answered()
    assert before.connections == connections + 2
    leads_to = (AFTER, after.port)
    ip("rule", "add", "pref", "50", "from", BEFORE, "blackhole")
    began = time.monotonic()
    ended = asyncio.create_task(end_of(tunnel))
    spoken_to.write(b"hello")
    spoken_to_ended = asyncio.create_task(end_of(spoken_to))
    await all_are_answered()
    answered = time.monotonic() - began
    try:
        return {"answered": answered, "tunnel_ended": await ended, "spoken_to_ended": await spoken_to_ended}
    finally:
        await transport.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--patience", type=float, default=20.0, help="of the proxy, in seconds")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="uvloop")
    arguments = parser.parse_args()
    dns._FRESH = 0.0
    work = fall_silent(arguments.connections, arguments.patience)
    told = uvloop.run(work) if arguments.loop == "uvloop" else asyncio.run(work)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
