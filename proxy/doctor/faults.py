"""What the failure of a hop means, and what mends it."""

import socket
import ssl
from datetime import UTC, datetime

from proxy.doctor.findings import Finding, fail
from proxy.errors import CredentialError, ProxyError, SignInFailed, SignInTimeout, UpstreamError, UpstreamTimeout
from proxy.http.address import Upstream
from proxy.http.client.faults import EXPIRED, NOT_YET_VALID, OTHER_NAME
from proxy.http.options import OutboundProxy

_UNKNOWN_AUTHORITY = frozenset((18, 19, 20, 21))
"""OpenSSL's X509_V_ERR_*."""
_VARIABLES = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY"
_PORTAL = "Open a web page in a browser: this network may want you to log in first."
_NEEDS_PROXY = "If this network wants an outbound proxy, set HTTPS_PROXY; else ask whoever runs it about its firewall."


def of_name(error: UpstreamError, setting: str) -> Finding:
    """A name that cannot be resolved; `setting` is where it comes from."""
    cause = error.__cause__
    if isinstance(error, UpstreamTimeout):
        return fail("no name server answers", "Check the network, and the name servers in /etc/resolv.conf.")
    if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN:
        return fail(
            "the name servers cannot be asked now", "Check the network, and the name servers in /etc/resolv.conf."
        )
    return fail("the name does not resolve", f"Check the network and its name servers, and the address in {setting}.")


def of_outbound_proxy(error: UpstreamError) -> Finding:
    """An outbound proxy that cannot be connected to."""
    fix = f"Check {_VARIABLES}, which names it, or unset that where this network needs no proxy."
    return fail(f"it {_refusal(error)}", fix)


def of_connection(error: UpstreamError, upstream: Upstream, setting: str) -> Finding:
    """An address that nobody can connect to."""
    fix = f"Check the address and port in {setting}."
    if upstream.scheme == "https":
        fix = f"{fix} {_NEEDS_PROXY}"
    return fail(f"it {_refusal(error)}", fix)


def of_tunnel(error: UpstreamError, upstream: Upstream, via: OutboundProxy) -> Finding:
    """An outbound proxy that does not let us through."""
    detail = error.detail
    if isinstance(error, UpstreamTimeout):
        detail = f"the outbound proxy {via.host}:{via.port} does not answer in time"
    if " 407" in detail:
        fix = f"Put the user and password that it wants into {_VARIABLES}: http://user:password@host:port."
    else:
        fix = f"Ask whoever runs it to let {upstream.host}:{upstream.port} through, or list the host in NO_PROXY."
    return fail(detail, fix)


def of_tls(error: UpstreamError, upstream: Upstream, setting: str, now: float) -> Finding:
    """A handshake that failed; `now` in wall seconds."""
    cause = error.__cause__
    if isinstance(error, UpstreamTimeout):
        return fail("the TLS handshake does not end", f"Check that {setting} speaks https. {_NEEDS_PROXY}")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _of_certificate(cause, setting, now)
    if isinstance(cause, ssl.SSLError):
        reason = cause.reason.lower().replace("_", " ") if cause.reason else type(cause).__name__
        return fail(f"no TLS ({reason})", f"Check that {setting} speaks https on port {upstream.port}.")
    return fail(f"the connection ended in the TLS handshake: {error.detail}", _NEEDS_PROXY)


def _of_certificate(cause: ssl.SSLCertVerificationError, setting: str, now: float) -> Finding:
    detail = f"the certificate cannot be verified: {cause.verify_message}"
    if cause.verify_code in _UNKNOWN_AUTHORITY:
        return fail(
            detail,
            "Its authority is unknown here. Where a proxy of your company's inspects TLS, or the upstream is your own, "
            "put the authority's certificate into a PEM file and set upstreams.ca_file.",
        )
    if cause.verify_code in (EXPIRED, NOT_YET_VALID):
        clock = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return fail(detail, f"Check this machine's clock, which says {clock}. If it is right, renew the certificate.")
    if cause.verify_code in OTHER_NAME:
        return fail(detail, f"Somebody else answers there. {_PORTAL} Check {setting}.")
    return fail(detail, f"Check {setting} and upstreams.ca_file.")


def of_sign_in(error: ProxyError) -> Finding:
    """A sign-in that brought no token."""
    if error.hint in (SignInFailed.default_hint, SignInTimeout.default_hint):
        return fail(
            error.detail, "Run `ul-proxy check` again in a minute; the proxy itself tries again until it works."
        )
    return fail(error.detail, error.hint or "Check the settings under cognito with `ul-proxy config`.")


def of_request(error: ProxyError, setting: str) -> Finding:
    """A request that brought no answer."""
    if isinstance(error, CredentialError):
        return fail(error.detail, error.hint)
    if isinstance(error, UpstreamTimeout):
        return fail(error.detail, "Raise timeouts.headers if it is known to be slow, else try again later.")
    return fail(error.detail, f"Check {setting}, and what stands between it and here.")


def captive(what: str) -> Finding:
    """Somebody else's web page in place of an answer."""
    return fail(f"{what}: a captive portal or a filtering proxy answers in its place", _PORTAL)


def _refusal(error: UpstreamError) -> str:
    """What an address did, to follow its name."""
    if isinstance(error, UpstreamTimeout):
        return "does not answer in time"
    if error.error_type == "connection_refused":
        return "refuses connections"
    if isinstance(error.__cause__, socket.gaierror | UnicodeError):
        return "does not resolve"
    cause = error.__cause__
    return f"cannot be reached ({getattr(cause, 'strerror', None) or type(cause).__name__})"
