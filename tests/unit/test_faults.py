"""`ferrio.testing.faults`, on real files and processes."""

import asyncio
import builtins
import errno
import gc
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack

import pytest

import ferrio
from ferrio import testing
from ferrio.testing import faults

FUNCTIONS = [(builtins, "open"), (io, "open"), (subprocess.Popen, "_execute_child")]
FUNCTIONS += [(os, name) for name in dir(os) if callable(getattr(os, name))]


@pytest.fixture(autouse=True)
def nothing_stays_replaced():
    before = [getattr(place, name) for place, name in FUNCTIONS]
    yield
    assert [getattr(place, name) for place, name in FUNCTIONS] == before


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    (folder / "old").write_bytes(b"0123456789" * 1000)
    return folder


def number_of(outcome):
    return outcome.value.errno


async def write_in_ferrio(path, data):
    async with ferrio.open(path, "wb") as file:
        await file.write(data)


async def write_text_in_ferrio(path, data):
    async with ferrio.open(path, "w") as file:
        await file.write(data.decode())


async def write_in_thread(path, data):
    def write():
        with open(path, "wb") as file:
            file.write(data)

    await asyncio.to_thread(write)


async def write_bytes(path, data):
    path.write_bytes(data)


async def write_without_buffer(path, data):
    with open(path, "wb", buffering=0) as file:
        while data:
            data = data[file.write(data) :]


