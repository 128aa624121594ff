"""Sessions that outlive the process, against a pool that rotates refresh tokens, on real sockets."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.account import new_client
from support.environment import ROOT
from support.loops import EVERY_LOOP
from support.mortal import profile_at
from support.origin import Origin
from support.sessions import refresh_token
from support.stack import PASSWORD, SIGNER, USERNAME, closing, options_for, running_proxy, talk, timeouts
from support.wire import PATIENCE

from proxy.app import App
from proxy.clock import SystemClock
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.faults import Fault
from proxy.demo.protocol import PoolConfig
from proxy.identity.issued import Session
from proxy.identity.profile import AuthFlow, Profile
from proxy.identity.stores.file import FileStore
from proxy.identity.stores.records import decode
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.settings.options import ServeOptions

loop_factories = EVERY_LOOP

RENEWAL = "GetTokensFromRefreshToken"


@pytest.fixture
def cognito() -> EmbeddedCognito:
    return EmbeddedCognito(PoolConfig(rotation=True, rotation_grace=60), [User(USERNAME, PASSWORD)], signer=SIGNER)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


@pytest.fixture
def options(cognito_url: str, origin: Origin, path: Path) -> ServeOptions:
    """A proxy that knows neither a user nor a password."""
    return options_for(cognito_url, origin.url, username=None, password=None, token_store=f"file:{path}")


@pytest.fixture
def with_password(options: ServeOptions) -> ServeOptions:
    profile = replace(options.profile, username=USERNAME, password=SecretStr(PASSWORD))
    return replace(options, profiles={"default": profile})


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def ask(app: App, target: str = "/v1/job") -> bytes:
    return await talk(app.urls[0], closing("GET", target))


async def log_in(url: str, path: Path) -> Session:
    """What `login` does: sign in, and keep the session."""
    clock = SystemClock()
    profile = replace(profile_at(url), username=USERNAME, password=SecretStr(PASSWORD))
    client = new_client(clock)
    try:
        session = (await client.sign_in(profile)).session
    finally:
        await client.close()
    await FileStore(path, clock).save(profile, session)
    return session


async def kept(url: str, path: Path) -> str | None:
    return refresh_token(await FileStore(path, SystemClock()).load(profile_at(url)))


def configure(cognito: EmbeddedCognito, **changes: Any) -> None:
    cognito.pool.config = replace(cognito.pool.config, **changes)


class TestServe:
    async def test_from_what_login_kept(
        self, cognito: EmbeddedCognito, cognito_url: str, options: ServeOptions, path: Path
    ) -> None:
        """No user name and no password: the session is renewed, and what came of it is kept for the next start."""
        first = await log_in(cognito_url, path)
        for _ in range(3):
            async with running_proxy(options) as app:
                assert status_of(await ask(app)) == 200
        assert cognito.counts["InitiateAuth"] == 1
        assert cognito.counts[RENEWAL] == 3
        shown = [call.parameters["RefreshToken"] for call in cognito.calls if call.operation == RENEWAL]
        assert len(set(shown)) == 3
        assert shown[0] == refresh_token(first)
        assert await kept(cognito_url, path) not in shown

    async def test_keeps_a_session_of_its_own(
        self, cognito: EmbeddedCognito, cognito_url: str, options: ServeOptions, with_password: ServeOptions, path: Path
    ) -> None:
        """With `token_store` set, what a password brought is there for a start without one."""
        async with running_proxy(with_password) as app:
            assert status_of(await ask(app)) == 200
        async with running_proxy(options) as app:
            assert status_of(await ask(app)) == 200
        assert cognito.counts["InitiateAuth"] == 1

    async def test_is_ready_before_anybody_asks(self, cognito_url: str, options: ServeOptions, path: Path) -> None:
        """The session is renewed as the proxy starts."""
        await log_in(cognito_url, path)
        async with running_proxy(options) as app, asyncio.timeout(PATIENCE):
            while app.tokens.snapshot("default").state != "fresh":  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    @pytest.mark.parametrize("end", ["revoked", "reused"])
    @pytest.mark.parametrize("password", [True, False])
    async def test_when_the_session_has_ended(
        self,
        *,
        end: str,
        password: bool,
        cognito: EmbeddedCognito,
        cognito_url: str,
        options: ServeOptions,
        with_password: ServeOptions,
        path: Path,
    ) -> None:
        """After a revocation, and where somebody else rotated it away: one sign-in, or login_required."""
        session = await log_in(cognito_url, path)
        token = refresh_token(session)
        assert token is not None
        if end == "revoked":
            cognito.revoke(token)
        else:
            configure(cognito, rotation_grace=0)
            cognito.pool.grants.replace(token, cognito.pool.now() - 1)
        async with running_proxy(with_password if password else options) as app:
            for _ in range(3):
                answer = await ask(app)
                assert status_of(answer) == (200 if password else 503)
        assert password or b"login_required" in answer
        assert cognito.counts["InitiateAuth"] == (2 if password else 1)
        assert cognito.counts[RENEWAL] == 1

    async def test_takes_up_a_login_beside_it(
        self, cognito: EmbeddedCognito, cognito_url: str, options: ServeOptions, path: Path
    ) -> None:
        """A proxy whose session has ended goes on once `login` has been run, without a restart."""
        session = await log_in(cognito_url, path)
        cognito.revoke(refresh_token(session) or "")
        async with running_proxy(options) as app:
            assert status_of(await ask(app)) == 503
            await log_in(cognito_url, path)
            state = app.tokens._state("default")
            state.failed_at = state.failed_at._replace(monotonic=state.failed_at.monotonic - 60)
            assert status_of(await ask(app)) == 200

    async def test_a_lost_answer_costs_no_session(
        self, cognito: EmbeddedCognito, cognito_url: str, options: ServeOptions, path: Path
    ) -> None:
        """The first renewal was carried out and its answer lost: the old token renews again, inside its grace."""
        await log_in(cognito_url, path)
        cognito.faults.drop_answer(operation=RENEWAL)
        async with running_proxy(options) as app:
            assert status_of(await ask(app)) == 200
        assert cognito.counts[RENEWAL] == 2
        assert not cognito.refusals

    async def test_an_outage_costs_no_session(
        self, cognito: EmbeddedCognito, cognito_url: str, options: ServeOptions, path: Path
    ) -> None:
        """Throttling and errors are tried again with the same token until there is an answer."""
        await log_in(cognito_url, path)
        cognito.faults.throttle(operation=RENEWAL)
        cognito.faults.fail(operation=RENEWAL)
        quick = RenewalPolicy(backoff_base=0.01, backoff_cap=0.05)
        async with running_proxy(replace(options, renewal=quick)) as app:
            assert status_of(await ask(app)) == 200
        assert cognito.counts["InitiateAuth"] == 1

    async def test_a_stop_in_the_middle_of_a_renewal(
        self, cognito: EmbeddedCognito, cognito_url: str, options: ServeOptions, path: Path
    ) -> None:
        """Who stops the proxy as Cognito answers loses nothing, even where a replaced token is dead at once."""
        configure(cognito, rotation_grace=0)
        await log_in(cognito_url, path)
        held = cognito.faults.hold(RENEWAL)
        async with running_proxy(options):
            while cognito.counts[RENEWAL] == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            asyncio.get_running_loop().call_later(0.2, held.set)
        async with running_proxy(options) as app:
            assert status_of(await ask(app)) == 200
        assert not cognito.refusals


async def test_two_proxies_share_a_session(
    cognito: EmbeddedCognito, cognito_url: str, with_password: ServeOptions, origin: Origin
) -> None:
    """Through many renewals at once, with replaced tokens dead at once: one sign-in, and no token shown twice."""
    configure(cognito, rotation_grace=0, id_lifetime=3)
    options = replace(with_password, renewal=RenewalPolicy(renew_at=0.2, jitter=0.0))
    async with running_proxy(options) as one, running_proxy(options) as other, asyncio.timeout(PATIENCE):
        while min(app.tokens.snapshot("default").renewals for app in (one, other)) < 5:
            answers = await asyncio.gather(ask(one), ask(other))
            assert [status_of(answer) for answer in answers] == [200, 200]
    assert cognito.counts["InitiateAuth"] == 1
    assert not cognito.refusals
    shown = Counter(call.parameters["RefreshToken"] for call in cognito.calls if call.operation == RENEWAL)
    assert set(shown.values()) == {1}


class Mortal:
    """The program `support.mortal`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.child: asyncio.Future[int] = asyncio.Future()
        """The process id of the child that lives now."""

    async def live(self, last: int) -> tuple[list[str], int]:
        """What a child says that is killed with its `last` line, and its exit status."""
        assert self._process.stdin is not None
        self.child = asyncio.Future()
        self._process.stdin.write(b"%d\n" % last)
        said: list[str] = []
        while True:
            text = await self.listen()
            if text.startswith("ended "):
                return said, int(text.removeprefix("ended "))
            if text.startswith("began "):
                self.child.set_result(int(text.removeprefix("began ")))
            else:
                said.append(text)

    async def listen(self) -> str:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the program has ended"
        return line.decode().strip()


