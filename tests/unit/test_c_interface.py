"""The C interface of the loop (include/ferrio.h), used by an extension module in C that is compiled here."""

import asyncio
import contextvars
import ctypes
import gc
import random
import shutil
import subprocess
import sys
import textwrap
import threading

import pytest
from tests.unit.c_extension import NEEDS_COMPILER, compiled
from tests.unit.implementations import in_a_fork, parked

import ferrio

pytestmark = NEEDS_COMPILER


def test_header_is_plain_c_and_cpp(tmp_path):
    source = '#include "ferrio.h"\nint main(void) { return sizeof(ferrio_loop_api) == 0; }\n'
    for name, options in [("header.c", ["-std=c99"]), ("header.cc", ["-x", "c++", "-std=c++11"])]:
        if name.endswith(".cc") and shutil.which("c++") is None:
            continue
        (tmp_path / name).write_text(source)
        compiled(tmp_path / name, "-pedantic", "-c", *options, "-o", tmp_path / "header.o")


def test_struct_is_as_the_header_says(ext):
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ctypes.cast(ctypes.pythonapi.PyCapsule_GetPointer, ctypes.c_void_p).value
    )
    address = get(ferrio.EventLoop.__ferrio_loop_api__, b"ferrio_loop_api")
    version, size = (ctypes.c_uint32 * 2).from_address(address)
    offsets = ext.offsets()
    assert (version, size) == (1, offsets["loop_api"])
    # 64-bit: two 32-bit numbers, then pointers.
    assert offsets["loop_api.future_new"] == 8
    assert offsets["loop_api.waiter_new"] == 8 + 4 * 8
    assert offsets["loop_api.loop_post"] == 8 + 11 * 8
    assert offsets["loop_api.watch_cancel"] == size - 2 * 8
    assert offsets["future_type.poll"] == 32


def test_capsule_is_found_by_the_type():
    class Mine(ferrio.EventLoop):
        pass

    assert Mine.__ferrio_loop_api__ is ferrio.EventLoop.__ferrio_loop_api__
    assert not hasattr(asyncio.SelectorEventLoop, "__ferrio_loop_api__")


@pytest.mark.parametrize("by_thread", [False, True])
@pytest.mark.parametrize("pending", [0, 1, 5])
def test_future_is_polled_until_it_is_ready(ext, pending, by_thread):
    async def main():
        before = ext.counts()["polled"]
        awaitable = ext.future(asyncio.get_running_loop(), pending, by_thread, lambda: "value")
        assert ext.counts()["polled"] == before
        assert await awaitable == "value"
        assert ext.counts()["polled"] == before + pending + 1

    ferrio.run(main())


def test_future_is_polled_in_the_task_and_in_its_context(ext):
    variable = contextvars.ContextVar("variable")

    async def one(number):
        variable.set(number)
        look = lambda: (variable.get(), asyncio.current_task(), threading.get_ident())  # noqa: E731
        seen = await ext.future(asyncio.get_running_loop(), 3, number % 2, look)
        assert seen == (number, asyncio.current_task(), threading.get_ident())

    async def main():
        async with ferrio.TaskGroup() as group:
            for number in range(10):
                group.create_task(one(number))

    ferrio.run(main())


