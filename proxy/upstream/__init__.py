"""The transport: one request goes to an upstream and its answer streams back.

`connect` opens connections to the addresses that `names` finds, `tunnel` does so through an outbound proxy,
`connection` reads and writes, `exchange` is one request and its answer on it, `pool` keeps connections between
requests, `transport` puts them together.
"""

from proxy.upstream.connect import Connector
from proxy.upstream.transport import PooledTransport, RequestBody, Transport, UpstreamAnswer, UpstreamRequest

__all__ = ["Connector", "PooledTransport", "RequestBody", "Transport", "UpstreamAnswer", "UpstreamRequest"]
