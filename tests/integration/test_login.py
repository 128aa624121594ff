"""`ul-proxy login` on a real pseudo-terminal, against the embedded Cognito: every question, and every way out."""

import asyncio
import fcntl
import json
import re
import signal
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import segno
from pydantic import SecretStr
from support.account import ALIAS, CLIENT_SECRET, TOTP_SECRET
from support.desk import Desk
from support.interruptions import BACKGROUND
from support.screen import CTRL_C, CTRL_D, OURS, PATIENCE, Screen, terminal
from support.stack import PASSWORD

from proxy.identity.cognito import totp

NEW_PASSWORD = "Another-Horse-7"
NOTHING_KEPT = "nobody is signed in, and nothing was kept."


async def give_login(screen: Screen, password: str = PASSWORD) -> None:
    await screen.sees("User name or e-mail address: ")
    screen.types(ALIAS)
    await screen.sees(f"Password of {ALIAS}: ")
    screen.types(password)


async def signed_in(screen: Screen, desk: Desk) -> None:
    """It ends well, and a session is kept."""
    await screen.sees(f"Signed in as {ALIAS}, profile default.")
    assert await screen.ended() == 0
    assert desk.session_kept


# ---- what is asked


async def test_login_and_password(desk: Desk) -> None:
    """Both are asked for, the password without an echo; at the end it says who, where, and until when."""
    async with desk.login() as screen:
        await screen.sees("User name or e-mail address: ")
        echoed_before = screen.echoes
        screen.types(ALIAS)
        await screen.sees(f"Password of {ALIAS}: ")
        assert (echoed_before, screen.echoes) == (True, False)
        screen.types(PASSWORD)
        await signed_in(screen, desk)
    assert PASSWORD not in screen.text
    file = desk.folder / "state" / "ul-proxy" / "sessions.json"
    assert f"The session is kept in the file {file}" in screen.text
    assert re.search(r"Its token is good until \d\d:\d\d,", screen.text)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in file.read_text()


async def test_an_empty_answer_is_asked_again(desk: Desk) -> None:
    """Return alone answers nothing."""
    async with desk.login() as screen:
        await screen.sees("User name or e-mail address: ")
        screen.types("")
        await give_login(screen)
        await signed_in(screen, desk)


async def test_what_the_settings_say_is_not_asked(desk: Desk) -> None:
    """With a user name and a password in the settings, nothing is asked."""
    async with desk.login(UL_PROXY_USERNAME=ALIAS, UL_PROXY_PASSWORD=PASSWORD) as screen:
        await signed_in(screen, desk)
    assert "Password of" not in screen.text


async def test_a_wrong_password(desk: Desk) -> None:
    """A wrong password is asked for again, and three of them end it."""
    async with desk.login() as screen:
        await give_login(screen, "wrong")
        await screen.sees(f"That user name or password is wrong.\nPassword of {ALIAS}: ")
        screen.types(PASSWORD)
        await signed_in(screen, desk)
    (desk.folder / "state" / "ul-proxy" / "sessions.json").unlink()
    async with desk.login() as screen:
        await give_login(screen, "wrong")
        for _ in range(2):
            await screen.sees(f"Password of {ALIAS}: ")
            screen.types("wrong")
        assert await screen.ended() == 1
    assert not desk.session_kept


@pytest.mark.parametrize(
    ("factor", "question"),
    [
        ("SMS_MFA", "Code sent by SMS to +*******0156: "),
        ("EMAIL_OTP", "Code sent by e-mail to p***@e***: "),
        ("SOFTWARE_TOKEN_MFA", "Code that your authenticator app shows: "),
    ],
)
async def test_a_code(factor: str, question: str, desk: Desk) -> None:
    """A code is asked for with where it went; a wrong one is asked for again."""
    desk.user.challenge, desk.user.totp_secret = factor, TOTP_SECRET
    async with desk.login() as screen:
        await give_login(screen)
        await screen.sees(question)
        screen.types("000000")
        await screen.sees(f"That code is wrong.\n{question}")
        screen.types(desk.app_code() if factor == "SOFTWARE_TOKEN_MFA" else desk.newest_code)
        await signed_in(screen, desk)


