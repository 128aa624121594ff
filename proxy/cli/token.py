"""`ul-proxy token`: one good token on stdout, and nothing else."""

from collections.abc import Mapping
from typing import Any

from proxy.cli.account import ASKING, current_token, open_cognito, prepare, run_to_end
from proxy.cli.limits import leave_no_core
from proxy.cli.progress import Waiting
from proxy.cli.streams import put_out
from proxy.identity.profile import Profile
from proxy.settings.options import ServeOptions


def run(flags: Mapping[str, Any], config: str | None, *, profile: str, kind: str) -> int:
    leave_no_core()
    options, chosen = prepare(flags, config, profile)
    return run_to_end(_print_token(options, chosen, kind))


async def _print_token(options: ServeOptions, profile: Profile, kind: str) -> int:
    async with open_cognito(options) as cognito:
        with Waiting(ASKING):
            token = await current_token(options, profile, cognito)
    put_out((token.id_token if kind == "id" else token.access_token).get_secret_value())
    return 0