@pytest.fixture
async def mortal(cognito_url: str, path: Path, guarded_env: Callable[..., dict[str, str]]) -> AsyncIterator[Mortal]:
    environment = guarded_env()
    environment["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.mortal",
        cognito_url,
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    yield Mortal(process)
    process.stdin.close()  # type: ignore[union-attr]
    await process.wait()


@pytest.mark.one_loop
@pytest.mark.parametrize("grace", [60, 0])
async def test_kill_at_any_moment_of_a_renewal(
    grace: int, cognito: EmbeddedCognito, cognito_url: str, mortal: Mortal, path: Path
) -> None:
    """The store is whole at every moment. The next start has a session while the grace lasts; without one it has a
    session or says that a login is needed."""
    configure(cognito, rotation_grace=grace)
    await log_in(cognito_url, path)
    totals = []
    for _ in range(2):
        (started, lines), status = await mortal.live(0)
        assert (started, status) == ("started", 0)
        totals.append(int(lines.removeprefix("lines ")))
    # How many lines there are depends on what is waited for, and for how long.
    total = min(totals)
    assert total > 50
    lost = killed = 0
    for moment in range(13):
        said, status = await mortal.live(1 + total * moment // 13)
        if said == ["login_required"]:
            lost += 1
            await log_in(cognito_url, path)
            continue
        # The last lines are not always run: nobody waits for a lock, say.
        assert said[0] == "started"
        killed += status == -signal.SIGKILL
        assert len(decode(path.read_bytes())) == 1
    said, _ = await mortal.live(0)
    lost += said == ["login_required"]
    assert said[0] in ("started", "login_required")
    assert killed + lost >= 7
    assert lost <= (0 if grace else 9)
    assert not list(path.parent.glob("*damaged*"))


@pytest.mark.one_loop
async def test_kill_while_the_answer_is_on_its_way(
    cognito: EmbeddedCognito, cognito_url: str, mortal: Mortal, path: Path
) -> None:
    """Cognito has replaced the token and nobody has heard: the next start renews with the old one."""
    await log_in(cognito_url, path)
    before = await kept(cognito_url, path)
    held = cognito.faults.hold(RENEWAL)
    killed = asyncio.create_task(mortal.live(0))
    while cognito.counts[RENEWAL] == 0:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    os.kill(await mortal.child, signal.SIGKILL)
    assert await killed == ([], -signal.SIGKILL)
    held.set()
    assert await kept(cognito_url, path) == before
    (started, _), _ = await mortal.live(0)
    assert started == "started"
    assert await kept(cognito_url, path) != before
    assert not cognito.refusals


async def test_a_crowd_through_rotation_and_a_flaky_cognito(tmp_path: Path, origin: Origin) -> None:
    """A thousand callers, fifty profiles, a tenth of the calls throttled and a twentieth cut off: nobody is refused,
    no profile loses its session, and no refresh token is shown beyond its grace."""
    names = [f"pilot-{number}" for number in range(50)]
    config = PoolConfig(rotation=True, rotation_grace=60, id_lifetime=60)
    cognito = EmbeddedCognito(config, [User(name, PASSWORD) for name in names], signer=SIGNER)
    drawn = random.Random(11).random  # noqa: S311 - the same faults in every run
    async with cognito.running() as url:
        made = options_for(url, origin.url)
        pool = replace(made.profile.pool, auth_flow=AuthFlow.PASSWORD)
        profiles = {
            name: Profile(name, pool, name, SecretStr(PASSWORD), token_store=f"file:{tmp_path}/sessions.json")
            for name in names
        }
        options = replace(
            made,
            profiles={"default": replace(made.profile, personal_access_token=SecretStr("pat")), **profiles},
            max_connections=2000,
            timeouts=timeouts(auth=30.0, connect=30.0, headers=30.0, idle=30.0),
            renewal=RenewalPolicy(renew_at=0.015, jitter=0.007, backoff_base=0.05, backoff_cap=0.5),
        )
        async with running_proxy(options) as app:
            await asyncio.gather(*(ask(app, f"/@{name}/v1/job") for name in names))
            cognito.faults.sometimes(Fault.THROTTLE, 0.1, drawn)
            cognito.faults.sometimes(Fault.DROP_ANSWER, 0.05, drawn)
            statuses: Counter[int] = Counter()

            async def call(number: int) -> None:
                for turn in range(3):
                    answer = await ask(app, f"/@{names[number % 50]}/v1/job")
                    statuses[status_of(answer)] += 1
                    if turn < 2:
                        await asyncio.sleep(1.2 + drawn() / 2)

            await asyncio.gather(*map(call, range(1000)))
            renewals = [app.tokens.snapshot(name).renewals for name in names]
            sign_ins = sum(app.tokens.snapshot(name).sign_ins for name in names)
    assert statuses == {200: 3000}
    assert min(renewals) >= 1
    assert sign_ins == cognito.counts["InitiateAuth"] == 50
    assert cognito.refusals["RefreshTokenReuseException"] == cognito.refusals["NotAuthorizedException"] == 0
