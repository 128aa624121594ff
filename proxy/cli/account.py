"""What the commands that act as one profile have in common."""

import logging
import random
import secrets
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from proxy.cli.worker import run_interruptible
from proxy.clock import SystemClock
from proxy.errors import LoginRequired, SettingsError, SignInFailed, SignInTimeout
from proxy.errors.names import login_command, variables
from proxy.identity.cognito import totp
from proxy.identity.cognito.flows import Cognito
from proxy.identity.issued import Token
from proxy.identity.profile import Profile
from proxy.identity.stores.opening import ProfileStores
from proxy.identity.tokens.manager import TokenManager
from proxy.identity.tokens.single_flight import Terms
from proxy.observe.logs import TextFormatter
from proxy.settings import Loaded, load
from proxy.settings.options import ServeOptions

ASKING = "asking Cognito"
"""What is shown of a command that takes its time."""
_MANAGER = "proxy.identity.tokens.manager"
"""Logs failures that a command raises, too."""


def prepare(flags: Mapping[str, Any], config: str | None, name: str) -> tuple[ServeOptions, Profile]:
    """The settings and the profile of that name, with logging to stderr; raises SettingsError."""
    loaded = load(flags, config)
    log_to_stderr(loaded)
    options = loaded.options()
    return options, chosen_profile(options, flags, name)


def chosen_profile(options: ServeOptions, flags: Mapping[str, Any], name: str) -> Profile:
    """The profile of that name, as the flags have it; raises SettingsError."""
    profile = options.profiles.get(name)
    if profile is None:
        raise SettingsError(
            f"there is no profile {name!r}",
            hint=f"There is {', '.join(options.profiles)}. Others go into the config file, under [profiles.NAME].",
        )
    if "username" in flags:
        profile = replace(profile, username=flags["username"])
    return profile


def run_to_end(main: Coroutine[Any, Any, int]) -> int:
    """The exit status of `main`, which a signal interrupts."""
    try:
        return run_interruptible(main)
    except SignInFailed as error:
        if error.hint != SignInFailed.default_hint:
            raise
        # Nothing tries again once this process has ended.
        raise SignInFailed(error.detail, hint="Try again; `ul-proxy check` says what is in the way.") from error


@asynccontextmanager
async def open_cognito(options: ServeOptions) -> AsyncIterator[Cognito]:
    """The client for Cognito; raises SettingsError."""
    try:
        cognito = Cognito(
            clock=SystemClock(),
            random=secrets.token_bytes,
            draw=random.random,
            policy=options.renewal,
            timeout=options.timeouts.auth,
            outbound=options.outbound,
            ca_file=options.ca_file,
        )
    except OSError as error:
        raise SettingsError(
            f"upstreams.ca_file: {options.ca_file} cannot be used ({error.strerror or error})",
            hint="Check the path: it names a file with certificates in PEM.",
        ) from None
    try:
        yield cognito
    finally:
        await cognito.close()


@asynccontextmanager
async def open_manager(options: ServeOptions, profile: Profile, cognito: Cognito) -> AsyncIterator[TokenManager]:
    """Open a manager of the profile's token, on the session that is kept."""
    clock = SystemClock()
    # Where another process has just used a one-time code, the next one has to be waited for.
    patience = options.timeouts.auth + (0.0 if profile.totp_secret is None else totp.PERIOD)
    tokens = TokenManager(
        cognito,
        {profile.name: profile},
        ProfileStores(options.token_store, state_home=options.state_home, clock=clock).of,
        Terms(clock, random.random, options.renewal, patience),
    )
    try:
        yield tokens
    except SignInTimeout as error:
        # Nothing goes on once this process has ended.
        raise SignInTimeout(error.detail, hint="Try again, or raise timeouts.auth.") from None
    finally:
        await tokens.close()


async def current_token(options: ServeOptions, profile: Profile, cognito: Cognito) -> Token:
    """A good token: of the session that is kept, which then is renewed, else of a sign-in. Raises a CredentialError."""
    async with open_manager(options, profile, cognito) as tokens:
        if profile.login_lacks and not await tokens.has_session(profile.name):
            raise nobody(profile)
        return await tokens.get(profile.name)


def nobody(profile: Profile) -> LoginRequired:
    """There is neither a login nor a session."""
    instead = "" if profile.personal_access_token is None else ": it sends its personal access token"
    return LoginRequired(
        f"nobody is signed in as profile {profile.name}{instead}",
        hint=f"Run {login_command(profile.name)}, or set {variables(profile.login_lacks, profile.name)}.",
    )


def log_to_stderr(loaded: Loaded) -> None:
    """stdout is for what the command was asked for."""
    debug = loaded.settings.log_level == "debug"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter())
    logging.getLogger().handlers[:] = [handler]
    log = logging.getLogger("proxy")
    log.setLevel(logging.DEBUG if debug else logging.WARNING)
    if not debug:
        logging.getLogger(_MANAGER).setLevel(logging.CRITICAL)
    for warning in loaded.warnings:
        log.warning(warning)
