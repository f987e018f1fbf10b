"""`add_signal_handler`, `remove_signal_handler`, and signals that arrive while the loop sleeps."""

import asyncio
import ctypes
import os
import signal
import socket
import threading
import warnings

import pytest
from tests.unit.implementations import since

import ferrio

SIGNAL = signal.SIGUSR1


@pytest.fixture(autouse=True)
def signals_as_before():
    """Checks that the test left the handler and the wake-up descriptor as they were."""
    before = signal.getsignal(SIGNAL)
    yield
    assert signal.set_wakeup_fd(-1) == -1, "the wake-up descriptor was left behind"
    assert signal.getsignal(SIGNAL) == before, "the handler was left behind"


def test_handler_is_called_in_the_loop_each_time(loop, run):
    seen = []

    async def main():
        loop.add_signal_handler(SIGNAL, lambda *args: seen.append((args, asyncio.get_running_loop())), 1, "two")
        for count in (1, 2, 3):
            signal.raise_signal(SIGNAL)
            while len(seen) < count:
                await asyncio.sleep(0)
        assert loop.remove_signal_handler(SIGNAL) is True
        assert loop.remove_signal_handler(SIGNAL) is False

    run(main())
    assert seen == [((1, "two"), loop)] * 3


def test_loop_that_sleeps_is_woken(loop):
    loop.add_signal_handler(SIGNAL, loop.stop)
    thread = threading.Timer(0.01, os.kill, (os.getpid(), SIGNAL))
    thread.start()
    loop.run_forever()
    thread.join()
    assert loop.remove_signal_handler(SIGNAL)


def test_signal_before_the_loop_runs_is_not_lost(loop):
    loop.add_signal_handler(SIGNAL, loop.stop)
    signal.raise_signal(SIGNAL)
    loop.run_forever()
    loop.remove_signal_handler(SIGNAL)


def test_busy_loop_handles_its_signals(loop):
    loop.add_signal_handler(SIGNAL, loop.stop)

    def again():
        loop.call_soon(again)

    again()
    signal.raise_signal(SIGNAL)
    loop.run_forever()
    loop.remove_signal_handler(SIGNAL)


def test_busy_loop_handles_a_signal_that_another_thread_received(loop):
    here, there = socket.socketpair()
    receive = ctypes.CDLL(None).recv
    seen = []

    async def main():
        # The thread should be waiting by now. If it isn't, the test still holds but shows less.
        await asyncio.sleep(0.01)
        signal.pthread_kill(thread.ident, SIGNAL)
        while not seen:
            await asyncio.sleep(0)

    before = signal.signal(SIGNAL, lambda number, frame: seen.append(number))
    # Then the thread goes on waiting in C and never asks for the interpreter.
    signal.siginterrupt(SIGNAL, False)
    thread = threading.Thread(target=receive, args=(there.fileno(), ctypes.create_string_buffer(1), 1, 0))
    thread.start()
    try:
        with here, there:
            loop.run_until_complete(main())
            here.send(b"x")
            thread.join()
    finally:
        signal.signal(SIGNAL, before)
    assert seen == [SIGNAL]


def test_second_handler_replaces_the_first(loop, run):
    seen = []

    async def main():
        loop.add_signal_handler(SIGNAL, seen.append, "first")
        loop.add_signal_handler(SIGNAL, seen.append, "second")
        signal.raise_signal(SIGNAL)
        while not seen:
            await asyncio.sleep(0)
        loop.remove_signal_handler(SIGNAL)

    run(main())
    assert seen == ["second"]


def test_removal_restores_the_default(loop):
    loop.add_signal_handler(SIGNAL, print)
    loop.remove_signal_handler(SIGNAL)
    assert signal.getsignal(SIGNAL) == signal.SIG_DFL
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, print)
    loop.remove_signal_handler(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_closing_the_loop_restores_all_handlers(loop):
    loop.add_signal_handler(SIGNAL, print)
    loop.add_signal_handler(signal.SIGUSR2, print)
    loop.close()
    assert signal.getsignal(SIGNAL) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1
    with pytest.raises(RuntimeError, match="closed"):
        loop.add_signal_handler(SIGNAL, print)


def test_interrupted_system_calls_are_restarted(loop):
    loop.add_signal_handler(SIGNAL, print)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timer = threading.Timer(0.01, lambda: (os.kill(os.getpid(), SIGNAL), theirs.send(b"x")))
        timer.start()
        assert os.read(ours.fileno(), 1) == b"x"
        timer.join()
    loop.remove_signal_handler(SIGNAL)


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        (0, ValueError, "invalid signal number 0"),
        (1000, ValueError, "invalid signal number 1000"),
        ("1", TypeError, "sig must be an int"),
        (1.5, TypeError, "sig must be an int"),
    ],
)
def test_invalid_signal_is_refused(loop, number, error, text):
    with pytest.raises(error, match=text):
        loop.add_signal_handler(number, print)
    with pytest.raises(error, match=text):
        loop.remove_signal_handler(number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_uncatchable_signal_is_refused(loop, number):
    with pytest.raises(RuntimeError, match=f"sig {number} cannot be caught"):
        loop.add_signal_handler(number, print)
    assert loop.remove_signal_handler(number) is False


def test_coroutines_are_refused(loop):
    async def coroutine_function():
        pass

    with pytest.raises(TypeError, match="coroutines cannot be used with add_signal_handler"):
        loop.add_signal_handler(SIGNAL, coroutine_function)
    coroutine = coroutine_function()
    with pytest.raises(TypeError, match="coroutines cannot be used with add_signal_handler"):
        loop.add_signal_handler(SIGNAL, coroutine)
    coroutine.close()


def test_only_in_the_main_thread(aio):
    problems = []

    def run():
        loop = aio.new_event_loop()
        loop.run_until_complete(aio.sleep(0))
        try:
            loop.add_signal_handler(SIGNAL, print)
        except RuntimeError as problem:
            problems.append(str(problem))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(problems) == 1
    assert "main thread" in problems[0]


def test_callback_that_raises_is_reported(loop):
    problems = []

    def fail():
        loop.call_soon(loop.stop)
        raise ValueError("in the handler")

    loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))
    loop.add_signal_handler(SIGNAL, fail)
    signal.raise_signal(SIGNAL)
    loop.run_forever()
    loop.remove_signal_handler(SIGNAL)
    assert [type(problem) for problem in problems] == [ValueError]


