"""Which tokens are believed. They are signed by `tests/support/signing.py`, which shares no code with python-jose."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from support.signing import Signer, b64, sign_hs256, unsigned

from proxy.identity import claims
from proxy.identity.claims import ClaimsError, UnknownKey
from proxy.identity.profile import CognitoPool

POOL = CognitoPool("ap-southeast-2", "ap-southeast-2_UnpJmDeN5", "7jhe1lfkb5pvhbkicc3d14m0ej")
EMULATED = CognitoPool(POOL.region, POOL.user_pool_id, POOL.client_id, endpoint_url="http://127.0.0.1:4566/")
ISSUED = 1_700_000_000

SIGNER = Signer("key-1")
OTHER = Signer("key-2")
FORGER = Signer("key-1")
JWKS = {"keys": [OTHER.jwk, SIGNER.jwk]}

ID: dict[str, Any] = {
    "sub": "3f1c7a52",
    "aud": POOL.client_id,
    "iss": POOL.issuer,
    "token_use": "id",
    "iat": ISSUED,
    "exp": ISSUED + 3600,
    "email": "ada@example.com",
}
ACCESS: dict[str, Any] = {
    "sub": "3f1c7a52",
    "client_id": POOL.client_id,
    "iss": POOL.issuer,
    "token_use": "access",
    "iat": ISSUED,
    "exp": ISSUED + 3600,
}


def verify(
    token: str, jwks: Mapping[str, Any] | None = JWKS, *, pool: CognitoPool = POOL, use: str = "id"
) -> dict[str, Any]:
    return claims.verify(token, jwks, pool=pool, token_use=use)


def without(given_claims: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given_claims.items() if key != name}


with_and_without_keys = pytest.mark.parametrize(
    "jwks", [pytest.param(JWKS, id="key set"), pytest.param(None, id="no key set")]
)


@with_and_without_keys
@pytest.mark.parametrize(("token_use", "given_claims"), [("id", ID), ("access", ACCESS)], ids=["id", "access"])
def test_believes_a_good_token(token_use: str, given_claims: dict[str, Any], jwks: Mapping[str, Any] | None) -> None:
    """A token of the pool is believed and its claims are returned whole."""
    assert verify(SIGNER.sign(given_claims), jwks, use=token_use) == given_claims


def test_finds_the_key_by_its_id() -> None:
    """Each key of the set is used for the tokens that name it."""
    assert verify(OTHER.sign(ID)) == ID


@pytest.mark.parametrize("shift", [-10 * 365 * 86400, 10 * 365 * 86400], ids=["long ago", "far ahead"])
def test_does_not_read_the_clock(shift: int) -> None:
    """A token that has just arrived is new, whatever the local clock says."""
    moved = {**ID, "iat": ISSUED + shift, "exp": ISSUED + shift + 60, "nbf": ISSUED + shift}
    assert verify(SIGNER.sign(moved)) == moved


def test_believes_an_emulator_under_either_name() -> None:
    """An emulator names itself or the service it stands in for."""
    for issuer in (POOL.issuer, f"http://127.0.0.1:4566/{POOL.user_pool_id}"):
        assert verify(SIGNER.sign({**ID, "iss": issuer}), pool=EMULATED)["iss"] == issuer


def test_no_emulator_without_an_endpoint() -> None:
    """A pool of AWS does not believe an emulator."""
    with pytest.raises(ClaimsError):
        verify(SIGNER.sign({**ID, "iss": f"http://127.0.0.1:4566/{POOL.user_pool_id}"}))


FORGED: dict[str, Callable[[], str]] = {
    "another key under the same id": lambda: FORGER.sign(ID),
    "no signature, alg none": lambda: unsigned(ID, kid="key-1"),
    "no signature, alg None": lambda: unsigned(ID, alg="None", kid="key-1"),
    "no signature, alg RS256": lambda: unsigned(ID, alg="RS256", kid="key-1"),
    "HS256 with the public key": lambda: sign_hs256(ID, SIGNER.pem, kid="key-1"),
    "HS256 with an empty secret": lambda: sign_hs256(ID, b"", kid="key-1"),
    "HS256 that calls itself RS256": lambda: sign_hs256(ID, SIGNER.pem, alg="RS256", kid="key-1"),
    "RS256 that calls itself RS512": lambda: SIGNER.sign(ID, alg="RS512"),
    "RS512": lambda: SIGNER.sign(ID, digest=hashes.SHA512(), alg="RS512"),
    "no alg": lambda: SIGNER.sign(ID, alg=None),
    "claims swapped": lambda: swapped(SIGNER.sign(ID), {**ID, "sub": "mallory"}),
}


def swapped(token: str, given_claims: Mapping[str, Any]) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{b64(json.dumps(given_claims).encode())}.{signature}"


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_refuses_a_forged_signature(forge: Callable[[], str]) -> None:
    """What the pool's key did not sign with RS256 is refused, and not as a key that may yet turn up."""
    with pytest.raises(ClaimsError) as caught:
        verify(forge())
    assert not isinstance(caught.value, UnknownKey)


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512", "ES256", "", None])
def test_refuses_other_algorithms_unchecked(alg: str | None) -> None:
    """Even where no keys could be fetched, a token must at least claim RS256."""
    with pytest.raises(ClaimsError, match="RS256"):
        verify(SIGNER.sign(ID, alg=alg), None)