async def test_a_code_that_was_used(desk: Desk) -> None:
    """An authenticator's code that was used before is told from a wrong one."""
    desk.user.totp_secret = TOTP_SECRET
    now = time.time()
    desk.cognito.pool.now = lambda: now
    code = totp.code(totp.parse_secret(SecretStr(TOTP_SECRET)), totp.step_at(now))
    for again in (False, True):
        async with desk.login() as screen:
            await give_login(screen)
            await screen.sees("authenticator app shows: ")
            screen.types(code)
            if again:
                await screen.sees("That code was used before, or came too late: wait for the next one.")
                screen.presses(CTRL_C)
                assert await screen.ended() == 1
            else:
                await signed_in(screen, desk)


async def test_totp_secret_answers(desk: Desk) -> None:
    """With `totp_secret` in the settings nobody is asked for a code."""
    desk.user.totp_secret = TOTP_SECRET
    login = {"UL_PROXY_USERNAME": ALIAS, "UL_PROXY_PASSWORD": PASSWORD, "UL_PROXY_TOTP_SECRET": TOTP_SECRET.lower()}
    outcome = await desk.run("login", "--no-input", **login)
    assert outcome.status == 0
    assert desk.session_kept


async def test_a_choice_of_factors(desk: Desk) -> None:
    """Second factors are shown by number; what is none of them is asked again."""
    desk.user.totp_secret, desk.user.sms_mfa = TOTP_SECRET, True
    async with desk.login() as screen:
        await give_login(screen)
        await screen.sees("  1  your authenticator app\n  2  a code by SMS\n1 to 2: ")
        screen.types("3")
        await screen.sees("1 to 2: ")
        screen.types("2")
        await screen.sees("Code sent by SMS")
        screen.types(desk.newest_code)
        await signed_in(screen, desk)


async def test_a_new_authenticator(desk: Desk) -> None:
    """A new authenticator's secret is shown as a QR code and as text, and its first code is asked for."""
    desk.configure(mfa_required=True)
    async with desk.login() as screen:
        await give_login(screen)
        shown = await screen.sees("Code that your authenticator app shows: ")
        typed = re.search(r"type this secret into it: ([A-Z2-7 ]+)\n", shown)
        assert typed
        secret = typed[1].replace(" ", "")
        assert drawn(shown) == expected_drawing(secret)
        screen.types("000000")
        await screen.sees("That code is wrong.\nCode that your")
        screen.types(desk.app_code(secret))
        await signed_in(screen, desk)
    assert desk.user.totp_secret == secret


async def test_a_new_authenticator_on_a_plain_terminal(desk: Desk) -> None:
    """A terminal without the characters of a QR code is shown the secret alone."""
    desk.configure(mfa_required=True)
    async with desk.login(PYTHONIOENCODING="ascii") as screen:
        await give_login(screen)
        shown = await screen.sees("Code that your")
        assert "type this secret into it: " in shown
        assert drawn(shown) == []


async def test_a_new_password(desk: Desk) -> None:
    """A temporary password is replaced, typed twice and unseen; what the policy wants is said; attributes are asked."""
    desk.user.new_password_required = True
    desk.configure(required_attributes=("given_name",), code_tries=10)
    async with desk.login() as screen:
        await give_login(screen)
        await screen.sees("Your given name: ")
        screen.types("Ada")
        await screen.sees("Cognito wants a password of your own choice.\nNew password: ")
        assert not screen.echoes
        screen.types(NEW_PASSWORD)
        await screen.sees("New password again: ")
        screen.types("Another-Hose-7")
        await screen.sees("The two are not the same.\nNew password: ")
        for password in ("No-Digit-Here", NEW_PASSWORD):
            screen.types(password)
            await screen.sees("New password again: ")
            screen.types(password)
            if password != NEW_PASSWORD:
                await screen.sees("That password will not do: it needs a digit.\nNew password: ")
        await signed_in(screen, desk)
    assert (desk.user.password, desk.user.attributes["given_name"]) == (NEW_PASSWORD, "Ada")
    assert NEW_PASSWORD not in screen.text


