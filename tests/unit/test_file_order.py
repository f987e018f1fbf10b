"""Operations on one file: their order, what a cancelled one leaves behind, loops and processes that end in between.

The guarantee: operations begin in the order in which they were awaited. One that has begun is completed even if it is
cancelled, and the next waits for it to end. One that is cancelled before it begins does nothing.
"""

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest
from tests.unit.programs import run_program

import ferrio


@pytest.fixture
def fifo(tmp_path):
    """A named pipe: reading from it waits until something writes."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_order_of_many_writers(tmp_path):
    async def main():
        async with ferrio.open(tmp_path / "file", "w") as file:
            await ferrio.gather(*(file.write(f"{number} " * 3000) for number in range(50)))

    ferrio.run(main())
    assert (tmp_path / "file").read_text() == "".join(f"{number} " * 3000 for number in range(50))


def test_order_of_reads_of_all_sizes(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)

    async def main():
        async with ferrio.open(tmp_path / "file", "rb") as file:
            return await ferrio.gather(*(file.read(size) for size in (1, 10_000, 2_000_000, 7, 300_000, -1)))

    assert b"".join(ferrio.run(main())) == data


def test_two_files_do_not_wait_for_each_other(fifo, tmp_path):
    (tmp_path / "file").write_text("quick")

    async def main():
        keep = os.open(fifo, os.O_RDWR)
        slow = await ferrio.open(fifo, "rb", buffering=0)
        waiting = ferrio.create_task(slow.read(4))
        async with ferrio.open(tmp_path / "file") as quick:
            assert await quick.read() == "quick"
        assert not waiting.done()
        os.write(keep, b"slow")
        assert await waiting == b"slow"
        await slow.close()
        os.close(keep)

    ferrio.run(main())


async def cancelled(awaitable):
    """Begins something in a task, cancels it, and waits for the cancellation to arrive."""
    task = ferrio.ensure_future(awaitable)
    await ferrio.sleep(0)
    task.cancel()
    with pytest.raises(ferrio.CancelledError):
        await task


@pytest.mark.parametrize("mode", ["wb", "wb+", "w"])
def test_cancelled_write_is_completed_before_the_next(tmp_path, mode):
    first, second = b"1" * 5_000_000, b"2" * 100
    if mode == "w":
        first, second = first.decode(), second.decode()

    async def main():
        async with ferrio.open(tmp_path / "file", mode) as file:
            await cancelled(file.write(first))
            await file.write(second)
            assert await file.tell() == len(first) + len(second)

    ferrio.run(main())
    assert (tmp_path / "file").read_bytes() == b"1" * 5_000_000 + b"2" * 100


@pytest.mark.parametrize("buffering", [-1, 0, 16])
def test_cancelled_read_moves_the_position_by_its_whole_size(tmp_path, buffering):
    data = os.urandom(4_000_000)
    (tmp_path / "file").write_bytes(data)

    async def main():
        async with ferrio.open(tmp_path / "file", "rb", buffering) as file:
            await cancelled(file.read(3_000_000))
            assert await file.tell() == 3_000_000
            assert await file.read(2_000_000) == data[3_000_000:]

    ferrio.run(main())


def test_operation_cancelled_in_the_queue_does_nothing(fifo):
    async def main():
        keep = os.open(fifo, os.O_RDWR)
        file = await ferrio.open(fifo, "rb", buffering=0)
        first = ferrio.create_task(file.read(3))
        await ferrio.sleep(0)
        await cancelled(file.read(3))
        last = ferrio.create_task(file.read(3))
        await ferrio.sleep(0)
        os.write(keep, b"onetwo")
        assert (await first, await last) == (b"one", b"two")
        await file.close()
        os.close(keep)

    ferrio.run(main())


def test_operation_after_a_cancelled_one_waits_for_its_end(fifo):
    async def main():
        keep = os.open(fifo, os.O_RDWR)
        file = await ferrio.open(fifo, "rb", buffering=0)
        await cancelled(file.read(3))
        after = ferrio.create_task(file.read(3))
        await ferrio.sleep(0)
        os.write(keep, b"onetwo")
        # The first three went to the cancelled read.
        assert await after == b"two"
        await file.close()
        os.close(keep)

    ferrio.run(main())


def test_cancelled_operation_passes_the_file_on(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 1_000_000)

    async def main():
        async with ferrio.open(tmp_path / "file", "rb+") as file:
            first = ferrio.create_task(file.read(500_000))
            tasks = [ferrio.create_task(file.read(10)) for _ in range(3)]
            first.add_done_callback(lambda _: tasks[0].cancel())
            done = await ferrio.gather(first, *tasks, return_exceptions=True)
            assert len(done[0]) == 500_000
            assert done[2:] == [b"x" * 10, b"x" * 10]

    ferrio.run(main())


def test_cancelled_open_leaves_no_descriptor(fifo):
    async def main():
        # Opening a pipe for reading waits for a writer, and vice versa.
        await cancelled(ferrio.open(fifo, "rb").__aenter__())
        async with ferrio.open(fifo, "wb", buffering=0) as writer:
            # The reader is there now. Once its descriptor is closed, the kernel has no reader for what is written.
            with pytest.raises(BrokenPipeError):
                while True:
                    await writer.write(b"x")

    ferrio.run(main())


def test_timeout_over_a_read(fifo):
    async def main():
        keep = os.open(fifo, os.O_RDWR)
        file = await ferrio.open(fifo, "rb", buffering=0)
        with pytest.raises(TimeoutError):
            await ferrio.wait_for(file.read(1), 0.01)
        os.write(keep, b"ab")
        assert await file.read(1) == b"b"
        await file.close()
        os.close(keep)

    ferrio.run(main())


def test_loop_closed_during_a_read_leaves_the_file_usable(fifo):
    keep = os.open(fifo, os.O_RDWR)

    async def begin():
        file = await ferrio.open(fifo, "rb", buffering=0)
        reading = file.read(3)
        task = ferrio.create_task(reading)
        await ferrio.sleep(0)
        return file, task

    loop = ferrio.new_event_loop()
    file, task = loop.run_until_complete(begin())
    task.cancel()
    loop.run_until_complete(ferrio.wait([task]))
    loop.close()
    os.write(keep, b"onetwo")

    async def go_on():
        assert await file.read(3) == b"two"
        await file.close()

    ferrio.run(go_on())
    os.close(keep)


@pytest.mark.parametrize("aio", ["ferrio", "asyncio"])
def test_program_exits_after_a_cancelled_read(tmp_path, aio):
    (tmp_path / "file").write_bytes(b"x" * 50_000_000)
    printed = run_program(
        f"""
        import {aio} as asyncio, ferrio

        async def main():
            for mode, buffering in (("rb", -1), ("r", -1), ("rb+", -1), ("rb", 0)):
                file = await ferrio.open("file", mode, buffering)
                task = asyncio.ensure_future(file.read())
                await asyncio.sleep(0)
                task.cancel()
                kept.append(file)
            print("end")

        kept = []
        asyncio.run(main())
        """,
        cwd=tmp_path,
    )
    assert printed == "end\n"


def test_program_exits_although_an_open_waits_for_ever(fifo):
    # The job needs no interpreter, so nothing waits for it.
    printed = run_program(
        f"""
        import ferrio

        async def main():
            try:
                async with ferrio.timeout(0.01):
                    await ferrio.open({str(fifo)!r}, "rb")
            except TimeoutError:
                print("too slow")

        ferrio.run(main())
        """
    )
    assert printed == "too slow\n"


def test_forked_child_has_its_own_threads(tmp_path):
    (tmp_path / "file").write_text("content")
    printed = run_program(
        """
        import os, ferrio

        async def main():
            async with ferrio.open("file", "r+") as file:
                return await file.read()

        assert ferrio.run(main()) == "content"
        child = os.fork()
        assert ferrio.run(main()) == "content"
        if child == 0:
            print("child", flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("parent")
        """,
        options=("-W", "ignore::DeprecationWarning"),  # os.fork() warns of threads
        cwd=tmp_path,
    )
    assert printed == "child\nparent\n"


def test_file_of_one_loop_in_another(tmp_path):
    async def begin():
        file = await ferrio.open(tmp_path / "file", "w")
        await file.write("one ")
        return file

    async def end(file):
        await file.write("two")
        await file.close()

    asyncio.run(end(ferrio.run(begin())))
    assert (tmp_path / "file").read_text() == "one two"


def test_many_files_at_once(tmp_path):
    async def one(number):
        async with ferrio.open(tmp_path / str(number), "w") as file:
            await file.write(f"{number}\n" * 100)
        async with ferrio.open(tmp_path / str(number)) as file:
            return len([line async for line in file if line == f"{number}\n"])

    async def main():
        return await ferrio.gather(*(one(number) for number in range(200)))

    assert ferrio.run(main()) == [100] * 200


def test_virtual_time_waits_for_files(tmp_path):
    (tmp_path / "file").write_text("content")

    async def main():
        async with ferrio.timeout(1000):
            async with ferrio.open(tmp_path / "file", "r+") as file:
                return await file.read()

    loop = ferrio.EventLoop(virtual_time=True)
    assert loop.run_until_complete(main()) == "content"
    loop.close()


# A program at its end, waiting for a read that has begun.

READ_THAT_NEVER_ENDS = """
    import os, signal, sys, threading, time, warnings, ferrio, ferrio._exit

    main_thread = threading.get_ident()
    keep = os.open("fifo", os.O_RDWR)

    async def main():
        file = await ferrio.open("fifo")
        kept.append(file)
        ferrio.create_task(file.read())
        await ferrio.sleep(0)

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)

    kept = []
    ferrio.run(main())
    """


def test_interrupt_ends_a_program_that_waits_for_a_read(fifo):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(READ_THAT_NEVER_ENDS)
            + textwrap.dedent(
                """
                def interrupt_when_it_waits():
                    while "ferrio/_exit" not in sys._current_frames()[main_thread].f_code.co_filename:
                        time.sleep(0.001)
                    interrupt()

                threading.Thread(target=interrupt_when_it_waits, daemon=True).start()
                print("end", flush=True)
                """
            ),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        cwd=fifo.parent,
    )
    assert done.stdout.startswith("end\n")
    assert "KeyboardInterrupt" in done.stdout


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="at its end Python 3.12 starts no thread that could report it"
)
def test_exit_that_waits_for_a_read_says_so(fifo):
    printed = run_program(
        READ_THAT_NEVER_ENDS
        + """
    def report(message, *rest, **keywords):
        print(message, flush=True)
        os.write(keep, b"text")
        os.close(keep)

    ferrio._exit.REPORT_DELAY = 0.01
    warnings.showwarning = report
    """,
        cwd=fifo.parent,
    )
    assert printed == (
        "The program has ended, but is still waiting for File.read of <ferrio.File 'fifo'> in a thread. "
        "Press Ctrl-C to stop it\n"
    )