UNKNOWN: dict[str, tuple[Callable[[], str], Mapping[str, Any]]] = {
    "a key that the set lacks": (lambda: Signer("key-9").sign(ID), JWKS),
    "no kid": (lambda: SIGNER.sign(ID, kid=None), JWKS),
    "an empty set": (lambda: SIGNER.sign(ID), {"keys": []}),
    "a set without keys": (lambda: SIGNER.sign(ID), {}),
}


@pytest.mark.parametrize(("sign", "jwks"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown_key(sign: Callable[[], str], jwks: Mapping[str, Any]) -> None:
    """A key that the set lacks is distinguished: it may have been rotated in since the set was fetched."""
    with pytest.raises(UnknownKey):
        verify(sign(), jwks)


WRONG_ID: dict[str, dict[str, Any]] = {
    "another pool's issuer": {**ID, "iss": POOL.issuer[:-1] + "X"},
    "another region's issuer": {**ID, "iss": POOL.issuer.replace("southeast-2", "southeast-1")},
    "issuer with a slash": {**ID, "iss": POOL.issuer + "/"},
    "issuer that only begins right": {**ID, "iss": POOL.issuer + ".example.com"},
    "no issuer": without(ID, "iss"),
    "issuer in a list": {**ID, "iss": [POOL.issuer]},
    "another audience": {**ID, "aud": "another"},
    "no audience": without(ID, "aud"),
    "audience in client_id": {**without(ID, "aud"), "client_id": POOL.client_id},
    "an access token": ACCESS,
    "an access token with an audience": {**ACCESS, "aud": POOL.client_id},
    "no token_use": without(ID, "token_use"),
    "token_use in capitals": {**ID, "token_use": "ID"},
    "no exp": without(ID, "exp"),
    "no iat": without(ID, "iat"),
    "exp is iat": {**ID, "exp": ISSUED},
    "exp before iat": {**ID, "exp": ISSUED - 1},
    "exp is text": {**ID, "exp": str(ISSUED + 3600)},
    "iat is null": {**ID, "iat": None},
    "exp is a list": {**ID, "exp": [ISSUED + 3600]},
    "exp is not a number": {**ID, "exp": float("nan")},
    "no claims": {},
}


@with_and_without_keys
@pytest.mark.parametrize("given_claims", WRONG_ID.values(), ids=WRONG_ID.keys())
def test_refuses_wrong_claims(given_claims: dict[str, Any], jwks: Mapping[str, Any] | None) -> None:
    """A well-signed ID token that is for somebody or something else is refused, with or without a key set."""
    with pytest.raises(ClaimsError):
        verify(SIGNER.sign(given_claims), jwks)


@pytest.mark.parametrize(
    "given_claims",
    [{**ACCESS, "client_id": "another"}, {**without(ACCESS, "client_id"), "aud": POOL.client_id}, ID],
    ids=["another client", "client in aud", "an ID token"],
)
def test_refuses_wrong_access_tokens(given_claims: dict[str, Any]) -> None:
    """An access token must name the app client that it was issued to."""
    with pytest.raises(ClaimsError):
        verify(SIGNER.sign(given_claims), use="access")


GOOD = SIGNER.sign(ID)
HEAD, BODY, SIGNATURE = GOOD.split(".")
MALFORMED = {
    "empty": "",
    "one part": "gibberish",
    "two parts": f"{HEAD}.{BODY}",
    "four parts": GOOD + ".x",
    "only dots": "..",
    "header no base64": f"!.{BODY}.{SIGNATURE}",
    "header no JSON": f"{b64(b'{')}.{BODY}.{SIGNATURE}",
    "header a list": f"{b64(b'[]')}.{BODY}.{SIGNATURE}",
    "claims no JSON": f"{HEAD}.{b64(b'{')}.{SIGNATURE}",
    "claims a list": f"{HEAD}.{b64(b'[]')}.{SIGNATURE}",
    "claims no UTF-8": f"{HEAD}.{base64.urlsafe_b64encode(bytes([0xFF] * 3)).decode()}.{SIGNATURE}",
    "not ASCII": "é.é.é",
}


@with_and_without_keys
@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED.keys())
def test_refuses_malformed_tokens(token: str, jwks: Mapping[str, Any] | None) -> None:
    """What is no token at all is a ClaimsError like the others, whose text holds nothing of it."""
    with pytest.raises(ClaimsError) as caught:
        verify(token, jwks)
    assert len(token) < 5 or token not in str(caught.value)


@pytest.mark.parametrize(
    "signature",
    ["A", "AAAAA", "!" * 342, SIGNATURE[:-1], SIGNATURE + "AAAA", ""],
    ids=["one letter", "five letters", "no base64", "cut", "more behind it", "empty"],
)
def test_refuses_malformed_signatures(signature: str) -> None:
    """A signature that is not even base64 is refused like one that is wrong."""
    with pytest.raises(ClaimsError):
        verify(f"{HEAD}.{BODY}.{signature}")


@given(st.text(max_size=40))
def test_never_raises_anything_else(text: str) -> None:
    """Whatever text arrives for a token, the answer is claims or a ClaimsError."""
    for token in (text, f"{HEAD}.{text}.{SIGNATURE}", f"{text}.{BODY}.{SIGNATURE}"):
        with pytest.raises(ClaimsError):
            verify(token)


BROKEN_SETS: dict[str, Any] = {
    "symmetric key": {"keys": [{"kty": "oct", "kid": "key-1", "k": b64(SIGNER.pem)}]},
    "unknown kind of key": {"keys": [{"kty": "EC", "kid": "key-1"}]},
    "key without numbers": {"keys": [{"kty": "RSA", "kid": "key-1", "alg": "RS256"}]},
    "key whose number is no base64": {"keys": [{**SIGNER.jwk, "n": "AAAAA"}]},
    "key that is no object": {"keys": ["key-1"]},
    "key without a kind": {"keys": [{"kid": "key-1"}]},
}


@pytest.mark.parametrize("jwks", BROKEN_SETS.values(), ids=BROKEN_SETS.keys())
def test_refuses_broken_key_sets(jwks: Mapping[str, Any]) -> None:
    """A key set that holds no RSA key under the token's id verifies nothing."""
    with pytest.raises(ClaimsError):
        verify(GOOD, jwks)


@pytest.mark.parametrize("iat", [0, ISSUED, ISSUED + 0.5])
def test_lifetime(iat: float) -> None:
    """A token's life is its own exp - iat."""
    assert claims.lifetime({"iat": iat, "exp": iat + 60}) == 60.0


@pytest.mark.parametrize(
    ("iat", "exp"),
    [
        pytest.param(0, float("inf"), id="endless"),
        pytest.param(float("-inf"), 0, id="since ever"),
        pytest.param(0, 10**400, id="beyond a float"),
        pytest.param(False, True, id="truth values"),
    ],
)
def test_absurd_lifetimes(iat: Any, exp: Any) -> None:
    """A life that no clock can count down is no lifetime."""
    with pytest.raises(ClaimsError):
        claims.lifetime({"iat": iat, "exp": exp})
