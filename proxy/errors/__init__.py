"""Every failure that this program can tell a person about, in one tree.

ProxyError
├── SettingsError                unusable arguments or settings: exit status 2
├── StartError                   the proxy cannot start here and now, or does not do as it is told: exit status 1
│   ├── NotRunning               no proxy answers where one is looked for
│   └── IncompatibleLibrary      a library, or Python, in a version that lacks what is needed of it
├── InternalError                500: a defect of this program
├── Defective                    503: so many of them that others had better not come
├── CallerError                  what the caller sent
│   ├── RequestError             what came is no request that could be judged
│   │   ├── BadRequest           400
│   │   ├── RequestTimeout       408
│   │   ├── TargetTooLong        414
│   │   ├── HeadTooLarge         431
│   │   ├── UnsupportedCoding    501
│   │   └── UnsupportedVersion   505
│   ├── ClientTokenRequired      401
│   ├── HostNotAllowed, OriginNotAllowed, NotPermitted, ReadOnly    403
│   └── NoRoute, UnknownProfile  404
├── CredentialError              no credential to send
│   ├── CredentialMissing        503
│   ├── LoginRequired            503  terminal: not tried again until a credential changes
│   ├── RefreshRejected          503  the refresh token is dead: one full sign-in mends it
│   ├── StoreFailed              503  where sessions are kept cannot be used
│   │   └── StoreBusy            503  another process does not let go of its lock
│   ├── SignInFailed             503  transient: tried again
│   │   └── TokensUnverified     503  what came cannot be verified for now
│   └── SignInTimeout            504
├── UpstreamError                the way to the upstream
│   ├── UpstreamUnreachable      502
│   │   └── UpstreamAway         502  for now: connecting is tried again for a moment
│   ├── UpstreamBroken           502
│   └── UpstreamTimeout          504
└── Overloaded, Draining         503

Each class knows its HTTP status, code, source, RFC 9209 error type and whether trying again can help; each instance
says what happened (detail) and what mends it (hint). Neither may hold a secret.

`defects` counts exceptions that nobody expected, `coupling` checks the versions of libraries.
"""

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import SecretStr


class Source(StrEnum):
    """Whose doing a failure is."""

    PROXY = "proxy"
    COGNITO = "cognito"
    UPSTREAM = "upstream"
    CLIENT = "client"


class ProxyError(Exception):
    """A failure with everything an answer needs.

    `retry_after` is in seconds, None where waiting does not help or nobody knows how long.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[Source] = Source.PROXY
    proxy_status: ClassVar[str] = "proxy_internal_error"
    """The error type of RFC 9209 section 2.3."""
    transient: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        detail: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        proxy_status: str | None = None,
    ) -> None:
        """`proxy_status` where the class's own type is not the most exact one."""
        super().__init__(detail)
        self.detail = detail
        self.hint = self.default_hint if hint is None else hint
        self.retry_after = retry_after
        self.error_type = proxy_status or self.proxy_status

    def again(self, retry_after: float | None = None) -> "ProxyError":
        """The same failure as a new instance, for the next caller who meets it."""
        return type(self)(self.detail, hint=self.hint, retry_after=retry_after)


class SettingsError(ProxyError):
    status, code, title = 500, "unusable_settings", "Unusable settings"
    proxy_status = "proxy_configuration_error"


class StartError(ProxyError):
    status, code, title = 500, "cannot_start", "Cannot start"


class NotRunning(StartError):
    code, title = "not_running", "Not running"
    default_hint = "Start one with `ul-proxy serve`, or give --url."


class IncompatibleLibrary(StartError):
    status, code, title = 503, "incompatible_library", "Incompatible library"


class InternalError(ProxyError):
    status, code, title = 500, "internal_error", "Internal error"
    default_hint = "This is a defect of ul-proxy: run it with --log-level debug and report the traceback."


class Defective(ProxyError):
    """Why the proxy is not ready; no request is refused for it."""

    status, code, title = 503, "defective", "Defective"
    default_hint = "The log has the tracebacks: report them, and restart the proxy or run another version of it."


class CallerError(ProxyError):
    source = Source.CLIENT
    proxy_status = "http_request_denied"


class RequestError(CallerError):
    """What came is no request that could be judged."""

    proxy_status = "http_request_error"


class BadRequest(RequestError):
    status, code, title = 400, "bad_request", "Bad request"


class RequestTimeout(RequestError):
    status, code, title = 408, "request_timeout", "Request timeout"


