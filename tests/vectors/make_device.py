"""Draws the cases of device.json and writes them to stdout as pycognito registers devices and signs in with them.

Everything is derived from the names of the cases. As in make_srp.py, leading zeros and set high bits are sought, here
in the two numbers that a pool is told.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from make_srp import SHAPES, G, N, drawn, hashed, secret_block, signed

# pycognito is installed only where the vectors are made, and ships no types.
from pycognito import aws_srp  # type: ignore[import-not-found,import-untyped,unused-ignore]


@dataclass(frozen=True)
class Case:
    """One device and one sign-in with it. `password_bytes` and `salt_bytes` (hex) are what the client draws."""

    name: str
    password_bytes: str
    salt_bytes: str
    a: int
    b: int
    group_key: str = "-Qf3bWhzT"
    device_key: str = "ap-southeast-2_3f1c7a52-9d8e-4b60-8a57-0c2d91e4b7f3"
    now: str = "2025-06-15T10:20:30Z"

    @property
    def password(self) -> str:
        return base64.b64encode(bytes.fromhex(self.password_bytes)).decode()

    @property
    def salt(self) -> int:
        return int(self.salt_bytes, 16)

    @property
    def verifier(self) -> int:
        inner = hashed(f"{self.group_key}{self.device_key}:{self.password}".encode()).to_bytes(32, "big")
        return pow(G, hashed(signed(self.salt), inner), N)


def candidates(name: str) -> Iterator[Case]:
    number = 0
    while True:
        seed = f"device/{name}/{number}"
        password, salt = (
            f"{drawn(seed + part, size):0{size * 2}x}" for part, size in (("/password", 40), ("/salt", 16))
        )
        yield Case(name, password, salt, drawn(seed + "/a", 128), drawn(seed + "/b", 128))
        number += 1


WIDTHS: dict[str, tuple[int, Callable[[Case], int]]] = {
    "verifier": (3072, lambda case: case.verifier),
    "salt": (128, lambda case: case.salt),
}


def shaped() -> Iterator[Case]:
    for quantity, (width, value_of) in WIDTHS.items():
        for shape, has in SHAPES.items():
            name = f"{quantity} with {shape}"
            yield next(case for case in candidates(name) if has(value_of(case), width))


def varied() -> Iterator[Case]:
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "another device": {"group_key": "x", "device_key": "us-east-1_00000000-0000-4000-8000-000000000000"},
        "salt zero": {"salt_bytes": "00" * 16},
        "salt of ones": {"salt_bytes": "ff" * 16},
        "password of zeros": {"password_bytes": "00" * 40},
        "first of a month": {"now": "2024-02-01T00:00:00Z"},
    }
    for name, change in changes.items():
        yield replace(next(candidates(name)), name=name, **change)


def registered(case: Case) -> dict[str, str]:
    """What pycognito tells the pool of a new device."""
    given = {40: bytes.fromhex(case.password_bytes), 16: bytes.fromhex(case.salt_bytes)}
    aws_srp.os = SimpleNamespace(urandom=given.__getitem__)
    password, config = aws_srp.generate_hash_device(case.group_key, case.device_key)
    return {"password": password, "verifier": config["PasswordVerifier"], "salt": config["Salt"]}


def answered(case: Case, srp_b: str) -> dict[str, str]:
    """What pycognito answers to DEVICE_SRP_AUTH and DEVICE_PASSWORD_VERIFIER."""
    aws_srp.os = SimpleNamespace(urandom=bytes)
    device = {"device_key": case.device_key, "device_group_key": case.group_key, "device_password": case.password}
    client = aws_srp.AWSSRP("ada", "unused", "ap-southeast-2_Unused", "client", client=object(), **device)
    client.small_a_value = case.a
    client.large_a_value = client.calculate_a()
    moment = datetime.fromisoformat(case.now)
    aws_srp.datetime = SimpleNamespace(datetime=SimpleNamespace(utcnow=lambda: moment))
    challenge = {"USERNAME": "ada", "SALT": f"{case.salt:x}", "SRP_B": srp_b, "SECRET_BLOCK": secret_block(case.name)}
    answer = client.process_device_challenge(challenge)
    return {
        "srp_a": f"{client.large_a_value:x}",
        "timestamp": answer["TIMESTAMP"],
        "signature": answer["PASSWORD_CLAIM_SIGNATURE"],
    }


def vector(case: Case) -> dict[str, Any]:
    srp_b = f"{(hashed(signed(N), signed(G)) * case.verifier + pow(G, case.b, N)) % N:x}"
    inputs = {key: value for key, value in asdict(case).items() if key not in ("a", "b")}
    inputs |= {"a": f"{case.a:x}", "b": f"{case.b:x}", "srp_b": srp_b, "secret_block": secret_block(case.name)}
    return {**inputs, "pycognito": registered(case) | answered(case, srp_b)}


def main() -> None:
    json.dump([vector(case) for case in (*varied(), *shaped())], sys.stdout, indent=1)


if __name__ == "__main__":
    main()
