"""Several threads use the objects of one loop: the outcome is right or an error, never corruption.

asyncio's objects belong to their loop's thread. A program that forgets this may get an exception or a surprising order.
But the object's state stays intact, the loop goes on, and no waiter is forgotten.
"""

import contextlib
import socket
import threading

import pytest
from tests.unit.hammer import ROUNDS, THREADS, Served, hammer, quick_switches

import ferrio


@pytest.fixture
def served():
    """A loop in its own thread."""
    with Served() as served:
        yield served


def look_at(thing):
    """Calls `repr`; Python's own parts of it (`base_futures`, a deque's iterator) may notice a change."""
    with contextlib.suppress(TypeError, IndexError, RuntimeError):
        repr(thing)


def counted(counter, function, *args):
    """Makes an action that counts the successful calls of `function`."""

    def action():
        function(*args)
        counter.append(1)

    return action


def test_future_is_done_once(served):
    for _ in range(20):
        future, done = ferrio.Future(loop=served.loop), []
        callback = threading.Event()

        def cancel(future=future, done=done):
            if future.cancel():
                done.append(1)

        hammer(
            counted(done, future.set_result, 1),
            counted(done, future.set_exception, LookupError("spam")),
            cancel,
            lambda future=future, callback=callback: future.add_done_callback(lambda _: callback.set()),
            lambda future=future: future.remove_done_callback(print),
            future.done,
            future.exception,
            future.result,
            lambda future=future: future._callbacks,
            lambda future=future: look_at(future),
            allowed=(ferrio.InvalidStateError, ferrio.CancelledError, LookupError),
            rounds=20,
        )
        future.cancel()
        future.add_done_callback(lambda _, callback=callback: callback.set())
        assert callback.wait(30)
        assert len(done) <= 1
        if not future.cancelled():
            future.exception()


def test_no_waiter_of_a_future_is_forgotten(served):
    async def wait(future):
        with contextlib.suppress(ferrio.CancelledError):
            return await future

    async def all_of(futures):
        return await ferrio.gather(*(wait(future) for future in futures for _ in range(3)))

    futures = [ferrio.Future(loop=served.loop) for _ in range(ROUNDS)]
    waiting = ferrio.run_coroutine_threadsafe(all_of(futures), served.loop)
    left = iter(futures)

    def finish():
        for future in left:
            future.set_result(1)
            break

    # An iterator that two threads resume at once may skip one.
    hammer(finish, allowed=(ferrio.InvalidStateError, ValueError))
    for future in futures:
        with contextlib.suppress(ferrio.InvalidStateError):
            future.set_result(1)
    assert waiting.result(30) == [1] * (3 * ROUNDS)


def test_task_is_cancelled(served):
    async def sleep():
        await ferrio.sleep(60)

    async def spin():
        while True:
            await ferrio.sleep(0)

    async def wait_for_other():
        await ferrio.create_task(sleep())

    async def catch_one():
        with contextlib.suppress(ferrio.CancelledError):
            await ferrio.sleep(60)
        await ferrio.Queue().get()

    async def create(function):
        return ferrio.create_task(function())

    for function in [sleep, spin, wait_for_other, catch_one]:
        for _ in range(5):
            task = served.run(create(function))
            hammer(
                task.cancel,
                task.cancelling,
                task.uncancel,
                lambda task=task: task.set_name("spam"),
                lambda task=task: (task.get_name(), task.get_coro(), task.get_context()),
                lambda task=task: task.add_done_callback(print),
                lambda task=task: task.remove_done_callback(print),
                lambda task=task: look_at(task),
                rounds=10,
            )
            done = threading.Event()
            task.add_done_callback(lambda _, done=done: done.set())
            # `uncancel` may have withdrawn requests, and `catch_one` swallows one.
            while not done.wait(0.05):
                task.cancel()
            assert task.cancelled()


def test_handles(served):
    called = []
    handles = [served.loop.call_later(60, print)]

    def schedule():
        handles[0] = served.loop.call_soon_threadsafe(called.append, 1)

    def schedule_later():
        handles[0] = served.loop.call_later(0.0001, called.append, 1)

    hammer(
        schedule,
        schedule_later,
        lambda: served.loop.call_soon(called.append, 1),
        lambda: handles[0].cancel(),
        lambda: handles[0].cancelled(),
        lambda: repr(handles[0]),
        lambda: handles[0].get_context(),
        lambda: handles[0]._args,
    )
    served.run(ferrio.sleep(0.001))
    assert called
    assert served.reported == []


