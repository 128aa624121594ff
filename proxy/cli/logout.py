"""`ul-proxy logout`: the session ends, at Cognito and here."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from proxy.cli.account import ASKING, open_cognito, prepare, run_to_end
from proxy.cli.limits import leave_no_core
from proxy.cli.progress import Waiting
from proxy.cli.streams import put_out
from proxy.clock import SystemClock
from proxy.errors import CredentialError
from proxy.identity.profile import Profile
from proxy.identity.stores.opening import open_store
from proxy.settings.options import ServeOptions


def run(flags: Mapping[str, Any], config: str | None, *, profile: str) -> int:
    leave_no_core()
    options, chosen = prepare(flags, config, profile)
    return run_to_end(_logout(options, chosen))


async def _logout(options: ServeOptions, profile: Profile) -> int:
    spec = profile.token_store or options.token_store
    store = open_store(spec, state_home=options.state_home, clock=SystemClock(), always=True)
    # Whoever the settings name by now: what is kept is to go.
    anybody = replace(profile, username=None)
    failure: CredentialError | None = None
    async with open_cognito(options) as cognito, store.exclusive(anybody):
        session = await store.load(anybody)
        if session is not None and session.refresh_token is not None:
            try:
                with Waiting(ASKING):
                    await cognito.revoke(anybody, session.refresh_token)
            except CredentialError as error:
                failure = error
        await store.forget(anybody)
    if session is None:
        put_out(f"Nothing was kept for profile {profile.name}.")
    elif failure is None:
        put_out(f"Signed out: the session of profile {profile.name} has ended, and nothing of it is kept.")
    else:
        print(
            f"ul-proxy: the session of profile {profile.name} is forgotten here, but Cognito could not be told that it"
            f" has ended: {failure.detail}. It ends by itself, in 30 days as a rule.",
            file=sys.stderr,
        )
    return 0 if failure is None else 1