async def test_a_password_that_must_be_reset(desk: Desk) -> None:
    """A reset is explained, and takes a code and a new password."""
    desk.user.reset_required = True
    async with desk.login() as screen:
        await give_login(screen)
        await screen.sees("Your password must be reset.\nCode sent by e-mail to p***@e***: ")
        screen.types(desk.newest_code)
        for question in ("New password: ", "New password again: "):
            await screen.sees(question)
            screen.types(NEW_PASSWORD)
        await signed_in(screen, desk)


async def test_an_account_that_was_never_confirmed(desk: Desk) -> None:
    """A confirmation is explained, and takes a code."""
    desk.user.confirmed = False
    async with desk.login() as screen:
        await give_login(screen)
        await screen.sees("Your account has not been confirmed yet.\nCode sent by e-mail to p***@e***: ")
        screen.types(desk.newest_code)
        await signed_in(screen, desk)


async def test_everything_at_once(desk: Desk) -> None:
    """A pool with a client secret, rotation and remembered devices asks nothing more, and the session renews."""
    desk.configure(client_secret=CLIENT_SECRET, rotation=True, remembers_devices=True, device_spares_mfa=True)
    desk.user.sms_mfa = True
    secret = {"UL_PROXY_COGNITO__CLIENT_SECRET": CLIENT_SECRET}
    async with desk.login(**secret) as screen:
        await give_login(screen)
        await screen.sees("Code sent by SMS")
        screen.types(desk.newest_code)
        await signed_in(screen, desk)
    for _ in range(2):
        assert (await desk.run("token", **secret)).status == 0
    async with desk.login(**secret) as screen:
        await give_login(screen)
        # The device of the session before takes the place of the code.
        await signed_in(screen, desk)
    assert "Code sent" not in screen.text


# ---- profiles


async def test_a_profile(desk: Desk) -> None:
    """Each profile has a session of its own, and hints name its own command and variables."""
    (desk.folder / "ul-proxy.toml").write_text("[profiles.survey]\n")
    async with desk.login("--profile", "survey") as screen:
        await give_login(screen)
        await screen.sees(f"Signed in as {ALIAS}, profile survey.")
        assert await screen.ended() == 0
    assert (await desk.run("token", "--profile", "survey")).status == 0
    outcome = await desk.run("token")
    assert (outcome.status, outcome.out) == (1, "")
    outcome = await desk.run("logout", "--profile", "survey")
    assert outcome.status == 0
    outcome = await desk.run("login", "--no-input", "--profile", "survey")
    assert outcome.status == 1
    assert "Run `ul-proxy login --profile survey` on a terminal" in outcome.err
    assert "UL_PROXY_PROFILES__SURVEY__USERNAME and UL_PROXY_PROFILES__SURVEY__PASSWORD" in outcome.err


@pytest.mark.parametrize("command", ["login", "logout", "token", "credentials"])
async def test_a_profile_that_there_is_not(command: str, desk: Desk) -> None:
    """An unknown profile is an unusable argument, and those that there are are named."""
    outcome = await desk.run(command, "--profile", "nobody", UL_PROXY_PROFILES__SURVEY__USERNAME="x")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("ul-proxy: there is no profile 'nobody'. There is default, survey.")


@pytest.mark.parametrize(("said", "remembered"), [("y", True), ("", False)])
async def test_a_device_that_is_remembered_if_one_likes(said: str, desk: Desk, *, remembered: bool) -> None:
    """Where the pool leaves it to the user, they are asked after the code; "no" is what return alone means."""
    desk.configure(remembers_devices=True, devices_on_prompt=True)
    desk.user.sms_mfa = True
    async with desk.login() as screen:
        await give_login(screen)
        await screen.sees("Code sent by SMS to +*******0156: ")
        screen.types(desk.newest_code)
        await screen.sees("Remember this machine, so that it needs no code next time? [y/N]: ")
        screen.types(said)
        await signed_in(screen, desk)
    (device,) = desk.cognito.pool.devices.of(desk.user)
    assert device.remembered is remembered


