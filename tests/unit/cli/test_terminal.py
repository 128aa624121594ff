"""What a person is asked, and what is made of what they type: here through a pipe, which shows nothing anyway."""

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from proxy.cli.lines import InputEnded, Lines
from proxy.cli.progress import Waiting
from proxy.cli.terminal import Terminal
from proxy.errors import CredentialMissing
from proxy.identity.cognito.asking import CONFIRM_SIGN_UP, PASSWORD_RESET, CodeRequest, Medium, Retry


class Piped:
    """A terminal, what is typed there, and what it shows."""

    def __init__(self, profile: str = "default", encoding: str = "utf-8") -> None:
        self._read, self._write = os.pipe()
        self._raw = io.BytesIO()
        self.sink = io.TextIOWrapper(self._raw, encoding=encoding, write_through=True)
        self.terminal = Terminal(Lines(self._read), self.sink, profile, Waiting("asking", self.sink))
        self._open = True

    def types(self, *lines: str) -> "Piped":
        os.write(self._write, "".join(f"{line}\n" for line in lines).encode())
        return self

    def leaves(self) -> "Piped":
        if self._open:
            os.close(self._write)
            self._open = False
        return self

    @property
    def shown(self) -> str:
        return self._raw.getvalue().decode(self.sink.encoding)

    def close(self) -> None:
        self.leaves()
        os.close(self._read)


@pytest.fixture
def piped() -> Iterator[Piped]:
    made = Piped()
    yield made
    made.close()


class TestLines:
    async def test_one_by_one(self, piped: Piped) -> None:
        """Lines come as they are typed, however they end; the last one needs no end."""
        read, write = os.pipe()
        os.write(write, "one\r\ntwo\n\nd\u00e9j\u00e0".encode())
        os.close(write)
        lines = Lines(read)
        assert [await lines.next() for _ in range(4)] == ["one", "two", "", "d\u00e9j\u00e0"]
        with pytest.raises(InputEnded):
            await lines.next()
        os.close(read)

    async def test_a_file(self, tmp_path: Path) -> None:
        """Answers may stand in a file, which no event loop can wait for."""
        (tmp_path / "answers").write_text("one\ntwo\n")
        with (tmp_path / "answers").open() as file:
            lines = Lines(file.fileno())
            assert [await lines.next(), await lines.next()] == ["one", "two"]
            with pytest.raises(InputEnded):
                await lines.next()

    async def test_a_closed_input(self) -> None:
        """There is nothing to wait for."""
        with pytest.raises(InputEnded):
            await Lines(None).next()

    async def test_without_an_end(self) -> None:
        """Whoever sends endless bytes without a line's end is not listened to for ever."""
        with Path("/dev/zero").open("rb") as zeros:  # noqa: ASYNC230 - it never blocks
            assert len(await Lines(zeros.fileno()).next()) > 1 << 16

    async def test_given_up(self, piped: Piped) -> None:
        """Waiting can be cancelled, and what is typed later is there for whoever asks then."""
        waiting = asyncio.create_task(piped.terminal.username())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await piped.types("ada").terminal.username() == "ada"


CODES: list[tuple[dict[str, Any], str]] = [
    ({"challenge": "SMS_MFA", "medium": Medium.SMS, "destination": "+**1"}, "Code sent by SMS to +**1: "),
    ({"challenge": "EMAIL_OTP", "medium": Medium.EMAIL}, "Code sent by e-mail: "),
    ({"challenge": "SOFTWARE_TOKEN_MFA", "medium": Medium.AUTHENTICATOR}, "Code that your authenticator app shows: "),
    (
        {"challenge": "SMS_MFA", "medium": Medium.SMS, "retry": Retry.WRONG},
        "That code is wrong.\nCode sent by SMS: ",
    ),
    (
        {"challenge": "SMS_MFA", "medium": Medium.SMS, "retry": Retry.EXPIRED},
        "That code came too late. A new one is on its way.\nCode sent by SMS: ",
    ),
    (
        {"challenge": "SOFTWARE_TOKEN_MFA", "medium": Medium.AUTHENTICATOR, "retry": Retry.EXPIRED},
        "That code was used before, or came too late: wait for the next one.\nCode that your authenticator app shows: ",
    ),
    (
        {"challenge": PASSWORD_RESET, "medium": Medium.EMAIL},
        "Your password must be reset.\nCode sent by e-mail: ",
    ),
    (
        {"challenge": CONFIRM_SIGN_UP, "medium": Medium.EMAIL, "destination": "\x1b[2J"},
        "Your account has not been confirmed yet.\nCode sent by e-mail to \\x1b[2J: ",
    ),
]


