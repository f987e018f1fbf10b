"""Tasks that wait for one another in a circle: a cancellation raises `RecursionError`, as it does in asyncio."""

import pytest


def wait_in_a_circle(aio, size, gathered):
    """Starts tasks of which each waits for the next, and the last for the first."""
    tasks = []

    async def wait_for_next(index):
        awaited = tasks[(index + 1) % size]
        await (aio.gather(aio.sleep(0), awaited) if gathered else awaited)

    tasks += [aio.create_task(wait_for_next(index)) for index in range(size)]
    return tasks


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("gathered", [False, True], ids=["tasks", "gatherings"])
def test_cancellation_is_refused(aio, run, size, gathered):
    async def main():
        tasks = wait_in_a_circle(aio, size, gathered)
        for _ in range(4):
            await aio.sleep(0)

        async def behind():
            await tasks[0]

        waiting = aio.create_task(behind())
        await aio.sleep(0)
        for task in [tasks[1], waiting]:
            with pytest.raises(RecursionError):
                task.cancel()
        assert not any(task.done() for task in tasks)
        for task in tasks:  # opens the circle
            task.get_coro().close()

    run(main())


def test_task_that_awaits_itself_cannot_be_awaited_any_more(aio, run):
    async def await_itself():
        await aio.current_task()

    async def main():
        task = aio.create_task(await_itself())
        waiting = aio.create_task(aio.wait_for(task, None))
        with pytest.raises(RuntimeError, match="wasn't used with future"):
            await waiting
        with pytest.raises(RuntimeError, match="await on itself"):
            await task

    run(main())
