"""Where the commands look for the running proxy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.places import ProxyAddress, find, parse_place
from proxy.errors import NotRunning, SettingsError
from proxy.http.address import Bind
from proxy.settings import load
from proxy.settings.options import ServeOptions


@pytest.fixture
def _no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def options(**settings: Any) -> ServeOptions:
    return load({"allow_anonymous_clients": True, **settings}).options()


@pytest.mark.usefixtures("_no_files")
@pytest.mark.parametrize(
    ("settings", "public", "place"),
    [
        ({}, False, "http://127.0.0.1:8080"),
        ({"listen": ["0.0.0.0:1"]}, False, "http://127.0.0.1:1"),
        ({"listen": ["[::]:1"]}, False, "http://[::1]:1"),
        ({"listen": ["192.0.2.1:1"]}, False, "http://192.0.2.1:1"),
        ({"listen": ["unix:/s"]}, False, "unix:/s"),
        ({"listen": ["127.0.0.1:1", "[::1]:2"]}, False, "http://127.0.0.1:1"),
        ({"admin_listen": ["127.0.0.1:9"]}, False, "http://127.0.0.1:9"),
        ({"listen": ["127.0.0.1:0"], "admin_listen": ["unix:/a"]}, False, "unix:/a"),
        ({"admin_listen": ["0.0.0.0:9", "unix:/a"]}, False, "unix:/a"),
        ({"admin_listen": ["0.0.0.0:9", "unix:/a"]}, True, "http://127.0.0.1:9"),
        ({"admin_listen": ["0.0.0.0:9"]}, True, "http://127.0.0.1:9"),
    ],
)
def test_by_the_settings(settings: dict[str, Any], public: bool, place: str) -> None:
    """At admin_listen where that is set, else at listen; what not everybody is told, where not everybody may ask."""
    assert str(find(options(**settings), None, public=public)) == place


@pytest.mark.usefixtures("_no_files")
@pytest.mark.parametrize(
    ("settings", "says", "fix"),
    [
        ({"listen": ["127.0.0.1:0"]}, "listen is 127.0.0.1:0", "--url"),
        ({"admin_listen": ["127.0.0.1:0"]}, "admin_listen is 127.0.0.1:0", "--url"),
        ({"admin_listen": ["0.0.0.0:9"]}, "admin_listen is 0.0.0.0:9, where anybody may ask", "127.0.0.1:9090"),
    ],
)
def test_nobody_can_tell(settings: dict[str, Any], says: str, fix: str) -> None:
    """Where the settings do not say it, the way out is named."""
    with pytest.raises(SettingsError, match=says) as caught:
        find(options(**settings), None)
    assert fix in caught.value.hint
    assert str(find(options(**settings), "http://[::1]:5")) == "http://[::1]:5"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://localhost", "localhost"),
        ("http://[::1]:1/", "[::1]:1"),
        ("http://192.0.2.1:1", "localhost"),
        ("https://proxy.test:8443", "proxy.test:8443"),
        ("unix:/run/s", "localhost"),
    ],
)
def test_what_it_is_called(url: str, named: str) -> None:
    """A proxy answers to loopback's names whatever its address is; behind TLS it has one of its own."""
    place = parse_place(url)
    assert place.named == named
    assert str(place) == url.removesuffix("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "8080",
        "unix:relative",
        "ftp://x",
        "http://",
        "http://x/path",
        "http://u:p@x",
        "http://x:y",
        "http://x:",
        "http://[x",
    ],
)
def test_no_address(url: str) -> None:
    """What is no address of a proxy is refused, with the forms that are."""
    with pytest.raises(SettingsError, match="is no address of a proxy") as caught:
        parse_place(url)
    assert "unix:/path" in caught.value.hint


def test_default_place() -> None:
    """Without a port, the scheme's own is meant."""
    assert parse_place("https://proxy.test") == ProxyAddress("proxy.test", None, tls=True)


@pytest.mark.usefixtures("_no_files")
@pytest.mark.parametrize(
    ("text", "place"), [("8123\n", "http://127.0.0.1:8123"), ("", None), ("x", None), (None, None)]
)
def test_a_port_that_was_written_down(text: str | None, place: str | None, tmp_path: Path) -> None:
    """A port that the proxy picked by itself is read where it wrote it, if it did."""
    file = tmp_path / "port"
    if text is not None:
        file.write_text(text)
    made = options(listen=["127.0.0.1:0"], port_file=str(file))
    if place is not None:
        assert str(find(made, None)) == place
        return
    with pytest.raises(NotRunning, match="has written its port to"):
        find(made, None)


@pytest.mark.usefixtures("_no_files")
def test_tls(tmp_path: Path) -> None:
    """With HTTPS, the proxy is known by the certificate of the settings; on a Unix socket there is none."""
    file = tmp_path / "cert.pem"
    file.touch()
    made = options(listen=["127.0.0.1:1"], tls_cert=str(file))
    assert find(made, None) == ProxyAddress("127.0.0.1", 1, tls=True, certificate=file)
    assert find(made, "https://proxy.test:2") == ProxyAddress("proxy.test", 2, tls=True, certificate=file)
    assert find(made, "http://proxy.test:2") == ProxyAddress("proxy.test", 2)
    assert find(replace(made, admin_listen=(Bind(path="/a"),)), None) == ProxyAddress(path="/a")
