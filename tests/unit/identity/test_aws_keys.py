"""AWS credentials that are kept, by a clock that a test moves; and the documents that AWS's tools read."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import SecretStr
from support.clock import FakeClock, settle

from proxy.errors import CredentialMissing, IncompatibleLibrary, LoginRequired, ProxyError, SignInFailed
from proxy.identity.issued import AwsCredentials
from proxy.identity.tokens.aws_keys import AwsKeys, container_document, process_document
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.identity.tokens.single_flight import Terms

HOUR = 3600.0
MARGIN = 1200.0


class IdentityPool:
    """Issues credentials good for `lifetime`, or fails with `failure`; holds its answers while `held` is there."""

    def __init__(self, clock: FakeClock) -> None:
        self.calls: Counter[str] = Counter()
        self.lifetime = HOUR
        self.failure: Exception | None = None
        self.held: asyncio.Event | None = None
        self._clock = clock

    async def obtain(self, name: str) -> AwsCredentials:
        self.calls[name] += 1
        number = self.calls.total()
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return AwsCredentials(
            identity_id="region:1",
            access_key_id=f"{name}-{number}",
            secret_access_key=SecretStr("s3cret"),
            session_token=SecretStr("t0ken"),
            expiration=datetime.fromtimestamp(self._clock.wall + self.lifetime, UTC),
            arrived=self._clock.now(),
            lifetime=self.lifetime,
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pool(clock: FakeClock) -> IdentityPool:
    return IdentityPool(clock)


@pytest.fixture
async def keys(pool: IdentityPool, clock: FakeClock) -> AsyncIterator[AwsKeys]:
    made = AwsKeys(pool.obtain, Terms(clock, lambda: 0.5, RenewalPolicy(), 0.2))
    yield made
    await made.close()


async def key(keys: AwsKeys, name: str = "default") -> str:
    return (await keys.get(name)).access_key_id


class TestKept:
    async def test_while_they_are_good(self, keys: AwsKeys, pool: IdentityPool, clock: FakeClock) -> None:
        """Fetched once, and handed out until it is time for the next ones."""
        assert await key(keys) == "default-1"
        await clock.advance(HOUR - MARGIN - 1)
        assert await key(keys) == "default-1"
        assert pool.calls.total() == 1

    async def test_renewed_before_the_tools_want_others(
        self, keys: AwsKeys, pool: IdentityPool, clock: FakeClock
    ) -> None:
        """AWS's tools ask again 15 minutes before the end: by then there are new ones, and nobody waited for them."""
        await key(keys)
        await clock.advance(HOUR - MARGIN + 1)
        pool.held = asyncio.Event()
        assert [await key(keys), await key(keys)] == ["default-1", "default-1"]
        await settle()
        pool.held.set()
        await settle()
        assert await key(keys) == "default-2"
        assert pool.calls.total() == 2

    @pytest.mark.parametrize("way", ["slept", "went by"])
    async def test_never_past_their_end(self, way: str, keys: AwsKeys, pool: IdentityPool, clock: FakeClock) -> None:
        """After the end, also one that came while the machine slept, nothing old is handed out, come what may."""
        await key(keys)
        if way == "slept":
            clock.suspend(2 * HOUR)
        else:
            await clock.advance(2 * HOUR)
        pool.failure = SignInFailed("down")
        with pytest.raises(SignInFailed):
            await keys.get("default")
        pool.failure = None
        await clock.advance(120)
        assert await key(keys) == "default-3"

    async def test_short_lives(self, keys: AwsKeys, pool: IdentityPool, clock: FakeClock) -> None:
        """Credentials shorter than the margin are used for half of their life, not fetched at every call."""
        pool.lifetime = 600
        await key(keys)
        await clock.advance(299)
        assert await key(keys) == "default-1"
        await clock.advance(2)
        await key(keys)
        await settle()
        assert await key(keys) == "default-2"

    async def test_by_profile(self, keys: AwsKeys) -> None:
        """Each profile has its own."""
        assert [await key(keys, "a"), await key(keys, "b"), await key(keys, "a")] == ["a-1", "b-2", "a-1"]

    async def test_forgotten(self, keys: AwsKeys, pool: IdentityPool) -> None:
        """Once they are forgotten, nothing of before is handed out, also not what was on its way."""
        pool.held = asyncio.Event()
        waiting = asyncio.create_task(key(keys))
        await settle()
        keys.forget()
        pool.held.set()
        assert await waiting == "default-1"
        assert await key(keys) == "default-2"

    async def test_the_end_ends_it(self, keys: AwsKeys, pool: IdentityPool) -> None:
        """Nothing is left running, and who waits hears that it is over."""
        pool.held = asyncio.Event()
        waiting = asyncio.create_task(key(keys))
        await settle()
        await keys.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting


class TestTrouble:
    async def test_is_not_made_worse(self, keys: AwsKeys, pool: IdentityPool, clock: FakeClock) -> None:
        """After a failure the pool is left alone for a while, longer each time; all hear when to come again."""
        pool.failure = SignInFailed("down")
        for asked in range(1, 5):
            waits = []
            for _ in range(3):
                with pytest.raises(SignInFailed, match="down") as caught:
                    await keys.get("default")
                waits.append(caught.value.retry_after or 0.0)
            assert pool.calls.total() == asked
            assert waits[0] == waits[1] == waits[2] > 0
            await clock.advance(waits[0])
        pool.failure = None
        assert await key(keys) == "default-5"

    @pytest.mark.parametrize(
        "failure",
        [
            LoginRequired("nobody", hint="Log in."),
            CredentialMissing("no pool"),
            IncompatibleLibrary("an SDK that lacks something", hint="Install another."),
        ],
    )
    async def test_that_a_person_must_mend(
        self, failure: ProxyError, keys: AwsKeys, pool: IdentityPool, clock: FakeClock
    ) -> None:
        """Waiting is not said to help, but once it is mended it works."""
        pool.failure = failure
        for _ in range(2):
            with pytest.raises(type(failure)) as caught:
                await keys.get("default")
            assert (caught.value.retry_after, caught.value.hint) == (None, failure.hint)
        pool.failure = None
        await clock.advance(60)
        assert await key(keys) == "default-2"


def test_documents() -> None:
    """The two forms have the same facts under different names, and times in UTC whatever zone they came in."""
    given = AwsCredentials(
        identity_id="region:1",
        access_key_id="AKIA",
        secret_access_key=SecretStr("s3cret"),
        session_token=SecretStr("t0ken"),
        expiration=datetime(2030, 1, 2, 13, 4, 5, tzinfo=timezone(timedelta(hours=10))),
        arrived=FakeClock().now(),
        lifetime=HOUR,
    )
    same = {"AccessKeyId": "AKIA", "SecretAccessKey": "s3cret", "Expiration": "2030-01-02T03:04:05Z"}
    assert process_document(given) == same | {"Version": 1, "SessionToken": "t0ken"}
    assert container_document(given) == same | {"Token": "t0ken"}
    assert "s3cret" not in repr(given)