@pytest.mark.parametrize("kind", [ferrio.Queue, ferrio.LifoQueue, ferrio.PriorityQueue])
@pytest.mark.parametrize("size", [0, 3])
def test_queue_loses_nothing(served, kind, size):
    queue, put, got = kind(size), [], []

    async def consume():
        with contextlib.suppress(ferrio.QueueShutDown):
            while True:
                got.append(await queue.get())
                queue.task_done()

    async def produce():
        for _ in range(ROUNDS):
            await queue.put(1)
            put.append(1)

    def get_nowait():
        got.append(queue.get_nowait())
        queue.task_done()

    async def begin():
        return [ferrio.create_task(function()) for function in (consume, consume, produce)]

    *consumers, producer = served.run(begin())
    hammer(
        counted(put, queue.put_nowait, 1),
        counted(put, queue.put_nowait, 1),
        get_nowait,
        queue.qsize,
        queue.empty,
        queue.full,
        lambda: look_at(queue),
        lambda: queue._getters,
        allowed=(ferrio.QueueEmpty, ferrio.QueueFull),
    )

    async def end():
        await producer
        await queue.join()
        queue.shutdown()
        await ferrio.gather(*consumers)

    served.run(end())
    assert len(got) == len(put)


def test_event_wakes_all_waiters(served):
    event, woken = ferrio.Event(), []

    async def wait():
        for _ in range(20):
            await event.wait()
            woken.append(1)
            await ferrio.sleep(0)

    async def begin():
        return [ferrio.create_task(wait()) for _ in range(10)]

    tasks = served.run(begin())
    hammer(event.set, event.clear, event.is_set, lambda: repr(event))
    event.set()

    async def end():
        await ferrio.gather(*tasks)

    served.run(end())
    assert len(woken) == 200


def test_lock_has_one_owner(served):
    lock, inside, most = ferrio.Lock(), [], []

    async def work():
        for _ in range(50):
            async with lock:
                inside.append(1)
                most.append(len(inside))
                await ferrio.sleep(0)
                inside.pop()

    async def main():
        await ferrio.gather(*(work() for _ in range(5)))

    done = ferrio.run_coroutine_threadsafe(main(), served.loop)
    hammer(lock.locked, lambda: repr(lock), lambda: lock._waiters)
    done.result(30)
    assert set(most) == {1}