# ---- ways out


@pytest.mark.parametrize("where", ["user name", "password", "code"])
async def test_ctrl_c(where: str, desk: Desk) -> None:
    """Ctrl-C ends it at any question: nothing is kept, the terminal shows again what is typed, and it says so."""
    desk.user.sms_mfa = True
    async with desk.login() as screen:
        await screen.sees("User name or e-mail address: ")
        if where != "user name":
            screen.types(ALIAS)
            await screen.sees("Password of")
        if where == "code":
            screen.types(PASSWORD)
            await screen.sees("Code sent by SMS to +*******0156: ")
        screen.presses(CTRL_C)
        await screen.sees(f"interrupted: {NOTHING_KEPT}")
        echoes = screen.echoes
        assert await screen.ended() == 1
    assert echoes
    assert "Traceback" not in screen.text
    assert not desk.session_kept


async def test_ctrl_c_while_cognito_is_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be ended while Cognito keeps one waiting, too."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def wait(operation: str) -> None:
        if operation == "RespondToAuthChallenge":
            asked.set()
            await never.wait()

    monkeypatch.setattr(desk.cognito.faults, "wait", wait)
    async with desk.login() as screen:
        await give_login(screen)
        await asked.wait()
        screen.presses(CTRL_C)
        await screen.sees(f"interrupted: {NOTHING_KEPT}")
        assert await screen.ended() == 1
    assert not desk.session_kept


@pytest.mark.parametrize("launcher", [(), BACKGROUND], ids=["", "in the background"])
async def test_sigterm(launcher: Sequence[str], desk: Desk) -> None:
    """A signal that ends it leaves the terminal as it was, too, and a script sees that nobody is signed in."""
    program = (*launcher, *OURS)
    async with terminal("login", env=desk.env, cwd=desk.folder, program=program) as screen:
        await screen.sees("User name or e-mail address: ")
        screen.types(ALIAS)
        await screen.sees("Password of")
        screen.process.send_signal(signal.SIGTERM)
        await screen.sees(NOTHING_KEPT)
        assert screen.echoes
        assert await screen.ended() == 1


async def test_ctrl_d(desk: Desk) -> None:
    """The end of the input is an end with a sentence."""
    async with desk.login() as screen:
        await screen.sees("User name or e-mail address: ")
        screen.presses(CTRL_D)
        await screen.sees("the sign-in needs the user name, and there is nobody to ask.")
        assert await screen.ended() == 1
    assert not desk.session_kept


@pytest.mark.parametrize(
    ("flags", "login", "missing"),
    [
        ([], {}, "the sign-in needs the user name"),
        (["--no-input"], {}, "the sign-in needs the user name"),
        ([], {"UL_PROXY_USERNAME": ALIAS}, "the sign-in needs the password, and there is nobody to ask. Run `"),
        (
            ["--no-input"],
            {"UL_PROXY_USERNAME": ALIAS},
            "the sign-in needs the password, and there is nobody to ask. Run `",
        ),
        (["--no-input"], {"UL_PROXY_PASSWORD": PASSWORD}, "the sign-in needs the user name, and"),
    ],
    ids=["input closed", "no input", "input closed, no password", "no password", "no user name"],
)
async def test_nobody_to_ask(flags: list[str], login: dict[str, str], missing: str, desk: Desk) -> None:
    """What is missing is said in a sentence, before Cognito is asked for anything."""
    outcome = await desk.run("login", *flags, **login)
    assert (outcome.status, outcome.out) == (1, "")
    assert missing in outcome.err.splitlines()[-1]
    assert "UL_PROXY_" in outcome.err
    assert not desk.cognito.calls
    assert not desk.session_kept


@pytest.mark.parametrize("flags", [["--no-input"], []], ids=["no input", "input closed"])
async def test_nobody_to_ask_for_a_code(flags: list[str], desk: Desk) -> None:
    """A challenge that only a person can answer is named."""
    desk.user.totp_secret = TOTP_SECRET
    outcome = await desk.run("login", *flags, UL_PROXY_USERNAME=ALIAS, UL_PROXY_PASSWORD=PASSWORD)
    assert (outcome.status, outcome.out) == (1, "")
    assert "authenticator app" in outcome.err
    assert "UL_PROXY_TOTP_SECRET" in outcome.err
    assert not desk.session_kept


