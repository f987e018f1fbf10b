"""A fork of the whole program while a loop runs: the child has its own loops, and the parent's loop notices nothing.

This holds on asyncio and on ferrio. ferrio adds that the child may do anything to its parent's loop.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import threading
import traceback

import pytest
from tests.unit.implementations import since
from tests.unit.programs import run_program

import ferrio

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

# This is a lock of CPython's own: the child remakes it, but on 3.11 only after waiting for it.
fork_among_starting_threads = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="CPython 3.11 may hang in os.fork() while another thread begins or ends"
)


@contextlib.contextmanager
def socket_pair():
    """Two connected, non-blocking sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def forked(child_main):
    """Forks a child that calls `child_main`, and returns its process id."""
    child = os.fork()
    if child == 0:
        try:
            child_main()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def life_of_a_loop(aio):
    """Runs a new loop that uses timers, threads, sockets and a signal handler."""

    async def main():
        loop = aio.get_running_loop()
        came = aio.Event()
        loop.add_signal_handler(signal.SIGUSR2, came.set)
        signal.raise_signal(signal.SIGUSR2)
        await came.wait()
        assert await aio.to_thread(abs, -1) == 1
        await aio.sleep(0.001)
        with socket_pair() as (ours, theirs):
            receiving = aio.create_task(loop.sock_recv(ours, 9))
            await aio.sleep(0)
            await loop.sock_sendall(theirs, b"child")
            assert await receiving == b"child"

    aio.run(main())


async def parent(aio, child_main):
    """Forks `child_main(loop, socket)` while this loop has much to do, and then goes on with all of that.

    It has a timer, a busy thread, a reader, a waiting `sock_recv` and a signal handler.
    """
    loop = aio.get_running_loop()
    release, came, read = threading.Event(), aio.Event(), aio.Event()
    loop.add_signal_handler(signal.SIGUSR1, came.set)
    with socket_pair() as (ours, theirs), socket_pair() as (watched, other):
        try:
            busy = aio.create_task(aio.to_thread(release.wait))
            receiving = aio.create_task(loop.sock_recv(ours, 9))
            sleeping = aio.create_task(aio.sleep(0.01, "slept"))
            loop.add_reader(watched, read.set)
            await aio.sleep(0)
            child = forked(lambda: child_main(loop, watched))
            _, status = await aio.to_thread(os.waitpid, child, 0)
            assert status == 0, "the child failed: see what it printed"
            await loop.sock_sendall(theirs, b"parent")
            assert await receiving == b"parent"
            assert await sleeping == "slept"
            await loop.sock_sendall(other, b"x")
            await read.wait()
            os.kill(os.getpid(), signal.SIGUSR1)
            await came.wait()
        finally:
            release.set()
        assert await busy is True
        loop.remove_reader(watched)


@since(3, 12)  # before 3.12 asyncio's child has its parent's loop
def test_child_makes_its_own_loop(aio):
    def child_main(loop, watched):
        assert aio._get_running_loop() is None
        with pytest.raises(RuntimeError, match="no running event loop"):
            aio.get_running_loop()
        for _ in range(2):
            life_of_a_loop(aio)

    aio.run(parent(aio, child_main))


@since(3, 12)
def test_grandchild_makes_its_own_loop(aio):
    def child_main(loop, watched):
        aio.run(parent(aio, lambda loop, watched: life_of_a_loop(aio)))

    aio.run(parent(aio, child_main))


# The rest is about ferrio only.


def test_child_cannot_disturb_its_parents_loop():
    def child_main(loop, watched):
        assert loop.remove_reader(watched)
        loop.call_soon_threadsafe(print, "never")
        for task in ferrio.all_tasks(loop):
            task.cancel()
        loop.add_reader(watched, print, "never")
        loop.remove_signal_handler(signal.SIGUSR1)
        life_of_a_loop(ferrio)

    ferrio.run(parent(ferrio, child_main))


def test_child_can_use_a_loop_made_before_the_fork():
    loop = ferrio.new_event_loop()
    with socket_pair() as (ours, theirs), socket_pair() as (parents, childs):
        loop.add_reader(ours, loop.stop)
        loop.run_until_complete(ferrio.sleep(0.000_02))

        async def receive():
            await ferrio.to_thread(abs, -1)
            await ferrio.sleep(0.000_02)
            return await loop.sock_recv(ours, 1)

        def child_main():
            loop.run_forever()  # until the reader stops it
            loop.remove_reader(ours)
            assert loop.run_until_complete(receive()) == b"1"
            childs.send(b"done")
            loop.close()

        child = forked(child_main)
        theirs.send(b"12")
        select.select([parents], [], [], 30)
        assert parents.recv(9) == b"done"
        assert os.waitpid(child, 0)[1] == 0
        loop.run_forever()
        assert ours.recv(9) == b"2"
    loop.close()


@pytest.mark.parametrize("runs_in", ["main thread", "thread"])
def test_child_with_its_parents_loop_gets_its_own_signals(runs_in):
    # With asyncio both would read from one pipe.
    came = []
    loop = ferrio.new_event_loop()
    loop.add_signal_handler(signal.SIGUSR1, came.append, "handler")
    loop.run_until_complete(ferrio.sleep(0))

    def raise_and_look():
        signal.raise_signal(signal.SIGUSR1)
        loop.run_until_complete(ferrio.sleep(0.000_02))
        assert came == ["handler"]
        loop.remove_signal_handler(signal.SIGUSR1)

    def look_in_a_thread():
        thread = threading.Thread(target=loop.run_until_complete, args=(ferrio.sleep(0.000_02),))
        thread.start()
        thread.join()
        assert came == [], "the child took its parent's signal"

    def child_main():
        os.read(reader, 1)
        if runs_in == "thread":
            look_in_a_thread()
        else:
            loop.run_until_complete(ferrio.sleep(0.000_02))
            assert came == []
            raise_and_look()

    reader, writer = os.pipe()
    child = forked(child_main)
    # It is in the parent's pipe when the child runs the loop.
    signal.raise_signal(signal.SIGUSR1)
    os.write(writer, b"x")
    assert os.waitpid(child, 0)[1] == 0
    loop.run_until_complete(ferrio.sleep(0.000_02))
    assert came == ["handler"], "only the parent's signal must arrive, not the child's"
    came.clear()
    raise_and_look()
    loop.close()
    os.close(reader)
    os.close(writer)


