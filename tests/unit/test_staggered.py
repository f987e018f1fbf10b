"""`staggered_race`: the first success wins; the next attempt starts when the previous one fails or takes too long."""

import asyncio.staggered

import pytest

import ferrio
import ferrio.staggered


@pytest.fixture
def loop():
    loop = ferrio.EventLoop(virtual_time=True)
    yield loop
    loop.close()


def attempts(loop, *plan):
    """Returns coroutine functions that wait and then return their index or raise, and their start times."""
    began = []

    def one(index, seconds, error):
        async def attempt():
            began.append(loop.time())
            await ferrio.sleep(seconds)
            if error is not None:
                raise error
            return f"attempt {index}"

        return attempt

    return [one(index, *steps) for index, steps in enumerate(plan)], began


def race(loop, plan, delay):
    """Runs a race; returns its outcome and when each attempt started, in seconds."""
    functions, began = attempts(loop, *plan)

    async def main():
        start = loop.time()
        outcome = await ferrio.staggered.staggered_race(functions, delay)
        assert len(ferrio.all_tasks()) == 1
        return (*outcome, [round(moment - start, 3) for moment in began], round(loop.time() - start, 3))

    return loop.run_until_complete(main())


def test_nothing(loop):
    assert race(loop, [], 1) == (None, None, [], [], 0)


def test_first_wins_before_the_second_begins(loop):
    assert race(loop, [(1, None), (1, None)], 2) == ("attempt 0", 0, [None], [0], 1)


def test_second_overtakes(loop):
    result, winner, exceptions, began, ended = race(loop, [(10, None), (2, None), (2, None)], 1.5)
    assert (result, winner, began, ended) == ("attempt 1", 1, [0, 1.5, 3], 3.5)
    assert [type(error) for error in exceptions] == [ferrio.CancelledError, type(None), ferrio.CancelledError]


def test_failure_starts_the_next_at_once(loop):
    error = OSError("spam")
    assert race(loop, [(1, error), (1, None)], 10) == ("attempt 1", 1, [error, None], [0, 1], 2)


def test_attempts_without_a_delay_run_one_after_the_other(loop):
    error = OSError("spam")
    assert race(loop, [(5, error), (5, None)], None) == ("attempt 1", 1, [error, None], [0, 5], 10)


def test_every_attempt_fails(loop):
    errors = [OSError("spam"), OSError("eggs")]
    assert race(loop, [(3, errors[0]), (1, errors[1])], 1) == (None, None, errors, [0, 1], 3)


def test_attempt_ready_in_the_winners_turn_is_cancelled_too(loop):
    async def main():
        gate = ferrio.Event()

        async def runner(index):
            await gate.wait()
            return index

        async def opener():
            gate.set()
            await ferrio.Event().wait()

        functions = [lambda: runner(0), lambda: runner(1), opener]
        result, winner, exceptions = await ferrio.staggered.staggered_race(functions, 1)
        assert (result, winner) == (0, 0)
        assert [type(error) for error in exceptions] == [type(None), ferrio.CancelledError, ferrio.CancelledError]

    loop.run_until_complete(main())


def test_cancelled_race_leaves_no_task(loop):
    functions, _ = attempts(loop, (10, None), (10, None))

    async def main():
        task = ferrio.create_task(ferrio.staggered.staggered_race(functions, 1))
        await ferrio.sleep(2)
        assert len(ferrio.all_tasks()) == 4
        task.cancel()
        with pytest.raises(ferrio.CancelledError):
            await task
        assert len(ferrio.all_tasks()) == 1

    loop.run_until_complete(main())


def test_name_is_asyncios():
    assert ferrio.staggered.__all__ == tuple(name for name in ("staggered_race",) if hasattr(asyncio.staggered, name))
