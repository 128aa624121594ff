"""Settings that are read again: when, and what becomes of them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.cli.reloading import Watch, differences, marks
from proxy.errors import SettingsError
from proxy.settings import Loaded, load
from proxy.settings.options import ServeOptions

NEVER = 1e9
LOG = "proxy.cli.reloading"


@dataclass
class Watched:
    """A config file with a password file beside it, and whoever watches both."""

    folder: Path
    applied: list[ServeOptions] = field(default_factory=list)
    reads: int = 0
    refusal: Exception | None = None
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.config.write_text('username = "ada"\npassword_file = "pw"\n')
        self.password.write_text("one\n")
        for path in (self.config, self.password):
            path.chmod(0o600)

    @property
    def config(self) -> Path:
        return self.folder / "ul-proxy.toml"

    @property
    def password(self) -> Path:
        return self.folder / "pw"

    def read(self) -> Loaded:
        self.reads += 1
        return load({}, str(self.config))

    def apply(self, options: ServeOptions) -> None:
        self.happened.set()
        if self.refusal is not None:
            raise self.refusal
        self.applied.append(options)

    @property
    def passwords(self) -> list[str]:
        return [o.profile.password.get_secret_value() if o.profile.password else "" for o in self.applied]

    @asynccontextmanager
    async def watching(self, interval: float = NEVER) -> AsyncIterator[Watch]:
        watch = Watch(load({}, str(self.config)), self.read, interval=interval)
        task = asyncio.create_task(watch.run(self.apply))
        try:
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def replace_text(path: Path, text: str) -> None:
    """As editors and secret managers do: a new file in the old one's place."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)


