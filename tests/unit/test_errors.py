"""The table of the contract: which status and code each failure has."""

import inspect

import pytest

from proxy import errors
from proxy.errors import ProxyError, Source
from proxy.errors.names import addressed

# RFC 9209 section 2.3 and its IANA registry.
REGISTERED = {
    "dns_timeout",
    "dns_error",
    "destination_not_found",
    "destination_unavailable",
    "destination_ip_prohibited",
    "destination_ip_unroutable",
    "connection_refused",
    "connection_terminated",
    "connection_timeout",
    "connection_read_timeout",
    "connection_write_timeout",
    "connection_limit_reached",
    "tls_protocol_error",
    "tls_certificate_error",
    "tls_alert_received",
    "http_request_error",
    "http_request_denied",
    "http_response_incomplete",
    "http_response_header_section_size",
    "http_response_header_size",
    "http_response_body_size",
    "http_response_trailer_section_size",
    "http_response_trailer_size",
    "http_response_transfer_coding",
    "http_response_content_coding",
    "http_response_timeout",
    "http_upgrade_failed",
    "http_protocol_error",
    "proxy_internal_response",
    "proxy_internal_error",
    "proxy_configuration_error",
    "proxy_loop_detected",
}

CONTRACT = {
    errors.BadRequest: (400, "bad_request", Source.CLIENT),
    errors.ClientTokenRequired: (401, "client_token_required", Source.CLIENT),
    errors.HostNotAllowed: (403, "host_not_allowed", Source.CLIENT),
    errors.OriginNotAllowed: (403, "origin_not_allowed", Source.CLIENT),
    errors.NotPermitted: (403, "not_permitted", Source.CLIENT),
    errors.ReadOnly: (403, "read_only", Source.CLIENT),
    errors.NoRoute: (404, "no_route", Source.CLIENT),
    errors.UnknownProfile: (404, "unknown_profile", Source.CLIENT),
    errors.UpstreamUnreachable: (502, "upstream_unreachable", Source.UPSTREAM),
    errors.UpstreamAway: (502, "upstream_unreachable", Source.UPSTREAM),
    errors.UpstreamBroken: (502, "upstream_broken", Source.UPSTREAM),
    errors.SignInFailed: (503, "sign_in_failed", Source.COGNITO),
    errors.TokensUnverified: (503, "sign_in_failed", Source.COGNITO),
    errors.LoginRequired: (503, "login_required", Source.COGNITO),
    errors.CredentialMissing: (503, "credential_missing", Source.PROXY),
    errors.Defective: (503, "defective", Source.PROXY),
    errors.Overloaded: (503, "overloaded", Source.PROXY),
    errors.Draining: (503, "draining", Source.PROXY),
    errors.UpstreamTimeout: (504, "upstream_timeout", Source.UPSTREAM),
    errors.SignInTimeout: (504, "sign_in_timeout", Source.COGNITO),
}
MORE_EXACT_THAN_BAD_REQUEST = {
    errors.RequestTimeout: (408, "request_timeout", Source.CLIENT),
    errors.TargetTooLong: (414, "target_too_long", Source.CLIENT),
    errors.HeadTooLarge: (431, "head_too_large", Source.CLIENT),
    errors.UnsupportedCoding: (501, "unsupported_coding", Source.CLIENT),
    errors.UnsupportedVersion: (505, "unsupported_version", Source.CLIENT),
}
# A defect of the program; what ends a start, or a question to a proxy, and is no answer; a library that cannot be used;
# a dead session or a broken store, which end in one of the above.
BEYOND_THE_CONTRACT = {
    errors.StartError,
    errors.InternalError,
    errors.SettingsError,
    errors.NotRunning,
    errors.IncompatibleLibrary,
    errors.RefreshRejected,
    errors.StoreFailed,
    errors.StoreBusy,
}

TRANSIENT = {
    errors.StoreFailed,
    errors.StoreBusy,
    errors.SignInFailed,
    errors.TokensUnverified,
    errors.SignInTimeout,
    errors.UpstreamUnreachable,
    errors.UpstreamAway,
    errors.UpstreamBroken,
    errors.UpstreamTimeout,
    errors.Overloaded,
    errors.Draining,
}

TREE = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, ProxyError)]
LEAVES = [cls for cls in TREE if "code" in vars(cls) or not cls.__subclasses__()]
"""Those that are raised."""


@pytest.mark.parametrize(
    ("error", "facts"),
    (CONTRACT | MORE_EXACT_THAN_BAD_REQUEST).items(),
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_contract(error: type[ProxyError], facts: tuple[int, str, Source]) -> None:
    """Each failure of the contract has its status, its code and its source."""
    assert (error.status, error.code, error.source) == facts


def test_contract_is_complete() -> None:
    """No error is raised that the contract does not know."""
    assert set(LEAVES) == CONTRACT.keys() | MORE_EXACT_THAN_BAD_REQUEST.keys() | BEYOND_THE_CONTRACT


def test_proxy_status_is_registered() -> None:
    """Each error type is one that RFC 9209 registers, so that others can read it."""
    assert [error for error in LEAVES if error.proxy_status not in REGISTERED] == []


def test_whether_trying_again_helps() -> None:
    """Outages pass by themselves; what a person or another request must mend does not."""
    assert {error for error in LEAVES if error.transient} == TRANSIENT


def test_instances_carry_their_facts() -> None:
    """An instance says what happened and what mends it; the same failure for the next caller is another instance, since
    a traceback belongs to one request."""
    for error in LEAVES:
        raised = error("what happened", hint="what mends it", retry_after=2.5)
        again = raised.again(3.0)
        for each, seconds in ((raised, 2.5), (again, 3.0), (raised.again(), None)):
            assert type(each) is error
            assert (str(each), each.detail, each.hint) == ("what happened", "what happened", "what mends it"), error
            assert each.retry_after == seconds, error
        assert again is not raised


def test_default_hint() -> None:
    """Without a hint of its own an instance has its class's, and an empty one stays empty."""
    for error in LEAVES:
        assert (error("x").hint, error("x", hint="").hint) == (error.default_hint, ""), error
        assert error("x").retry_after is None, error


def test_every_class_is_drawn_in_the_tree() -> None:
    """The docstring of the module draws every class."""
    assert [error for error in TREE if error.__name__ not in (errors.__doc__ or "")] == []


@pytest.mark.parametrize(
    ("hint", "addressed_to_survey"),
    [
        ("Set UL_PROXY_TOTP_SECRET.", "Set UL_PROXY_PROFILES__MY_SURVEY__TOTP_SECRET."),
        ("Run `ul-proxy login`.", "Run `ul-proxy login --profile my-survey`."),
        ("Check it with `ul-proxy config`.", "Check it with `ul-proxy config`."),
        ("Set UL_PROXY_PROFILES__MY_SURVEY__PASSWORD.", "Set UL_PROXY_PROFILES__MY_SURVEY__PASSWORD."),
        ("Run `ul-proxy login --profile my-survey`.", "Run `ul-proxy login --profile my-survey`."),
    ],
)
def test_hints_for_a_profile(hint: str, addressed_to_survey: str) -> None:
    """What mends a login is told in the profile's own command and variables, and only once; the default one's stay."""
    assert addressed(hint, "my-survey") == addressed_to_survey
    assert addressed(hint, "default") == hint
