"""The commands that act with a session, as processes: what is on stdout, what is not, and how they end."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.account import ALIAS, CLIENT_SECRET, REAL_NAME, TOTP_SECRET
from support.commands import Outcome
from support.desk import Desk
from support.interruptions import interruptions
from support.origin import Origin
from support.served import url_of
from support.stack import PASSWORD, closing, options_for, talk, timeouts

from proxy.cli.account import current_token, open_cognito
from proxy.demo.cognito import EmbeddedCognito
from proxy.errors import SignInTimeout

LOGIN = {"UL_PROXY_USERNAME": ALIAS, "UL_PROXY_PASSWORD": PASSWORD}
RENEWAL = "GetTokensFromRefreshToken"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def at_once(desk: Desk, *commands: str) -> list[Outcome]:
    return await asyncio.gather(*(desk.run(*command.split()) for command in commands))


async def in_a_shell(line: str, desk: Desk, **env: str) -> tuple[int, str]:
    """The exit status and the output of a line of shell, in which `ul-proxy` is the command."""
    line = line.replace("ul-proxy", f"{sys.executable} -m proxy")
    done = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", line],
        env=desk.env | env,
        cwd=desk.folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode()


async def test_what_was_asked_for_and_nothing_else(desk: Desk) -> None:
    """One line on stdout and nothing beside it; the session that login kept is renewed by each process in its turn,
    also where a replaced token is dead at once and the app client has a secret."""
    desk.configure(rotation=True, client_secret=CLIENT_SECRET)
    desk.env["UL_PROXY_COGNITO__CLIENT_SECRET"] = CLIENT_SECRET
    await desk.keep_session()
    outcomes = await at_once(desk, "token", "token --kind access", "credentials")
    assert [(outcome.status, outcome.err, outcome.out.count("\n")) for outcome in outcomes] == [(0, "", 1)] * 3
    one, other, credentials = (outcome.out.removesuffix("\n") for outcome in outcomes)
    assert desk.cognito.pool.verify(one, use="id")["cognito:username"] == REAL_NAME
    assert desk.cognito.pool.verify(other, use="access")["username"] == REAL_NAME
    document = json.loads(credentials)
    assert document.keys() == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert document["Version"] == 1
    assert datetime.fromisoformat(document["Expiration"]) > datetime.now(UTC)
    assert (desk.cognito.counts["InitiateAuth"], desk.cognito.counts[RENEWAL]) == (1, 3)
    assert not desk.cognito.refusals


async def test_with_streams_closed(desk: Desk) -> None:
    """Nobody need type or hear of trouble. A login in the settings is enough, authenticator and all: none is kept."""
    desk.user.totp_secret = TOTP_SECRET
    status, out = await in_a_shell("ul-proxy token <&- 2>&-", desk, **LOGIN, UL_PROXY_TOTP_SECRET=TOTP_SECRET)
    assert status == 0
    assert desk.cognito.verify(out.removesuffix("\n"))
    assert not desk.session_kept


@pytest.mark.parametrize(
    ("redirected", "reason"),
    [
        (">&-", "stdout is closed, so there is nowhere to print to."),
        pytest.param(
            ">/dev/full",
            "stdout cannot be written to: ",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full"),
        ),
    ],
)
async def test_with_nowhere_to_print(redirected: str, reason: str, desk: Desk) -> None:
    """What nobody can have got is not said to have been printed."""
    status, err = await in_a_shell(f"ul-proxy token 2>&1 {redirected}", desk, **LOGIN)
    assert status == 1
    assert err.startswith(f"ul-proxy: {reason}")
    assert len(err.splitlines()) == 1


async def test_nobody_is_signed_in(desk: Desk) -> None:
    """Nothing on stdout, a status that says so, and a sentence with what to do; Cognito is not asked."""
    for outcome in await at_once(desk, "token", "credentials"):
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err == (
            "ul-proxy: nobody is signed in as profile default. Run `ul-proxy login`, or set UL_PROXY_USERNAME and"
            " UL_PROXY_PASSWORD.\n"
        )
    assert not desk.cognito.counts


@pytest.mark.parametrize(
    ("command", "env", "said"),
    [
        ("token", {"UL_PROXY_PASSWORD": "wrong"}, "Cognito refused the user name or password. Correct UL_PROXY_USER"),
        (
            "credentials",
            {"UL_PROXY_COGNITO__IDENTITY_POOL_ID": "ap-southeast-2:00000000-0000-0000-0000-000000000000"},
            "there is no such identity pool. Check cognito.identity_pool_id",
        ),
    ],
)
async def test_trouble(command: str, env: dict[str, str], said: str, desk: Desk) -> None:
    """Whatever stands in the way is one sentence on stderr, and stdout stays empty."""
    outcome = await desk.run(command, **LOGIN | env)
    assert (outcome.status, outcome.out) == (1, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


@interruptions
async def test_interrupted(number: signal.Signals, launcher: Sequence[str], desk: Desk) -> None:
    """A signal while Cognito keeps one waiting: a status that says so, and nothing on stdout."""
    desk.cognito.faults.hold()
    process = await asyncio.create_subprocess_exec(
        *launcher,
        *(sys.executable, "-m", "proxy", "token"),
        env=desk.env | LOGIN,
        cwd=desk.folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        while not desk.cognito.counts:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        process.send_signal(number)
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err == b"\nul-proxy: interrupted: there is no token.\n"


async def test_login_then_serve_then_logout(desk: Desk, origin: Origin) -> None:
    """After login no password is needed; after logout nothing works any more, and each says why."""
    desk.env |= {"UL_PROXY_UPSTREAMS__REST": origin.url}
    await desk.keep_session()
    async with desk.serve() as served:
        url = await url_of(served)
        assert status_of(await talk(url, closing("GET", "/v1/job"))) == 200
        (token,) = origin.requests[0].values(b"X-Amz-Cognito-Security-Token")
        assert desk.cognito.verify(token.decode())["cognito:username"] == REAL_NAME

        outcome = await desk.run("logout")
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out == "Signed out: the session of profile default has ended, and nothing of it is kept.\n"
        # The token that is out is good for its hour.
        assert status_of(await talk(url, closing("GET", "/-/ready"))) == 200
    assert desk.cognito.counts["RevokeToken"] == 1
    for outcome in await at_once(desk, "token", "credentials"):
        assert (outcome.status, outcome.out) == (1, "")
    async with desk.serve() as served:
        answer = await talk(await url_of(served), closing("GET", "/v1/job"))
        assert status_of(answer) == 503
        assert b"Run `ul-proxy login`" in answer
    outcome = await desk.run("logout")
    assert (outcome.status, outcome.out) == (0, "Nothing was kept for profile default.\n")
    assert desk.cognito.counts["InitiateAuth"] == 1


async def test_logout_without_cognito(desk: Desk) -> None:
    """The session is forgotten here all the same, and somebody hears that Cognito was not told."""
    await desk.keep_session()
    desk.cognito.faults.drop(operation="RevokeToken")
    outcome = await desk.run("logout")
    assert (outcome.status, outcome.out) == (1, "")
    assert "is forgotten here, but Cognito could not be told" in outcome.err
    assert (await desk.run("token")).err.startswith("ul-proxy: nobody is signed in")


async def test_status(desk: Desk) -> None:
    """A table for people, JSON for machines, over a Unix socket too; the client token comes from the settings."""
    desk.env["UL_PROXY_LISTEN"] = f"unix:{desk.folder}/s"
    await desk.keep_session()
    async with desk.serve(UL_PROXY_CLIENT_TOKEN="client-token-of-some-length") as served, asyncio.timeout(60):
        await served.line("renewed: profile default")
        desk.env["UL_PROXY_CLIENT_TOKEN"] = "client-token-of-some-length"
        table, document, elsewhere = await at_once(desk, "status", "status --json", "status --url unix:/nowhere/s")
        del desk.env["UL_PROXY_CLIENT_TOKEN"]
        refused = await desk.run("status")
    assert (table.status, table.err) == (0, "")
    first, _, headings, row = table.out.splitlines()
    assert f"at unix:{desk.folder}/s: ready, up for" in first
    assert headings.startswith("profile  state  signed in as")
    assert row.split()[:3] == ["default", "fresh", ALIAS]
    assert json.loads(document.out)["profiles"]["default"]["renewals"] == 1
    assert (elsewhere.status, elsewhere.out) == (1, "")
    assert "no proxy runs at unix:/nowhere/s. Start one with `ul-proxy serve`" in elsewhere.err
    assert (refused.status, refused.out) == (1, "")
    assert "refuses: the request presents no client token. Set UL_PROXY_CLIENT_TOKEN" in refused.err


async def test_who_has_waited_long_enough(cognito: EmbeddedCognito, cognito_url: str) -> None:
    """Nothing goes on after a command: it says to try again, not that the sign-in goes on."""
    options = options_for(cognito_url, "http://127.0.0.1:9", timeouts=timeouts(auth=0.2))
    cognito.faults.hold()
    async with open_cognito(options) as client:
        with pytest.raises(SignInTimeout) as caught:
            await current_token(options, options.profile, client)
    assert caught.value.hint == "Try again, or raise timeouts.auth."