class TestWhen:
    @pytest.mark.parametrize("way", ["written", "replaced", "a link turned"])
    async def test_a_secret_file_changes(self, way: str, watched: Watched) -> None:
        """However a file comes to hold something else, it is noticed, and read once."""
        if way == "a link turned":
            for name, text in (("v1", "one\n"), ("v2", "two\n")):
                (watched.folder / name).write_text(text)
                (watched.folder / name).chmod(0o600)
            watched.password.unlink()
            watched.password.symlink_to("v1")
        async with watched.watching(0.01):
            if way == "written":
                watched.password.write_text("two\n")
            elif way == "replaced":
                replace_text(watched.password, "two\n")
            else:
                (watched.folder / "link").symlink_to("v2")
                (watched.folder / "link").replace(watched.password)
            await watched.until(lambda: bool(watched.applied))
            reads = watched.reads
            await asyncio.sleep(0.05)
        assert watched.passwords[-1] == "two"
        assert watched.reads == reads

    async def test_a_file_that_did_not_change_is_left_alone(self, watched: Watched) -> None:
        """Looking at files is no reading."""
        async with watched.watching(0.005):
            await asyncio.sleep(0.05)
        assert watched.reads == 0

    async def test_a_change_before_the_watching_began(self, watched: Watched) -> None:
        """What changed after the settings were read and before the first look is noticed as well."""
        watch = Watch(load({}, str(watched.config)), watched.read, interval=0.01)
        replace_text(watched.password, "two\n")
        task = asyncio.create_task(watch.run(watched.apply))
        await watched.until(lambda: watched.passwords == ["two"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_at_once_when_told(self, watched: Watched) -> None:
        """`look` waits for no interval, and reads whether or not a file has changed; the same is not applied again."""
        async with watched.watching() as watch:
            watch.look()
            await watched.until(lambda: watched.reads == 1)
            replace_text(watched.password, "two\n")
            watch.look()
            await watched.until(lambda: bool(watched.applied))
        assert watched.passwords == ["two"]

    async def test_what_is_to_follow(self, watched: Watched) -> None:
        """What was to be done after a reading is done once, by then with the new settings in force."""
        seen: list[list[str]] = []
        async with watched.watching() as watch:
            replace_text(watched.password, "two\n")
            watch.look(then=lambda: seen.append(watched.passwords))
            await watched.until(lambda: bool(seen))
            watch.look()
            await watched.until(lambda: watched.reads == 2)
        assert seen == [["two"]]

    async def test_a_config_file_that_appears(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where one was looked for and not found, it is found once it is there."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
        caplog.set_level("INFO", LOG)
        seen: list[ServeOptions] = []
        task = asyncio.create_task(Watch(load({}), lambda: load({}), interval=0.01).run(seen.append))
        replace_text(tmp_path / "ul-proxy.toml", 'username = "ada"\n')
        async with asyncio.timeout(20):
            while not seen:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert seen[0].profile.username == "ada"
        assert "new settings: username" in caplog.text


class TestWhatBecomesOfIt:
    async def test_what_cannot_be_used(self, watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
        """It is told once, without the secret; the old settings stay until it is mended, and that is told, too."""
        caplog.set_level("INFO", LOG)
        async with watched.watching(0.01):
            good = watched.config.read_text()
            replace_text(watched.config, good + 'nonsense = "c4n4ry"\n')
            await watched.until(lambda: watched.reads >= 3)
            assert watched.applied == []
            replace_text(watched.config, good)
            await watched.until(lambda: "the settings are as they were" in caplog.text)
        told = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert len(told) == 1
        assert "the old ones stay" in told[0]
        assert "unknown setting nonsense" in told[0]
        assert "c4n4ry" not in caplog.text

    async def test_what_the_proxy_refuses(self, watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
        """What only the running proxy can tell to be wrong is told the same way, and tried again when mended."""
        watched.refusal = SettingsError("token_store cannot be used", hint="Mend it.")
        async with watched.watching(0.01):
            replace_text(watched.password, "two\n")
            await watched.until(lambda: watched.happened.is_set() and "Mend it." in caplog.text)
            watched.refusal = None
            await watched.until(lambda: watched.passwords == ["two"])

    async def test_a_file_that_is_gone_for_a_moment(self, watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
        """Between its removal and its return the old secret stays."""
        async with watched.watching(0.01):
            watched.password.unlink()
            await watched.until(lambda: "cannot be read" in caplog.text)
            replace_text(watched.password, "two\n")
            await watched.until(lambda: watched.passwords == ["two"])

    async def test_a_defect(self, watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
        """Whatever goes wrong, the watching goes on, and somebody can find out."""
        watched.refusal = KeyError("a defect")
        async with watched.watching(0.01) as watch:
            watch.look()
            replace_text(watched.password, "two\n")
            await watched.until(lambda: "met a defect" in caplog.text)
            watched.refusal = None
            replace_text(watched.password, "three\n")
            await watched.until(lambda: watched.passwords == ["three"])

    async def test_what_needs_a_restart(self, watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
        """Logging is set up once: who changes that is told. New warnings are told, too."""
        caplog.set_level("INFO", LOG)
        async with watched.watching(0.01):
            replace_text(watched.config, watched.config.read_text() + "access_log = false\n")
            await watched.until(lambda: bool(watched.applied))
            watched.password.chmod(0o644)
            watched.password.write_text("two\n")
            await watched.until(lambda: watched.passwords[-1] == "two")
        assert "restart the proxy: what changed in access_log has no effect before" in caplog.text
        assert "everybody on this machine can read it" in caplog.text


def test_pipes_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret out of a pipe (`<(pass show unleash)`) stays as it was: a second reading would wait for ever."""
    read, write = os.pipe()
    os.write(write, b"from a pipe\n")
    os.close(write)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UL_PROXY_PASSWORD_FILE", f"/dev/fd/{read}")
    first = load({})
    os.close(read)
    again = load({"username": "ada"}, None, first.pipes)
    assert again.settings.password == first.settings.password
    assert differences(first, again) == ["username"]
    assert "from a pipe" not in repr(again)


def test_differences_know_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that comes or goes is a difference, also one that names nothing; a secret is compared, never shown."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "ul-proxy.toml"
    config.write_text("")
    before = load({})
    config.write_text("[profiles.north]\n[profiles.south]\nusername = 'x'\n")
    after = load({})
    assert differences(before, after) == ["profiles.south.username", "profiles.north", "profiles.south"]
    assert differences(after, before) == ["profiles.south.username", "profiles.north", "profiles.south"]
    assert differences(after, after) == []


def test_marks_of_what_is_no_file(tmp_path: Path) -> None:
    """Neither a pipe nor what is missing ever looks changed."""
    os.mkfifo(tmp_path / "pipe")
    assert marks([tmp_path / "pipe", tmp_path / "none"]) == {tmp_path / "pipe": None, tmp_path / "none": None}