def test_error_of_a_future_is_raised(ext):
    async def main():
        with pytest.raises(ZeroDivisionError):
            await ext.future(asyncio.get_running_loop(), 1, False, lambda: 1 // 0)

    ferrio.run(main())


def test_future_is_a_coroutine(ext):
    async def main():
        loop = asyncio.get_running_loop()
        made = ext.future(loop, 1, False, lambda: 1)
        assert asyncio.iscoroutine(made)
        assert repr(made).startswith("<coroutine object countdown at")
        assert await asyncio.create_task(made) == 1
        assert await ferrio.gather(*(ext.future(loop, 2, number % 2, int) for number in range(4))) == [0] * 4
        with pytest.raises(RuntimeError, match="already awaited"):
            await made

    ferrio.run(main())


def test_future_that_is_never_awaited_is_dropped_with_a_warning(ext):
    async def main():
        with pytest.warns(RuntimeWarning, match="'countdown' was never awaited"):
            ext.future(asyncio.get_running_loop(), 0, False, lambda: 1)

    ferrio.run(main())


def test_cancelled_future_is_dropped_and_not_polled_again(ext):
    async def main():
        task = asyncio.create_task(ext.future(asyncio.get_running_loop(), -1, False, lambda: 1))
        await parked(task)
        before = ext.counts()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        after = ext.counts()
        assert after["dropped"] == before["dropped"] + 1
        assert after["polled"] == before["polled"]

    ferrio.run(main())


def test_future_of_a_closed_loop_is_dropped(ext):
    loop = ferrio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(ext.future(loop, -1, False, lambda: 1))
    loop.call_soon(loop.call_soon, loop.stop)
    loop.run_forever()
    before = ext.counts()["dropped"]
    del task
    loop.close()
    gc.collect()
    assert ext.counts()["dropped"] == before + 1


def test_future_belongs_to_its_loop(ext):
    other = ferrio.new_event_loop()

    async def main():
        with pytest.raises(RuntimeError, match="belongs to a loop that doesn't run in this thread"):
            await ext.future(other, 0, False, lambda: 1)

    ferrio.run(main())
    asyncio.run(main())
    other.close()


def test_future_is_made_before_its_loop_runs(ext):
    loop = ferrio.new_event_loop()
    assert loop.run_until_complete(ext.future(loop, 2, True, lambda: "value")) == "value"
    loop.close()


@pytest.mark.parametrize(("wrong", "error"), [(1, ValueError), (2, ValueError), (3, TypeError)])
def test_wrong_arguments_are_refused(ext, wrong, error):
    loop = ferrio.new_event_loop()
    with pytest.raises(error):
        ext.future(loop, 0, False, lambda: 1, wrong)
    with pytest.raises(TypeError):
        ext.loop_of_none(loop)
    loop.close()


def test_wake_after_a_wait_for_another_future(ext):
    # The first future's thread may still wake it when the task waits for the second.
    async def main():
        loop = asyncio.get_running_loop()
        for number in range(200):
            assert await ext.future(loop, 2, number % 2, int) == 0

    ferrio.run(main())


def test_future_in_a_foreign_task_on_our_loop(ext):
    # The standard library's own Python tasks see a future in what it waits for.
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **keywords: asyncio.tasks._PyTask(coro, loop=loop, **keywords))
        task = loop.create_task(ext.future(loop, 3, True, lambda: "value"))
        assert await task == "value"

    ferrio.run(main())


def test_virtual_clock_waits_for_the_outside(ext):
    loop = ferrio.EventLoop(virtual_time=True)
    try:
        outside = ext.future(loop, 3, True, lambda: "value")
        assert loop.run_until_complete(ferrio.wait_for(outside, 5)) == "value"
    finally:
        loop.close()


def test_waiter_is_completed_before_and_after_the_await(ext):
    async def main():
        loop = asyncio.get_running_loop()
        awaitable, waiter = ext.waiter(loop)
        assert ext.complete(waiter, 3) is True
        assert ext.complete(waiter, 4) is False
        assert await awaitable == 3
        assert ext.complete(waiter, 5) is False
        awaitable, waiter = ext.waiter(loop)
        task = asyncio.create_task(awaitable)
        await parked(task)
        ext.complete_in_thread([waiter])
        assert await task == 0

    ferrio.run(main())


def test_conversion_of_a_payload_may_raise(ext):
    async def main():
        awaitable, waiter = ext.waiter(asyncio.get_running_loop())
        ext.complete(waiter, -7)
        with pytest.raises(ValueError, match="-7"):
            await awaitable

    ferrio.run(main())


