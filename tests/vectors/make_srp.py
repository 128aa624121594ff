"""Draws the cases of srp.json and writes them to stdout as pycognito's AWSSRP answers them.

Everything is derived from the names of the cases, so that two runs write the same file. Quantities that begin with zero
bytes or with a set high bit are where implementations of Cognito's SRP go wrong, so cases are drawn until they do.
"""

import base64
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

# pycognito is installed only where the vectors are made, and ships no types.
from pycognito import aws_srp  # type: ignore[import-not-found,import-untyped,unused-ignore]

N = int(aws_srp.N_HEX, 16)
G = 2


@dataclass(frozen=True)
class Case:
    """What one sign-in begins with. `b` is the server's private exponent."""

    name: str
    a: int
    b: int
    salt: str
    pool: str = "UnpJmDeN5"
    user: str = "3f1c7a52-9d8e-4b60-8a57-0c2d91e4b7f3"
    password: str = "Correct-Horse-9"
    now: str = "2025-06-15T10:20:30Z"


def drawn(name: str, size: int) -> int:
    return int.from_bytes(hashlib.shake_256(name.encode()).digest(size), "big")


def hashed(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest(), "big")


def signed(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


class Server:
    """The server's side of one case: the third opinion, and the source of B."""

    def __init__(self, case: Case) -> None:
        inner = hashlib.sha256(f"{case.pool}{case.user}:{case.password}".encode()).digest()
        self.x = hashed(signed(int(case.salt, 16)), inner)
        verifier = pow(G, self.x, N)
        self.public = (hashed(signed(N), signed(G)) * verifier + pow(G, case.b, N)) % N
        self.a_public = pow(G, case.a, N)
        self.u = hashed(signed(self.a_public), signed(self.public))
        self.secret = pow(self.a_public * pow(verifier, self.u, N), case.b, N)

    @property
    def key(self) -> bytes:
        return bytes(aws_srp.compute_hkdf(signed(self.secret), signed(self.u)))


def candidates(name: str) -> Iterator[Case]:
    number = 0
    while True:
        seed = f"{name}/{number}"
        yield Case(name, drawn(seed + "/a", 128), drawn(seed + "/b", 128), f"{drawn(seed + '/salt', 16):x}")
        number += 1


WIDTHS: dict[str, tuple[int, Callable[[Server], int]]] = {
    "A": (3072, lambda server: server.a_public),
    "B": (3072, lambda server: server.public),
    "u": (256, lambda server: server.u),
    "S": (3072, lambda server: server.secret),
    "key": (128, lambda server: int.from_bytes(server.key, "big")),
    "x": (256, lambda server: server.x),
}
SHAPES: dict[str, Callable[[int, int], bool]] = {
    "high bit": lambda number, width: number.bit_length() == width,
    "zero nibble": lambda number, width: width - 8 < number.bit_length() <= width - 4,
    "zero byte": lambda number, width: width - 16 < number.bit_length() <= width - 8,
}


def shaped() -> Iterator[Case]:
    """One case for each quantity and shape."""
    for quantity, (width, value_of) in WIDTHS.items():
        for shape, has in SHAPES.items():
            name = f"{quantity} with {shape}"
            yield next(case for case in candidates(name) if has(value_of(Server(case)), width))


def two_zero_bytes() -> Iterator[Case]:
    """Counting the exponent up doubles the power, which makes even rare shapes cheap to find."""
    first = next(candidates("two zero bytes"))
    a, public = first.a, pow(G, first.a, N)
    while public.bit_length() > 3072 - 16:
        a, public = a + 1, public * G % N
    yield replace(first, name="A with two zero bytes", a=a)
    server = Server(first)
    b, power = first.b, pow(G, first.b, N)
    base = (server.public - power) % N
    while ((base + power) % N).bit_length() > 3072 - 16:
        b, power = b + 1, power * G % N
    yield replace(first, name="B with two zero bytes", b=b)


def varied() -> Iterator[Case]:
    """Cases for everything that a caller or a server chooses."""
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "another pool": {"pool": "abCD01234", "user": "someone@example.com"},
        "salt with high bit": {"salt": "f0e1d2c3b4a5968778695a4b3c2d1e0f"},
        "salt without high bit": {"salt": "7f00000000000000000000000000000f"},
        "salt with an odd number of digits": {"salt": "abc1234567890abcdef1234567890ab"},
        "salt with a zero nibble written out": {"salt": "0bc1234567890abcdef1234567890abc"},
        "salt with a zero byte before a high bit": {"salt": "00e1d2c3b4a5968778695a4b3c2d1e0f"},
        "salt in capitals": {"salt": "F0E1D2C3B4A5968778695A4B3C2D1E0F"},
        "salt of one digit": {"salt": "7"},
        "salt zero": {"salt": "0"},
        "a is one": {"a": 1},
        "a with zero bytes": {"a": drawn("short a", 120)},
        "a with high bit": {"a": drawn("high a", 128) | 1 << 1023},
        "password with umlauts": {"password": "pässwörd-ÄÖÜ-1"},
        "password in Cyrillic": {"password": "Пароль-9"},
        "password in Chinese": {"password": "密码-Aa1!"},
        "password with emoji": {"password": "🔑🦄-Aa1!"},
        "password with a combining mark": {"password": "e\u0301-Aa1!xyz"},
        "password with spaces and colons": {"password": " a: b:\t\"'\\ "},
        "empty password": {"password": ""},
        "user beyond ASCII": {"user": "jürgen.žižek"},
        "user with a plus": {"user": "a+b@example.com"},
        "first of a month": {"now": "2024-02-01T00:00:00Z"},
        "leap day": {"now": "2024-02-29T23:59:59Z"},
    }
    for name, change in changes.items():
        yield replace(next(candidates(name)), name=name, **change)


