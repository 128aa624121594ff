"""Log lines on their way out, on real pipes and files: nobody who logs ever waits, and nothing is lost unremarked."""

import fcntl
import os
import resource
import select
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from proxy.observe.logs import Writer

PATIENCE = 30.0
LINE = "x" * 99 + "\n"


def notice(dropped: int) -> str:
    return f"dropped: {dropped}\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        with suppress(OSError):
            os.close(fd)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """An empty one, and its writing end."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    yield path, fd
    os.close(fd)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """As on a full disk, no file grows beyond `size` bytes; Python ignores the signal that would come of it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def no_threads() -> Iterator[None]:
    """No thread can start, as each asks for more memory for its stack than there are addresses."""
    before = threading.stack_size(1 << 60)
    try:
        yield
    finally:
        threading.stack_size(before)


def read_until(fd: int, enough: Callable[[bytes], bool]) -> bytes:
    data = b""
    while not enough(data):
        piece = os.read(fd, 1 << 16)
        assert piece, data[-200:]
        data += piece
    return data


def fill(writer: Writer) -> int:
    """Write until lines are dropped, which nobody waits for; how many lines there were."""
    lines = 0
    while not writer.dropped:
        writer.write(LINE)
        lines += 1
    return lines


def test_order(pipe: tuple[int, int]) -> None:
    """Lines of several threads come out whole, and those of one thread in their order."""
    writer = Writer(pipe[1], notice)

    def write(name: str) -> None:
        for n in range(200):
            writer.write(f"{name} {n}\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    lines = read_until(pipe[0], lambda data: data.count(b"\n") == 600).decode().splitlines()
    for thread in threads:
        thread.join()
    writer.close()
    for name in "abc":
        assert [line for line in lines if line[0] == name] == [f"{name} {n}" for n in range(200)]
    assert writer.dropped == 0


def test_nobody_reads(pipe: tuple[int, int]) -> None:
    """Into a pipe that nobody reads lines go until the buffer is full; the rest is dropped, counted and owned up to."""
    writer = Writer(pipe[1], notice, limit=1 << 17)
    written = fill(writer)
    for _ in range(50):
        writer.write(LINE)
    assert writer.dropped == 51
    assert not writer.flush(0.01)
    data = read_until(pipe[0], lambda data: b"dropped: 51\n" in data)
    assert data == LINE.encode() * (written - 1) + b"dropped: 51\n"
    writer.write("and on\n")
    assert os.read(pipe[0], 100) == b"and on\n"
    writer.close()
    assert writer.dropped == 51


def test_a_batch_that_is_too_large(pipe: tuple[int, int]) -> None:
    """Of several lines those go out that fit, whole."""
    writer = Writer(pipe[1], notice, limit=250)
    writer.write("first\n" + LINE * 5)
    assert writer.dropped == 3
    data = read_until(pipe[0], lambda data: b"dropped" in data)
    assert data.decode() == "first\n" + LINE * 2 + notice(3)


def test_the_end_does_not_wait_for_ever(pipe: tuple[int, int]) -> None:
    """Where nobody reads, the end gives up on the lines that are left, and nothing is written after it."""
    writer = Writer(pipe[1], notice, limit=1 << 17)
    written = fill(writer)
    writer.close(0.01)
    before = writer.dropped
    writer.write(LINE)
    assert writer.dropped == before + 1
    # What was being written is all that still comes, if somebody takes it.
    os.set_blocking(pipe[0], False)
    data = b""
    while not writer.flush(0.01):
        with suppress(BlockingIOError):
            data += os.read(pipe[0], 1 << 16)
    with suppress(BlockingIOError):
        data += os.read(pipe[0], 1 << 20)
    assert len(data) + writer.dropped * len(LINE) == (written + 1) * len(LINE)


def test_the_end_writes_what_is_left(tmp_path: Path) -> None:
    """Into a file all lines go before the end."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    writer = Writer(fd, notice)
    for _ in range(1000):
        writer.write(LINE)
    writer.close(PATIENCE)
    os.close(fd)
    assert path.read_text() == LINE * 1000


def test_lines_that_are_not_urgent(pipe: tuple[int, int]) -> None:
    """The first goes out at once, the next ones wait for each other; what is urgent does not, and takes them along."""
    writer = Writer(pipe[1], notice, pause=3600.0)
    writer.write("first\n", urgent=False)
    assert os.read(pipe[0], 100) == b"first\n"
    writer.write("second\n", urgent=False)
    writer.write("third\n", urgent=False)
    assert not select.select([pipe[0]], [], [], 0.05)[0]
    writer.write("urgent\n")
    assert os.read(pipe[0], 100) == b"second\nthird\nurgent\n"
    writer.close()


def test_who_waits_for_lines_waits_for_no_pause(pipe: tuple[int, int]) -> None:
    """Neither a flush nor the end is held up by the pause, however many wait for lines at a time."""
    writer = Writer(pipe[1], notice, pause=3600.0)
    for _ in range(3):
        writer.write(LINE, urgent=False)
        writer.write(LINE, urgent=False)
        assert writer.flush(PATIENCE)
    writer.write(LINE, urgent=False)
    writer.close(PATIENCE)
    assert os.read(pipe[0], 1000) == LINE.encode() * 7
    assert writer.dropped == 0


def test_a_flood_that_is_read(tmp_path: Path) -> None:
    """No line is dropped for the pause where they are taken as fast as they come."""
    fd = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    writer = Writer(fd, notice, limit=1 << 17, pause=3600.0)
    for number in range(1, 101):
        for _ in range(500):
            writer.write(LINE, urgent=False)
        end = time.monotonic() + PATIENCE
        while os.fstat(fd).st_size + (1 << 15) < number * 500 * len(LINE):
            assert time.monotonic() < end
            time.sleep(0.001)
    writer.close(PATIENCE)
    os.close(fd)
    assert writer.dropped == 0


def test_more_than_one_call_takes(pipe: tuple[int, int]) -> None:
    """More lines than one system call takes go out one behind the other, though nobody took any for a while."""
    os.set_blocking(pipe[1], False)
    writer = Writer(pipe[1], notice, pause=3600.0)
    lines = [f"{number} {LINE}" for number in range(5000)]
    for line in lines:
        writer.write(line, urgent=False)
    assert not writer.flush(0.01)
    assert read_until(pipe[0], lambda data: data.count(b"\n") == 5000).decode() == "".join(lines)
    writer.close()
    assert writer.dropped == 0


def test_a_writer_that_nobody_used(pipe: tuple[int, int]) -> None:
    """What nothing was written to needs no thread, and ends at once."""
    before = threading.active_count()
    writer = Writer(pipe[1], notice)
    assert writer.flush()
    writer.close()
    assert threading.active_count() == before


def test_the_reader_has_gone(pipe: tuple[int, int]) -> None:
    """A broken pipe costs the lines, and nothing else."""
    writer = Writer(pipe[1], notice)
    os.close(pipe[0])
    for n in range(3):
        writer.write(LINE)
        assert writer.flush(PATIENCE)
        assert writer.dropped == n + 1
    writer.close()


def test_a_reader_who_goes_half_way(pipe: tuple[int, int]) -> None:
    """Lines that went out before the reader went are not counted as dropped."""
    writer = Writer(pipe[1], notice)
    writer.write(LINE * 5000)
    read = len(read_until(pipe[0], lambda data: data.count(b"\n") >= 1000))
    os.close(pipe[0])
    assert writer.flush(PATIENCE)
    held = 1 << 16  # by the pipe
    assert 5000 - (read + held) // len(LINE) - 1 <= writer.dropped <= 5000 - read // len(LINE)
    writer.close()


def test_a_reader_who_comes_back(tmp_path: Path) -> None:
    """A named pipe may lose its reader and get another, who is told what there would have been."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fd = os.open(path, os.O_WRONLY)
    writer = Writer(fd, notice)
    os.close(first)
    writer.write(LINE * 2)
    assert writer.flush(PATIENCE)
    second = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(second, True)
    writer.write("back\n")
    assert read_until(second, lambda data: data.count(b"\n") == 2) == b"back\ndropped: 2\n"
    writer.close()
    os.close(fd)
    os.close(second)


def test_a_pipe_that_does_not_block(pipe: tuple[int, int]) -> None:
    """Where another program has made the open file non-blocking, lines wait all the same."""
    os.set_blocking(pipe[1], False)
    writer = Writer(pipe[1], notice)
    writer.write(LINE * 5000)
    data = read_until(pipe[0], lambda data: data.count(b"\n") == 5000)
    assert data == LINE.encode() * 5000
    writer.close()
    assert writer.dropped == 0


def test_letters_that_the_terminal_lacks(pipe: tuple[int, int]) -> None:
    """What the encoding of stdout does not have is spelt out."""
    writer = Writer(pipe[1], notice, encoding="ascii")
    writer.write("ü → \ud800\n")
    assert os.read(pipe[0], 100) == b"\\xfc \\u2192 \\ud800\n"
    writer.close()


@pytest.mark.parametrize("later", [150, 151], ids=["nothing-fits", "only-the-newline-fits"])
def test_a_line_that_broke_off(file: tuple[Path, int], later: int) -> None:
    """Behind a line of which only a part went out, the next one that goes out begins on a line of its own."""
    path, fd = file
    writer = Writer(fd, notice)
    with room_for(150):
        writer.write(LINE * 2)
        assert writer.flush(PATIENCE)
    assert writer.dropped == 1
    with room_for(later):
        writer.write(LINE * 2)
        assert writer.flush(PATIENCE)
    assert writer.dropped == 3
    writer.write("back\n")
    writer.write("and on\n")
    writer.close(PATIENCE)
    lines = path.read_text().splitlines()
    assert lines[:3] == [LINE.strip(), "x" * 50, "back"]
    assert sorted(lines[3:]) == ["and on", "dropped: 3"]
    assert writer.dropped == 3


@pytest.mark.parametrize("part", ["", "drop"])
def test_a_notice_that_cannot_be_written(file: tuple[Path, int], part: str) -> None:
    """The number of a notice that did not go out whole is told by the next one, which does not count the notice."""
    path, fd = file
    writer = Writer(fd, notice, limit=250)
    taken = "first\n" + LINE * 2
    with room_for(len(taken + part)):
        writer.write(taken + LINE * 3)
        assert writer.flush(PATIENCE)
        writer.write(LINE)
        assert writer.flush(PATIENCE)
    assert writer.dropped == 4
    writer.write("back\n")
    writer.close(PATIENCE)
    assert path.read_text() == taken + (part and part + "\n") + "back\n" + notice(4)
    assert writer.dropped == 4


def test_the_end_while_a_notice_waits(pipe: tuple[int, int]) -> None:
    """A notice that nobody takes before the end is no line that was dropped."""
    held = fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 1 << 16)
    line = "x" * 63 + "\n"
    writer = Writer(pipe[1], notice, limit=held)
    writer.write(line * (held // len(line) + 3))
    select.select([pipe[0]], [], [], PATIENCE)  # one call fills it
    writer.close(0.01)
    os.close(pipe[0])
    assert writer.flush(PATIENCE)
    assert writer.dropped == 3


def test_a_flood_that_lasts(pipe: tuple[int, int]) -> None:
    """A notice stands where lines are missing, in front of those that were accepted since, however many wait."""
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 1 << 16)
    writer = Writer(pipe[1], notice, limit=1 << 18)
    writer.write(LINE * 1000)
    select.select([pipe[0]], [], [], PATIENCE)
    before = LINE * (1000 + fill(writer) - 1)
    # Once something of the second batch has come, there is room for a third.
    data = read_until(pipe[0], lambda data: len(data) > 1000 * len(LINE))
    writer.write("later\n")
    data += read_until(pipe[0], lambda data: b"later\n" in data)
    assert data.decode() == before + notice(1) + "later\n"
    writer.close()


def test_a_gap_behind_which_nothing_waits(pipe: tuple[int, int]) -> None:
    """A notice of lines that were dropped while all others were on their way out waits for no further line."""
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 1 << 16)
    writer = Writer(pipe[1], notice, limit=1000 * len(LINE))
    writer.write(LINE * 1000)
    select.select([pipe[0]], [], [], PATIENCE)
    writer.write(LINE)
    data = read_until(pipe[0], lambda data: len(data) >= 1000 * len(LINE))
    assert writer.flush(PATIENCE)
    os.set_blocking(pipe[0], False)
    with suppress(BlockingIOError):
        data += os.read(pipe[0], 100)
    assert data.decode() == LINE * 1000 + notice(1)
    writer.close()


def test_a_thread_that_cannot_start(pipe: tuple[int, int]) -> None:
    """Where no thread is to be had lines wait, and those that do not fit are counted, until the next one finds one."""
    writer = Writer(pipe[1], notice, limit=250)
    with no_threads():
        writer.write("first\n")
        writer.write(LINE * 2)
        writer.write(LINE)
        assert not writer.flush(0.01)
    assert writer.dropped == 1
    writer.write(LINE)
    assert writer.flush(PATIENCE)
    assert os.read(pipe[0], 1000).decode() == "first\n" + LINE * 2 + notice(2)
    writer.close()


def test_what_has_gone_out_is_let_go_of(file: tuple[Path, int]) -> None:
    """After a flood no memory is held while the next line is waited for."""
    writer = Writer(file[1], notice)
    tracemalloc.start()
    try:
        writer.write(LINE * 40_000)
        assert writer.flush(PATIENCE)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    writer.close()
