"""A value that is obtained by one task, however many want it: kept while it is good, renewed ahead of its end.

The states of a renewal, whatever is renewed. `EXCHANGING` is set by what obtains the value.

| state          | what happens                                                         | then                     |
|----------------|----------------------------------------------------------------------|--------------------------|
| `IDLE`         | a renewal is due, or somebody wants a value and there is none        | `OBTAINING`              |
| `OBTAINING`    | what serves once, such as a refresh token, is sent                   | `EXCHANGING`             |
|                | a value arrives                                                      | `IDLE`                   |
|                | brief trouble while there is no good value: it is sat out            | `OBTAINING`              |
|                | any other failure that time may mend                                 | `BACKING_OFF`            |
|                | a failure that a person must mend                                    | `BLOCKED`                |
| `EXCHANGING`   | what came back is safe, or nothing came                              | `OBTAINING`              |
| `BACKING_OFF`, | its pause is over, and a renewal is due or wanted                    | `OBTAINING`              |
| `BLOCKED`      | a person says that it may work now                                   | `OBTAINING`              |
| each           | the end: in `EXCHANGING` after a moment's grace, in others at once   | `IDLE` or as it was      |
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from proxy.errors import InternalError, ProxyError, SignInFailed, SignInTimeout, StoreBusy
from proxy.errors.defects import Defects, Where
from proxy.identity.issued import Issued
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.lifetime import TokenState
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.model import Clock, Instant, elapsed

GRACE = 5.0
"""Seconds for which the end waits for what must not be cut off."""
_NEVER = Instant(0.0, 0.0)

V = TypeVar("V", bound=Issued)
S = TypeVar("S", bound="Renewable[Any]")


class RenewalState(Enum):
    IDLE = auto()
    """Nothing is under way, and nothing has failed since the last value arrived."""
    OBTAINING = auto()
    """A task is under way."""
    EXCHANGING = auto()
    """It has sent what serves once, and what comes of it is not safe yet."""
    BACKING_OFF = auto()
    """The last try failed. The next one is spaced."""
    BLOCKED = auto()
    """The last try failed in a way that a person must mend. Tries go on, with nothing that could do harm."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What values are obtained by."""

    clock: Clock
    draw: Callable[[], float]
    """Returns uniform randoms in [0, 1)."""
    policy: RenewalPolicy
    patience: float
    """Seconds for which a caller waits."""
    defects: Defects = field(default_factory=Defects)
    """Counts exceptions that nobody expected."""


@dataclass(slots=True)
class Renewable(Generic[V]):
    """A value and its renewal."""

    name: str
    """Of the profile."""
    _: KW_ONLY
    value: V | None = None
    renewal: RenewalState = RenewalState.IDLE
    task: asyncio.Task[V | ProxyError] | None = None
    """There is one while the renewal is `OBTAINING` or `EXCHANGING`."""
    error: ProxyError | None = None
    """Why the last try failed, also while the next is under way."""
    failures: int = 0
    """In a row."""
    failed_at: Instant = _NEVER
    pause: float = 0.0
    """Seconds after `failed_at` before the next try."""

    @property
    def needs_person(self) -> bool:
        """Whether the last failure is one that a person must mend."""
        return self.error is not None and not self.error.transient

    def refusal(self, now: Instant) -> ProxyError | None:
        """Return why no task may begin at `now`, None where one may."""
        if self.error is None:
            return None
        rest = self.pause - elapsed(self.failed_at, now)
        return self.error.again(None if self.needs_person else rest) if rest > 0 else None

    def is_usable(self, now: Instant, policy: RenewalPolicy) -> bool:
        return self.value is not None and lifetime.state(self.value, now, policy) is not TokenState.ENDED

    def forget_failure(self) -> None:
        self.failures, self.error = 0, None


