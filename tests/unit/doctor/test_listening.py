"""Where the proxy would listen: free, taken, or no such place."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.doctor.findings import Finding, HopState
from proxy.doctor.listening import look_at
from proxy.errors import StartError
from proxy.http.address import Bind


async def look(bind: Bind, told: Mapping[str, Any] | None = None) -> Finding:
    async def inquire(asked: Bind) -> Mapping[str, Any]:
        assert asked is bind
        if told is None:
            raise StartError("what answers there is no ul-proxy")
        return told

    return await look_at(bind, "listen", inquire)


@pytest.mark.parametrize(
    ("bind", "words"), [(Bind("127.0.0.1", 0), "free: any port"), (Bind("localhost", 0), "free: any port")]
)
async def test_any_port(bind: Bind, words: str) -> None:
    """Port 0 is always free."""
    assert (await look(bind)).detail == words


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_ports(family: socket.AddressFamily, host: str) -> None:
    """A port is taken while somebody listens there, and free at once when nobody does."""
    with socket.socket(family) as other:
        other.bind((host, 0))
        other.listen()
        bind = Bind(host, other.getsockname()[1])
        taken = await look(bind)
        assert (taken.state, taken.detail) == (HopState.FAIL, "taken: what answers there is no ul-proxy")
        assert "--listen" in taken.fix
        assert (await look(bind, {"version": "1", "ready": True})).state is HopState.OK
    assert (await look(bind)).detail == "free"


async def test_an_address_that_is_none() -> None:
    """A name that nobody has, and an address that is not this machine's, are no place to listen."""
    finding = await look(Bind("nowhere.invalid", 8080))
    assert finding.state is HopState.FAIL
    assert finding.detail == "cannot listen there: Name or service not known"


async def test_paths(tmp_path: Path) -> None:
    """A Unix socket's path is free where there is nothing, or what nobody listens at; the file stays as it is."""
    path = tmp_path / "s"
    bind = Bind(path=str(path))
    assert (await look(bind)).detail == "free"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        assert (await look(bind)).detail == "free"
        other.listen(0)
        assert (await look(bind)).state is HopState.FAIL
        # Whoever waits in its backlog keeps others out, and it is taken all the same.
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            for waiting in (first, second):
                waiting.setblocking(False)
                waiting.connect_ex(str(path))
            assert (await look(bind, {"version": "1", "ready": True})).state is HopState.OK
    assert path.exists()


async def test_paths_that_are_none(tmp_path: Path) -> None:
    """A file that is no socket, and a folder that does not exist, are said."""
    (tmp_path / "file").write_text("")
    for path, words in (("file", "is no socket"), ("nowhere/s", "no socket can be made in")):
        finding = await look(Bind(path=str(tmp_path / path)))
        assert finding.state is HopState.FAIL
        assert words in finding.detail
        assert finding.fix
