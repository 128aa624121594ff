"""Which error a failed connection becomes."""

import errno
import socket
import ssl

import pytest

from proxy.errors import UpstreamAway, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.http.client.faults import translated

FAULTS: dict[str, tuple[OSError | UnicodeError, type[UpstreamError], str]] = {
    "refused": (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), UpstreamAway, "connection_refused"),
    "reset": (ConnectionResetError(), UpstreamAway, "destination_unavailable"),
    "no route": (OSError(errno.EHOSTUNREACH, "No route to host"), UpstreamAway, "destination_unavailable"),
    "several addresses": (OSError("Multiple exceptions: …"), UpstreamAway, "destination_unavailable"),
    "name servers fail": (socket.gaierror(socket.EAI_AGAIN, "again"), UpstreamAway, "dns_error"),
    "hangs up amid TLS": (ssl.SSLEOFError(8, "eof"), UpstreamAway, "tls_protocol_error"),
    "too late": (TimeoutError(), UpstreamTimeout, "connection_timeout"),
    "a firewall here": (PermissionError(errno.EPERM, "no"), UpstreamUnreachable, "destination_unavailable"),
    "no such name": (socket.gaierror(socket.EAI_NONAME, "none"), UpstreamUnreachable, "dns_error"),
    "no name": (UnicodeError("label too long"), UpstreamUnreachable, "dns_error"),
    "no TLS": (ssl.SSLError(1, "wrong version number"), UpstreamUnreachable, "tls_protocol_error"),
}


@pytest.mark.parametrize(("error", "kind", "error_type"), FAULTS.values(), ids=FAULTS)
def test_what_is_tried_again(error: OSError | UnicodeError, kind: type[UpstreamError], error_type: str) -> None:
    """What a restart explains passes; what has to be mended does not, nor does what took its whole time."""
    found = translated(error, "api.example")
    assert type(found) is kind
    assert found.error_type == error_type
    assert found.code == ("upstream_timeout" if kind is UpstreamTimeout else "upstream_unreachable")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "this machine's clock"),
        (10, "renew its certificate"),
        (18, "upstreams.ca_file"),
        (19, "upstreams.ca_file"),
        (20, "upstreams.ca_file"),
        (62, "no certificate for api.example"),
        (64, "no certificate for api.example"),
    ],
)
def test_certificates(code: int, words: str) -> None:
    """A certificate that is refused is asked for once, and the hint is about what is wrong with it."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    found = translated(error, "api.example")
    assert type(found) is UpstreamUnreachable
    assert "what OpenSSL says" in found.detail
    assert words in found.hint
    assert ("ca_file" in found.hint) == ("ca_file" in words)
