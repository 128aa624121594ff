"""The transport: one request goes to an upstream and its answer streams back.

`framing` decides what bytes mean, `connection` reads and writes them, `connect` opens connections, `tunnel` does so
through an outbound proxy, `pool` keeps them between requests, `transport` puts them together.
"""

from proxy.upstream.connect import Connector
from proxy.upstream.framing import Head
from proxy.upstream.transport import PooledTransport, Transport, UpstreamAnswer, UpstreamRequest

__all__ = ["Connector", "Head", "PooledTransport", "Transport", "UpstreamAnswer", "UpstreamRequest"]