@pytest.mark.skipif(
    sys.version_info >= (3, 14),
    reason="multiprocessing's fork server, the default from 3.14 on, waits in a forked child for its parent's child",
)
def test_child_with_its_parents_loop_gets_its_own_processes():
    # The child doesn't have the threads that serve the parent's pool.
    loop = ferrio.new_event_loop()
    assert loop.run_until_complete(ferrio.to_process(abs, -1)) == 1

    def child_main():
        assert loop.run_until_complete(ferrio.to_process(abs, -2)) == 2
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    child = forked(child_main)
    assert os.waitpid(child, 0)[1] == 0
    assert loop.run_until_complete(ferrio.to_process(abs, -1)) == 1
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def use_threads_and_files(folder, name):
    """Runs a new loop that uses ferrio's threads, files and functions of `ferrio.os`."""
    path = folder / name

    async def write_and_read():
        async with ferrio.open(path, "w") as file:
            await file.write(name * 1000)
        async with ferrio.open(path) as file:
            return await file.read()

    async def main():
        results = await ferrio.gather(
            write_and_read(), *[ferrio.to_thread(abs, -number) for number in range(20)], ferrio.os.stat(folder)
        )
        assert results[0] == name * 1000
        assert results[1:21] == list(range(20))

    ferrio.run(main())


@fork_among_starting_threads
def test_child_has_threads_and_files_while_the_parents_are_busy(tmp_path):
    """Files wait for a FIFO, a read and a `to_thread` are running, others are queued."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def read_fifo():
        async with ferrio.open(fifo, "rb") as file:
            return await file.read()

    async def main():
        release = threading.Event()
        opening = ferrio.create_task(read_fifo())
        waiting = [ferrio.create_task(ferrio.to_thread(release.wait)) for _ in range(50)]
        busy = [ferrio.create_task(ferrio.os.listdir(tmp_path)) for _ in range(200)]
        await ferrio.sleep(0)
        try:
            children = [forked(lambda n=n: use_threads_and_files(tmp_path, f"child {n}")) for n in range(4)]
            for child in children:
                assert (await ferrio.os.wrap(os.waitpid)(child, 0))[1] == 0, "the child failed: see what it printed"
        finally:
            release.set()
        assert all(await ferrio.gather(*waiting))
        assert all("fifo" in names for names in await ferrio.gather(*busy))
        await ferrio.to_thread(fifo.write_bytes, b"parent")
        assert await opening == b"parent"

    ferrio.run(main())
    use_threads_and_files(tmp_path, "parent")


@pytest.mark.parametrize("way", ["ferrio.to_thread(fork)", "ferrio.os.wrap(fork)()"], ids=["thread", "file thread"])
def test_child_forked_by_a_worker_ends_with_the_workers_function(way):
    program = f"""
        import os, warnings, ferrio
        warnings.simplefilter("ignore")

        def fork():
            child = os.fork()
            return 0 if child == 0 else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        async def main():
            return await {way}

        print("parent", ferrio.run(main()))
        """
    assert run_program(program) == "parent 0\n"


@fork_among_starting_threads
def test_fork_while_threads_post(tmp_path):
    # At that moment a worker may hold any lock of its pool or of its loop's inbox.
    async def main():
        ended = False
        loop = ferrio.get_running_loop()

        def child_main(number):
            loop.call_soon_threadsafe(print, "never")
            use_threads_and_files(tmp_path, f"child {number}")

        async def work(what):
            while not ended:
                await what()

        workers = [
            *[ferrio.create_task(work(lambda: ferrio.to_thread(abs, -1))) for _ in range(4)],
            *[ferrio.create_task(work(lambda: ferrio.os.stat(tmp_path))) for _ in range(4)],
        ]
        for number in range(20):
            await ferrio.sleep(0.000_5)
            child = forked(lambda number=number: child_main(number))
            assert (await ferrio.to_thread(os.waitpid, child, 0))[1] == 0, "the child failed: see what it printed"
        ended = True
        await ferrio.gather(*workers)

    ferrio.run(main())


def test_child_leaves_files_alone_that_its_parents_jobs_have_opened(tmp_path):
    # The fork may have come between the child's copy of the descriptors and its copy of the memory.
    paths = [tmp_path / str(number) for number in range(20)]
    for path in paths:
        path.write_bytes(b"content")

    def descriptors():
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith(str(tmp_path)):
                    found.append(int(name))
        return sorted(found)

    async def main():
        # The loop stands still, so nobody takes what the jobs leave; all but the last have surely left it.
        openings = []
        for path in paths:
            openings.append(ferrio.open(path, "rb").__aenter__())
            openings[-1].send(None)
            while len(descriptors()) < len(openings):
                os.sched_yield()
        before = descriptors()

        def child_main():
            for opening in openings:
                opening.close()
            openings.clear()
            gc.collect()
            assert descriptors() == before

        child = forked(child_main)
        assert os.waitpid(child, 0)[1] == 0, "the child failed: see what it printed"
        for opening in openings:
            opening.close()

    ferrio.run(main())
    assert descriptors() == []
