"""What the inspector never shows: secrets under names that tell them, of shapes that do, and the proxy's own."""

import json
import re
import time
from base64 import b64encode
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr
from support.canaries import canary, secret_settings

from proxy.observe.inspector.masks import HIDDEN, Masks, secrets_in, tells_secret
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
        *(
            "SMS_MFA_CODE",
            "EMAIL_OTP_CODE",
            "UserCode",
            "code_verifier",
            "SAMLResponse",
            "X-Auth-Key",
            "Authentication",
        ),
        *("streamKey", "Ocp-Apim-Subscription-Key", "user_pwd", "psk", "X-CSRF", "DPoP"),
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
        ('login(password: """a "b" c""", u: "d")', f'login(password: """{HIDDEN}""", u: "d")'),
        ('login(password: "", u: "d")', 'login(password: "", u: "d")'),
        ("login(otp: 424242, n: 1)", f"login(otp: {HIDDEN}, n: 1)"),
        ('{"pins":1,"pin":1234}\n{"tokens":["a","b"]}', f'{{"pins":1,"pin":{HIDDEN}}}\n{{"tokens":{HIDDEN}]}}'),
        # Lines of YAML, of settings and of HTTP.
        ("user: a\n  - password: b c\nd: e", f"user: a\n  - password: {HIDDEN}\nd: e"),
        ("password = b c\nd = e", f"password = {HIDDEN}\nd = e"),
        ("Authorization: abc def\r\nA: b", f"Authorization: {HIDDEN}\r\nA: b"),
        # Parts of a form.
        (
            '--b\r\nContent-Disposition: form-data; name="password"\r\nA: b\r\n\r\nc\r\nd\r\n--b--',
            f'--b\r\nContent-Disposition: form-data; name="password"\r\nA: b\r\n\r\n{HIDDEN}\r\n--b--',
        ),
        # Addresses.
        ("https://u:pw@a.test/x", f"https://{HIDDEN}@a.test/x"),
        ("https:\\/\\/u:pw@a.test", f"https:\\/\\/{HIDDEN}@a.test"),
        ("/?to=https%3A%2F%2Fu%3Apw%40a.test", f"/?to=https%3A%2F%2F{HIDDEN}%40a.test"),
        ("https://a.test/@work/x", "https://a.test/@work/x"),
        # Elements of XML.
        ("<Token><![CDATA[a<b]]></Token>", f"<Token>{HIDDEN}</Token>"),
        ("<Token type='a'>abc</Token><n>1</n>", f"<Token type='a'>{HIDDEN}</Token><n>1</n>"),
        # Shapes.
        (f"a {JWT}, b", f"a {HIDDEN}, b"),
        (f"a {JWT[:20]}", f"a {HIDDEN}"),
        ("a ul_pat_0123-x b", f"a {HIDDEN} b"),
        (f"a\\n{JWT} b", f"a\\n{HIDDEN} b"),
        (f"/?a=b%3D{JWT}", f"/?a=b%3D{HIDDEN}"),
        (JWT.replace(".", "%2e"), HIDDEN),
        (b64encode(JWT.encode()).decode(), HIDDEN),
        ("%3Dul%5Fpat%5F0123", f"%3D{HIDDEN}"),
        ("Bearer 0123456789abcdef!", f"Bearer {HIDDEN}!"),
        ("Bearer%200123456789abcdef!", f"Bearer%20{HIDDEN}!"),
        ("Negotiate  0123456789abcdef", f"Negotiate  {HIDDEN}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END", f"-----BEGIN RSA PRIVATE KEY-----{HIDDEN}-----END"),
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


def test_further_names() -> None:
    """A header that a route has for its credential is one, whatever it is called."""
    assert Masks(names=["X-Staging"]).field("x-staging", "abc") == HIDDEN


@pytest.mark.parametrize("before", ["", "u:", "us:", "use:"])
def test_spellings_of_own_secrets(before: str) -> None:
    """A secret is hidden in JSON, in an address, in a form and in base64 as well, whatever stands in front of it."""
    secret = 'p@ss "wörd"/1'
    masks = Masks([secret])
    coded = b64encode((before + secret + "!").encode()).decode()
    for written in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), quote(secret), quote(secret, "")):
        assert masks.text(before + written) == before + written.replace(written.strip('"'), HIDDEN)
    assert masks.text(before + quote_plus(secret)) == before + HIDDEN
    assert masks.text(re.sub("%..", lambda found: found[0].lower(), quote(secret))) == HIDDEN
    assert HIDDEN in masks.text(coded)
    assert len(masks.text(coded)) < len(before) + 12


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("%70assword=a&b=c", f"%70assword={HIDDEN}&b=c"),
        ("/x?[password]=a;b'c\"d<e&f=g", f"/x?[password]={HIDDEN}&f=g"),
        ("/x?-token=a", f"/x?-token={HIDDEN}"),
        ("/x?a=b&token=", "/x?a=b&token="),
        ("/x?a=%41+b&c=d%26", "/x?a=%41+b&c=d%26"),
        ("/x?to=%2Fa%3Ftoken%3Db%26c%3Dd", f"/x?to=%2Fa%3Ftoken%3D{HIDDEN}%26c%3Dd"),
        ("/x?to=%252Fa%253Ftoken%253Db", f"/x?to=%252Fa%253Ftoken%253D{HIDDEN}"),
        ("/x?variables=%7B%22password%22%3A%22a%22%7D&b=c", f"/x?variables=%7B%22password%22%3A%22{HIDDEN}%22%7D&b=c"),
        ("/x?query=m%7Blogin(otp%3A424242)%7D", f"/x?query=m%7Blogin%28otp%3A{HIDDEN}%29%7D"),
    ],
)
def test_forms_and_targets(form: str, shown: str) -> None:
    """Where nothing else is written, a value goes on to the next `&`, and a name may begin with anything."""
    assert MASKS.form(form) == shown


def test_every_secret_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever setting holds a secret, those of further profiles too, it is found in what the proxy is built from."""
    for variable, value in secret_settings().items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("UL_PROXY_PROFILES__WORK__PASSWORD", canary("work"))
    options = load({}).options()
    assert set(secrets_in(options)) == {*secret_settings().values(), canary("work")}
    assert set(secrets_in(replace(options, aws_credentials_token=SecretStr("other")))) >= {"other", canary("work")}


PIECES: list[Any] = ["a", 'a="', "eyJ", "<a", "a%", '\\"', "%26a", "[", "a.b-", "<", "a:", 'a:\\"', "bearer ", "&a=%26"]
PIECES += ["://", "://a", "%3A%2F%2F", "-----BEGIN ", "-----BEGIN A PRIVATE KEY-----", "bearer", "pin=[", "pin:", "- "]
PIECES += [
    "\n",
    "\npin: a",
    'pin="""',
    "<pin>",
    "<![CDATA[",
    "name=pin\r\n",
    "name=pin\r\n\r\n",
    "name=",
    "a: 1\r\n",
    "?",
    "=",
]


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_text(piece: str) -> None:
    """No text takes long: what is shown of a content is masked in a moment, whatever it is made of."""
    text = piece * (65_536 // len(piece))
    began = time.process_time()
    MASKS.form(text)
    # Generous: what grows with the square of the length takes a minute.
    assert time.process_time() - began < 5
