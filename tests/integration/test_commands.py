"""The commands that act with a session, as processes: what is on stdout, what is not, and how they end."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.account import ALIAS, CLIENT_SECRET, REAL_NAME, TOTP_SECRET
from support.desk import Desk
from support.origin import Origin
from support.served import url_of
from support.stack import PASSWORD, closing, talk

from proxy.demo.accounts import IDENTITY_ID

LOGIN = {"UL_PROXY_USERNAME": ALIAS, "UL_PROXY_PASSWORD": PASSWORD}
RENEWAL = "GetTokensFromRefreshToken"
AWS_TOKEN = "an-aws-token-of-some-length"
PRINTERS = ("token", "credentials")


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def document_of(answer: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document


async def ask(url: str, target: str, *headers: str) -> bytes:
    return await talk(url, closing("GET", target, *headers))


# ---- what they print


@pytest.mark.parametrize(("flags", "use"), [((), "id"), (("--kind", "access"), "access")])
async def test_token_alone(flags: tuple[str, ...], use: str, desk: Desk) -> None:
    """One good token of the kind that was asked for, on a line of its own, and nothing beside it anywhere."""
    await desk.keep_session()
    outcome = await desk.run("token", *flags)
    assert (outcome.status, outcome.err) == (0, "")
    token, end = outcome.out[:-1], outcome.out[-1]
    assert end == "\n"
    assert desk.cognito.pool.verify(token, use=use)["token_use"] == use


async def test_token_renews_the_session(desk: Desk) -> None:
    """The session that login kept is renewed each time; rotation and a client secret change nothing."""
    desk.configure(rotation=True, client_secret=CLIENT_SECRET)
    desk.env["UL_PROXY_COGNITO__CLIENT_SECRET"] = CLIENT_SECRET
    await desk.keep_session()
    for _ in range(3):
        assert (await desk.run("token")).status == 0
    assert (desk.cognito.counts["InitiateAuth"], desk.cognito.counts[RENEWAL]) == (1, 3)
    assert not desk.cognito.refusals


async def test_token_without_a_session(desk: Desk) -> None:
    """A login in the settings is enough, authenticator and all, and nothing is kept of it."""
    desk.user.totp_secret = TOTP_SECRET
    outcome = await desk.run("token", **LOGIN, UL_PROXY_TOTP_SECRET=TOTP_SECRET)
    assert (outcome.status, outcome.err) == (0, "")
    assert desk.cognito.verify(outcome.out.strip())
    assert not desk.session_kept


@pytest.mark.parametrize("command", PRINTERS)
async def test_with_streams_closed(command: str, desk: Desk) -> None:
    """Nobody need type, and nobody need hear of trouble: what is opened takes no place of what is closed."""
    await desk.keep_session()
    status, out = await in_a_shell(f"{sys.executable} -m proxy {command} <&- 2>&-", desk)
    assert status == 0
    assert len(out.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "redirected", "reason"),
    [
        ("token", ">&-", "stdout is closed, so there is nowhere to print to."),
        ("credentials", ">/dev/full", "stdout cannot be written to: "),
    ],
)
async def test_with_nowhere_to_print(command: str, redirected: str, reason: str, desk: Desk) -> None:
    """What nobody can have got is not said to have been printed."""
    await desk.keep_session()
    status, err = await in_a_shell(f"{sys.executable} -m proxy {command} 2>&1 {redirected}", desk)
    assert status == 1
    assert err.startswith(f"ul-proxy: {reason}")
    assert len(err.splitlines()) == 1


async def in_a_shell(line: str, desk: Desk) -> tuple[int, str]:
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", line], env=desk.env, cwd=desk.folder, capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.decode()


async def test_credentials_document(desk: Desk) -> None:
    """One line of JSON as `credential_process` wants it, with an end in the future."""
    await desk.keep_session()
    outcome = await desk.run("credentials")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.count("\n") == 1
    document = json.loads(outcome.out)
    assert document.keys() == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert document["Version"] == 1
    assert datetime.fromisoformat(document["Expiration"]) > datetime.now(UTC)


# ---- when there is nothing to print


@pytest.mark.parametrize("command", PRINTERS)
async def test_nobody_is_signed_in(command: str, desk: Desk) -> None:
    """Nothing on stdout, a status that says so, and a sentence with what to do; Cognito is not asked."""
    outcome = await desk.run(command)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == (
        "ul-proxy: nobody is signed in as profile default. Run `ul-proxy login`, or set UL_PROXY_USERNAME and"
        " UL_PROXY_PASSWORD.\n"
    )
    assert not desk.cognito.counts


@pytest.mark.parametrize(
    ("command", "trouble", "said"),
    [
        ("token", "wrong password", "Cognito refused the user name or password. Correct UL_PROXY_USERNAME"),
        ("token", "a code by SMS", "the challenge SMS_MFA, which asks for a code sent by SMS. Run `ul-proxy login`"),
        ("token", "ended session", "Cognito does not accept the refresh token any more. Run `ul-proxy login`"),
        ("credentials", "Cognito is down", "Cognito cannot be reached"),
        ("credentials", "no identity pool", "there is no such identity pool. Check cognito.identity_pool_id"),
        ("credentials", "identity pool is down", "Cognito cannot be reached"),
    ],
)
async def test_trouble(command: str, trouble: str, said: str, desk: Desk) -> None:
    """Whatever stands in the way is one sentence on stderr, and stdout stays empty."""
    env = {"UL_PROXY_TIMEOUTS__AUTH": "2s"} | LOGIN
    match trouble:
        case "wrong password":
            env["UL_PROXY_PASSWORD"] = "wrong"
        case "a code by SMS":
            desk.user.sms_mfa = True
        case "ended session":
            await desk.keep_session()
            desk.cognito.pool.grants.revoke_all(desk.user)
            env = {}
        case "Cognito is down":
            desk.cognito.faults.drop()
        case "no identity pool":
            env["UL_PROXY_COGNITO__IDENTITY_POOL_ID"] = "ap-southeast-2:00000000-0000-0000-0000-000000000000"
        case _:
            desk.cognito.faults.drop(operation="GetId")
    outcome = await desk.run(command, **env)
    assert (outcome.status, outcome.out) == (1, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["token", "logout"])
async def test_interrupted(command: str, desk: Desk) -> None:
    """A signal while Cognito keeps one waiting: a status that says so, and nothing on stdout."""
    await desk.keep_session()
    desk.cognito.faults.hold()
    before = desk.cognito.counts.total()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        command,
        env=desk.env | LOGIN,
        cwd=desk.folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        while desk.cognito.counts.total() == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        process.terminate()
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"\nul-proxy: interrupted: ")


# ---- a session from login to logout


async def test_login_then_serve_then_logout(desk: Desk, origin: Origin) -> None:
    """After login no password is needed by anything; after logout nothing works any more, and each says why."""
    desk.env |= {"UL_PROXY_UPSTREAMS__REST": origin.url}
    await desk.keep_session()
    async with desk.serve() as served:
        url = await url_of(served)
        assert status_of(await ask(url, "/v1/job")) == 200
        (token,) = origin.requests[0].values(b"X-Amz-Cognito-Security-Token")
        assert desk.cognito.verify(token.decode())["cognito:username"] == REAL_NAME
        assert [(await desk.run(command)).status for command in PRINTERS] == [0, 0]

        outcome = await desk.run("logout")
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out == "Signed out: the session of profile default has ended, and nothing of it is kept.\n"
        assert [(await desk.run(command)).status for command in PRINTERS] == [1, 1]
        # The token that is out is good for its hour; nothing can be renewed.
        assert status_of(await ask(url, "/-/ready")) == 200
    async with desk.serve() as served:
        answer = await ask(await url_of(served), "/v1/job")
        assert status_of(answer) == 503
        assert "Run `ul-proxy login`" in document_of(answer)["hint"]
    assert desk.cognito.counts["InitiateAuth"] == 1
    assert desk.cognito.counts["RevokeToken"] == 1
    outcome = await desk.run("logout")
    assert (outcome.status, outcome.out) == (0, "Nothing was kept for profile default.\n")


async def test_a_running_proxy_after_a_logout(desk: Desk, origin: Origin) -> None:
    """Once the token of a session that was ended has run out, requests get login_required, and after a login 200."""
    desk.configure(id_lifetime=4)
    desk.env |= {"UL_PROXY_UPSTREAMS__REST": origin.url}
    await desk.keep_session()
    async with desk.serve() as served, asyncio.timeout(60):
        url = await url_of(served)
        assert status_of(await ask(url, "/v1/job")) == 200
        assert (await desk.run("logout")).status == 0
        while status_of(answer := await ask(url, "/v1/job")) == 200:
            await asyncio.sleep(0.1)
        assert document_of(answer)["code"] == "login_required"
        desk.configure(id_lifetime=3600)
        await desk.keep_session()
        while status_of(await ask(url, "/v1/job")) != 200:
            await asyncio.sleep(0.2)


async def test_logout_without_cognito(desk: Desk) -> None:
    """The session is forgotten here all the same, and somebody hears that Cognito was not told."""
    await desk.keep_session()
    desk.cognito.faults.drop(operation="RevokeToken")
    outcome = await desk.run("logout")
    assert (outcome.status, outcome.out) == (1, "")
    assert "is forgotten here, but Cognito could not be told" in outcome.err
    assert (await desk.run("token")).status == 1


async def test_two_processes_and_one_session(desk: Desk, origin: Origin) -> None:
    """A running proxy and commands beside it renew the same session in turn, where a replaced token is dead at once."""
    desk.configure(rotation=True, id_lifetime=3)
    desk.env |= {"UL_PROXY_UPSTREAMS__REST": origin.url}
    await desk.keep_session()
    async with desk.serve() as served:
        url = await url_of(served)
        for _ in range(3):
            outcome, answer = await asyncio.gather(desk.run("token"), ask(url, "/v1/job"))
            assert (outcome.status, status_of(answer)) == (0, 200)
    assert desk.cognito.counts["InitiateAuth"] == 1
    assert not desk.cognito.refusals


# ---- status


async def test_status(desk: Desk) -> None:
    """A table for people: who, how long, what last; a clock that is off is told in words."""
    desk.env["UL_PROXY_LISTEN"] = f"unix:{desk.folder}/s"
    await desk.keep_session()
    async with desk.serve() as served:
        await url_of(served)
        assert status_of(await ask_socket(desk.folder / "s", "/v1/nowhere")) in (502, 503, 504)
        outcome = await desk.run("status")
        assert (outcome.status, outcome.err) == (0, "")
        first, _, headings, row = outcome.out.splitlines()[:4]
        assert first.endswith(", 1 requests under way")
        assert f"at unix:{desk.folder}/s: ready, up for" in first
        assert headings.split("  ")[0] == "profile"
        assert row.split()[:3] == ["default", "fresh", ALIAS]
        assert row.endswith("renewed")
        told = json.loads((await desk.run("status", "--json")).out)
        assert told["profiles"]["default"]["identityId"] == IDENTITY_ID
        assert (await desk.run("status", "--url", f"unix:{desk.folder}/s")).out.startswith("ul-proxy ")


async def ask_socket(path: Path, target: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(closing("GET", target))
    answer = await reader.read()
    writer.close()
    return answer


async def test_status_with_a_client_token(desk: Desk) -> None:
    """The client token comes from the settings; without it the refusal is told, and the token is not."""
    token = "client-token-of-some-length"
    async with desk.serve(UL_PROXY_CLIENT_TOKEN=token) as served:
        url = await url_of(served)
        outcome = await desk.run("status", "--url", url, UL_PROXY_CLIENT_TOKEN=token)
        assert (outcome.status, outcome.err) == (0, "")
        assert "NOT ready" in outcome.out
        outcome = await desk.run("status", "--url", url)
        assert (outcome.status, outcome.out) == (1, "")
        assert "refuses: the request presents no client token. Send client_token's value" in outcome.err
        assert token not in outcome.err


async def test_status_of_nobody(desk: Desk, origin: Origin) -> None:
    """No proxy, something else in its place, a port that nobody knows, and an address that is none."""
    outcome = await desk.run("status", UL_PROXY_LISTEN=f"unix:{desk.folder}/none")
    assert (outcome.status, outcome.out) == (1, "")
    assert f"no proxy runs at unix:{desk.folder}/none. Start one with `ul-proxy serve`" in outcome.err
    outcome = await desk.run("status", "--url", origin.url)
    assert (outcome.status, outcome.out) == (1, "")
    assert f"what answers at {origin.url} is no ul-proxy" in outcome.err
    outcome = await desk.run("status")
    assert (outcome.status, outcome.out) == (2, "")
    assert "the proxy picked a port by itself. Tell where it is: --url http://HOST:PORT." in outcome.err
    for nonsense in ("ftp://localhost", "http://user@localhost", "localhost:8080", "http://[::1", "http://h:99999"):
        outcome = await desk.run("status", "--url", nonsense)
        assert (outcome.status, outcome.out) == (2, "")
        assert "is no address of a proxy" in outcome.err


# ---- AWS credentials of the running proxy


async def test_aws_credentials_on_the_wire(desk: Desk) -> None:
    """Whoever sends the token gets a container's credentials, of the profile of their choice, kept while they are good.

    The client token is not asked for besides: AWS's own tools can send but the one.
    """
    (desk.folder / "ul-proxy.toml").write_text("[profiles.survey]\n")
    await desk.keep_session()
    secrets = {"UL_PROXY_AWS_CREDENTIALS_TOKEN": AWS_TOKEN, "UL_PROXY_CLIENT_TOKEN": "client-token-of-some-length"}
    async with desk.serve(**secrets) as served:
        url = await url_of(served)
        answers = [await ask(url, "/-/aws-credentials", f"Authorization: {AWS_TOKEN}") for _ in range(2)]
        assert [status_of(answer) for answer in answers] == [200, 200]
        document = document_of(answers[0])
        assert document == document_of(answers[1])
        assert document.keys() == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
        assert b"Cache-Control: no-store" in answers[0]
        assert desk.cognito.counts["GetCredentialsForIdentity"] == 1

        for headers in ((), ("Authorization: wrong",), (f"Authorization: Bearer {AWS_TOKEN}",)):
            refused = await ask(url, "/-/aws-credentials", *headers)
            assert status_of(refused) == 401
            assert b"AccessKeyId" not in refused
        page = await ask(url, "/-/aws-credentials", f"Authorization: {AWS_TOKEN}", "Origin: https://evil.example")
        assert status_of(page) == 403
        # Its token opens this door alone.
        assert status_of(await ask(url, "/-/status", f"Authorization: {AWS_TOKEN}")) == 401
        answer = await ask(url, "/@survey/-/aws-credentials", f"Authorization: {AWS_TOKEN}")
        assert (status_of(answer), document_of(answer)["code"]) == (503, "credential_missing")
        served.process.terminate()
        assert (await served.ended())[0] == 0
    printed = "".join(served.printed)
    hidden = [document["SecretAccessKey"], document["Token"], *secrets.values()]
    assert not [value for value in hidden if value in printed]


async def test_no_aws_credentials_without_the_setting(desk: Desk) -> None:
    """Unless a token was agreed on there is no such door."""
    await desk.keep_session()
    async with desk.serve() as served:
        answer = await ask(await url_of(served), "/-/aws-credentials", "Authorization: x")
    assert (status_of(answer), document_of(answer)["code"]) == (404, "no_route")
