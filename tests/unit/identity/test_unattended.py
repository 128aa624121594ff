"""The codes of TOTP secrets as time goes by."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from support.clock import FakeClock

from proxy.identity.cognito import totp
from proxy.identity.cognito.unattended import OneTimeCodes

SECRET, OTHER = SecretStr("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), SecretStr("MFRGGZDFMZTWQ2LK")
START = 1_800_000_000.0


def code_at(now: float, secret: SecretStr = SECRET) -> str:
    return totp.code(totp.parse_secret(secret), totp.step_at(now))


async def run_out(clock: FakeClock, *tasks: asyncio.Task[str]) -> list[str]:
    for _ in range(400):
        if all(task.done() for task in tasks):
            break
        await clock.advance(1)
    return [task.result() for task in tasks]


async def test_the_first_code_is_todays() -> None:
    """Nobody waits for a code that was not used yet."""
    clock = FakeClock(START + 17)
    assert await OneTimeCodes(clock).next(SECRET, 0.0) == code_at(START)


async def test_codes_are_used_once_however_many_ask_at_once() -> None:
    """Several sign-ins with one secret get codes of successive time steps, each when its step begins."""
    clock = FakeClock(START + 17)
    codes = OneTimeCodes(clock)
    given = await run_out(clock, *(asyncio.create_task(codes.next(SECRET, 0.0)) for _ in range(4)))
    assert given == [code_at(START + 30 * step) for step in range(4)]
    assert START + 90 <= clock.wall <= START + 91


async def test_secrets_do_not_wait_for_each_other() -> None:
    """Each secret has codes of its own."""
    codes = OneTimeCodes(FakeClock(START))
    assert [await codes.next(secret, 0.0) for secret in (SECRET, OTHER)] == [
        code_at(START),
        code_at(START, OTHER),
    ]


@pytest.mark.parametrize("ahead", [7200.0, -7200.0, 12.0, -12.0])
async def test_codes_are_made_for_cognitos_clock(ahead: float) -> None:
    """A local clock that is off changes nothing: the difference is known."""
    clock = FakeClock(START + 5 - ahead)
    codes = OneTimeCodes(clock)
    assert await codes.next(SECRET, ahead) == code_at(START)
    second = asyncio.create_task(codes.next(SECRET, ahead))
    await clock.advance(24.9)
    assert not second.done()
    await clock.advance(0.2)
    assert await second == code_at(START + 30)


async def test_a_machine_that_sleeps_while_waiting() -> None:
    """A code whose time the machine slept through is given to nobody: it would be refused."""
    clock = FakeClock(START)
    codes = OneTimeCodes(clock)
    await codes.next(SECRET, 0.0)
    second = asyncio.create_task(codes.next(SECRET, 0.0))
    await clock.advance(1)
    clock.suspend(60)
    await clock.advance(29)
    assert await second == code_at(START + 90)


async def test_a_clock_that_was_set_back_does_not_block() -> None:
    """After the clock was set back by hours codes are those of the new time: nobody waits for the old one."""
    clock = FakeClock(START)
    codes = OneTimeCodes(clock)
    await codes.next(SECRET, 0.0)
    clock.wall -= 7200
    assert await codes.next(SECRET, 0.0) == code_at(START - 7200)


@given(st.text(alphabet="018 -=ÄÖ", min_size=1))
def test_a_secret_that_is_none_uses_up_nothing(text: str) -> None:
    """A secret that cannot be read is an error at once."""
    with pytest.raises(totp.TotpError):
        asyncio.run(OneTimeCodes(FakeClock(START)).next(SecretStr(text), 0.0))
