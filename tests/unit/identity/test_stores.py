"""The places where sessions are kept."""

import asyncio
import contextlib
import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.clock import FakeClock
from support.sessions import POOL, PROFILE, refresh_token, session
from support.wire import PATIENCE

from proxy.clock import SystemClock
from proxy.errors import SettingsError, StoreFailed
from proxy.identity.stores import locks
from proxy.identity.stores.base import Store
from proxy.identity.stores.file import FileStore
from proxy.identity.stores.keyring import KeyringStore
from proxy.identity.stores.memory import MemoryStore
from proxy.identity.stores.opening import ProfileStores, open_store

OTHER = replace(PROFILE, name="other")


HOLD_A_LOCK = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
time.sleep(600)
"""

SAVE_SESSIONS = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from support.sessions import PROFILE, session
from proxy.clock import SystemClock
from proxy.identity.stores.file import FileStore

async def main(path, who):
    store = FileStore(Path(path), SystemClock())
    for number in range(10):
        await store.save(replace(PROFILE, name=f"{who}-{number}"), session(f"refresh-{who}-{number}"))

asyncio.run(main(*sys.argv[1:]))
"""


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A program in another process."""
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root}/tests"}
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, env=environment)


class FakeKeyring:
    """What looks like the library `keyring`."""

    def __init__(self, priority: float = 5) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.broken = False
        self.priority = priority

    def get_keyring(self) -> Any:
        return SimpleNamespace(name="fake", priority=self.priority)

    def get_password(self, service: str, name: str) -> str | None:
        self._check()
        return self.entries.get((service, name))

    def set_password(self, service: str, name: str, password: str) -> None:
        self._check()
        self.entries[service, name] = password

    def delete_password(self, service: str, name: str) -> None:
        self._check()
        del self.entries[service, name]

    def _check(self) -> None:
        if self.broken:
            raise RuntimeError("locked: refresh-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sessions.json"


@pytest.fixture
def file_store(path: Path) -> FileStore:
    return FileStore(path, SystemClock())


def memory(_: Path) -> Store:
    return MemoryStore(lambda: 1.0)


def file(folder: Path) -> Store:
    return FileStore(folder / "sessions.json", SystemClock())


def keyring(folder: Path) -> Store:
    return KeyringStore(FakeKeyring(), locks=folder, clock=SystemClock())


every_store = pytest.mark.parametrize("make", [memory, file, keyring])


class TestEveryStore:
    @every_store
    async def test_gives_back_what_it_was_given(self, make: Callable[[Path], Store], tmp_path: Path) -> None:
        """The last session that was saved for a profile, and when; nothing before the first, nothing once forgotten."""
        store = make(tmp_path)
        assert await store.load(PROFILE) is None
        await store.forget(PROFILE)
        await store.save(PROFILE, session("refresh-1"))
        await store.save(PROFILE, session("refresh-2"))
        await store.save(OTHER, session("refresh-3"))
        kept = await store.load(PROFILE)
        assert kept == session("refresh-2")
        assert kept.saved_at is not None
        assert kept.saved_at > 0
        await store.forget(PROFILE)
        assert await store.load(PROFILE) is None
        assert await store.load(OTHER) == session("refresh-3")

    @every_store
    async def test_gives_it_to_nobody_else(self, make: Callable[[Path], Store], tmp_path: Path) -> None:
        """Another user, pool or client has no session, and a session of theirs stands beside."""
        store = make(tmp_path)
        await store.save(PROFILE, session())
        assert await store.load(replace(PROFILE, username="you")) is None
        elsewhere = replace(PROFILE, pool=replace(POOL, client_id="another"))
        assert await store.load(elsewhere) is None
        await store.save(elsewhere, session("refresh-2"))
        assert await store.load(PROFILE) == session()

    @every_store
    async def test_lets_one_in_at_a_time(self, make: Callable[[Path], Store], tmp_path: Path) -> None:
        """Inside `exclusive` a profile is alone; other profiles come and go, and loading and saving need no lock."""
        store = make(tmp_path)
        inside: list[int] = []

        async def enter(number: int) -> None:
            async with store.exclusive(PROFILE):
                inside.append(number)
                assert len(inside) == 1
                await store.save(PROFILE, session(f"refresh-{number}"))
                async with store.exclusive(OTHER):
                    await store.load(PROFILE)
                inside.remove(number)

        await asyncio.gather(*map(enter, range(5)))
        assert not inside

    @every_store
    async def test_lets_go_when_somebody_is_cancelled(self, make: Callable[[Path], Store], tmp_path: Path) -> None:
        """Neither who held the lock nor who waited for it keeps it when cancelled."""
        store = make(tmp_path)
        held = asyncio.Event()

        async def hold() -> None:
            async with store.exclusive(PROFILE):
                held.set()
                await asyncio.Event().wait()

        holder, waiter = asyncio.create_task(hold()), asyncio.create_task(hold())
        await held.wait()
        waiter.cancel()
        holder.cancel()
        await asyncio.gather(holder, waiter, return_exceptions=True)
        async with asyncio.timeout(PATIENCE), store.exclusive(PROFILE):
            pass

    @every_store
    async def test_tells_where_it_is(self, make: Callable[[Path], Store], tmp_path: Path) -> None:
        """In words for a person."""
        assert " " in make(tmp_path).where


class TestFile:
    async def test_is_private(self, file_store: FileStore, path: Path) -> None:
        """Only the owner may read the file, its locks and its folder, whatever the umask; nothing else is left."""
        before = os.umask(0)
        try:
            async with file_store.exclusive(PROFILE):
                await file_store.save(PROFILE, session())
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
        assert modes == dict.fromkeys(["sessions.json", "sessions.json.lock", "sessions.json.default.lock"], 0o600)

    async def test_is_replaced_as_a_whole(self, file_store: FileStore, path: Path) -> None:
        """A new file takes the old one's place, so that whoever reads meanwhile reads one or the other."""
        await file_store.save(PROFILE, session())
        with path.open("rb") as old:
            await file_store.save(PROFILE, session("refresh-2"))
            assert b"refresh-1" in old.read()
        assert b"refresh-2" in path.read_bytes()

    async def test_that_others_can_read_is_mended(
        self, file_store: FileStore, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file with a wider mode is narrowed, with a warning."""
        await file_store.save(PROFILE, session())
        path.chmod(0o644)
        assert await file_store.load(PROFILE) == session()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "could be read by others" in caplog.text

    @pytest.mark.parametrize("operation", ["load", "save"])
    async def test_that_is_damaged_is_set_aside(
        self, operation: str, file_store: FileStore, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Damage is reported once, loses no file and is in nobody's way."""
        await file_store.save(PROFILE, session())
        text = path.read_bytes()
        path.write_bytes(text[: len(text) // 2])
        if operation == "load":
            assert await file_store.load(PROFILE) is None
            assert await file_store.load(PROFILE) is None
        await file_store.save(PROFILE, session("refresh-2"))
        assert refresh_token(await file_store.load(PROFILE)) == "refresh-2"
        (aside,) = path.parent.glob("sessions.json.damaged-*")
        assert aside.read_bytes() == text[: len(text) // 2]
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600
        assert caplog.text.count("damaged: ") == 1
        assert "refresh-1" not in caplog.text

    async def test_of_a_later_version_is_left_alone(self, file_store: FileStore, path: Path) -> None:
        """It is neither read nor replaced nor set aside."""
        await file_store.save(PROFILE, session())
        text = b'{"version": 2}'
        path.write_bytes(text)
        for work in (file_store.load(PROFILE), file_store.save(PROFILE, session()), file_store.forget(PROFILE)):
            with pytest.raises(StoreFailed, match="later version"):
                await work
        assert path.read_bytes() == text

    @pytest.mark.parametrize("dangling", [False, True])
    async def test_that_is_a_link_is_refused(self, dangling: bool, file_store: FileStore, path: Path) -> None:
        """Nothing is read or written through a symbolic link."""
        target = path.parent.parent / "target"
        path.parent.mkdir()
        if not dangling:
            target.write_text("precious")
        path.symlink_to(target)
        for work in (file_store.load(PROFILE), file_store.save(PROFILE, session())):
            with pytest.raises(StoreFailed, match="symbolic link"):
                await work
        assert target.exists() is not dangling
        assert path.is_symlink()

    async def test_that_is_a_pipe_is_refused(self, file_store: FileStore, path: Path) -> None:
        """What is no file is not waited for."""
        path.parent.mkdir()
        os.mkfifo(path)
        with pytest.raises(StoreFailed, match="no file"):
            await file_store.load(PROFILE)

    async def test_that_cannot_be_used_is_told(self, tmp_path: Path) -> None:
        """A path through a file is a sentence with the path in it, and no traceback."""
        (tmp_path / "file").touch()
        store = FileStore(tmp_path / "file" / "sessions.json", SystemClock())
        for work in (store.load(PROFILE), store.save(PROFILE, session())):
            with pytest.raises(StoreFailed, match="Not a directory|File exists"):
                await work
        with pytest.raises(StoreFailed):
            async with store.exclusive(PROFILE):
                pass

    async def test_that_nobody_wrote_leaves_nothing_behind(self, file_store: FileStore, path: Path) -> None:
        """Looking and forgetting make neither a folder nor a file."""
        assert await file_store.load(PROFILE) is None
        await file_store.forget(PROFILE)
        assert not path.parent.exists()

    async def test_leftovers_of_a_killed_process_are_no_hindrance(self, file_store: FileStore, path: Path) -> None:
        """A half-written successor is written anew."""
        path.parent.mkdir()
        (path.parent / ".sessions.json.new").write_text("half")
        await file_store.save(PROFILE, session())
        assert await file_store.load(PROFILE) == session()
        assert not (path.parent / ".sessions.json.new").exists()

    async def test_a_full_disk_keeps_the_old(
        self, file_store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A session that cannot be written leaves the one before it."""
        await file_store.save(PROFILE, session())

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StoreFailed, match="No space left"):
                await file_store.save(PROFILE, session("refresh-2"))
        assert await file_store.load(PROFILE) == session()

    async def test_who_waits_too_long_for_the_lock_is_told(self, path: Path) -> None:
        """A process that hangs with the lock does not make others hang: within a caller's patience they hear of it."""
        clock = FakeClock()
        store = FileStore(path, clock)
        async with store.exclusive(PROFILE):
            waiter = asyncio.create_task(contextlib.AsyncExitStack().enter_async_context(store.exclusive(PROFILE)))
            await clock.advance(3)
            assert not waiter.done()
            await clock.advance(3)
            with pytest.raises(
                StoreFailed, match=r"sessions\.json\.default\.lock has been held by another process"
            ) as held:
                await waiter
        assert held.value.retry_after is not None
        assert "End the process" in held.value.hint

    async def test_who_waits_too_long_to_write_is_told(
        self, file_store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a process hangs while it writes, those who want to write all wait at once, not one after the other."""
        monkeypatch.setattr(locks, "_PATIENCE", 0.2)
        await file_store.save(PROFILE, session())
        with path.with_name("sessions.json.lock").open("w") as peer:
            fcntl.flock(peer, fcntl.LOCK_EX)
            began = time.monotonic()
            saves = [file_store.save(replace(PROFILE, name=f"p{number}"), session()) for number in range(20)]
            outcomes = await asyncio.gather(*saves, return_exceptions=True)
            assert time.monotonic() - began < 20 * 0.2 / 2
        for outcome in outcomes:
            assert isinstance(outcome, StoreFailed)
            assert "sessions.json.lock has been held by another process" in outcome.detail
        await file_store.save(PROFILE, session("refresh-2"))
        assert refresh_token(await file_store.load(PROFILE)) == "refresh-2"

    async def test_waiting_for_the_lock_does_not_hold_up_the_loop(self, file_store: FileStore, path: Path) -> None:
        """While another process has the lock, everything else goes on; it is free once that process is killed."""
        path.parent.mkdir()
        lock = path.with_name("sessions.json.default.lock")
        holder = start(HOLD_A_LOCK, str(lock))
        try:
            assert holder.stdout is not None
            await asyncio.to_thread(holder.stdout.readline)
            waiter = asyncio.create_task(contextlib.AsyncExitStack().enter_async_context(file_store.exclusive(PROFILE)))
            began = time.monotonic()
            for _ in range(20):
                await asyncio.sleep(0.005)
            assert time.monotonic() - began < PATIENCE
            assert not waiter.done()
            async with file_store.exclusive(OTHER):
                await file_store.save(PROFILE, session())
        finally:
            holder.kill()
            holder.communicate()
        async with asyncio.timeout(PATIENCE):
            await waiter

    async def test_two_processes_lose_nothing(self, file_store: FileStore, path: Path) -> None:
        """Writers in several processes at once, each for profiles of its own: every session is there in the end."""
        writers = [start(SAVE_SESSIONS, str(path), who) for who in "abc"]
        for writer in writers:
            await asyncio.to_thread(writer.communicate, timeout=PATIENCE)
            assert writer.returncode == 0
        for who in "abc":
            for number in range(10):
                kept = await file_store.load(replace(PROFILE, name=f"{who}-{number}"))
                assert refresh_token(kept) == f"refresh-{who}-{number}"

    async def test_a_file_system_without_locks_is_told(
        self, file_store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where flock does not work there is a sentence about it."""

        def no_locks(*_: int) -> None:
            raise OSError(37, "No locks available")

        monkeypatch.setattr(fcntl, "flock", no_locks)
        with pytest.raises(StoreFailed, match="No locks"):
            await file_store.save(PROFILE, session())


class TestKeyring:
    async def test_keeps_an_entry_for_each_session(self, tmp_path: Path) -> None:
        """Under one service, named so that a person finds it."""
        library = FakeKeyring()
        store = KeyringStore(library, locks=tmp_path, clock=SystemClock())
        await store.save(PROFILE, session())
        assert list(library.entries) == [("ul-proxy", "default eu-west-1_abc client")]
        assert store.where == "the keyring (fake)"

    async def test_that_fails_is_told_without_its_words(self, tmp_path: Path) -> None:
        """What a backend raises becomes a sentence; its own text may hold anything."""
        library = FakeKeyring()
        library.broken = True
        store = KeyringStore(library, locks=tmp_path, clock=SystemClock())
        for work in (store.load(PROFILE), store.save(PROFILE, session()), store.forget(PROFILE)):
            with pytest.raises(StoreFailed) as caught:
                await work
            assert "refresh-1" not in str(caught.value)
            assert "token_store" in caught.value.hint

    async def test_damage_is_as_nothing(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """An entry that somebody else wrote is reported and replaced."""
        library = FakeKeyring()
        library.set_password("ul-proxy", "default eu-west-1_abc client", "my password")
        store = KeyringStore(library, locks=tmp_path, clock=SystemClock())
        assert await store.load(PROFILE) is None
        assert "damaged" in caplog.text
        assert "my password" not in caplog.text
        await store.save(PROFILE, session())
        assert await store.load(PROFILE) == session()

    async def test_of_a_later_version_is_left_alone(self, tmp_path: Path) -> None:
        """What a later version wrote is neither read nor replaced."""
        library = FakeKeyring()
        library.set_password("ul-proxy", "default eu-west-1_abc client", '{"version": 2}')
        store = KeyringStore(library, locks=tmp_path, clock=SystemClock())
        for work in (store.load(PROFILE), store.save(PROFILE, session())):
            with pytest.raises(StoreFailed, match="later version"):
                await work

    @pytest.mark.parametrize(("priority", "works"), [(5, True), (1, True), (0, False), (-1, False)])
    def test_whether_it_works(self, priority: float, works: bool, tmp_path: Path) -> None:
        """The library's stand-ins for a missing keyring count as none."""
        assert KeyringStore(FakeKeyring(priority), locks=tmp_path, clock=SystemClock()).works is works

    async def test_the_real_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The library that the extra installs takes and gives what the store asks of it."""
        keyring = pytest.importorskip("keyring")
        from keyring.backend import KeyringBackend  # noqa: PLC0415

        fake = FakeKeyring()

        class Backend(KeyringBackend):
            priority = 1

            def get_password(self, service: str, username: str) -> str | None:
                return fake.get_password(service, username)

            def set_password(self, service: str, username: str, password: str) -> None:
                fake.set_password(service, username, password)

            def delete_password(self, service: str, username: str) -> None:
                fake.delete_password(service, username)

        monkeypatch.setattr(keyring.core, "_keyring_backend", Backend())  # type: ignore[no-untyped-call]
        store = open_store("keyring", state_home=tmp_path, clock=SystemClock())
        await store.save(PROFILE, session())
        assert await store.load(PROFILE) == session()
        await store.forget(PROFILE)
        assert not fake.entries


class TestOpening:
    @pytest.fixture
    def keyring_library(self, monkeypatch: pytest.MonkeyPatch) -> FakeKeyring:
        library = FakeKeyring()
        monkeypatch.setitem(sys.modules, "keyring", library)
        return library

    @pytest.fixture
    def no_keyring(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keyring", None)

    def test_a_missing_library_names_the_extra(self, no_keyring: None, tmp_path: Path) -> None:
        """Who sets token_store to keyring without the extra reads what to install."""
        with pytest.raises(SettingsError) as caught:
            open_store("keyring", state_home=tmp_path, clock=SystemClock())
        assert "pip install keyring" in caught.value.hint

    @pytest.mark.parametrize(("spec", "state_home"), [("nonsense", Path()), ("", Path()), ("keyring", None)])
    def test_what_names_no_store(self, spec: str, state_home: Path | None, keyring_library: FakeKeyring) -> None:
        """A setting that cannot be used is refused at once."""
        with pytest.raises(SettingsError):
            open_store(spec, state_home=state_home, clock=SystemClock())

    async def test_serve_keeps_nothing_on_disk_by_itself(self, no_keyring: None, tmp_path: Path) -> None:
        """Under auto, without a login before, sessions stay in memory and no file, lock or folder is made."""
        store = open_store("auto", state_home=tmp_path, clock=SystemClock())
        async with store.exclusive(PROFILE):
            await store.save(PROFILE, session())
        assert await store.load(PROFILE) == session()
        assert list(tmp_path.iterdir()) == []

    async def test_serve_goes_on_with_what_login_kept(self, no_keyring: None, tmp_path: Path) -> None:
        """Under auto, a session that login kept is loaded and replaced where it is."""
        login = open_store("auto", state_home=tmp_path, clock=SystemClock(), always=True)
        await login.save(PROFILE, session())
        assert str(tmp_path / "ul-proxy" / "sessions.json") in login.where
        serve = open_store("auto", state_home=tmp_path, clock=SystemClock())
        assert await serve.load(PROFILE) == session()
        async with serve.exclusive(PROFILE):
            await serve.save(PROFILE, session("refresh-2"))
        await serve.save(OTHER, session("refresh-3"))
        again = open_store("auto", state_home=tmp_path, clock=SystemClock())
        assert await again.load(PROFILE) == session("refresh-2")
        assert await again.load(OTHER) is None
        await serve.forget(PROFILE)
        assert await again.load(PROFILE) is None

    async def test_serve_finds_a_later_login(self, no_keyring: None, tmp_path: Path) -> None:
        """A login beside a running proxy is found at its next look, before what it has in memory."""
        serve = open_store("auto", state_home=tmp_path, clock=SystemClock())
        await serve.save(PROFILE, session())
        login = open_store("auto", state_home=tmp_path, clock=SystemClock(), always=True)
        await login.save(PROFILE, session("refresh-2"))
        assert await serve.load(PROFILE) == session("refresh-2")

    async def test_login_prefers_the_keyring(self, keyring_library: FakeKeyring, tmp_path: Path) -> None:
        """Under auto, a keyring that works holds the session, and a file that held it before forgets it."""
        file = FileStore(tmp_path / "ul-proxy" / "sessions.json", SystemClock())
        await file.save(PROFILE, session())
        login = open_store("auto", state_home=tmp_path, clock=SystemClock(), always=True)
        await login.save(PROFILE, session("refresh-2"))
        assert login.where == "the keyring (fake)"
        assert len(keyring_library.entries) == 1
        assert await file.load(PROFILE) is None
        serve = open_store("auto", state_home=tmp_path, clock=SystemClock())
        assert await serve.load(PROFILE) == session("refresh-2")

    async def test_login_falls_back_to_the_file(
        self, keyring_library: FakeKeyring, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A keyring that fails when it is asked is not the end of a login."""
        keyring_library.broken = True
        login = open_store("auto", state_home=tmp_path, clock=SystemClock(), always=True)
        await login.save(PROFILE, session())
        assert "keyring cannot be used" in caplog.text
        assert await FileStore(tmp_path / "ul-proxy" / "sessions.json", SystemClock()).load(PROFILE) == session()

    async def test_login_without_any_place_is_refused(self, no_keyring: None) -> None:
        """Without a home directory there is no place, and nobody thinks that there is."""
        login = open_store("auto", state_home=None, clock=SystemClock(), always=True)
        with pytest.raises(StoreFailed) as caught:
            await login.save(PROFILE, session())
        assert "token_store" in caught.value.hint

    async def test_each_profile_has_its_own(self, tmp_path: Path) -> None:
        """A profile's token_store is its own, or what all have in common."""
        stores = ProfileStores("memory", state_home=tmp_path, clock=SystemClock())
        kept = replace(OTHER, token_store=f"file:{tmp_path}/other.json")
        await stores.of(PROFILE).save(PROFILE, session())
        await stores.of(kept).save(kept, session("refresh-2"))
        again = ProfileStores("memory", state_home=tmp_path, clock=SystemClock())
        assert await again.of(PROFILE).load(PROFILE) is None
        assert await again.of(kept).load(kept) == session("refresh-2")
        assert stores.of(PROFILE) is stores.of(replace(PROFILE, name="third"))
