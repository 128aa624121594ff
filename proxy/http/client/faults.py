"""Translate why a connection failed into an error, and judge whether another try may succeed."""

import socket
import ssl

from proxy.errors import UpstreamAway, UpstreamError, UpstreamTimeout, UpstreamUnreachable

NOT_YET_VALID, EXPIRED = 9, 10
OTHER_NAME = frozenset((62, 64))
"""OpenSSL's X509_V_ERR_* of a certificate: the first of host names, the other of addresses."""

_CLOCK = "Check this machine's clock: `ul-proxy check` says how far it is off."


def translated(error: OSError | UnicodeError, host: str) -> UpstreamError:
    """Return the error for a caller when connecting to `host` has failed."""
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("no connection to the upstream in time", proxy_status="connection_timeout")
    if isinstance(error, ssl.SSLCertVerificationError):
        return UpstreamUnreachable(
            f"the upstream's certificate cannot be verified: {error.verify_message}",
            hint=_certificate_hint(error.verify_code, host),
            proxy_status="tls_certificate_error",
        )
    made = UpstreamAway if passes(error) else UpstreamUnreachable
    for kind, detail, error_type in _FAILURES:
        if isinstance(error, kind):
            return made(detail, proxy_status=error_type)
    return made(f"no connection to the upstream ({reason(error)})")


def passes(error: OSError | UnicodeError) -> bool:
    """Return whether the next try may succeed, since an upstream, or a name server, restarts.

    A certificate, a version of TLS, a name that does not exist and a rule of a firewall are refused for good.
    """
    if isinstance(error, ssl.SSLError):
        return isinstance(error, ssl.SSLEOFError)
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    return not isinstance(error, (UnicodeError, TimeoutError, PermissionError))


def reason(error: OSError | UnicodeError) -> str:
    """Return the system's words for an error."""
    return getattr(error, "strerror", None) or type(error).__name__


def _certificate_hint(code: int, host: str) -> str:
    if code == EXPIRED:
        return f"The upstream's operator must renew its certificate. If it is good elsewhere: {_CLOCK}"
    if code == NOT_YET_VALID:
        return _CLOCK
    if code in OTHER_NAME:
        return (
            f"The server that answers has no certificate for {host}: check the upstream's address in `ul-proxy "
            "config`, and whether this network wants a login first."
        )
    return "Set upstreams.ca_file where the upstream has a certificate of your own authority."


_FAILURES = (
    (UnicodeError, "the upstream's name cannot be one", "dns_error"),
    (socket.gaierror, "the upstream's name cannot be resolved", "dns_error"),
    (ssl.SSLError, "TLS with the upstream failed", "tls_protocol_error"),
    (ConnectionRefusedError, "the upstream refuses connections", "connection_refused"),
)