@since(3, 12)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_child_of_a_fork_does_not_wake_its_parents_loop(loop, run):
    seen = []

    async def main():
        loop.add_signal_handler(SIGNAL, seen.append, None)
        child = os.fork()
        if child == 0:
            signal.raise_signal(SIGNAL)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        await asyncio.sleep(0.01)
        loop.remove_signal_handler(SIGNAL)

    run(main())
    assert seen == []


# The rest is about ferrio only: asyncio uses the wake-up descriptor only while its loop has signal handlers.


@pytest.fixture
def ours():
    """A ferrio loop."""
    loop = ferrio.new_event_loop()
    yield loop
    loop.close()


def raise_once_it_runs(loop):
    """Raises the signal in another thread once `loop` runs and the main thread has no more Python code to run."""
    running = threading.Lock()
    running.acquire()
    # This thread must not run Python code either, or the signal's handler would run, and raise, inside it.
    loop.call_soon(running.release)

    def wait_and_raise():
        with running:
            signal.pthread_kill(threading.get_ident(), SIGNAL)

    thread = threading.Thread(target=wait_and_raise)
    thread.start()
    return thread


def test_python_handler_runs_although_the_system_call_is_not_interrupted(ours):
    before = signal.signal(SIGNAL, lambda *_: ours.stop())
    try:
        thread = raise_once_it_runs(ours)
        ours.run_forever()
        thread.join()
    finally:
        signal.signal(SIGNAL, before)


def test_exception_of_a_python_handler_leaves_the_loop(ours):
    class Stop(BaseException):
        pass

    def stop(*_):
        raise Stop

    before = signal.signal(SIGNAL, stop)
    try:
        thread = raise_once_it_runs(ours)
        with pytest.raises(Stop):
            ours.run_forever()
        thread.join()
        ours.run_until_complete(ferrio.sleep(0))
    finally:
        signal.signal(SIGNAL, before)


def test_programs_own_wake_up_descriptor_keeps_working(ours):
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        before = signal.signal(SIGNAL, lambda *_: None)
        try:

            async def main():
                signal.raise_signal(SIGNAL)
                await ferrio.sleep(0)

            ours.run_until_complete(main())
            assert reader.recv(9) == bytes([SIGNAL])
            ours.add_signal_handler(signal.SIGUSR2, print)
            ours.remove_signal_handler(signal.SIGUSR2)
            assert signal.set_wakeup_fd(-1) == writer.fileno(), "put back"
        finally:
            signal.signal(SIGNAL, before)


def test_descriptor_set_while_the_loop_runs_stays(ours):
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)

        async def main():
            signal.set_wakeup_fd(writer.fileno())

        ours.run_until_complete(main())
        assert signal.set_wakeup_fd(-1) == writer.fileno()


def test_loop_dropped_with_a_handler_gives_the_wake_up_descriptor_back(collected):
    def build():
        loop = ferrio.new_event_loop()
        loop.add_signal_handler(SIGNAL, print)

    build()
    with warnings.catch_warnings():
        # The warning about the unclosed loop is a separate matter.
        warnings.simplefilter("ignore", ResourceWarning)
        collected()
    assert signal.set_wakeup_fd(-1) == -1
    signal.signal(SIGNAL, signal.SIG_DFL)


def test_many_signals_at_once_are_all_seen(ours):
    seen = []

    async def main():
        ours.add_signal_handler(SIGNAL, seen.append, None)
        for _ in range(2000):
            signal.raise_signal(SIGNAL)
        while len(seen) < 2000:
            await ferrio.sleep(0)
        ours.remove_signal_handler(SIGNAL)

    ours.run_until_complete(main())
    assert len(seen) == 2000