def secret_block(name: str) -> str:
    """An opaque block, of one of the three lengths that base64 pads differently."""
    return base64.b64encode(hashlib.shake_256(f"{name}/block".encode()).digest(60 + len(name) % 3)).decode()


def pycognito(case: Case, public: str) -> dict[str, str]:
    """What AWSSRP answers to a server that challenges with `public` as SRP_B."""
    client = aws_srp.AWSSRP(case.user, case.password, f"ap-southeast-2_{case.pool}", "client", client=object())
    client.small_a_value = case.a
    client.large_a_value = client.calculate_a()
    moment = datetime.fromisoformat(case.now)
    aws_srp.datetime = SimpleNamespace(datetime=SimpleNamespace(utcnow=lambda: moment))
    challenge = {"USER_ID_FOR_SRP": case.user, "SALT": case.salt, "SRP_B": public}
    challenge["SECRET_BLOCK"] = secret_block(case.name)
    begun = client.get_auth_params()
    answer = client.process_challenge(challenge, begun)
    key = client.get_password_authentication_key(case.user, case.password, int(public, 16), case.salt)
    return {
        "srp_a": begun["SRP_A"],
        "key": bytes(key).hex(),
        "timestamp": answer["TIMESTAMP"],
        "signature": answer["PASSWORD_CLAIM_SIGNATURE"],
    }


def vector(case: Case) -> dict[str, Any]:
    server = Server(case)
    public = f"{server.public:x}"
    inputs = {key: value for key, value in asdict(case).items() if key not in ("a", "b")}
    inputs |= {"a": f"{case.a:x}", "srp_b": public, "secret_block": secret_block(case.name)}
    output = pycognito(case, public)
    quantities = {name: f"{value_of(server):x}" for name, (_, value_of) in WIDTHS.items() if name in "uSx"}
    return {**inputs, "quantities": quantities, "server_key": server.key.hex(), "pycognito": output}


def dates() -> Iterator[str]:
    """Each month, each weekday, one-digit and two-digit days, both ends of a day and of a leap February."""
    for month in range(1, 13):
        yield f"2026-{month:02}-{month:02}T{month * 2 - 1:02}:{month:02}:{60 - month:02}Z"
    start = datetime(2025, 12, 28, tzinfo=UTC)
    for day in range(8):
        yield f"{start + timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}"
    yield from ("2024-02-29T23:59:59Z", "2000-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "2026-10-09T09:08:07Z")


def main() -> None:
    cases = [*varied(), *shaped(), *two_zero_bytes()]
    # The two clients read such a salt differently: see README.md.
    disputed = replace(next(candidates("disputed")), name="salt with a needless zero byte", salt="007f" + "1d" * 14)
    document = {
        "cases": [vector(case) for case in cases],
        "disputed": [vector(disputed)],
        "refused": [{"name": f"B = {times} N", "srp_b": f"{times * N:x}"} for times in range(3)],
        "dates": list(dates()),
    }
    json.dump(document, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
