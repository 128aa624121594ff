"""What people's files and scripts hold on to: the names of settings, and what is in force when nobody has set anything.

The values are written out here, and not read off the declarations: whoever changes one changes it for everybody.
"""

from typing import Any

import pytest

from proxy.identity.profile import AuthFlow
from proxy.settings import Loaded, leaves, load

LEAVES = {leaf.name for leaf in leaves()}

CONTRACT: dict[str, Any] = {
    "listen": ["127.0.0.1:8080"],
    "admin_listen": [],
    "cognito.region": "ap-southeast-2",
    "cognito.user_pool_id": "ap-southeast-2_UnpJmDeN5",
    "cognito.client_id": "7jhe1lfkb5pvhbkicc3d14m0ej",
    "cognito.identity_pool_id": "ap-southeast-2:359c9d8b-02e4-457f-b185-4f3ff3f639d7",
    "cognito.auth_flow": AuthFlow.SRP,
    "upstreams.rest": "https://api.unleashlive.com",
    "upstreams.graphql": "https://mediadrive-api.unleashlive.com/graphql",
    "upstreams.flights_cdn": "https://flights.unleashlive.com",
    "upstreams.library_cdn": "https://library.unleashlive.com",
    "routes": [],
    "profiles": {},
    "allowed_hosts": [],
    "allowed_origins": [],
    "allow_anonymous_clients": False,
    "read_only": False,
    "allow": ["* /**"],
    "deny": [],
    "timeouts.connect": 10.0,
    "timeouts.headers": 60.0,
    "timeouts.idle": 300.0,
    "timeouts.auth": 15.0,
    "timeouts.drain": 20.0,
    "replay_limit": 1 << 20,
    "buffer_limit": 64 << 20,
    "drain_delay": 0.0,
    "max_connections": 1000,
    "enable_stop": False,
    "inspector": True,
    "token_store": "auto",
    "log_format": "auto",
    "log_level": "info",
    "access_log": True,
}
CONTRACT_UNSET = {
    "username",
    "password",
    "totp_secret",
    "api_key",
    "personal_access_token",
    "cognito.client_secret",
    "port_file",
    "tls_cert",
    "tls_key",
    "upstreams.ca_file",
    "cognito.endpoint_url",
    "cognito.identity_endpoint_url",
    "client_token",
    "aws_credentials_token",
}
NEVER_MISSING = {
    "listen",
    "admin_listen",
    "enable_stop",
    "inspector",
    "username",
    "password",
    "totp_secret",
    "api_key",
    "personal_access_token",
    "profiles",
    "token_store",
    "aws_credentials_token",
    "cognito.client_secret",
    "cognito.identity_pool_id",
    "cognito.identity_endpoint_url",
    "cognito.region",
    "cognito.user_pool_id",
    "cognito.client_id",
    "cognito.auth_flow",
    "cognito.endpoint_url",
    "upstreams.rest",
    "upstreams.graphql",
    "upstreams.flights_cdn",
    "upstreams.library_cdn",
    "routes",
    "allowed_hosts",
    "allowed_origins",
    "client_token",
    "read_only",
    "allow",
    "deny",
    "max_connections",
    "timeouts.connect",
    "timeouts.headers",
    "timeouts.idle",
    "timeouts.auth",
    "timeouts.drain",
    "replay_limit",
    "buffer_limit",
    "log_format",
    "log_level",
    "access_log",
}


def value_of(loaded: Loaded, name: str) -> Any:
    value: Any = loaded.settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def test_every_settled_name_is_there() -> None:
    """A name that people's files and scripts already use does not go away."""
    assert set() == NEVER_MISSING - LEAVES


def test_every_setting_is_known() -> None:
    """A new setting gets a row in the tables of this file."""
    assert LEAVES - CONTRACT.keys() - CONTRACT_UNSET == set()


@pytest.mark.parametrize("name", CONTRACT)
def test_default(name: str) -> None:
    """What is in force when nobody has set anything is what the contract says."""
    loaded = load({})
    assert value_of(loaded, name) == CONTRACT[name]
    assert loaded.origins[name] == "default"


@pytest.mark.parametrize("name", sorted(CONTRACT_UNSET))
def test_no_default(name: str) -> None:
    """Logins, keys and emulators' addresses have no default."""
    loaded = load({})
    assert value_of(loaded, name) is None
    assert name not in loaded.origins
