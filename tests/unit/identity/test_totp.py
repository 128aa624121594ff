"""`totp.py` against the vectors of RFC 6238 and RFC 4226, and the secrets that people paste."""

import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from proxy.identity.cognito import totp
from proxy.identity.cognito.totp import TotpError

RFC_KEY = b"12345678901234567890"


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_rfc_6238(now: int, code: str) -> None:
    """Appendix B of RFC 6238, in eight digits, and its last six as apps show them."""
    step = totp.step_at(now)
    assert totp.code(RFC_KEY, step, digits=8) == code
    assert totp.code(RFC_KEY, step) == code[2:]


@pytest.mark.parametrize(
    ("step", "code"),
    [*enumerate(["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"])],
)
def test_rfc_4226(step: int, code: str) -> None:
    """Appendix D of RFC 4226: every counter has its code, leading zeros included."""
    assert totp.code(RFC_KEY, step) == code


@pytest.mark.parametrize(
    ("now", "step"),
    [(0, 0), (29.999, 0), (30, 1), (59.5, 1), (1_800_000_000, 60_000_000), (1_800_000_029.9, 60_000_000)],
)
def test_steps(now: float, step: int) -> None:
    """A step lasts thirty seconds and begins with its first."""
    assert totp.step_at(now) == step
    assert totp.begins(step) <= now < totp.begins(step + 1)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", RFC_KEY),
        ("gezdgnbvgy3tqojqgezdgnbvgy3tqojq", RFC_KEY),
        ("gezd gnbv gy3t qojq gezd gnbv gy3t qojq\n", RFC_KEY),
        ("GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ", RFC_KEY),
        ("ME======", b"a"),
        ("ME", b"a"),
        ("MFRA", b"ab"),
        ("MFRGG", b"abc"),
        ("MFRGGZA", b"abcd"),
    ],
)
def test_secrets(text: str, key: bytes) -> None:
    """A secret is read as people copy it: any case, spaces, dashes, with or without padding."""
    assert totp.parse_secret(SecretStr(text)) == key


@pytest.mark.parametrize(
    "text", ["", "   ", "====", "A", "GEZDGNB0", "GEZDGNB1", "GEZDGNB8", "ÄÖÜ", "otpauth://totp/x"]
)
def test_refuses_secrets_that_are_none(text: str) -> None:
    """What is no base32 is refused, in words that do not repeat it."""
    with pytest.raises(TotpError) as caught:
        totp.parse_secret(SecretStr(text))
    assert len(text.strip()) < 2 or text not in str(caught.value)


@given(st.binary(min_size=1, max_size=64))
def test_any_key_survives(key: bytes) -> None:
    """Every key is read back from its base32."""
    assert totp.parse_secret(SecretStr(base64.b32encode(key).decode())) == key


@pytest.mark.parametrize("account", ["pilot@example.com", "ada:b/c?d&e=f", "jürgen žižek"])
def test_otpauth_uri(account: str) -> None:
    """The URI holds the issuer twice, as apps want it, the account and the secret, whatever characters they hold."""
    uri = totp.otpauth_uri(SecretStr("GEZDGNBV"), issuer="Unleash Live", account=account)
    assert "GEZDGNBV" not in repr(uri)
    parts = urlsplit(uri.get_secret_value())
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == f"/Unleash Live:{account}"
    assert parse_qs(parts.query) == {"secret": ["GEZDGNBV"], "issuer": ["Unleash Live"]}


def test_otpauth_uri_is_spelled_for_apps() -> None:
    """Spaces are written %20: not every app reads a plus sign as one."""
    uri = totp.otpauth_uri(SecretStr("GEZDGNBV"), issuer="Unleash Live", account="pilot@example.com")
    assert uri.get_secret_value() == (
        "otpauth://totp/Unleash%20Live:pilot@example.com?secret=GEZDGNBV&issuer=Unleash%20Live"
    )
