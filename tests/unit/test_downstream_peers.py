"""Whether anybody holds the other end of a connection, by what Linux lists."""

import ipaddress
import os
import socket
import sys

import pytest

from proxy.downstream.peers import Address, has_left, is_held

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
V4, V6 = ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")


def line(local: str, remote: str, inode: int) -> str:
    return f"   0: {local} {remote} 05 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000"


@pytest.mark.skipif(sys.byteorder != "little", reason="the lines are of a little-endian machine")
@pytest.mark.parametrize(
    ("lines", "ends", "held"),
    [
        ([line("0100007F:C350", "0100007F:1F90", 123)], ((V4, 50000), (V4, 8080)), True),
        ([line("0100007F:C350", "0100007F:1F90", 0)], ((V4, 50000), (V4, 8080)), False),
        ([], ((V4, 50000), (V4, 8080)), False),
        ([line("0100007F:1F90", "0100007F:C350", 123)], ((V4, 50000), (V4, 8080)), False),
        ([line("0200007F:C350", "0100007F:1F90", 123)], ((V4, 50000), (V4, 8080)), False),
        ([line("0" * 24 + "01000000:C350", "0" * 24 + "01000000:1F90", 9)], ((V6, 50000), (V6, 8080)), True),
        (
            [line("0000000000000000FFFF00000100007F:C350", "0000000000000000FFFF00000100007F:1F90", 9)],
            ((V4, 50000), (V4, 8080)),
            True,
        ),
    ],
    ids=["held", "closed", "not listed", "the other way round", "another address", "IPv6", "IPv4 in IPv6"],
)
def test_the_table(lines: list[str], ends: tuple[Address, Address], held: bool) -> None:
    """A socket is held where it is listed, from here to there, with an inode."""
    assert is_held(lines, *ends) is held


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says so of TCP")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_a_real_socket(family: socket.AddressFamily, tmp_path: os.PathLike[str]) -> None:
    """Who has shut down one direction is still there, and who has closed is not."""
    listener = socket.socket(family)
    if family == socket.AF_UNIX:
        listener.bind(f"{tmp_path}/s")
    else:
        listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    listener.listen()
    with listener, socket.socket(family) as there:
        there.connect(listener.getsockname())
        here, _ = listener.accept()
        with here:
            assert not has_left(here)
            there.shutdown(socket.SHUT_WR)
            assert not has_left(here)
            there.close()
            assert has_left(here)