async def write_by_descriptor(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


async def write_vectors(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while data:
            data = data[os.writev(fd, [data[:3], data[3:]]) :]
    finally:
        os.close(fd)


async def copy(path, data):
    source = path.parent.parent / "source"
    source.write_bytes(data)
    shutil.copyfile(source, path)


WRITERS = [
    write_in_ferrio,
    write_text_in_ferrio,
    write_in_thread,
    write_bytes,
    write_without_buffer,
    write_by_descriptor,
    write_vectors,
    copy,
]


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_takes_what_has_room(disk, write):
    with faults.disk_full(disk, after=70), pytest.raises(OSError) as outcome:
        ferrio.run(write(disk / "new", b"x" * 100))
    assert number_of(outcome) == errno.ENOSPC
    assert (disk / "new").read_bytes() == b"x" * 70
    ferrio.run(write(disk / "new", b"y" * 100))
    assert (disk / "new").read_bytes() == b"y" * 100


def test_a_full_disk_is_full_for_all_its_files(disk, tmp_path):
    with faults.disk_full(disk, after=15):
        (disk / "a").write_bytes(b"x" * 10)
        (tmp_path / "elsewhere").write_bytes(b"x" * 100)
        with pytest.raises(OSError, match="No space left"):
            (disk / "b").write_bytes(b"x" * 10)
    assert (disk / "b").stat().st_size == 5


def test_a_full_disk_hits_temporary_files_and_reads_go_on(disk):
    with faults.disk_full():
        with tempfile.TemporaryFile(dir=disk, buffering=0) as file, pytest.raises(OSError, match="No space left"):
            file.write(b"x")
        assert (disk / "old").stat().st_size == len((disk / "old").read_bytes()) == 10000


def test_an_error_may_come_from_flush(disk):
    async def main():
        async with ferrio.open(disk / "new", "wb") as file:
            await file.write(b"x")
            with pytest.raises(OSError) as outcome:
                await file.flush()
            assert number_of(outcome) == errno.ENOSPC
            full.close()
            await file.flush()

    full = enter(faults.disk_full(disk))
    ferrio.run(main())
    assert (disk / "new").read_bytes() == b"x"


def enter(manager):
    """Enters a context that the program itself leaves."""
    stack = ExitStack()
    stack.enter_context(manager)
    return stack


async def read_in_ferrio(path):
    async with ferrio.open(path, "rb") as file:
        return await file.read()


async def read_lines_in_ferrio(path):
    async with ferrio.open(path) as file:
        return "".join([line async for line in file]).encode()


async def read_bytes(path):
    return await asyncio.to_thread(path.read_bytes)


async def read_by_descriptor(path):
    fd, pieces = os.open(path, os.O_RDONLY), []
    try:
        while piece := os.read(fd, 100):
            pieces.append(piece)
    finally:
        os.close(fd)
    return b"".join(pieces)


async def read_into(path):
    room, done = bytearray(20000), 0
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(memoryview(room)[done:]):
            done += count
    return bytes(room[:done])


@pytest.mark.parametrize("read", [read_in_ferrio, read_lines_in_ferrio, read_bytes, read_by_descriptor, read_into])
@pytest.mark.parametrize("after", [0, 5000])
def test_a_broken_disk_gives_no_data(disk, read, after):
    with faults.disk_error(disk / "old", after=after), pytest.raises(OSError) as outcome:
        ferrio.run(read(disk / "old"))
    assert number_of(outcome) == errno.EIO
    with faults.disk_error(disk / "other"):
        assert ferrio.run(read(disk / "old")) == b"0123456789" * 1000


def test_reads_give_what_is_before_the_fault(disk):
    with faults.disk_error(disk, after=5000), open(disk / "old", "rb", buffering=0) as file:
        assert len(file.read(9000)) == 5000
        with pytest.raises(OSError, match="Input/output error"):
            file.read(1)


def test_files_keep_their_classes_and_errors(disk):
    with faults.disk_full(disk, after=10**6):
        with open(disk / "new", "w+", encoding="ascii") as file:
            assert type(file) is io.TextIOWrapper and type(file.buffer) is io.BufferedRandom
            file.write("abc")
            file.seek(1)
            assert file.read() == "bc"
        with pytest.raises(FileNotFoundError):
            (disk / "missing").open()
        with pytest.raises(ValueError, match="mode"):
            (disk / "new").open("q")
        with pytest.raises(TypeError), open(disk / "new", "wb", buffering=0) as file:
            file.write("text")


def test_a_dropped_file_is_closed_at_once(disk):
    gc.disable()
    try:
        with faults.disk_full(disk, after=10), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = open(disk / "new", "wb")  # noqa: SIM115  (it is dropped on purpose)
            file.write(b"x")
            del file
            assert (disk / "new").read_bytes() == b"x"
    finally:
        gc.enable()


@pytest.mark.parametrize("context", [lambda: faults.disk_full(after=-1), lambda: faults.slow_disk(-1)])
def test_arguments_are_checked(context):
    with pytest.raises(ValueError), context():
        pass


@pytest.mark.parametrize("read", [read_in_ferrio, read_bytes])
def test_a_slow_disk_takes_the_loops_time(disk, read):
    async def main():
        loop = asyncio.get_running_loop()
        ticks = []

        async def tick():
            while True:
                await asyncio.sleep(100)
                ticks.append(loop.time())

        task = asyncio.create_task(tick())
        await read(disk / "old")
        task.cancel()
        return loop.time(), ticks

    began = time.monotonic()
    with testing.virtual_time(), faults.slow_disk(250, disk):
        took, ticks = asyncio.run(main())
    assert took >= 500 and took % 250 == 0
    assert ticks[:4] == [100, 200, 300, 400]
    assert time.monotonic() - began < 60


def test_a_slow_disk_meets_a_timeout(disk):
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ferrio.os.stat(disk), 5)
        return asyncio.get_running_loop().time()

    with testing.virtual_time(), faults.slow_disk(60):
        assert asyncio.run(main()) == 5


def test_a_slow_disk_blocks_a_coroutine_that_opens_files(disk):
    async def main():
        late = []
        asyncio.get_running_loop().call_later(1, late.append, "tick")
        (disk / "old").read_bytes()
        assert not late
        return asyncio.get_running_loop().time()

    with testing.virtual_time(), faults.slow_disk(60):
        assert asyncio.run(main()) >= 120


def test_a_slow_disk_in_real_time(disk):
    began = time.monotonic()
    with faults.slow_disk(0.02, disk):
        ferrio.run(read_in_ferrio(disk / "old"))
    assert time.monotonic() - began >= 0.04


async def run_child(*words, **keywords):
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, **keywords)
    output, _ = await process.communicate()
    return process.returncode, output