class SingleFlight(Generic[S, V]):
    """Obtains values, for each state in one task at a time."""

    def __init__(
        self,
        obtain: Callable[[S], Awaitable[V]],
        report: Callable[[S], None],
        terms: Terms,
        *,
        task: str,
        too_slow: str,
        log: logging.Logger,
        look_again: float | None = None,
    ) -> None:
        """Prepare to `obtain` values, which raises a ProxyError where it cannot, and to `report` each outcome.

        `task` is what a task does and `too_slow` what callers hear who have waited too long, in words for a person.
        After a failure that a person must mend the next try is `look_again` seconds away, where that is given.
        """
        self._obtain = obtain
        self._report = report
        self._terms = terms
        self._task = task
        self._too_slow = too_slow
        self.log = log
        self._look_again = look_again
        self.under_way: dict[asyncio.Task[V | ProxyError], S] = {}

    def at_hand(self, state: S, now: Instant) -> V | None:
        """Return a value that is good at `now`, None where there is none. Begins a renewal that is due."""
        value: V | None = state.value
        if value is None:
            return None
        good = lifetime.state(value, now, self._terms.policy)
        if good is TokenState.STALE:
            self.begin(state, now)
        return None if good is TokenState.ENDED else value

    async def get(self, state: S) -> V:
        """Return a value that is good now. Suspends only where there is none, and then raises what `join` does."""
        return self.at_hand(state, self._terms.clock.now()) or await self.join(state)

    async def join(self, state: S) -> V:
        """Wait for a new value; raises SignInTimeout, or what `obtain` raises."""
        if state.task is None and (refusal := state.refusal(self._terms.clock.now())) is not None:
            raise refusal
        try:
            async with asyncio.timeout(self._terms.patience):
                outcome: V | ProxyError = await asyncio.shield(state.task or self.start(state))
        except TimeoutError:
            raise SignInTimeout(self._too_slow, retry_after=self._terms.patience) from None
        if isinstance(outcome, ProxyError):
            raise outcome.again(outcome.retry_after)
        return outcome

    def begin(self, state: S, now: Instant) -> None:
        """Begin a renewal, unless one is under way or the pause after a failure is not over."""
        if state.task is None and state.refusal(now) is None:
            self.start(state)

    def start(self, state: S) -> asyncio.Task[V | ProxyError]:
        """Begin a renewal where none is under way."""
        task = state.task = asyncio.create_task(self._run(state), name=f"{self._task} of profile {state.name}")
        state.renewal = RenewalState.OBTAINING
        self.under_way[task] = state
        return task

    async def close(self) -> None:
        """End all tasks; those whose renewal is `EXCHANGING` are given a moment."""
        exchanging = [task for task, state in self.under_way.items() if state.renewal is RenewalState.EXCHANGING]
        if exchanging:
            await asyncio.wait(exchanging, timeout=GRACE)
        left = tuple(self.under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _run(self, state: S) -> V | ProxyError:
        try:
            while self._sits_out(state, outcome := await self._try(state)):
                await self._terms.clock.sleep(state.pause)
            return outcome
        finally:
            if state.task is not None:
                del self.under_way[state.task]
            state.task = None
            if state.error is None:
                state.renewal = RenewalState.IDLE
            else:
                state.renewal = RenewalState.BLOCKED if state.needs_person else RenewalState.BACKING_OFF

    def _sits_out(self, state: S, outcome: V | ProxyError) -> bool:
        """Whether to try again before those who wait hear of a failure: in brief trouble, without a good value."""
        return (
            isinstance(outcome, ProxyError)
            and outcome.transient
            and not isinstance(outcome, StoreBusy)  # it has been waited for already
            and state.failures < self._terms.policy.patient_tries
            and state.pause <= self._terms.patience
            and not state.is_usable(self._terms.clock.now(), self._terms.policy)
        )

    async def _try(self, state: S) -> V | ProxyError:
        try:
            value = await self._obtain(state)
        except ProxyError as error:
            return self._failed(state, error.with_traceback(None))  # its frames hold the state
        except Exception:  # a defect must neither end the renewals for good nor be met again at every request
            self.log.exception("%s of profile %s met a defect", self._task, state.name)
            self._terms.defects.met(Where.RENEWING)
            return self._failed(state, SignInFailed(f"{self._task} met a defect", hint=InternalError.default_hint))
        state.value = value
        state.forget_failure()
        self._report(state)
        return value

    def _failed(self, state: S, error: ProxyError) -> ProxyError:
        state.failed_at = self._terms.clock.now()
        if error is not state.error:  # else nothing has been mended, and it has been reported
            state.failures += 1
            state.error = error.again(error.retry_after)
            if state.needs_person and self._look_again is not None:
                state.pause = self._look_again
            else:
                spacing = lifetime.backoff(state.failures, self._terms.draw(), self._terms.policy)
                state.pause = max(spacing, error.retry_after or 0.0)
            self._report(state)
        return error.again(state.pause if error.transient else None)
