"""`ul-proxy login`: a sign-in with a person at the terminal, and a session that is kept."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from proxy.cli.account import ASKING, open_cognito, prepare, run_to_end
from proxy.cli.limits import leave_no_core
from proxy.cli.lines import Lines
from proxy.cli.progress import Waiting
from proxy.cli.streams import put_out
from proxy.cli.terminal import Terminal, missing
from proxy.clock import SystemClock
from proxy.errors import CredentialError, SettingsError, SignInFailed, StoreFailed
from proxy.identity.cognito.flows import Cognito
from proxy.identity.issued import Token
from proxy.identity.profile import Profile
from proxy.identity.stores.base import Store
from proxy.identity.stores.memory import MemoryStore
from proxy.identity.stores.opening import open_store
from proxy.observe.logs import printable
from proxy.settings.options import ServeOptions

_NAMES = {"username": "the user name", "password": "the password"}


def run(flags: Mapping[str, Any], config: str | None, *, profile: str, no_input: bool) -> int:
    leave_no_core()
    options, chosen = prepare(flags, config, profile)
    return run_to_end(_login(options, chosen, ask=not no_input))


async def _login(options: ServeOptions, profile: Profile, *, ask: bool) -> int:
    spec = profile.token_store or options.token_store
    store = open_store(spec, state_home=options.state_home, clock=SystemClock(), always=True)
    if isinstance(store, MemoryStore):
        raise SettingsError(
            "token_store is memory, so there is nowhere to keep a session", hint="Set it to auto, keyring or file:PATH."
        )
    if not ask and profile.login_lacks:
        needed = " and ".join(_NAMES[name] for name in profile.login_lacks)
        raise missing(needed, profile.login_lacks, profile.name)
    progress = Waiting(ASKING)
    lines = Lines(sys.stdin.fileno() if sys.stdin is not None else None)
    person = Terminal(lines, sys.stderr, profile.name, progress) if ask else None
    async with open_cognito(options) as cognito:
        before = await store.load(profile)
        with progress:
            token = await cognito.sign_in(profile, person, device=before.device if before else None)
        given = person.given if person is not None and person.given else profile.username
        await _keep(store, replace(profile, username=given), token, cognito)
    put_out(_summary(token, store, profile))
    return 0


async def _keep(store: Store, profile: Profile, token: Token, cognito: Cognito) -> None:
    """Save the session; where that fails, or is interrupted, nothing is left of it anywhere."""
    if token.refresh_token is None:
        raise SignInFailed("Cognito issued no refresh token, so there is nothing to keep", hint="")
    saving = asyncio.create_task(_save(store, profile, token))
    try:
        await asyncio.shield(saving)
    except (StoreFailed, asyncio.CancelledError):
        with suppress(StoreFailed):
            await saving
            await store.forget(profile)
        with suppress(CredentialError):
            await cognito.revoke(profile, token.refresh_token)
        raise


async def _save(store: Store, profile: Profile, token: Token) -> None:
    async with store.exclusive(profile):
        await store.save(profile, token.session)


def _summary(token: Token, store: Store, profile: Profile) -> str:
    """Who is signed in, where that is kept, and until when."""
    who = printable(str(token.claims.get("email") or token.username))
    ends = datetime.fromtimestamp(token.arrived.wall + token.lifetime).astimezone()
    lines = [
        f"Signed in as {who}, profile {profile.name}.",
        f"The session is kept in {store.where}: `ul-proxy serve` needs no password now.",
        f"Its token is good until {ends:%H:%M}, and is renewed for as long as Cognito keeps the session.",
    ]
    if profile.personal_access_token is not None:
        lines.append("personal_access_token is set, though: requests go out with that.")
    return "\n".join(lines)
