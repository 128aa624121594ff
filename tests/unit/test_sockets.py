"""Options of sockets, as the kernel then has them."""

import socket
import sys

import pytest

from proxy.sockets import keep_alive


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other options")
@pytest.mark.parametrize(
    ("patience", "rest", "interval", "unacknowledged"),
    [(20.0, 8, 4, 20_000), (1.5, 1, 1, 1500), (60.0, 24, 12, 60_000)],
)
def test_keep_alive(patience: float, rest: int, interval: int, unacknowledged: int) -> None:
    """A silent connection ends when three probes have gone unanswered, or after as long without an acknowledgement."""
    with socket.socket() as sock:
        keep_alive(sock, patience)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        found = [
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        ]
    assert found == [rest, interval, 3, unacknowledged]


def test_a_unix_socket_is_left_alone() -> None:
    """Its other end is on this machine."""
    with socket.socket(socket.AF_UNIX) as sock:
        keep_alive(sock, 20.0)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