async def test_answers_from_a_pipe(desk: Desk) -> None:
    """A script may write the answers, one a line."""
    outcome = await desk.run("login", typed=f"{ALIAS}\n{PASSWORD}\n")
    assert outcome.status == 0
    assert outcome.out.startswith(f"Signed in as {ALIAS}, profile default.\n")
    assert outcome.err == f"User name or e-mail address: Password of {ALIAS}: \n"


async def test_nowhere_to_keep_it(desk: Desk) -> None:
    """A store that forgets is refused before anything is asked."""
    outcome = await desk.run("login", "--token-store", "memory", typed=f"{ALIAS}\n{PASSWORD}\n")
    assert (outcome.status, outcome.out) == (2, "")
    assert "token_store is memory" in outcome.err


async def test_a_session_that_cannot_be_kept(desk: Desk) -> None:
    """A session that cannot be kept is ended at Cognito again: none is left that nobody knows of."""
    # In the place of the lock that a write needs.
    (desk.folder / "s.json.lock").mkdir()
    login = {"UL_PROXY_USERNAME": ALIAS, "UL_PROXY_PASSWORD": PASSWORD}
    outcome = await desk.run("login", "--token-store", "file:s.json", **login)
    assert (outcome.status, outcome.out) == (1, "")
    assert "s.json.lock cannot be used" in outcome.err
    assert desk.cognito.counts["RevokeToken"] == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux shows the open files of a process")
async def test_ctrl_c_at_the_last_moment(desk: Desk) -> None:
    """Ctrl-C while the session is being kept undoes that, here and at Cognito."""
    lock = desk.folder / "s.json.default.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        async with desk.login("--token-store", "file:s.json") as screen:
            await give_login(screen)
            async with asyncio.timeout(PATIENCE):
                while not opens(screen.process.pid, lock):  # noqa: ASYNC110  # no event tells
                    await asyncio.sleep(0.01)
            screen.presses(CTRL_C)
            await screen.sees("^C")
            fcntl.flock(held, fcntl.LOCK_UN)
            await screen.sees(f"interrupted: {NOTHING_KEPT}")
            assert await screen.ended() == 1
    assert json.loads((desk.folder / "s.json").read_text())["sessions"] == []
    assert desk.cognito.counts["RevokeToken"] == 1


def opens(pid: int, file: Path) -> bool:
    """Whether a process has `file` open."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if link.readlink() == file:
                return True
    return False


async def test_cognito_out_of_reach(desk: Desk) -> None:
    """Trouble on the way to Cognito is told in one line, and a person is not left waiting for long."""
    desk.cognito.faults.drop(operation="InitiateAuth")
    login = {"UL_PROXY_USERNAME": ALIAS, "UL_PROXY_PASSWORD": PASSWORD}
    outcome = await desk.run("login", "--no-input", **login)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("ul-proxy: Cognito cannot be reached")
    assert outcome.err.endswith(". Try again; `ul-proxy check` says what is in the way.\n")
    assert outcome.err.count("\n") == 1


def drawn(text: str) -> list[str]:
    """The lines of a QR code on the screen, without colours."""
    return [line[len("\x1b[97;40m") : -len("\x1b[0m")] for line in text.split("\n") if line.startswith("\x1b[97;40m")]


def expected_drawing(secret: str) -> list[str]:
    """What another encoder of half blocks makes of the same code."""
    uri = f"otpauth://totp/Unleash%20Live:{ALIAS}?secret={secret}&issuer=Unleash%20Live"
    rows = [list(row) for row in segno.make(uri, error="l", micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    characters = json.loads(r'{"00": "█", "01": "▀", "10": "▄", "11": " "}')
    return [
        "".join(characters[f"{int(upper)}{int(lower)}"] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]
