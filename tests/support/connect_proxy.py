"""An outbound proxy that tunnels to loopback, whatever name it is asked for, and remembers who asked."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from support.wire import Message, Peer, upstream

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class ConnectProxy:
    """`refusal` is sent instead of opening a tunnel; `ports` says where on loopback a name really is."""

    refusal: bytes | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    established: bytes = ESTABLISHED
    port: int = 0
    requests: list[Message] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        """The authorities that tunnels were asked for."""
        return [message.start_line.split()[1].decode() for message in self.requests]

    async def _serve(self, peer: Peer) -> None:
        message = await peer.head()
        self.requests.append(message)
        if self.refusal is not None:
            await peer.send(self.refusal)
            return
        method, authority, _ = message.start_line.decode().split()
        assert method == "CONNECT", message.start_line
        host, _, port = authority.rpartition(":")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports.get(host, int(port)))
        await peer.send(self.established)
        try:
            await asyncio.gather(_carry(peer.reader, writer), _carry(reader, peer.writer))
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ConnectProxy"]:
        async with upstream(self._serve) as server:
            self.port = server.port
            yield self


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
