"""`call_soon_threadsafe` from other threads: order, wake-ups, closed loops; on asyncio and on ferrio."""

import asyncio
import contextvars
import threading
import time

import pytest
from tests.unit.implementations import in_thread, since

variable = contextvars.ContextVar("variable", default="unset")


def test_call_wakes_a_sleeping_loop(aio):
    async def main():
        loop = aio.get_running_loop()
        future = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, 42))
        thread.start()
        result = await future
        thread.join()
        return result

    assert aio.run(main()) == 42


def test_each_of_many_wake_ups_arrives(aio):
    async def main():
        loop = aio.get_running_loop()
        done, ping, ran = loop.create_future(), threading.Semaphore(0), []

        def ping_pong():
            for number in range(500):
                loop.call_soon_threadsafe(lambda number=number: (ran.append(number), ping.release()))
                # The next call comes while the loop is asleep again, or about to be.
                ping.acquire()
            loop.call_soon_threadsafe(done.set_result, None)

        thread = threading.Thread(target=ping_pong)
        thread.start()
        await done
        thread.join()
        return ran

    assert aio.run(main()) == list(range(500))


def test_bursts_keep_the_order_of_each_thread(aio):
    async def main():
        loop = aio.get_running_loop()
        ran, done = {}, loop.create_future()

        def finish(left):
            left.pop()
            if not left:
                done.set_result(None)

        left = [1, 2, 3]

        def post(name):
            for number in range(2_000):
                loop.call_soon_threadsafe(ran.setdefault(name, []).append, number)
            loop.call_soon_threadsafe(finish, left)

        threads = [threading.Thread(target=post, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        await done
        for thread in threads:
            thread.join()
        return ran

    assert aio.run(main()) == {name: list(range(2_000)) for name in "abc"}


def test_call_before_the_loop_runs(aio):
    loop = aio.new_event_loop()
    ran = []
    in_thread(lambda: loop.call_soon_threadsafe(ran.append, 1))
    loop.call_soon(ran.append, 2)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert ran == [1, 2]


def test_stop_from_a_thread(aio):
    loop = aio.new_event_loop()
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.close()


def test_closed_loop(aio):
    loop = aio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        in_thread(lambda: loop.call_soon_threadsafe(print))


def test_handle_passes_for_asyncios_class(loop):
    handle, other = loop.call_soon_threadsafe(print), loop.call_soon(print)
    # The class is new in Python 3.14.
    special = getattr(asyncio.events, "_ThreadSafeHandle", asyncio.Handle)
    assert isinstance(handle, special)
    assert isinstance(handle, asyncio.Handle)
    assert isinstance(other, special) is (special is asyncio.Handle)
    assert isinstance(handle, type(handle))


def test_handle_can_be_cancelled(aio):
    async def main():
        loop = aio.get_running_loop()
        ran = []
        handle = loop.call_soon_threadsafe(ran.append, 1)
        handle.cancel()
        await aio.sleep(0)
        await aio.sleep(0)
        return ran

    assert aio.run(main()) == []


def test_context(aio):
    async def main():
        loop = aio.get_running_loop()
        seen, done = [], loop.create_future()
        given = contextvars.copy_context()
        given.run(variable.set, "given")

        def post():
            variable.set("the thread's")
            loop.call_soon_threadsafe(lambda: seen.append(variable.get()))
            loop.call_soon_threadsafe(lambda: seen.append(variable.get()), context=given)
            loop.call_soon_threadsafe(done.set_result, None)

        thread = threading.Thread(target=post)
        thread.start()
        await done
        thread.join()
        return seen

    assert aio.run(main()) == ["the thread's", "given"]


def test_failing_callback_is_reported_and_the_loop_goes_on(aio):
    async def main():
        loop = aio.get_running_loop()
        reports, done = [], loop.create_future()
        loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

        def post():
            loop.call_soon_threadsafe(divmod, 1, 0)
            loop.call_soon_threadsafe(done.set_result, None)

        thread = threading.Thread(target=post)
        thread.start()
        await done
        thread.join()
        return reports

    assert [type(report) for report in aio.run(main())] == [ZeroDivisionError]


def test_debug_mode_checks_the_callback(aio):
    async def main():
        with pytest.raises(TypeError, match=r"a callable object was expected by call_soon_threadsafe\(\), got 42"):
            aio.get_running_loop().call_soon_threadsafe(42)

    aio.run(main(), debug=True)


@since(3, 14)
@pytest.mark.parametrize("ask", ["cancel", "cancelled"])
def test_other_thread_that_asks_during_the_callback_waits_for_its_end(aio, ask):
    async def main():
        loop = aio.get_running_loop()
        began, asks, ended, answers = threading.Event(), threading.Event(), [], []
        asked = loop.create_future()

        def callback():
            began.set()
            asks.wait()
            time.sleep(0.01)  # a call that doesn't wait gets its answer now
            ended.append(True)

        def thread():
            handle = loop.call_soon_threadsafe(callback)
            began.wait()
            asks.set()
            getattr(handle, ask)()
            answers.append(list(ended))
            loop.call_soon_threadsafe(asked.set_result, handle.cancelled())

        other = threading.Thread(target=thread)
        other.start()
        is_cancelled = await asked
        other.join()
        assert answers == [[True]]
        return is_cancelled

    assert aio.run(main()) is (ask == "cancel")


@since(3, 14)
def test_callback_may_cancel_its_own_handle(aio):
    async def main():
        loop = aio.get_running_loop()
        done, handles = loop.create_future(), []

        def callback():
            handles[0].cancel()
            done.set_result(handles[0].cancelled())

        handles.append(loop.call_soon_threadsafe(callback))
        assert isinstance(handles[0], asyncio.Handle)
        return await done

    assert aio.run(main())


def test_loop_closed_while_threads_post(aio):
    for _ in range(20):
        loop = aio.new_event_loop()
        started, closed = threading.Event(), []

        def post(loop=loop, started=started, closed=closed):
            try:
                while True:
                    loop.call_soon_threadsafe(int)
                    started.set()
            except RuntimeError as error:
                closed.append(str(error))

        thread = threading.Thread(target=post)
        thread.start()
        started.wait()
        loop.call_soon_threadsafe(loop.stop)
        loop.run_forever()
        loop.close()
        thread.join()
        assert closed == ["Event loop is closed"]
