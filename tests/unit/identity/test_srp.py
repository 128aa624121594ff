"""`srp.py` against sign-ins that two independent clients made (tests/vectors/README.md)."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from proxy.identity.cognito import srp
from proxy.identity.cognito.srp import SrpError, SrpExchange

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "srp.json").read_text("utf-8"))
CASES: list[dict[str, Any]] = VECTORS["cases"] + VECTORS["disputed"]

every_case = pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
QUANTITY_BITS = {"A": 3072, "B": 3072, "u": 256, "S": 3072, "key": 128, "x": 256}


def exchange(case: dict[str, Any]) -> SrpExchange:
    return SrpExchange(int(case["a"], 16))


def key(case: dict[str, Any]) -> bytes:
    password = SecretStr(case["password"])
    return exchange(case).key(case["pool"], case["user"], password, case["srp_b"], case["salt"])


@every_case
def test_sign_in(case: dict[str, Any]) -> None:
    """Every quantity of a sign-in is the official client's and the server's, to the letter: the public value as it is
    spelled, x of which the server stored a verifier, u of both public values as Java pads them, the session key, and
    the signature over the same timestamp."""
    x = srp.private_key(case["pool"], case["user"], SecretStr(case["password"]), int(case["salt"], 16))
    u = srp.digest(srp.pad(int(case["srp_a"], 16)), srp.pad(int(case["srp_b"], 16)))
    session_key = key(case)
    stamp = srp.timestamp(datetime.fromisoformat(case["now"]))
    signature = srp.claim(session_key, case["pool"], case["user"], srp.secret_block(case["secret_block"]), stamp)
    assert exchange(case).srp_a == case["srp_a"]
    assert (f"{x:x}", f"{u:x}") == (case["quantities"]["x"], case["quantities"]["u"])
    assert session_key.hex() == case["key"]
    assert srp.session_key(int(case["quantities"]["S"], 16), u).hex() == case["key"]
    assert (stamp, signature) == (case["timestamp"], case["signature"])


def shape_of(case: dict[str, Any], quantity: str) -> int:
    """How many bits short of its full width a quantity of `case` is."""
    text = {"A": case["srp_a"], "B": case["srp_b"], "key": case["key"]}.get(quantity) or case["quantities"][quantity]
    return QUANTITY_BITS[quantity] - int(text, 16).bit_length()


@pytest.mark.parametrize("quantity", QUANTITY_BITS)
def test_vectors_cover_padding(quantity: str) -> None:
    """The vectors hold each quantity with a set high bit, a leading zero nibble and a leading zero byte."""
    missing = {shape_of(case, quantity) for case in CASES}
    assert 0 in missing
    assert missing & {4, 5, 6, 7}
    assert {bits for bits in missing if bits >= 8}


@pytest.mark.parametrize("refused", VECTORS["refused"], ids=lambda refused: str(refused["name"]))
def test_refuses_zero_modulo_n(refused: dict[str, Any]) -> None:
    """A server that sends B = 0 modulo N would learn nothing and accept anything: it is refused."""
    with pytest.raises(SrpError):
        key({**CASES[0], "srp_b": refused["srp_b"]})


@pytest.mark.parametrize(
    "change",
    [
        {"srp_b": ""},
        {"srp_b": "zz"},
        {"srp_b": "-5"},
        {"salt": ""},
        {"salt": "not hex"},
        {"salt": "-1"},
    ],
    ids=lambda change: " ".join(f"{name}={value!r}" for name, value in change.items()),
)
def test_refuses_nonsense(change: dict[str, str]) -> None:
    """Numbers that are none are an SrpError, which holds nothing of them or of the password."""
    with pytest.raises(SrpError) as caught:
        key({**CASES[0], **change})
    assert CASES[0]["password"] not in str(caught.value)


def test_refuses_a_zero_scrambler(monkeypatch: pytest.MonkeyPatch) -> None:
    """With u = 0 the password would not matter: no such exchange goes on, though no hash is known that gives it."""
    monkeypatch.setattr(srp, "digest", lambda *_: 0)
    with pytest.raises(SrpError):
        key(CASES[0])


@pytest.mark.parametrize("text", ["A", "AAA", "A===", "AA AA===", "AAAA!", "AA-_", "é"])
def test_refuses_a_broken_secret_block(text: str) -> None:
    """A SECRET_BLOCK that is not base64 is an SrpError."""
    with pytest.raises(SrpError):
        srp.secret_block(text)


def test_wrong_password_gives_another_key() -> None:
    """A proof made with another password does not fit."""
    assert key({**CASES[0], "password": CASES[0]["password"] + " "}).hex() != CASES[0]["key"]


def test_repr_hides_the_exponent() -> None:
    """Whoever sees `a` can work out the session key: it is in no repr."""
    secret = 0xDEADBEEF
    shown = repr(SrpExchange(secret))
    assert str(secret) not in shown
    assert f"{secret:x}" not in shown


@pytest.mark.parametrize("date", VECTORS["dates"], ids=lambda date: str(date["now"]))
def test_timestamp(date: dict[str, str]) -> None:
    """Times are written as the official client's DateHelper writes them."""
    assert srp.timestamp(datetime.fromisoformat(date["now"])) == date["timestamp"]


def test_timestamp_is_utc() -> None:
    """A time of another zone is converted, also across midnight."""
    moment = datetime(2026, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=10)))
    assert srp.timestamp(moment) == "Wed Dec 31 19:30:00 UTC 2025"


@pytest.mark.parametrize(
    ("number", "padded"),
    [
        (0, "00"),
        (1, "01"),
        (0x7F, "7f"),
        (0x80, "0080"),
        (0xFF, "00ff"),
        (0x100, "0100"),
        (0x7FFF, "7fff"),
        (0x8000, "008000"),
    ],
)
def test_pad(number: int, padded: str) -> None:
    """A number is hashed as the shortest two's complement bytes that keep it positive."""
    assert srp.pad(number).hex() == padded


@given(st.integers(min_value=0, max_value=1 << 3100))
def test_pad_is_signed(number: int) -> None:
    """Padding is what reads back as the same number, signed, and not a byte longer."""
    padded = srp.pad(number)
    assert int.from_bytes(padded, "big", signed=True) == number
    assert len(padded) == 1 or int.from_bytes(padded[1:], "big", signed=True) != number


@given(st.binary(min_size=srp.PRIVATE_BYTES, max_size=srp.PRIVATE_BYTES))
def test_private_exponent(random: bytes) -> None:
    """All of the randomness is in the exponent."""
    assert srp.private_exponent(random) == int.from_bytes(random, "big")


def test_timestamp_of_every_day_has_no_leading_zero() -> None:
    """No day of a year is written with a leading zero, which Cognito refuses."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    assert not [day for day in range(365) if " 0" in srp.timestamp(first + timedelta(days=day)).split(":")[0][:-2]]
