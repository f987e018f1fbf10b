"""sentry-sdk: its asyncio integration replaces the loop's task factory: errors of tasks with their stacks, spans of
tasks inside a transaction, scopes of their own, a task factory of the program, a flush when the loop is closed.
"""

import asyncio

import sentry_sdk
from common import report_loop
from sentry_sdk.integrations.asyncio import AsyncioIntegration, enable_asyncio_integration
from sentry_sdk.transport import Transport


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self, options=None):
        super().__init__(options)
        self.items = []

    def capture_envelope(self, envelope):
        self.items += [(item.type, item.payload.json) for item in envelope.items]

    def show(self, text):
        """Prints what came since the last call."""
        print(text)
        for kind, item in self.items:
            if kind == "event":
                (value,) = item["exception"]["values"][-1:]
                frames = value.get("stacktrace", {}).get("frames", [])
                frames = [frame["function"] for frame in frames if frame["abs_path"] == __file__]
                print("  event:", value["type"], value["value"], value["mechanism"], frames, item.get("tags"))
            elif kind == "transaction":
                spans = sorted((span["op"], span["description"], span["origin"]) for span in item["spans"])
                print("  transaction:", item["transaction"], *spans, sep="\n    ")
        self.items.clear()


async def works(turns=1):
    for _ in range(turns):
        await asyncio.sleep(0)


async def fails():
    await works()
    raise ValueError("refused")


async def errors():
    outcomes = await asyncio.gather(fails(), works(), return_exceptions=True)
    print([repr(outcome) for outcome in outcomes])
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(asyncio.Event().wait())
    except* ValueError as refused:
        print(refused.exceptions)
    task = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def spans():
    with sentry_sdk.start_transaction(name="request", op="test"):
        await asyncio.gather(works(), works(3), asyncio.sleep(0))
        await asyncio.wait_for(asyncio.create_task(works()), 60)
        async with asyncio.TaskGroup() as group:
            group.create_task(works(), name="named")
        for each in asyncio.as_completed([works(2)]):
            await each


async def scopes():
    async def tagged(number):
        sentry_sdk.set_tag("number", number)
        await works(number)
        raise KeyError(number)

    sentry_sdk.set_tag("number", "outside")
    await asyncio.gather(*(tagged(number) for number in range(3)), return_exceptions=True)
    sentry_sdk.capture_exception(LookupError("outside"))


async def names():
    task = asyncio.create_task(works(), name="given")
    print("names:", task.get_name(), task.get_coro().__qualname__, type(task) is asyncio.Task)
    await task


async def own_factory():
    loop = asyncio.get_running_loop()
    made = []

    def factory(loop, coroutine, **options):
        made.append(coroutine.__name__)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    enable_asyncio_integration()
    await asyncio.gather(works(), fails(), return_exceptions=True)
    print("made:", made)


async def main():
    report_loop()
    kept = Kept()
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=kept,
        traces_sample_rate=1.0,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[AsyncioIntegration()],
    )
    loop = asyncio.get_running_loop()
    print("patched:", loop.get_task_factory() is not None, loop._sentry_flush_patched)
    for part in (errors, spans, scopes, names, own_factory):
        await part()
        kept.show(part.__name__)


if __name__ == "__main__":
    asyncio.run(main())