class TestQuestions:
    async def test_who_it_is(self, piped: Piped) -> None:
        """A name is asked for until there is one, without the spaces around it; a password is taken as it is."""
        piped.types("", "  ", " ada ", " pass word ", "other")
        assert await piped.terminal.username() == piped.terminal.given == "ada"
        assert (await piped.terminal.password("ada", again=False)).get_secret_value() == " pass word "
        assert (await piped.terminal.password("ada", again=True)).get_secret_value() == "other"
        assert "That user name or password is wrong.\nPassword of ada: " in piped.shown
        assert "pass word" not in piped.shown

    @pytest.mark.parametrize(("request_", "shown"), CODES)
    async def test_codes(self, request_: dict[str, Any], shown: str, piped: Piped) -> None:
        """It is said where a code went and what was wrong with the last one, in printable text alone."""
        assert await piped.types("123 456").terminal.code(CodeRequest(**request_)) == "123 456"
        assert piped.shown == shown

    async def test_a_new_password(self, piped: Piped) -> None:
        """It is typed twice, until both are the same, and unseen."""
        piped.types("one", "two", "three", "three")
        chosen = await piped.terminal.new_password("NEW_PASSWORD_REQUIRED", None)
        assert chosen.get_secret_value() == "three"
        assert "Cognito wants a password of your own choice." in piped.shown
        assert "The two are not the same." in piped.shown
        assert "three" not in piped.shown

    async def test_a_new_password_that_will_not_do(self, piped: Piped) -> None:
        """What the pool's policy wants is said; after a reset nothing else is explained again."""
        piped.types("a", "a", "b", "b")
        await piped.terminal.new_password("NEW_PASSWORD_REQUIRED", "it is too short")
        assert piped.shown.startswith("That password will not do: it is too short.\nNew password: ")
        await piped.terminal.new_password(PASSWORD_RESET, None)
        assert "of your own choice" not in piped.shown

    async def test_attributes(self, piped: Piped) -> None:
        """They are called by their names, as people write them."""
        piped.types("Ada", "9")
        assert await piped.terminal.attribute("given_name", again=False) == "Ada"
        assert await piped.terminal.attribute("custom:teamId", again=True) == "9"
        assert piped.shown == "Your given name: Cognito does not take that.\nYour teamId: "

    async def test_a_choice(self, piped: Piped) -> None:
        """Only what stands there can be chosen."""
        piped.types("0", "3", "sms", "\u00b2", "2")
        assert await piped.terminal.choose("SELECT_MFA_TYPE", ["SMS_MFA", "NEW\x1bKIND"]) == "NEW\x1bKIND"
        assert "  1  a code by SMS\n  2  NEW\\x1bKIND\n" in piped.shown

    @pytest.mark.parametrize(
        ("typed", "agreed"), [("y", True), ("Yes ", True), ("", False), ("n", False), ("maybe", False)]
    )
    async def test_remembering(self, typed: str, piped: Piped, *, agreed: bool) -> None:
        """Only "yes" means yes."""
        assert await piped.types(typed).terminal.remember_device() is agreed

    async def test_remembering_at_the_end_of_the_input(self, piped: Piped) -> None:
        """A script that says nothing to it has signed in all the same."""
        assert await piped.leaves().terminal.remember_device() is False

    @pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
    async def test_a_secret_for_an_authenticator(self, encoding: str) -> None:
        """As text in groups, and as a QR code where the terminal has the characters."""
        piped = Piped(encoding=encoding)
        secret, uri = SecretStr("GEZDGNBVGY3TQOJQ"), SecretStr("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ")
        await piped.terminal.show_totp_secret(secret, uri)
        piped.close()
        assert "type this secret into it: GEZD GNBV GY3T QOJQ\n" in piped.shown
        assert ("\u2588" in piped.shown) is (encoding == "utf-8")


async def test_nobody_to_ask() -> None:
    """What is missing is named, and the profile's own command and variables that would say it."""
    piped = Piped("survey").leaves()
    with pytest.raises(CredentialMissing) as caught:
        await piped.terminal.username()
    assert caught.value.detail == "the sign-in needs the user name, and there is nobody to ask"
    assert caught.value.hint == (
        "Run `ul-proxy login --profile survey` on a terminal, or set UL_PROXY_PROFILES__SURVEY__USERNAME."
    )
    with pytest.raises(CredentialMissing) as caught:
        await piped.terminal.code(CodeRequest("SMS_MFA", Medium.SMS))
    assert caught.value.hint == "Run `ul-proxy login --profile survey` on a terminal."
    piped.close()
