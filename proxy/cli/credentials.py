"""`ul-proxy credentials`: AWS credentials for the `credential_process` of AWS's own tools."""

import json
from collections.abc import Mapping
from typing import Any

from proxy.cli.account import ASKING, current_token, open_cognito, prepare, run_to_end
from proxy.cli.limits import leave_no_core
from proxy.cli.progress import Waiting
from proxy.cli.streams import put_out
from proxy.identity.profile import Profile
from proxy.identity.tokens import aws_keys
from proxy.settings.options import ServeOptions


def run(flags: Mapping[str, Any], config: str | None, *, profile: str) -> int:
    leave_no_core()
    options, chosen = prepare(flags, config, profile)
    return run_to_end(_print_credentials(options, chosen))


async def _print_credentials(options: ServeOptions, profile: Profile) -> int:
    async with open_cognito(options) as cognito:
        with Waiting(ASKING):
            token = await current_token(options, profile, cognito)
            credentials = await cognito.aws_credentials(profile, token.id_token)
    put_out(json.dumps(aws_keys.process_document(credentials)))
    return 0
