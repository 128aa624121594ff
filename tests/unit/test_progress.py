"""The line that says what is waited for."""

import asyncio
import io

import pytest

from proxy.cli.progress import Progress, colourful, is_terminal


class Terminal(io.StringIO):
    """One that lets whoever waits for it know when something has been written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


@pytest.fixture(autouse=True)
def _terminal_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


async def watch(task: "asyncio.Task[object]", output: io.StringIO, sink: io.StringIO, patience: float = 0.001) -> None:
    progress: Progress[str] = Progress(lambda what, s: f"<{what} {s}>", output=output, sink=sink, patience=patience)
    await progress.watch("it", task)
    assert task.done()


async def test_it_appears_and_goes() -> None:
    """What takes a while is named, and nothing is left of the line."""
    screen = Terminal()
    await watch(asyncio.create_task(screen.written.wait()), screen, screen)
    assert screen.getvalue().startswith("\r\x1b[K<it 0>")
    assert screen.getvalue().endswith("\r\x1b[K")


async def test_what_is_quick_is_not_named() -> None:
    """What has ended by then leaves the terminal alone."""
    screen = Terminal()
    await watch(asyncio.create_task(asyncio.sleep(0)), screen, screen, patience=60)
    assert screen.getvalue() == ""


@pytest.mark.parametrize("seen", ["output", "sink", "neither"])
async def test_nobody_looks(seen: str) -> None:
    """Where one of the streams goes elsewhere nothing is shown."""
    output = Terminal() if seen == "output" else io.StringIO()
    sink = Terminal() if seen == "sink" else io.StringIO()
    await watch(asyncio.create_task(asyncio.sleep(0.02)), output, sink)
    assert output.getvalue() + sink.getvalue() == ""


async def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are for terminals that have some and people who want some."""
    screen = Terminal()
    assert colourful(screen)
    assert not colourful(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colourful(screen)
    assert is_terminal(screen)
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(screen)
