"""Many tasks run together: gather and TaskGroup."""

from scenarios import scenario


@scenario("gather of 100,000", n=100_000)
async def gather_many(aio, n):
    """One gather over n coroutines that return at once."""

    async def child(number):
        return number

    results = await aio.gather(*[child(number) for number in range(n)])
    assert results == list(range(n))
    return n


@scenario("TaskGroup of 100 tasks", n=40_000)
async def task_groups(aio, n):
    """Group after group of a hundred tasks that return at once; an operation is a task."""

    async def child(number):
        return number

    for _ in range(n // 100):
        async with aio.TaskGroup() as group:
            tasks = [group.create_task(child(number)) for number in range(100)]
        assert tasks[99].result() == 99
    return n