def test_waiter_is_told_of_a_cancellation(ext):
    async def main():
        awaitable, waiter = ext.waiter(asyncio.get_running_loop())
        before = ext.counts()["told_cancelled"]
        task = asyncio.create_task(awaitable)
        await parked(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ext.counts()["told_cancelled"] == before + 1
        assert ext.complete(waiter, 1) is False

    ferrio.run(main())


def test_payload_that_came_before_a_cancellation_is_discarded(ext):
    async def main():
        awaitable, waiter = ext.waiter(asyncio.get_running_loop())
        task = asyncio.create_task(awaitable)
        await parked(task)
        assert ext.complete(waiter, 1) is True
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    ferrio.run(main())


def test_late_payload_of_a_closed_loop_is_discarded(ext):
    loop = ferrio.new_event_loop()
    awaitable, waiter = ext.waiter(loop)
    awaitable.close()
    parked_one, second = ext.waiter(loop)
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(parked_one)
    loop.call_soon(loop.call_soon, loop.stop)
    loop.run_forever()
    del task, parked_one
    loop.close()
    gc.collect()
    assert ext.complete(waiter, 1) is False
    assert ext.complete(second, 1) is False
    ext.complete_in_thread([waiter, second])


def test_running_loop_is_that_of_this_thread(ext):
    loop = ferrio.new_event_loop()

    async def main():
        running = asyncio.get_running_loop()
        elsewhere = await asyncio.to_thread(ext.loop_running, loop)
        return ext.loop_running(loop) is (running if isinstance(running, ferrio.EventLoop) else None), elsewhere

    assert ext.loop_running(loop) is None
    assert loop.run_until_complete(main()) == (True, None)
    assert asyncio.run(main()) == (True, None)
    assert ext.loop_running(loop) is None
    loop.close()


def test_posted_calls_run_on_the_loop(ext):
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        ext.post_in_thread(loop, done.set_result)
        assert await done is loop
        failed = loop.create_future()
        loop.set_exception_handler(lambda loop, context: failed.set_result(context["exception"]))
        ext.post_in_thread(loop, lambda loop: 1 // 0)
        assert isinstance(await failed, ZeroDivisionError)

    ferrio.run(main())


def test_posted_call_of_a_closed_loop_is_dropped(ext):
    loop = ferrio.new_event_loop()
    loop.close()
    ext.post_in_thread(loop, print)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_copies_of_its_own(ext):
    loop = ferrio.new_event_loop()
    awaitable, waiter = ext.waiter(loop)

    async def main():
        task = asyncio.ensure_future(awaitable)
        await parked(task)
        assert await ext.future(loop, 1, True, lambda: "value") == "value"
        ext.complete_in_thread([waiter])
        return await task

    def body():
        assert loop.run_until_complete(main()) == 0
        assert ext.complete(waiter, 1) is False
        loop.close()

    in_a_fork(body)
    # What the child completed and closed is still open here.
    body()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_while_the_loop_runs_completes_nothing_of_its_parent(ext):
    async def main():
        awaitable, waiter = ext.waiter(asyncio.get_running_loop())
        task = asyncio.ensure_future(awaitable)
        await parked(task)

        def body():
            ext.complete(waiter, 5)
            ext.complete_in_thread([waiter])
            assert ferrio.run(again()) == 0

        in_a_fork(body)
        assert not task.done()
        assert ext.complete(waiter, 3) is True
        assert await task == 3

    async def again():
        awaitable, waiter = ext.waiter(asyncio.get_running_loop())
        ext.complete_in_thread([waiter])
        return await awaitable

    ferrio.run(main())


def test_nothing_is_lost_among_threads_and_cancellations(ext):
    # Completions by C threads, tasks that are cancelled at random, and loops that are closed with waits in progress.
    chance = random.Random(13)

    async def main(finish):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        for _ in range(10):
            pairs = [ext.waiter(loop) for _ in range(200)]
            tasks = [asyncio.create_task(awaitable) for awaitable, _ in pairs]
            half = [waiter for _, waiter in pairs[:100]], [waiter for _, waiter in pairs[100:]]
            for waiters in half:
                ext.complete_in_thread(waiters)
            for task in chance.sample(tasks, 50):
                task.cancel()
                if chance.random() < 0.2:
                    await asyncio.sleep(0)
            if finish:
                results = await asyncio.gather(*tasks, return_exceptions=True)
                for index, result in enumerate(results):
                    assert result == index % 100 or isinstance(result, asyncio.CancelledError)

    for number in range(10):
        loop = ferrio.new_event_loop()
        loop.run_until_complete(main(finish=number % 2))
        loop.close()


def test_threads_may_outlive_the_interpreter(ext_directory):
    # Nothing to assert but that the process ends well: an abort or a hang would fail.
    code = """
        import asyncio, c_interface, ferrio
        async def main():
            loop = asyncio.get_running_loop()
            pairs = [c_interface.waiter(loop) for _ in range(5000)]
            tasks = [asyncio.ensure_future(awaitable) for awaitable, _ in pairs]
            await asyncio.sleep(0)
            for _ in range(4):
                c_interface.complete_in_thread([waiter for _, waiter in pairs])
            for _ in range(10):
                asyncio.ensure_future(c_interface.future(loop, 1000, True, int))
            await asyncio.sleep(0)
        ferrio.run(main())
    """
    code = f"import sys; sys.path.insert(0, {str(ext_directory)!r})\n" + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
