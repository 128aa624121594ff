"""`ul-proxy check`: walk the whole way, and say where it ends."""

import asyncio
import json as json_format
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.cli.account import chosen_profile, log_to_stderr, nobody, open_cognito, open_manager, run_to_end
from proxy.cli.inquiry import Inquiry
from proxy.cli.limits import leave_no_core
from proxy.cli.places import place_of
from proxy.cli.progress import Waiting
from proxy.cli.streams import put_out
from proxy.clock import SystemClock
from proxy.doctor import CheckReport, Finding, HopState, Kind, NetworkProbes, Result, Step, plan, walk
from proxy.doctor.faults import of_sign_in
from proxy.doctor.findings import not_tried, ok
from proxy.doctor.probes import SignedIn
from proxy.doctor.report import document, summary
from proxy.errors import CredentialError, IncompatibleLibrary, SettingsError
from proxy.http.address import Bind, Upstream
from proxy.http.client.connect import Connector
from proxy.http.server.tls import CallerTls
from proxy.identity.cognito.endpoints import user_pool
from proxy.identity.profile import Profile
from proxy.identity.stores.opening import open_store
from proxy.settings import Loaded, bears_colours, load
from proxy.settings.options import ServeOptions

_SETTINGS = Step(Kind.SETTINGS)
_ONE_TRY = 1
"""A wrong password is shown to Cognito once, and trouble of Cognito's is told as it is."""


@dataclass
class _Course:
    """The check under way: what has been found, and how long it has taken."""

    profile: str
    json: bool
    clock: SystemClock = field(default_factory=SystemClock)
    results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        on_terminal = sys.stdout.isatty()
        columns = shutil.get_terminal_size().columns if on_terminal else None
        self.report = CheckReport([_SETTINGS.title], colours=on_terminal and bears_colours(), columns=columns)
        self._began = self.now()

    def now(self) -> float:
        return self.clock.now().monotonic

    def add(self, result: Result) -> None:
        self.results.append(result)
        if not self.json:
            put_out("\n".join(self.report.lines(result)))

    def end(self, *, unusable: bool = False) -> int:
        """Say the last word; the exit status."""
        failed = any(result.finding.state is HopState.FAIL for result in self.results)
        status = 2 if unusable else int(failed)
        seconds = self.now() - self._began
        if self.json:
            reply = document(self.results, profile=self.profile, seconds=seconds, status=status)
            put_out(json_format.dumps(reply, indent=2))
        elif not unusable:
            put_out(f"\n{summary(self.results, seconds)}")
        return status


def run(flags: Mapping[str, Any], config: str | None, *, profile: str, json: bool) -> int:
    leave_no_core()
    return run_to_end(check(flags, config, profile=profile, json=json))


async def check(flags: Mapping[str, Any], config: str | None, *, profile: str, json: bool) -> int:
    """Walk the way of a profile and print what is found; the exit status."""
    course = _Course(profile, json)
    began = course.now()
    try:
        # In a thread: whatever the settings are read from may be slow, and a signal is heard meanwhile.
        loaded = await asyncio.to_thread(load, flags, config)
        log_to_stderr(replace(loaded, warnings=()))
        options = loaded.options()
        chosen = chosen_profile(options, flags, profile)
        if options.tls is not None:
            CallerTls(options.tls)
        connector = Connector(timeout=options.timeouts.connect, ca_file=options.ca_file, outbound=options.outbound)
        store = chosen.token_store or options.token_store
        open_store(store, state_home=options.state_home, clock=course.clock)
    except SettingsError as error:
        note = "nothing else was tried: all of it depends on the settings"
        course.add(Result(_SETTINGS, Finding(HopState.FAIL, error.detail, error.hint, (note,)), course.now() - began))
        return course.end(unusable=True)
    settings = Result(_SETTINGS, _of_settings(loaded, chosen), course.now() - began)
    await _walk(options, chosen, connector, course, settings)
    return course.end()


async def _walk(
    options: ServeOptions, profile: Profile, connector: Connector, course: _Course, settings: Result
) -> None:
    token = options.policy.client_token

    async def inquire(bind: Bind) -> Mapping[str, Any]:
        reply = await asyncio.to_thread(Inquiry(place_of(bind, options.tls), token).ask, "/-/status")
        # One that does not tell, for its own endpoints are elsewhere say, is a proxy of ours all the same.
        return reply.document if reply.good else {}

    cognito = Upstream.parse(user_pool(profile.pool).address)
    probes = NetworkProbes(
        options,
        profile,
        connector,
        clock=course.clock,
        sign_in=lambda: _sign_in(options, profile),
        inquire=inquire,
    )
    hops = plan(options, profile, cognito, probes)
    course.report = replace(course.report, titles=[_SETTINGS.title, *(hop.step.title for hop in hops)])
    course.add(settings)
    try:
        async for result in walk(hops, now=course.now, watch=_watch):
            course.add(result)
    finally:
        await probes.close()


async def _watch(step: Step, task: "asyncio.Task[Result]") -> None:
    """Wait for a hop, and say so where that takes its time."""
    with Waiting(step.title):
        await asyncio.wait((task,))


async def _sign_in(options: ServeOptions, profile: Profile) -> SignedIn:
    """One attempt, with the session that is kept where there is one: it is renewed, and kept again."""
    once = replace(options, renewal=replace(options.renewal, patient_tries=_ONE_TRY))
    try:
        async with open_cognito(once) as cognito, open_manager(once, profile, cognito) as tokens:
            if profile.login_lacks and not await tokens.has_session(profile.name):
                if profile.api_key is not None:
                    return SignedIn(not_tried("there is no login"))
                raise nobody(profile)
            token = await tokens.get(profile.name)
            how = tokens.snapshot(profile.name).last_outcome
    except (CredentialError, IncompatibleLibrary) as error:
        return SignedIn(of_sign_in(error))
    whom = token.claims.get("email") or token.username or profile.username
    return SignedIn(ok(f"{how} as {whom}, with a token good for {token.lifetime / 60:.0f} min"), token)


def _of_settings(loaded: Loaded, profile: Profile) -> Finding:
    """Usable settings: where they are from, what there is to sign in with, and what else a person should know."""
    place = f"config file {loaded.config}" if loaded.config is not None else "no config file"
    credentials = ", ".join(name.replace("_", " ") for name in profile.credentials) or "no login in the settings"
    state = HopState.WARN if loaded.warnings else HopState.OK
    return Finding(state, f"{place}; profile {profile.name}: {credentials}", notes=loaded.warnings)
