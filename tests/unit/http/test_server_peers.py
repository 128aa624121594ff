"""Whether anybody holds the other end of a connection, by what Linux lists."""

import os
import socket
import sys

import pytest

from proxy.http.server.peers import held_ends, spelled, there

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.byteorder != "little", reason="the lines are of Linux on a little-endian machine"
)


def line(local: str, remote: str, inode: int) -> str:
    return f"   0: {local} {remote} 05 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000"


def test_held_ends() -> None:
    """A socket is held where it is listed with an inode."""
    table = [line("0100007F:C350", "0100007F:1F90", 123), line("0100007F:C351", "0100007F:1F90", 0)]
    assert held_ends(table) == {("0100007F:C350", "0100007F:1F90")}


@pytest.mark.parametrize(
    ("host", "spellings"),
    [
        ("127.0.0.1", ["0100007F:1F90", "0000000000000000FFFF00000100007F:1F90"]),
        ("::ffff:127.0.0.1", ["0100007F:1F90", "0000000000000000FFFF00000100007F:1F90"]),
        ("::1", ["00000000000000000000000001000000:1F90"]),
        ("fe80::1%lo", ["000080FE000000000000000001000000:1F90"]),
    ],
)
def test_spelled(host: str, spellings: list[str]) -> None:
    """Addresses are spelled as the kernel spells them, those of IPv4 also as they stand among those of IPv6."""
    assert spelled(host, 8080) == spellings


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_a_real_socket(family: socket.AddressFamily, tmp_path: os.PathLike[str]) -> None:
    """A caller that has shut down one direction is still there, and one that has closed is not."""
    listener = socket.socket(family)
    if family == socket.AF_UNIX:
        listener.bind(f"{tmp_path}/s")
    else:
        listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    listener.listen()
    with listener, socket.socket(family) as other:
        other.connect(listener.getsockname())
        here, _ = listener.accept()
        with here:
            assert there([here]) == [True]
            other.shutdown(socket.SHUT_WR)
            assert there([here]) == [True]
            other.close()
            assert there([here]) == [False]