async def run_shell(command):
    process = await asyncio.create_subprocess_shell(command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    return process.returncode, output


async def run_in_thread(*words):
    done = await asyncio.to_thread(subprocess.run, words, stdout=subprocess.PIPE)
    return done.returncode, done.stdout


RUNNERS = [run_child, run_in_thread]


@pytest.mark.parametrize("run", RUNNERS)
def test_no_child_can_be_started(run):
    with faults.no_processes(), pytest.raises(BlockingIOError):
        ferrio.run(run("echo", "hello"))
    with faults.no_processes(program="cat"):
        assert ferrio.run(run("echo", "hello")) == (0, b"hello\n")
    assert ferrio.run(run("echo", "hello")) == (0, b"hello\n")


@pytest.mark.parametrize("run", RUNNERS)
def test_a_program_is_missing(run):
    with faults.no_program("echo"):
        with pytest.raises(FileNotFoundError) as outcome:
            ferrio.run(run("echo", "hello"))
        assert outcome.value.filename == "echo"
        with pytest.raises(FileNotFoundError):
            ferrio.run(run(shutil.which("echo")))
        assert ferrio.run(run("true")) == (0, b"")


@pytest.mark.parametrize("run", RUNNERS)
def test_a_child_is_killed(run):
    with faults.process_killed():
        assert ferrio.run(run("sleep", "100")) == (-signal.SIGKILL, b"")
    with testing.virtual_time(), faults.process_killed(after=0.02, signal=signal.SIGTERM, program="sleep"):
        assert asyncio.run(run("sleep", "100")) == (-signal.SIGTERM, b"")
        assert asyncio.run(run("echo", "hello")) == (0, b"hello\n")


def test_a_child_that_has_ended_is_not_killed():
    with faults.process_killed(after=50):
        assert ferrio.run(run_child("echo", "hello")) == (0, b"hello\n")


@pytest.mark.parametrize("run", RUNNERS)
def test_a_slow_child(run):
    async def main(*words):
        began = asyncio.get_running_loop().time()
        outcome = await run(*words)
        return outcome, asyncio.get_running_loop().time() - began

    with testing.virtual_time(), faults.slow_process(3600):
        assert asyncio.run(main("echo", "a b", "$c")) == ((0, b"a b $c\n"), 3600)
        with pytest.raises(FileNotFoundError):
            asyncio.run(main("/no/such/program"))


def test_a_slow_shell_command():
    with testing.virtual_time(), faults.slow_process(60):
        assert asyncio.run(run_shell("echo $((1 + 1)) 'a b'")) == (0, b"2 a b\n")


def test_a_slow_child_meets_a_timeout():
    async def main():
        process = await asyncio.create_subprocess_exec("echo")
        assert asyncio.get_running_loop().time() == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        assert asyncio.get_running_loop().time() == 10
        process.terminate()  # which a process that stands still doesn't notice
        await asyncio.sleep(10)
        process.kill()
        await process.wait()
        assert asyncio.get_running_loop().time() == 20
        return process.returncode

    with testing.virtual_time(), faults.slow_process(60):
        assert asyncio.run(main()) == -signal.SIGKILL


def test_no_child_stays_stopped():
    async def main():
        with faults.slow_process(3600):
            process = await asyncio.create_subprocess_exec("true")
        return await process.wait()

    assert ferrio.run(main()) == 0


def test_children_hold_a_virtual_clock():
    async def main():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(0.1)")
        await asyncio.wait_for(process.wait(), 50)
        return asyncio.get_running_loop().time()

    with testing.virtual_time():
        assert asyncio.run(main()) == 0


def test_blocks_may_end_in_any_order(disk):
    first, second = enter(faults.disk_full(disk)), enter(faults.disk_error(disk))
    first.close()
    (disk / "new").write_bytes(b"x")
    with pytest.raises(OSError, match="Input/output error"):
        (disk / "new").read_bytes()
    second.close()
    assert (disk / "new").read_bytes() == b"x"


def test_a_replaced_open_is_called(monkeypatch, disk):
    """As with pyfakefs: what stands in for `io.open` opens ferrio's files too."""
    monkeypatch.setattr(io, "open", lambda file, *args: io.BytesIO(b"instead of " + os.fsencode(file.name)))
    assert ferrio.run(read_in_ferrio(pathlib.Path("name"))) == b"instead of name"
