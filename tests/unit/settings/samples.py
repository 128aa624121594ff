"""Values of each setting, for tests that go through all of them."""

from pathlib import Path
from typing import Any

from proxy.identity.profile import AuthFlow


def same(*texts: str) -> dict[str, Any]:
    return {text: text for text in texts}


# For every setting three ways to write a value, and what each means. Routes and profiles have their own forms, below.
SAMPLES: dict[str, dict[str, Any]] = {
    "listen": {
        "127.0.0.1:1": ["127.0.0.1:1"],
        "[::1]:2": ["[::1]:2"],
        "unix:/s, localhost:3": ["unix:/s", "localhost:3"],
    },
    "admin_listen": {
        "127.0.0.1:11": ["127.0.0.1:11"],
        "0.0.0.0:12": ["0.0.0.0:12"],
        "unix:/a, localhost:13": ["unix:/a", "localhost:13"],
    },
    "port_file": {text: Path(text) for text in ("/a", "/b", "/c")},
    "tls_cert": {text: Path(text) for text in ("/a.pem", "/b.pem", "/c.pem")},
    "tls_key": {text: Path(text) for text in ("/a.pem", "/b.pem", "/c.pem")},
    "upstreams.ca_file": {text: Path(text) for text in ("/a.pem", "/b.pem", "/c.pem")},
    "username": same("ada", "bob@example.com", "élodie"),
    "password": same("one", "two words", "drei ♥"),
    "totp_secret": same("GEZDGNBVGY3TQOJQ", "gezd gnbv gy3t qojq", "gezd-gnbv-gy3t-qojq"),
    "api_key": same("k1", "k2", "k3"),
    "personal_access_token": same("ul_pat_1", "ul_pat_2", "ul_pat_3"),
    "cognito.region": same("us-east-1", "eu-west-2", "us-gov-west-1"),
    "cognito.user_pool_id": same("ap-southeast-2_A", "ap-southeast-2_B", "ap-southeast-2_C"),
    "cognito.client_id": same("a1", "b2", "c3"),
    "cognito.client_secret": same("s1", "s2", "s3"),
    "cognito.identity_pool_id": same("us-east-1:a-1", "eu-west-2:b-2", "us-gov-west-1:c-3"),
    "cognito.auth_flow": {"srp": AuthFlow.SRP, "password": AuthFlow.PASSWORD},
    "cognito.endpoint_url": same("http://localhost:1", "http://[::1]:2", "https://cognito.test"),
    "cognito.identity_endpoint_url": same("http://localhost:1", "http://[::1]:2", "https://identity.test"),
    "upstreams.rest": same("http://localhost:1", "http://localhost:2/base", "https://rest.test"),
    "upstreams.graphql": same("http://localhost:1", "http://localhost:2/graphql", "https://graphql.test"),
    "upstreams.flights_cdn": same("http://localhost:1", "http://localhost:2", "https://flights.test"),
    "upstreams.library_cdn": same("http://localhost:1", "http://localhost:2", "https://library.test"),
    "allowed_hosts": {"a.test": ["a.test"], "B.test.": ["b.test"], "c,d": ["c", "d"]},
    "allowed_origins": {
        "https://a.test": ["https://a.test"],
        "HTTP://B.test:80": ["http://b.test"],
        "https://c.test:8443, app://d": ["https://c.test:8443", "app://d"],
    },
    "client_token": same("a" * 16, "b1" * 20, "c-._~+/=" * 4),
    "aws_credentials_token": same("a" * 16, "b1" * 20, "c-._~+/=" * 4),
    "token_store": same("memory", "keyring", "file:/s.json"),
    "allow_anonymous_clients": {"true": True, "false": False},
    "enable_stop": {"true": True, "false": False},
    "inspector": {"false": False, "true": True},
    "read_only": {"true": True, "false": False},
    "allow": {"GET /**": ["GET /**"], "* /v1/job/*": ["* /v1/job/*"], "GET /a, HEAD /b": ["GET /a", "HEAD /b"]},
    "deny": {"DELETE /**": ["DELETE /**"], "* /v1/job/*": ["* /v1/job/*"], "GET /a, HEAD /b": ["GET /a", "HEAD /b"]},
    "timeouts.connect": {"1": 1.0, "2s": 2.0, "3 m": 180.0},
    "timeouts.headers": {"1": 1.0, "2s": 2.0, "3 m": 180.0},
    "timeouts.idle": {"1": 1.0, "2s": 2.0, "3 m": 180.0},
    "timeouts.auth": {"1": 1.0, "2s": 2.0, "3 m": 180.0},
    "timeouts.drain": {"1": 1.0, "2s": 2.0, "3 m": 180.0},
    "replay_limit": {"1": 1, "2 B": 2, "3 KiB": 3072},
    "buffer_limit": {"1": 1, "2 B": 2, "3 KiB": 3072},
    "drain_delay": {"0": 0.0, "0 ms": 0.0, "5s": 5.0},
    "max_connections": {"1": 1, " 20 ": 20, "300": 300},
    "log_format": same("text", "json", "auto"),
    "log_level": same("debug", "warning", "error"),
    "access_log": {"false": False, "true": True},
}
