"""Cancellation."""

from scenarios import scenario


@scenario("mass cancellation", n=20_000, unit=1_000)
async def mass_cancellation(aio, n):
    """n tasks start, fall asleep, and are cancelled and collected together; an operation is one task's life."""

    async def sleeper():
        await aio.sleep(3600)

    tasks = [aio.create_task(sleeper()) for _ in range(n)]
    await aio.sleep(0)
    for task in tasks:
        task.cancel()
    results = await aio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, aio.CancelledError) for result in results)
    return n
