"""ddtrace: `patch(asyncio=True, futures=True)`: spans of tasks, groups, callbacks, timers and functions in threads have
the right parents, also after these have ended; each step of a task publishes its context; it takes itself away.
"""

import asyncio
import contextvars

import ddtrace
from common import report_loop
from ddtrace.contrib.internal.asyncio.patch import unpatch
from ddtrace.internal import core
from ddtrace.internal._context_watcher import PYTHON_CONTEXT_SWITCH_EVENT
from ddtrace.trace import TraceFilter, tracer


class Collected(TraceFilter):
    """Keeps all spans, and lets none leave the process."""

    def __init__(self):
        self.spans = []

    def process_trace(self, trace):
        self.spans += trace

    def show(self, text):
        """Prints each span since the last call with the name of the one that it is in."""
        names = {span.span_id: span.name for span in self.spans}
        print(
            text,
            *sorted(f"  {span.name} in {names.get(span.parent_id)}: {span.error}" for span in self.spans),
            sep="\n",
        )
        self.spans.clear()


collected = Collected()
request = contextvars.ContextVar("request", default=None)


async def work(name, turns=2):
    with tracer.trace(name):
        for _ in range(turns):
            await asyncio.sleep(0)
        with tracer.trace(f"inner {name}"):
            await asyncio.sleep(0)


async def tasks():
    with tracer.trace("gather"):
        await asyncio.gather(work("one"), work("two", 5))
    with tracer.trace("group"):
        async with asyncio.TaskGroup() as group:
            group.create_task(work("three"))
            group.create_task(work("four"))
    with tracer.trace("wait_for"):
        await asyncio.wait_for(work("five"), 60)
    with tracer.trace("shield"):
        await asyncio.shield(work("six"))
    with tracer.trace("as_completed"):
        for each in asyncio.as_completed([work("seven")]):
            await each


async def outlives():
    with tracer.trace("short"):
        task = asyncio.create_task(work("outlives its parent"))
    with tracer.trace("another"):
        await task


async def callbacks():
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def called(name, following=None, *arguments):
        with tracer.trace(name):
            if following is not None:
                following(*arguments)

    with tracer.trace("schedules"):
        loop.call_soon(called, "soon")
        loop.call_later(0.001, called, "later", done.set_result, None)
        loop.call_soon_threadsafe(called, "threadsafe")
        done.add_done_callback(lambda _: called("when done"))
    await done
    await asyncio.sleep(0)


async def threads():
    with tracer.trace("to_thread"):
        await asyncio.to_thread(lambda: tracer.trace("in the thread").finish())
    with tracer.trace("executor"):
        await asyncio.get_running_loop().run_in_executor(None, lambda: tracer.trace("in the executor").finish())


async def failing():
    async def fails():
        with tracer.trace("fails"):
            await asyncio.sleep(0)
            raise ValueError("refused")

    async def cancelled():
        with tracer.trace("cancelled"):
            await asyncio.Event().wait()

    with tracer.trace("errors"):
        await asyncio.gather(fails(), return_exceptions=True)
        task = asyncio.create_task(cancelled(), name="to be cancelled")
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        print(task.get_name(), task.get_coro().__qualname__)


async def published():
    """Checks in every step of some tasks that their context was published last."""
    last = []
    core.on(PYTHON_CONTEXT_SWITCH_EVENT, lambda: last.append(request.get()), "program")

    async def serves(number):
        request.set(number)
        found = set()
        for _ in range(5):
            await asyncio.sleep(0)
            found.add(last[-1] == number)
        return found

    print("published:", await asyncio.gather(*(serves(number) for number in range(4))))
    core.reset_listeners(PYTHON_CONTEXT_SWITCH_EVENT)


async def main():
    report_loop()
    for part in (tasks, outlives, callbacks, threads, failing):
        await part()
        collected.show(part.__name__)
    await published()
    unpatch()
    await tasks()
    collected.show("without it")


tracer.configure(trace_processors=[collected])
ddtrace.patch(asyncio=True, futures=True)

if __name__ == "__main__":
    asyncio.run(main())
