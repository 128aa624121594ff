"""Where a running proxy is asked about itself: as the settings say, or as somebody tells."""

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from proxy.errors import NotRunning, SettingsError
from proxy.http.address import Bind, bracketed, is_loopback, stays_here
from proxy.http.options import CertificateFiles
from proxy.settings.options import ServeOptions

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # names, to be replaced


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """Where a proxy listens; `path` is that of a Unix socket."""

    host: str = "localhost"
    port: int | None = None
    path: str | None = None
    tls: bool = False
    certificate: Path | None = None
    """A file whose first certificate is the proxy's own, by whatever name it goes."""

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"{'https' if self.tls else 'http'}://{bracketed(self.host)}" + (
            f":{self.port}" if self.port is not None else ""
        )

    @property
    def named(self) -> str:
        """What to call it in Host: a proxy knows its own machine by loopback names."""
        by_name = self.tls and self.certificate is None
        if self.path is not None or not (by_name or is_loopback(self.host)):
            return "localhost"
        return str(self).partition("//")[2]


def find(options: ServeOptions, url: str | None, *, public: bool = False) -> ProxyAddress:
    """Where to ask: at `url` where there is one, else where the settings have the own endpoints.

    `public` are those that an `admin_listen` beyond loopback has, too. Raises SettingsError where nobody can tell, and
    NotRunning where a proxy has yet to write down which port it picked.
    """
    if url is not None:
        place = parse_place(url)
        return replace(place, certificate=options.tls.certificate) if place.tls and options.tls is not None else place
    if not options.admin_listen:
        bind = options.listen[0]
        if bind.path is None and not bind.port and options.port_file is not None:
            bind = replace(bind, port=_port_in(options.port_file))
        return place_of(bind, options.tls)
    here = [bind for bind in options.admin_listen if public or stays_here(bind)]
    if not here:
        raise SettingsError(
            f"admin_listen is {options.admin_listen[0]}, where anybody may ask, and so for little",
            hint='Add an address of loopback to it, such as "127.0.0.1:9090".',
        )
    return place_of(here[0], options.tls, "admin_listen")


def parse_place(url: str) -> ProxyAddress:
    """`http://HOST[:PORT]`, https likewise, or `unix:/path`; raises SettingsError."""
    if url.startswith("unix:/"):
        return ProxyAddress(path=url.removeprefix("unix:"))
    try:
        parts = urlsplit(url)
        host = None if "@" in url or parts.netloc.endswith(":") else parts.hostname
        if host and parts.scheme in ("http", "https") and parts.path in ("", "/"):
            return ProxyAddress(host, parts.port, tls=parts.scheme == "https")
    except ValueError:
        pass
    raise SettingsError(f"--url {url!r} is no address of a proxy", hint="Write http://HOST:PORT or unix:/path.")


def place_of(bind: Bind, tls: CertificateFiles | None, setting: str = "listen") -> ProxyAddress:
    """Where to reach what listens at `bind`, with HTTPS on TCP by `tls`; raises SettingsError where nobody can tell."""
    if bind.path is not None:
        return ProxyAddress(path=bind.path)
    if bind.port == 0:
        raise SettingsError(
            f"{setting} is {bind}, so the proxy picked a port by itself",
            hint="Tell where it is: --url http://HOST:PORT.",
        )
    certificate = None if tls is None else tls.certificate
    return ProxyAddress(_WILDCARDS.get(bind.host, bind.host), bind.port, tls=tls is not None, certificate=certificate)


def _port_in(file: Path) -> int:
    """The port that a running proxy has written down; raises NotRunning where there is none."""
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):
        raise NotRunning(f"no proxy has written its port to {file}") from None