@pytest.mark.parametrize("make", [lambda: ferrio.Semaphore(1), ferrio.Lock], ids=["Semaphore", "Lock"])
def test_releases_from_other_threads_are_not_lost(served, make):
    lock, taken = make(), []

    async def work():
        for _ in range(ROUNDS // 10):
            await lock.acquire()
            taken.append(1)

    async def main():
        await ferrio.gather(*(work() for _ in range(10)))

    done = ferrio.run_coroutine_threadsafe(main(), served.loop)
    # The lock raises when it isn't held.
    hammer(lock.release, lock.locked, allowed=RuntimeError, until=done.done)
    done.result(0)
    assert len(taken) == ROUNDS // 10 * 10


def test_notifications_from_another_thread_are_not_lost(served):
    condition, turn = ferrio.Condition(), ["ours"]

    async def work():
        async with condition:
            for _ in range(ROUNDS):
                while turn[0] != "theirs":
                    await condition.wait()
                turn[0] = "ours"

    def acquire():
        """Takes the lock from this thread, which can't wait for it on a loop."""
        with contextlib.suppress(RuntimeError):
            with pytest.raises(StopIteration):
                condition.acquire().send(None)
            return True
        return False

    done = ferrio.run_coroutine_threadsafe(work(), served.loop)
    given = 0
    with quick_switches():
        while given < ROUNDS:
            if acquire():
                if turn[0] == "ours":
                    turn[0] = "theirs"
                    given += 1
                    condition.notify()
                condition.release()
    done.result(30)


def test_free_lock_of_a_condition_shows_its_waiters():
    seen, found = [], []

    class Loop(ferrio.EventLoop):
        def call_soon(self, *args, **keywords):
            # What another thread would see at this moment. A call wakes `second` when `first` releases the lock.
            seen.append(repr(condition).rpartition("[")[2])
            return super().call_soon(*args, **keywords)

    async def first():
        async with condition:
            await condition.wait()

    async def second():
        async with condition:
            found.extend(seen)
            condition.notify()

    async def main():
        nonlocal condition
        condition = ferrio.Condition()
        async with condition:
            tasks = [ferrio.create_task(first()), ferrio.create_task(second())]
            await ferrio.sleep(0)  # both wait for the lock
        await ferrio.gather(*tasks)
        assert "unlocked, waiters:1]>" in found

    condition = None
    with ferrio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_operation_is_driven_by_one_thread_at_a_time():
    for make in [lambda: ferrio.sleep(0), lambda: ferrio.Lock().acquire(), lambda: ferrio.Queue().get()]:
        for _ in range(10):
            operation, ended = make(), []

            def send(operation=operation, ended=ended):
                try:
                    operation.send(None)
                except StopIteration:
                    ended.append(1)

            hammer(
                send,
                lambda operation=operation: operation.throw(LookupError),
                lambda operation=operation: repr(operation),
                lambda operation=operation: (operation.cr_await, operation.cr_running, operation.__name__),
                operation.close,
                allowed=(RuntimeError, ValueError, LookupError),
                rounds=5,
            )
            assert len(ended) <= 1
            operation.close()


def test_stream_reader_keeps_its_bytes(served):
    reader = ferrio.StreamReader(loop=served.loop)
    fed, got = [], []

    def feed():
        reader.feed_data(b"spam\n")
        fed.append(1)

    async def read():
        while line := await reader.readline():
            got.append(line)

    reading = ferrio.run_coroutine_threadsafe(read(), served.loop)
    hammer(feed, feed, reader.at_eof, reader.exception, lambda: repr(reader))
    reader.feed_eof()
    reading.result(30)
    assert got == [b"spam\n"] * len(fed)


@contextlib.contextmanager
def connected(served, make_protocol=ferrio.Protocol):
    """Makes a transport on the served loop, with the other end as a blocking socket."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)
    with theirs:
        transport, protocol = served.run(served.loop.create_connection(make_protocol, sock=ours))
        try:
            yield transport, protocol, theirs
        finally:
            served.loop.call_soon_threadsafe(transport.abort)
            served.run(ferrio.sleep(0))


def drained(sock):
    """Reads to the end in a thread; joining it returns what arrived."""
    received = bytearray()

    def body():
        while data := sock.recv(65536):
            received.extend(data)

    thread = threading.Thread(target=body)
    thread.start()
    return thread, received


def test_transport_sends_whole_messages(served):
    message, sent = b"0123456789" * 100, []

    with connected(served) as (transport, _, theirs):
        thread, received = drained(theirs)
        hammer(
            counted(sent, transport.write, message),
            lambda: (transport.writelines([message, message]), sent.extend((1, 1))),
            transport.get_write_buffer_size,
            transport.get_write_buffer_limits,
            lambda: transport.set_write_buffer_limits(10, 1),
            transport.is_closing,
            lambda: transport.get_extra_info("socket"),
            lambda: repr(transport),
        )
        served.loop.call_soon_threadsafe(transport.close)
        thread.join()
    assert bytes(received) == message * len(sent)


def test_transport_may_be_closed_by_many_threads(served):
    class Counting(ferrio.Protocol):
        def __init__(self):
            self.lost = []
            self.ended = threading.Event()

        def connection_lost(self, exception):
            self.lost.append(exception)
            self.ended.set()

    for _ in range(10):
        with connected(served, Counting) as (transport, protocol, _):
            hammer(
                transport.close,
                transport.abort,
                transport.pause_reading,
                transport.resume_reading,
                transport.is_reading,
                lambda transport=transport: transport.write(b"spam"),
                allowed=RuntimeError,
                rounds=10,
            )
            transport.abort()
            assert protocol.ended.wait(30)
            served.run(ferrio.sleep(0))
            assert len(protocol.lost) == 1


def test_readers_come_and_go(served):
    pairs = [socket.socketpair() for _ in range(3)]
    called = []
    actions = []
    for ours, theirs in pairs:
        theirs.send(b"spam")
        actions += [
            lambda ours=ours: served.loop.add_reader(ours, called.append, 1),
            lambda ours=ours: served.loop.add_writer(ours, called.append, 1),
            lambda ours=ours: served.loop.remove_reader(ours),
            lambda ours=ours: served.loop.remove_writer(ours),
        ]
    # The loop's thread may have closed or changed what another thread is about to change.
    hammer(*actions, allowed=(OSError, RuntimeError))
    for ours, _ in pairs:
        served.loop.remove_reader(ours)
        served.loop.remove_writer(ours)
    served.run(ferrio.sleep(0))
    seen = len(called)
    served.run(ferrio.sleep(0))
    assert len(called) == seen
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_settings_of_a_loop(served):
    hammer(
        lambda: served.loop.set_debug(False),
        served.loop.get_debug,
        served.loop.is_running,
        served.loop.time,
        lambda: served.loop.set_task_factory(None),
        served.loop.get_exception_handler,
        lambda: setattr(served.loop, "slow_callback_duration", 0.5),
        lambda: repr(served.loop),
        lambda: ferrio.all_tasks(served.loop),
    )
    assert served.run(ferrio.sleep(0, 1)) == 1


def test_tasks_made_by_many_threads(served):
    done = []

    async def work():
        await ferrio.sleep(0)
        done.append(1)

    def create():
        task = served.loop.create_task(work())
        # A thread that isn't the loop's has to wake the loop.
        served.loop.call_soon_threadsafe(int)
        return task

    hammer(create, rounds=ROUNDS // 3)

    async def end():
        while len(done) < THREADS * (ROUNDS // 3):
            await ferrio.sleep(0)
        await ferrio.sleep(0)
        return ferrio.all_tasks() - {ferrio.current_task()}

    assert served.run(end()) == set()
