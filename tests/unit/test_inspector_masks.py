"""What the inspector never shows: secrets under names that tell them, of shapes that do, and the proxy's own."""

import time
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from support.canaries import canary, secret_settings

from proxy.inspector.masks import HIDDEN, Masks, secrets_in, tells_secret
from proxy.settings import load

MASKS = Masks()
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-bmF0dXJl"


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "proxy-authorization", "Cookie", "Set-Cookie", "X-Api-Key", "x_api_key", "X-UL-Proxy-Token"),
        *("X-Amz-Cognito-Security-Token", "x-amz-security-token", "X-Amz-Signature", "X-Amz-Credential", "apiKey"),
        *("password", "newPassword", "passwd", "IdToken", "accessToken", "refresh_token", "SecretKey", "SessionToken"),
        *("client_secret", "SECRET_HASH", "SMS_MFA_CODE.password", "Session", "totp", "pin", "private-key", "sig"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    """The names that headers, queries, forms and AWS's own JSON have for secrets are known in every spelling."""
    assert tells_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Host",
            "ETag",
            "X-Request-Id",
            "Idempotency-Key",
            "Content-Type",
            "nextToken",
            "token_type",
            "author",
            "key",
        ),
        *(
            "footprint",
            "compass",
            "passenger",
            "code",
            "hotspot",
            "authority",
            "signal",
            "design",
            "sessions",
            "policy",
        ),
    ],
)
def test_names_of_other_things(name: str) -> None:
    """What only looks like one of them is shown."""
    assert not tells_secret(name)


@pytest.mark.parametrize("name", ["code", "key", "Policy"])
def test_names_in_queries(name: str) -> None:
    """A few names mean a secret in a query, and other things elsewhere."""
    assert tells_secret(name, in_query=True)
    assert MASKS.text(f"/?{name}=x1&a=b") == f"/?{name}={HIDDEN}&a=b"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer abc", f"Bearer {HIDDEN}"),
        ("Authorization", "basic dTpw", f"basic {HIDDEN}"),
        ("Authorization", "abc def", HIDDEN),
        ("Authorization", "Bearerabc", HIDDEN),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=a, Signature=b", f"AWS4-HMAC-SHA256 {HIDDEN}"),
        ("X-Api-Key", "k", HIDDEN),
        ("Cookie", "", ""),
        ("Referer", "https://a.test/x?token=abc&y=2#z", f"https://a.test/x?token={HIDDEN}&y=2#z"),
        ("X-Debug", f"token is {JWT}", f"token is {HIDDEN}"),
        ("Accept", "application/json;q=0.9", "application/json;q=0.9"),
        ("If-None-Match", '"abc=="', '"abc=="'),
    ],
)
def test_fields(name: str, value: str, shown: str) -> None:
    """A credential's value is hidden but for its scheme, and in any other field what is a secret there."""
    assert MASKS.field(name, value) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # Queries and forms.
        ("/v1?x=1&token=abc", f"/v1?x=1&token={HIDDEN}"),
        ("/v1?X-Amz-Signature=0a&X-Amz-Date=2", f"/v1?X-Amz-Signature={HIDDEN}&X-Amz-Date=2"),
        ("/v1?X%2DAmz%2DSignature=0a", f"/v1?X%2DAmz%2DSignature={HIDDEN}"),
        ("/v1?token=a%26b&c=d", f"/v1?token={HIDDEN}&c=d"),
        ("/v1?user[password]=a", f"/v1?user[password]={HIDDEN}"),
        ("/v1?to=%2Fx%3Ftoken%3Dabc%26y%3D1", f"/v1?to=%2Fx%3Ftoken%3D{HIDDEN}%26y%3D1"),
        ("password=a&user=b", f"password={HIDDEN}&user=b"),
        ("/v1?token=", "/v1?token="),
        ("/v1?page=2&sort=name", "/v1?page=2&sort=name"),
        # Members of JSON and GraphQL, whole, quoted once more, or cut off.
        ('{"IdToken": "abc", "n": 1}', f'{{"IdToken": "{HIDDEN}", "n": 1}}'),
        ('{"password":"a\\"b","n":1}', f'{{"password":"{HIDDEN}","n":1}}'),
        ('{"password":"abc', f'{{"password":"{HIDDEN}'),
        ('login(password: "a b", user: "u")', f'login(password: "{HIDDEN}", user: "u")'),
        ('{"query":"m { login(password: \\"a\\\\\\"b\\", u: \\"c\\") }"}', None),
        ("secret = 'a'", f"secret = '{HIDDEN}'"),
        # Elements of XML.
        ("<Token type='a'>abc</Token><n>1</n>", f"<Token type='a'>{HIDDEN}</Token><n>1</n>"),
        # Shapes.
        (f"a {JWT}, b", f"a {HIDDEN}, b"),
        (f"a {JWT[:20]}", f"a {HIDDEN}"),
        ("a ul_pat_0123-x b", f"a {HIDDEN} b"),
        ("Bearer 0123456789abcdef!", f"Bearer {HIDDEN}!"),
        ("a bearer of news", "a bearer of news"),
    ],
)
def test_text(text: str, shown: str | None) -> None:
    """A value is hidden as far as it goes, and what stands around it is left."""
    if shown is None:
        shown = f'{{"query":"m {{ login(password: \\"{HIDDEN}\\", u: \\"c\\") }}"}}'
    assert MASKS.text(text) == shown


def test_own_secrets() -> None:
    """The proxy's own secrets are hidden wherever they stand; what is as short as a word is not looked for."""
    masks = Masks(["hunter2!", "hunter2!hunter2!", "ab", ""])
    assert masks.text("xhunter2!hunter2!x hunter2! ab") == f"x{HIDDEN}x {HIDDEN} ab"
    assert masks.field("X-Note", "hunter2!") == HIDDEN


def test_every_secret_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever setting holds a secret, those of further profiles too, it is found in what the proxy is built from."""
    for variable, value in secret_settings().items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("UL_PROXY_PROFILES__WORK__PASSWORD", canary("work"))
    options = load({}).options()
    assert set(secrets_in(options)) == {*secret_settings().values(), canary("work")}
    assert set(secrets_in(replace(options, aws_credentials_token=SecretStr("other")))) >= {"other", canary("work")}


PIECES: list[Any] = ["a", 'a="', "eyJ", "<a", "a%", '\\"', "%26a", "[", "a.b-", "<", "a:", 'a:\\"', "bearer ", "&a=%26"]


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_text(piece: str) -> None:
    """No text takes long: what is shown of a content is masked in a moment, whatever it is made of."""
    text = piece * (65_536 // len(piece))
    began = time.process_time()
    MASKS.text(text)
    # Generous: what grows with the square of the length takes a minute.
    assert time.process_time() - began < 5
