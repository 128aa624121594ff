"""Credentials that change while the proxy runs, on real sockets: nobody's connection is dropped."""

import asyncio
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from support.account import ALIAS
from support.desk import Desk
from support.origin import Origin
from support.served import url_of
from support.stack import PASSWORD

from proxy.app import App
from proxy.cli.reloading import Watch
from proxy.demo.accounts import User
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.settings import load


class Connection:
    """A caller's connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, url: str) -> "Connection":
        host, _, port = url.removeprefix("http://").rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def ask(self, target: str = "/v1/job") -> int:
        """The status of the answer to a GET."""
        self._writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        await self._reader.readexactly(int(length[1]))
        return int(head.split(b" ")[1])

    async def until(self, status: int, target: str = "/v1/job") -> None:
        async with asyncio.timeout(45):
            while await self.ask(target) != status:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def close(self) -> None:
        self._writer.close()


def put(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)


async def test_a_process_whose_credentials_change(desk: Desk, origin: Origin) -> None:
    """A wrong password becomes right in its file, profiles come with SIGHUP, which has a failed login tried once more,
    nonsense changes nothing: all on one connection, in one process, which ends cleanly."""
    desk.cognito.pool.accounts.users.append(User("two", PASSWORD))
    config, password = desk.folder / "ul-proxy.toml", desk.folder / "pw"
    put(password, "wrong\n")
    settings = f'username = "{ALIAS}"\npassword_file = "pw"\n[upstreams]\nrest = "{origin.url}"\n'
    put(config, settings)
    async with desk.serve() as served:
        caller = await Connection.to(await url_of(served))
        assert await caller.ask() == 503
        put(password, PASSWORD + "\n")
        await caller.until(200)
        assert desk.cognito.refusals == {"NotAuthorizedException": 1}

        desk.cognito.pool.accounts.users[1].disabled = True
        assert await caller.ask("/@two/v1/job") == 404
        put(config, settings + f'[profiles.two]\nusername = "two"\npassword = "{PASSWORD}"\n')
        served.process.send_signal(signal.SIGHUP)
        await served.line("SIGHUP: reading the settings again")
        await served.line("new settings: ")
        # What an administrator mends shows in no setting: SIGHUP says that it may work now.
        assert await caller.ask("/@two/v1/job") == 503
        desk.cognito.pool.accounts.users[1].disabled = False
        assert await caller.ask("/@two/v1/job") == 503
        served.process.send_signal(signal.SIGHUP)
        await caller.until(200, "/@two/v1/job")

        put(config, "nonsense")
        assert "the old ones stay" in await served.line("the new settings cannot be used")
        assert [await caller.ask(), await caller.ask("/@two/v1/job")] == [200, 200]
        put(config, settings)
        await caller.until(404, "/@two/v1/job")
        assert await caller.ask() == 200
        caller.close()
        served.process.terminate()
        assert await served.ended() == (0, "")
    assert PASSWORD not in "".join(served.printed)


async def test_at_once_after_a_terminal_failure(desk: Desk, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody looks at the files by the clock, the refusal of a sign-in has them looked at, and the new password
    used at once: the old one is tried once, and the caller on its open connection never hears of it."""
    for name, value in desk.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(desk.folder)
    password = desk.folder / "pw"
    put(password, PASSWORD + "\n")
    flags = {"username": ALIAS, "upstreams.rest": origin.url}
    monkeypatch.setenv("UL_PROXY_PASSWORD_FILE", str(password))
    loaded = load(flags)
    watch = Watch(loaded, lambda: load(flags), interval=1e9)
    options = replace(loaded.options(), renewal=RenewalPolicy(new=0.0))
    async with App(options, on_login_required=lambda _: watch.look()) as app:
        watching = asyncio.create_task(watch.run(app.reload))
        caller = await Connection.to(app.urls[0])
        assert await caller.ask() == 200
        # Somebody changes the password, there and here, and ends the sessions of the old one.
        desk.user.password = "Another-Horse-7"
        put(password, "Another-Horse-7\n")
        desk.cognito.pool.grants.revoke_all(desk.user)
        assert await caller.ask() == 200
        await asyncio.gather(app.tokens.refresh("default"), return_exceptions=True)
        await caller.until(200)
        async with asyncio.timeout(20):
            while app.tokens.snapshot("default").sign_ins != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await caller.ask() == 200
        caller.close()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert desk.cognito.refusals == {"NotAuthorizedException": 2}  # the refresh token, and the old password once
