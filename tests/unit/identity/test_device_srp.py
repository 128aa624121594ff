"""Devices in `srp.py`, and on the embedded pool's side, against two independent clients (tests/vectors/README.md)."""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from proxy.demo.srp_server import ServerExchange
from proxy.identity.cognito import srp
from proxy.identity.cognito.srp import SrpExchange

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "device.json").read_text("utf-8"))
CASES: list[dict[str, str]] = VECTORS["cases"]

every_case = pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])


def number(text: str) -> int:
    return int.from_bytes(base64.b64decode(text), "big")


@every_case
def test_verifier(case: dict[str, str]) -> None:
    """A device's password is the drawn bytes in base64, and the pool is sent both clients' verifier and salt."""
    password = srp.device_password(bytes.fromhex(case["password_bytes"]))
    assert password.get_secret_value() == case["password"]
    made = srp.device_verifier(case["group_key"], case["device_key"], password, bytes.fromhex(case["salt_bytes"]))
    assert made == (case["verifier"], case["salt"])


@every_case
def test_proof(case: dict[str, str]) -> None:
    """The proof of a device's password is both clients' proof."""
    exchange = SrpExchange(int(case["a"], 16))
    group_key, key, password = case["group_key"], case["device_key"], SecretStr(case["password"])
    session_key = exchange.key(group_key, key, password, case["srp_b"], f"{number(case['salt']):x}")
    stamp = srp.timestamp(datetime.fromisoformat(case["now"]))
    assert (exchange.srp_a, session_key.hex(), stamp) == (case["srp_a"], case["key"], case["timestamp"])
    signature = srp.claim(session_key, group_key, key, srp.secret_block(case["secret_block"]), stamp)
    assert signature == case["signature"]


@every_case
def test_embedded_pool_believes_the_clients(case: dict[str, str]) -> None:
    """The embedded pool, given a client's verifier alone, makes the same B and believes the client's proof."""
    exchange = ServerExchange.begin(number(case["verifier"]), int(case["b"], 16), int(case["srp_a"], 16))
    assert f"{exchange.srp_b:x}" == case["srp_b"]
    signed = {"pool": case["group_key"], "user": case["device_key"], "stamp": case["timestamp"]}
    assert exchange.proves(case["signature"], secret_block=case["secret_block"], **signed)
    assert not exchange.proves(case["signature"], secret_block=case["secret_block"], **{**signed, "user": "other"})


@pytest.mark.parametrize(("quantity", "width"), [("verifier", 3072), ("salt", 128)])
def test_vectors_cover_padding(quantity: str, width: int) -> None:
    """The vectors hold both numbers with a set high bit, a leading zero nibble and a leading zero byte."""
    missing = {width - number(case[quantity]).bit_length() for case in CASES}
    assert 0 in missing
    assert missing & {4, 5, 6, 7}
    assert {bits for bits in missing if bits >= 8}
