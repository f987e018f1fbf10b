"""`loop._run_once()`: programs that turn the loop themselves, and plugins that run until nothing is queued."""

import asyncio
import asyncio.events
import threading

import pytest


def test_stopped_loop_can_be_turned_by_hand(aio):
    loop = aio.new_event_loop()
    seen = []
    loop.call_soon(lambda: (seen.append(1), loop.call_soon(seen.append, 2)))
    loop._run_once()
    assert seen == [1]
    loop._run_once()
    assert seen == [1, 2]
    assert not loop._ready
    assert not loop.is_running()
    loop.close()


def test_queue_can_be_drained_from_a_callback(aio):
    async def main():
        loop = aio.get_running_loop()
        seen = []

        def step(left):
            seen.append(left)
            if left:
                loop.call_soon(step, left - 1)

        def drain():
            step(5)
            turns = 0
            while loop._ready:
                loop._run_once()
                turns += 1
            done.set_result((list(seen), turns))

        done = loop.create_future()
        loop.call_soon(drain)
        return await done

    assert aio.run(main()) == ([5, 4, 3, 2, 1, 0], 5)


def test_turn_waits_for_the_next_timer(aio):
    loop = aio.new_event_loop()
    seen = []
    loop.call_later(0.01, seen.append, "fired")
    loop._run_once()
    while not seen:
        loop._run_once()
    assert seen == ["fired"]
    loop.close()


def test_loop_driven_by_hand_runs_a_program(aio):
    async def main():
        await aio.sleep(0)
        assert aio.get_running_loop() is loop
        await aio.sleep(0.001)
        return aio.current_task() is task

    loop = aio.new_event_loop()
    asyncio.events._set_running_loop(loop)
    loop._thread_id = threading.get_ident()
    try:
        assert loop.is_running()
        task = loop.create_task(main())
        while not task.done():
            loop._run_once()
        assert asyncio.events._get_running_loop() is loop
    finally:
        loop._thread_id = None
        asyncio.events._set_running_loop(None)
    assert task.result()
    assert not loop.is_running()
    loop.close()


def test_stop_outlasts_the_turn(aio):
    loop = aio.new_event_loop()
    loop.call_soon(loop.stop)
    turns = 0
    while not loop._stopping:
        loop._run_once()
        turns += 1
    assert turns == 1
    loop.run_forever()
    assert not loop._stopping
    loop.close()


def test_exception_that_ends_the_turn_is_raised(aio):
    def leave():
        raise SystemExit(3)

    loop = aio.new_event_loop()
    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop._run_once()
    assert not loop.is_running()
    loop.run_until_complete(aio.sleep(0))
    loop.close()
