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


def loop_class(aio):
    return aio.SelectorEventLoop if aio is asyncio else aio.EventLoop


def test_a_run_turns_by_the_method_of_a_subclass(aio):
    class Counting(loop_class(aio)):
        turns = 0

        def _run_once(self):
            self.turns += 1
            super()._run_once()

    async def main():
        for _ in range(5):
            await aio.sleep(0)

    loop = Counting()
    loop.run_until_complete(main())
    first = loop.turns
    loop.run_until_complete(main())
    loop.close()
    assert (first, loop.turns) == (7, 14)


def test_a_method_set_on_the_loop_turns_it(aio):
    loop = aio.new_event_loop()
    turn, seen = loop._run_once, []
    loop._run_once = lambda: (seen.append(len(loop._ready)), turn())
    loop.run_until_complete(aio.sleep(0))
    loop.close()
    assert seen == [1, 1, 1]


def test_a_clock_that_jumps(aio):
    class Jumping(loop_class(aio)):
        ahead = 0

        def time(self):
            return super().time() + self.ahead

        def _run_once(self):
            if not self._ready and self._scheduled:
                self.ahead += max(0, self._scheduled[0].when() - self.time())
            super()._run_once()

    loop = Jumping()
    began = loop.time()
    loop.run_until_complete(aio.wait_for(aio.sleep(3600), 7200))
    assert loop.time() - began >= 3600 > loop.ahead - 1
    loop.close()


def test_what_a_turn_raises_ends_the_run(aio):
    class Failing(loop_class(aio)):
        broken = True

        def _run_once(self):
            super()._run_once()
            if self.broken:
                raise ZeroDivisionError

    loop = Failing()
    task = loop.create_task(aio.sleep(0, "slept"))
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(task)
    assert not loop.is_running()
    loop.broken = False
    assert loop.run_until_complete(task) == "slept"
    loop.close()


def test_a_turn_inside_a_turn_of_the_method(aio):
    class Counting(loop_class(aio)):
        turns = 0

        def _run_once(self):
            self.turns += 1
            super()._run_once()

    async def main():
        loop = aio.get_running_loop()
        seen = []
        loop.call_soon(lambda: (loop.call_soon(seen.append, 1), loop._run_once()))
        await aio.sleep(0)
        return seen

    loop = Counting()
    assert loop.run_until_complete(main()) == [1]
    loop.close()
