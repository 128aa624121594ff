"""What the doctor's probes make of sockets and certificates that are out of the ordinary."""

import socket
import struct
from typing import Any

import pytest
from support.stack import direct_options

from proxy.clock import SystemClock
from proxy.doctor.findings import HopState
from proxy.doctor.probes import NetworkProbes, _issuer
from proxy.http.address import Upstream
from proxy.http.client.connect import Connector
from proxy.http.options import OutboundProxies


@pytest.mark.parametrize(
    ("issuer", "named"),
    [
        (((("countryName", "US"),), (("organizationName", "Amazon"),), (("commonName", "Amazon RSA"),)), "Amazon"),
        (((("commonName", "my authority"),),), "my authority"),
        (((("organizationName", "two"), ("commonName", "in one")),), "two"),
        ((), "an authority without a name"),
    ],
)
def test_issuers(issuer: Any, named: str) -> None:
    """Who issued a certificate is told by the organization's name, else by whatever name there is."""
    assert _issuer({"issuer": issuer}) == named


async def test_somebody_who_hangs_up_at_once() -> None:
    """A connection that is reset as soon as it is made has been made."""
    options = direct_options("http://127.0.0.1:9")

    async def never(*_: object) -> Any:
        raise AssertionError

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        upstream = Upstream("http", "127.0.0.1", listener.getsockname()[1])

        class ResetConnector(Connector):
            async def open_socket(self, upstream: Upstream) -> socket.socket:
                sock = await super().open_socket(upstream)
                other, _ = listener.accept()
                other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                other.close()
                return sock

        connector = ResetConnector(timeout=5, ca_file=None, outbound=OutboundProxies())
        probes = NetworkProbes(options, options.profile, connector, clock=SystemClock(), sign_in=never, inquire=never)
        try:
            finding = await probes.connect(upstream, "upstreams.rest")
        finally:
            await probes.close()
    assert (finding.state, finding.detail) == (HopState.OK, "to somebody who hangs up at once")
