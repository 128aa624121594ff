"""Options of sockets, as the kernel then has them."""

import contextlib
import select
import socket
import sys
import time

import pytest

from proxy.http.sockets import hold_little, keep_alive, unheard


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other options")
@pytest.mark.parametrize(
    ("patience", "rest", "interval"),
    [(20.0, 8, 4), (1.5, 1, 1), (60.0, 24, 12)],
)
def test_keep_alive(patience: float, rest: int, interval: int) -> None:
    """A silent connection ends when three probes have gone unanswered."""
    with socket.socket() as sock:
        keep_alive(sock, patience)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        found = [
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
    assert found == [rest, interval, 3]


def test_a_unix_socket_is_left_alone() -> None:
    """Its other end is on this machine."""
    with socket.socket(socket.AF_UNIX) as sock:
        keep_alive(sock, 20.0)
        hold_little(sock)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_who_takes_nothing_is_heard_of() -> None:
    """A peer that reads nothing, so that nothing more can be sent to it, owes no answer: it is there."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sock,
    ):
        peer, _ = listener.accept()
        with peer:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.send(bytes(1 << 16))
            time.sleep(0.5)  # the kernel probes the window by then
            assert unheard(sock) == 0.0


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system knows no such limit")
def test_the_kernel_holds_little_for_who_takes_nothing() -> None:
    """Of what a peer does not read, the kernel takes some 100 KiB, where it would take megabytes."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sock,
    ):
        peer, _ = listener.accept()
        with peer:
            hold_little(sock)
            sock.setblocking(False)
            taken = 0
            while select.select([], [sock], [], 0.1)[1]:
                taken += sock.send(bytes(1 << 16))
            assert taken < 1 << 20
