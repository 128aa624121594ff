"""A person at a terminal, who is asked for whatever a sign-in needs."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TextIO

import segno
from pydantic import SecretStr

from proxy.cli.lines import InputEnded, Lines
from proxy.cli.progress import Waiting
from proxy.errors import CredentialMissing
from proxy.errors.names import login_command, variables
from proxy.identity.cognito.asking import CONFIRM_SIGN_UP, PASSWORD_RESET, CodeRequest, Medium, Retry
from proxy.observe.logs import printable

_FACTORS = {
    "SOFTWARE_TOKEN_MFA": "your authenticator app",
    "SMS_MFA": "a code by SMS",
    "EMAIL_OTP": "a code by e-mail",
}
_WHY = {
    PASSWORD_RESET: "Your password must be reset.",
    CONFIRM_SIGN_UP: "Your account has not been confirmed yet.",
}
_GROUP = 4
_LIGHT_ON_DARK, _PLAIN = "\x1b[97;40m", "\x1b[0m"
"""A QR code is light around its dark modules, whatever colours the terminal has."""


class Terminal:
    """The Answerer of `login`: questions go to `sink`, answers come from `lines`. Raises CredentialMissing."""

    def __init__(self, lines: Lines, sink: TextIO, profile: str, progress: Waiting) -> None:
        """`profile` is the name of the one that signs in; `progress` is shown on `sink` while nobody is asked."""
        self._lines = lines
        self._sink = sink
        self._profile = profile
        self._progress = progress
        self.given: str | None = None
        """The user name that was typed."""

    async def username(self) -> str:
        self.given = await self._insist("User name or e-mail address", "the user name", ("username",))
        return self.given

    async def password(self, username: str, *, again: bool) -> SecretStr:
        if again:
            self._say("That user name or password is wrong.")
        prompt = f"Password of {printable(username)}"
        return SecretStr(await self._insist(prompt, "the password", ("password",), hidden=True))

    async def code(self, request: CodeRequest) -> str:
        delivered = request.medium is not Medium.AUTHENTICATOR
        if request.retry is not None:
            self._say(_complaint(request.retry, delivered=delivered))
        elif request.challenge in _WHY:
            self._say(_WHY[request.challenge])
        source, settings = _source(request), () if delivered else ("totp_secret",)
        return await self._insist(f"Code {source}", f"the code {source}", settings)

    async def new_password(self, challenge: str, complaint: str | None) -> SecretStr:
        if complaint is not None:
            self._say(f"That password will not do: {complaint}.")
        elif challenge not in _WHY:
            self._say("Cognito wants a password of your own choice.")
        while True:
            chosen = await self._insist("New password", "a new password", hidden=True)
            if chosen == await self._ask("New password again", "a new password", hidden=True):
                return SecretStr(chosen)
            self._say("The two are not the same.")

    async def attribute(self, name: str, *, again: bool) -> str:
        if again:
            self._say("Cognito does not take that.")
        called = printable(name.removeprefix("custom:").replace("_", " "))
        return await self._insist(f"Your {called}", f"the {called}")

    async def choose(self, challenge: str, options: Sequence[str]) -> str:
        self._say("Which second factor?")
        for number, option in enumerate(options, 1):
            self._say(f"  {number}  {_FACTORS.get(option, printable(option))}")
        while True:
            answer = await self._insist(f"1 to {len(options)}", "a choice between second factors")
            if answer.isdecimal() and 1 <= int(answer) <= len(options):
                return options[int(answer) - 1]

    async def show_totp_secret(self, secret: SecretStr, otpauth_uri: SecretStr) -> None:
        self._say("This account wants an authenticator app. Let it scan this:")
        for line in self._drawn(otpauth_uri):
            self._say(line)
        text = printable(secret.get_secret_value())
        groups = " ".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))
        self._say(f"Or type this secret into it: {groups}")

    async def remember_device(self) -> bool:
        try:
            answer = await self._ask("Remember this machine, so that it needs no code next time? [y/N]", "")
        except CredentialMissing:
            return False
        return answer.strip().lower() in ("y", "yes")

    async def _insist(self, prompt: str, needed: str, settings: Sequence[str] = (), *, hidden: bool = False) -> str:
        """An answer that is not empty."""
        while not (answer := await self._ask(prompt, needed, settings, hidden=hidden)).strip():
            pass
        return answer if hidden else answer.strip()

    async def _ask(self, prompt: str, needed: str, settings: Sequence[str] = (), *, hidden: bool = False) -> str:
        """One line. `needed` is what is asked for, and `settings` those that would say it."""
        try:
            with self._lines.hidden() if hidden else nullcontext():
                # After the echo is off: whoever sees the question may answer.
                self._say(f"{prompt}: ", end="")
                answer = await self._lines.next()
            if hidden:
                self._say("")
        except InputEnded:
            self._say("")
            raise missing(needed, settings, self._profile) from None
        self._progress.resume()
        return answer

    def _drawn(self, uri: SecretStr) -> list[str]:
        """The lines of a QR code; none where the terminal lacks the characters."""
        code = segno.make(uri.get_secret_value(), error="l", micro=False)
        matrix = [[bool(module) for module in row] for row in code.matrix_iter(border=2)]
        try:
            "".join(_HALVES.values()).encode(self._sink.encoding or "ascii")
        except UnicodeEncodeError:
            return []
        if len(matrix) % 2:
            matrix.append([False] * len(matrix[0]))
        rows = zip(matrix[::2], matrix[1::2], strict=True)
        return [
            _LIGHT_ON_DARK + "".join(_HALVES[upper, lower] for upper, lower in zip(*pair, strict=True)) + _PLAIN
            for pair in rows
        ]

    def _say(self, text: str, end: str = "\n") -> None:
        self._progress.pause()
        print(text, end=end, file=self._sink, flush=True)


def missing(needed: str, settings: Sequence[str], profile: str) -> CredentialMissing:
    """Nobody is there who could be asked for what is `needed`, or the `settings` that would say it."""
    instead = f", or set {variables(settings, profile)}" if settings else ""
    return CredentialMissing(
        f"the sign-in needs {needed}, and there is nobody to ask",
        hint=f"Run {login_command(profile)} on a terminal{instead}.",
    )


_HALVES: Mapping[tuple[bool, bool], str] = {
    (False, False): "█",
    (False, True): "▀",
    (True, False): "▄",
    (True, True): " ",
}
"""Two modules, one above the other: those that are dark are left out."""


def _source(request: CodeRequest) -> str:
    to = f" to {printable(request.destination)}" if request.destination else ""
    if request.medium is Medium.AUTHENTICATOR:
        return "that your authenticator app shows"
    return f"sent by {'SMS' if request.medium is Medium.SMS else 'e-mail'}{to}"


def _complaint(retry: Retry, *, delivered: bool) -> str:
    if retry is Retry.WRONG:
        return "That code is wrong."
    if not delivered:
        return "That code was used before, or came too late: wait for the next one."
    return "That code came too late. A new one is on its way."