class TargetTooLong(RequestError):
    status, code, title = 414, "target_too_long", "Target too long"


class HeadTooLarge(RequestError):
    status, code, title = 431, "head_too_large", "Header fields too large"


class UnsupportedCoding(RequestError):
    status, code, title = 501, "unsupported_coding", "Transfer coding not supported"
    default_hint = "Send `Transfer-Encoding: chunked`, or a Content-Length."


class UnsupportedVersion(RequestError):
    status, code, title = 505, "unsupported_version", "HTTP version not supported"
    default_hint = "Send HTTP/1.1."


class ClientTokenRequired(CallerError):
    status, code, title = 401, "client_token_required", "Client token required"


class HostNotAllowed(CallerError):
    status, code, title = 403, "host_not_allowed", "Host not allowed"
    default_hint = "Call the proxy by a loopback name, or add the name to allowed_hosts (UL_PROXY_ALLOWED_HOSTS)."


class OriginNotAllowed(CallerError):
    status, code, title = 403, "origin_not_allowed", "Origin not allowed"
    default_hint = "Add the page's origin to allowed_origins (UL_PROXY_ALLOWED_ORIGINS)."


class NotPermitted(CallerError):
    status, code, title = 403, "not_permitted", "Not permitted"


class ReadOnly(CallerError):
    status, code, title = 403, "read_only", "Read-only"


class NoRoute(CallerError):
    status, code, title = 404, "no_route", "No route"
    proxy_status = "destination_not_found"


class UnknownProfile(CallerError):
    status, code, title = 404, "unknown_profile", "Unknown profile"
    default_hint = "List the profiles with `ul-proxy config`."
    proxy_status = "destination_not_found"


class CredentialError(ProxyError):
    source = Source.COGNITO
    status = 503


class CredentialMissing(CredentialError):
    code, title, source = "credential_missing", "Credential missing", Source.PROXY
    proxy_status = "proxy_configuration_error"


class LoginRequired(CredentialError):
    code, title = "login_required", "Login required"
    proxy_status = "proxy_configuration_error"


class RefreshRejected(CredentialError):
    code, title = "sign_in_failed", "Session ended"


class StoreFailed(CredentialError):
    code, title, source, transient = "sign_in_failed", "Session store failed", Source.PROXY, True
    default_hint = "Check token_store, and that it can be read and written."


class StoreBusy(StoreFailed):
    """Another process has the lock of a store for too long."""

    default_hint = "End the process that hangs, or let it go on."


class SignInFailed(CredentialError):
    code, title, transient = "sign_in_failed", "Sign-in failed", True
    default_hint = "The proxy tries again by itself: repeat the request after Retry-After seconds."


class TokensUnverified(SignInFailed):
    """Tokens have come that nobody can verify for now.

    `refresh_token` came with them, None where none did: the one that it was got for may be used up.
    """

    def __init__(self, detail: str, *, refresh_token: SecretStr | None = None, **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.refresh_token = refresh_token


class SignInTimeout(CredentialError):
    status, code, title, transient = 504, "sign_in_timeout", "Sign-in timed out", True
    default_hint = "The sign-in goes on: repeat the request, or raise timeouts.auth."


class UpstreamError(ProxyError):
    source = Source.UPSTREAM
    transient = True


class UpstreamUnreachable(UpstreamError):
    status, code, title = 502, "upstream_unreachable", "Upstream unreachable"
    proxy_status = "destination_unavailable"
    default_hint = "Check the network, and the upstream's address in `ul-proxy config`."


class UpstreamAway(UpstreamUnreachable):
    """No connection for now: a restart takes a moment."""


class UpstreamBroken(UpstreamError):
    status, code, title = 502, "upstream_broken", "Upstream broken"
    proxy_status = "http_protocol_error"


class UpstreamTimeout(UpstreamError):
    status, code, title = 504, "upstream_timeout", "Upstream timeout"
    proxy_status = "http_response_timeout"
    default_hint = "Raise timeouts.connect or timeouts.headers if the upstream is known to be slow."


class Overloaded(ProxyError):
    status, code, title, transient = 503, "overloaded", "Overloaded", True
    proxy_status = "connection_limit_reached"
    default_hint = "Keep connections and use them again, or raise max_connections."


class Draining(ProxyError):
    status, code, title, transient = 503, "draining", "Draining", True
    default_hint = "The proxy is ending: send the request again once it has been restarted."
