"""What the commands are, and what their help says beyond the flags."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.identity.profile import DEFAULT_PROFILE
from proxy.settings.quantities import duration


@dataclass(frozen=True, slots=True)
class Option:
    """A flag of one command, which is no setting, or a word without dashes. `form` is what argparse is told of it."""

    flag: str
    help: str
    form: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The parameter of the command's `run`."""
        return self.flag.removeprefix("--").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Command:
    """A command, in the module of `proxy.cli` that has its name."""

    summary: str
    text: str = ""
    """What there is to know, and examples."""
    options: tuple[Option, ...] = ()
    settings: tuple[str, ...] | None = None
    """The settings, and sections of settings, that it has flags for; None for all."""
    ignored: tuple[str, ...] = ()
    """Those among all that would have no effect."""


def _seconds(text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _limit(meaning: str) -> Option:
    form = {"metavar": "DURATION", "type": _seconds, "default": _MOST}
    return Option("--max", f"{meaning} (default: {_MOST})", form)


_MOST = "30s"
_PROFILE = Option("--profile", "the profile to act as", {"metavar": "NAME", "default": DEFAULT_PROFILE})
_URL = Option(
    "--url",
    "where the proxy is, http(s)://HOST:PORT or unix:/path, if not where the settings say",
    {"metavar": "URL"},
)
_ASKING = ("listen", "admin_listen", "port_file", "tls_cert", "log_level")
_SIGNING_IN = ("username", "cognito", "upstreams.ca_file", "token_store", "timeouts.auth", "log_level")

COMMANDS: Mapping[str, Command] = {
    "serve": Command(
        "run the proxy (also what a bare ul-proxy does)",
        """\
Signs in, listens, and sends on to Unleash Live whatever it is sent, with the right credential added, until Ctrl-C or
SIGTERM. Point a tool at http://127.0.0.1:8080 instead of https://api.unleashlive.com.

  ul-proxy serve                                        # with the session that ul-proxy login has kept
  UL_PROXY_USERNAME=me@example.com UL_PROXY_PASSWORD_FILE=pw ul-proxy serve
  ul-proxy serve --listen 127.0.0.1:9000
  ul-proxy serve --listen unix:/tmp/ul-proxy.sock       # which only you can open
  ul-proxy serve --read-only --deny '* /v1/analytics/**'

In another shell:

  curl http://127.0.0.1:8080/v1/job
  curl http://127.0.0.1:8080/graphql -H 'content-type: application/json' -d '{"query":"{ __typename }"}'
  curl http://127.0.0.1:8080/-/ready

and in a browser, to see requests as they come: http://127.0.0.1:8080/-/

Exit status: 0 ended by a signal, 1 it could not start, 2 unusable arguments or settings.
""",
    ),
    "demo": Command(
        "an offline sandbox: an embedded Cognito and API with the proxy in front",
        """\
Needs no account, no password and no network: nothing real is asked, whatever the settings say, which must be readable
all the same. It prints lines to paste into another shell, one for each surface of Unleash Live.

  ul-proxy demo
  ul-proxy demo --listen 127.0.0.1:8123                 # where port 8080 is taken

Ctrl-C ends it, and nothing is kept. Exit status: 0 ended by a signal, 1 it could not start, 2 unusable arguments.
""",
        ignored=("username", "cognito", "upstreams", "token_store"),
    ),
    "login": Command(
        "sign in on this terminal, whatever Cognito asks, and keep the session",
        """\
Asks for the user name and the password, unless the settings have them, and for whatever Cognito wants besides: codes,
a new password, an authenticator app. What is kept afterwards is the session, never the password: `serve`, `token` and
`credentials` then need none.

  ul-proxy login
  ul-proxy login --profile survey
  UL_PROXY_USERNAME=me@example.com UL_PROXY_PASSWORD_FILE=pw ul-proxy login --no-input

The session goes where token_store says. By default that is the keyring where the library for it is installed and
works, else a file in $XDG_STATE_HOME/ul-proxy that only you can read.

Exit status: 0 signed in, 1 not signed in and nothing kept, 2 unusable arguments or settings.
""",
        (
            _PROFILE,
            Option("--no-input", "ask nothing: fail where the settings do not say it all", {"action": "store_true"}),
        ),
        _SIGNING_IN,
    ),
    "logout": Command(
        "end the session that login has kept, and forget it",
        """\
Cognito is told that the session is over; whoever still has its refresh token can do nothing with it. A token that is
out already stays good until it ends, within the hour.

  ul-proxy logout
  ul-proxy logout --profile survey

Exit status: 0 where nothing is left, 1 where the session was forgotten here but Cognito could not be told.
""",
        (_PROFILE,),
        _SIGNING_IN,
    ),
    "token": Command(
        "print a good token, and nothing else",
        """\
Renews the session that `ul-proxy login` has kept; where there is none, signs in with the password of the settings.

  curl -H "X-Amz-Cognito-Security-Token: $(ul-proxy token)" https://api.unleashlive.com/v1/job
  ul-proxy token --kind access --profile survey

Exit status: 0 and the token on stdout, or 1, nothing on stdout and the reason on stderr.
""",
        (
            _PROFILE,
            Option(
                "--kind",
                "which one: Unleash Live wants the ID token",
                {"choices": ("id", "access"), "default": "id"},
            ),
        ),
        _SIGNING_IN,
    ),
    "credentials": Command(
        "print temporary AWS credentials of the identity pool, as credential_process wants them",
        """\
AWS's own tools run it by themselves. In ~/.aws/config:

  [profile unleash]
  region = ap-southeast-2
  credential_process = ul-proxy credentials

Then:

  aws --profile unleash s3 cp flight.mp4 s3://library-upload-syd-cloud/IDENTITY_ID/UUID/flight.mp4 \\
      --metadata name=flight.mp4,location=FOLDER

IDENTITY_ID is identityId in `ul-proxy status --json`, and UUID any new one.

Exit status: 0 and the JSON on stdout, or 1, nothing on stdout and the reason on stderr.
""",
        (_PROFILE,),
        _SIGNING_IN,
    ),
    "status": Command(
        "what the running proxy says of itself",
        """\
Asks the proxy that listens where the settings say: at admin_listen where that is set, else at listen. The client token
comes from the settings, too. What is told is who is signed in, how long the token is good, what went wrong last and
how to mend it; never a token.

  ul-proxy status
  ul-proxy status --json | jq .profiles.default.state
  ul-proxy status --url unix:/run/ul-proxy.sock

Exit status: 0 where a proxy answers, 1 where none does, 2 unusable arguments or settings.
""",
        (Option("--json", "print what the proxy answers, as it is", {"action": "store_true"}), _URL),
        _ASKING,
    ),
    "wait": Command(
        "return as soon as the running proxy is ready",
        """\
Ready is what /-/ready says: there is a credential to send, and the proxy is not draining. It is asked every 50 ms,
until it is, or until --max has passed. A proxy that does not run yet is waited for, too; so is one that needs a person,
who may be running `ul-proxy login` at this moment. A proxy that refuses to tell, for want of the client token say, is
not.

  ul-proxy serve & ul-proxy wait && ./my-tool
  ul-proxy wait --max 5m --url http://127.0.0.1:9000
  ul-proxy wait --max 2s --json || exit 1
  HEALTHCHECK CMD ["ul-proxy", "wait", "--max", "2s"]

With --json, one line: {"ready": false, "url": …, "seconds": 2.0, "code": "login_required", "detail": …, "hint": …};
code is "not_running" where no proxy answers, else that of the errors of the proxy.

Exit status: 0 ready, 1 not ready, with the last reason, 2 unusable arguments or settings.
""",
        (
            _limit("how long to wait"),
            Option("--profile", "whose credential to wait for", {"metavar": "NAME", "default": DEFAULT_PROFILE}),
            Option("--json", "print the outcome for scripts, on stdout", {"action": "store_true"}),
            _URL,
        ),
        _ASKING,
    ),
    "stop": Command(
        "have the running proxy drain and end",
        """\
Asks with POST /-/stop, which a proxy obeys whose enable_stop is true, and waits until it has ended: it takes no new
requests, lets those under way finish within timeouts.drain, and exits with 0. Without enable_stop, SIGTERM does the
same.

  UL_PROXY_ENABLE_STOP=true ul-proxy serve & ul-proxy wait && ./my-job; ul-proxy stop
  ul-proxy stop --max 2m --url unix:/run/ul-proxy.sock
  curl -X POST http://127.0.0.1:8080/-/stop

Exit status: 0 it has ended, 1 it has not, or none runs, 2 unusable arguments or settings.
""",
        (_limit("how long to wait for its end"), _URL),
        _ASKING,
    ),
    "check": Command(
        "walk the whole way, and say what is wrong with it and how to mend it",
        """\
Goes from the settings over names, connections, the outbound proxy, TLS, the clock and the sign-in to every upstream,
where it asks for something harmless. Each hop has a line with its time, what was found and, where it failed, the fix.
What depends on a hop that failed is not tried; everything else is. It says as well where the proxy would listen, and
whether that address is free. It needs no running proxy, and does not disturb one.

  ul-proxy check
  ul-proxy check --profile survey
  ul-proxy check --json | jq -r '.hops[] | select(.state == "fail") | .fix'
  HTTPS_PROXY=http://proxy.example.com:3128 ul-proxy check

At most one sign-in is made, so that a wrong password locks nobody out; a session that `ul-proxy login` has kept is
renewed instead. No token, password or key is shown: the output can be sent to whoever helps.

Exit status: 0 all is well, 1 a hop failed, 2 unusable arguments or settings.
""",
        (
            Option("--profile", "the profile to check", {"metavar": "NAME", "default": DEFAULT_PROFILE}),
            Option("--json", "print one JSON document, for scripts", {"action": "store_true"}),
        ),
        ("listen", "username", "cognito", "upstreams", "token_store", "timeouts", "log_level"),
    ),
    "completion": Command(
        "print a script that completes commands and flags when TAB is pressed",
        """\
For the shell that is open:

  eval "$(ul-proxy completion bash)"
  source <(ul-proxy completion zsh)
  ul-proxy completion fish | source

For all of them from now on:

  ul-proxy completion bash > ~/.local/share/bash-completion/completions/ul-proxy
  ul-proxy completion zsh > ~/.zfunc/_ul-proxy      # with fpath=(~/.zfunc $fpath) in ~/.zshrc, before compinit
  ul-proxy completion fish > ~/.config/fish/completions/ul-proxy.fish

Commands, flags, their choices, files and the names of profiles in the config file are completed. The script is whole:
it starts no program but sed. After an update of ul-proxy, make it again.
""",
        (Option("shell", "the shell that is to learn it", {"choices": ("bash", "zsh", "fish")}),),
        settings=(),
    ),
    "config": Command(
        "print the effective settings, secrets masked, and where each came from",
        """\
Reads what `serve` would read, and asks nobody. A setting that has no effect, such as a variable with a mistake in its
name, is warned of at the end.

  ul-proxy config
  UL_PROXY_LISTEN=127.0.0.1:9000 ul-proxy config | grep listen
  ul-proxy config --json | jq '.settings["timeouts.idle"]'

With --json: {"config": FILE or null, "settings": {NAME: {"value": …, "source": …}}, "warnings": […]}. Durations are in
seconds, sizes in bytes; a secret that is set is "********", one that is not null.

Exit status: 0, or 2 where `serve` could not use the settings either.
""",
        (Option("--json", "print all of it for scripts", {"action": "store_true"}),),
    ),
}
