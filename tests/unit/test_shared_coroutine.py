"""A waiting coroutine that more than one driver drives: two tasks, hand-written code, a trampoline, a standard task.

Each case runs the same body on asyncio and on ferrio and compares everything. Sometimes asyncio leaves a task waiting
for ever, because other code threw into its coroutine or closed it; then ferrio's task ends with a clear error.
"""

import asyncio
import inspect
import sys
import types

import pytest

import ferrio


class Wait:
    """Something to wait for: the coroutine, and what ends the wait."""

    def __init__(self, aio, kind):
        self.aio = aio
        self.queue, self.full = aio.Queue(), aio.Queue(1)
        self.full.put_nowait("first")
        self.event, self.lock, self.semaphore = aio.Event(), aio.Lock(), aio.Semaphore(0)
        self.condition, self.reader = aio.Condition(), aio.StreamReader()
        self.unfinished = aio.Queue()
        self.unfinished.put_nowait(None)
        self.future = aio.Future()
        self.kind = kind

    async def prepare(self):
        await self.lock.acquire()

    def operation(self):
        return {
            "sleep": lambda: self.aio.sleep(0.01, "slept"),
            "turn": lambda: self.aio.sleep(0, "turned"),
            "get": self.queue.get,
            "put": lambda: self.full.put("second"),
            "join": self.unfinished.join,
            "event": self.event.wait,
            "lock": self.lock.acquire,
            "enter": self.lock.__aenter__,
            "semaphore": self.semaphore.acquire,
            "read": self.reader.readline,
            "wait_for": lambda: self.aio.wait_for(self.queue.get(), 60),
        }[self.kind]()

    def coroutine(self, wrapped):
        async def body():
            return await self.operation()

        return body() if wrapped else self.operation()

    def finish(self):
        """Ends one wait."""
        if self.kind in ("get", "wait_for"):
            self.queue.put_nowait("item")
        elif self.kind == "put":
            self.full.get_nowait()
        elif self.kind == "join":
            self.unfinished.task_done()
        elif self.kind == "event":
            self.event.set()
        elif self.kind in ("lock", "enter"):
            self.lock.release()
        elif self.kind == "semaphore":
            self.semaphore.release()
        elif self.kind == "read":
            self.reader.feed_data(b"line\n")

    def state(self):
        """Returns what is left of it all."""
        return (
            self.queue.qsize(),
            self.full.qsize(),
            self.lock.locked(),
            self.semaphore._value,
            len([waiter for waiter in self.lock._waiters or () if not waiter.done()]),
            len([getter for getter in self.queue._getters if not getter.done()]),
            len([putter for putter in self.full._putters if not putter.done()]),
        )


def outcome(task):
    if not task.done():
        return "pending"
    if task.cancelled():
        return "cancelled"
    failure = task.exception()
    return repr(task.result()) if failure is None else f"{type(failure).__name__}: {failure}"


async def settle(aio, tasks):
    """Waits for tasks that end by themselves; those that wait for ever stay pending."""
    await aio.wait(tasks, timeout=0.1)
    outcomes = [outcome(task) for task in tasks]
    for task in tasks:
        task.cancel()
    await aio.wait(tasks, timeout=0.1)
    return outcomes


def by_hand(function, *arguments):
    try:
        yielded = function(*arguments)
    except StopIteration as stop:
        return f"returned {stop.value!r}"
    except BaseException as failure:
        return f"{type(failure).__name__}: {failure}"
    return (
        "yielded" if yielded is None else f"yielded {'a future' if hasattr(yielded, 'add_done_callback') else yielded}"
    )


async def two_tasks(aio, wait, coroutine):
    tasks = [aio.create_task(coroutine), aio.create_task(coroutine)]
    await aio.sleep(0)
    wait.finish()
    return await settle(aio, tasks)


async def three_tasks_and_the_first_is_cancelled(aio, wait, coroutine):
    tasks = [aio.create_task(coroutine) for _ in range(3)]
    await aio.sleep(0)
    tasks[0].cancel("enough")
    return await settle(aio, tasks)


async def two_tasks_and_the_second_is_cancelled(aio, wait, coroutine):
    tasks = [aio.create_task(coroutine), aio.create_task(coroutine)]
    await aio.sleep(0)
    tasks[1].cancel()
    await aio.sleep(0)
    return await settle(aio, tasks)


async def two_tasks_cancelled_after_the_end(aio, wait, coroutine):
    tasks = [aio.create_task(coroutine), aio.create_task(coroutine)]
    await aio.sleep(0)
    wait.finish()
    for task in tasks:
        task.cancel()
    return await settle(aio, tasks)


async def gathered_twice(aio, wait, coroutine):
    aio.get_running_loop().call_soon(wait.finish)
    # asyncio makes one task for the same coroutine here.
    return await settle(aio, [aio.gather(coroutine, coroutine, return_exceptions=True)])


async def in_a_group_twice(aio, wait, coroutine):
    aio.get_running_loop().call_soon(wait.finish)

    async def group():
        async with aio.TaskGroup() as group:
            group.create_task(coroutine)
            group.create_task(coroutine)

    return await settle(aio, [aio.create_task(group())])


async def awaited_twice(aio, wait, coroutine):
    async def twice():
        return await coroutine, await coroutine

    task = aio.create_task(twice())
    await aio.sleep(0)
    wait.finish()
    return await settle(aio, [task])


async def sent_to_by_hand(aio, wait, coroutine):
    return [by_hand(coroutine.send, None), by_hand(coroutine.send, None), by_hand(coroutine.send, None)]


async def sent_to_by_hand_after_the_end(aio, wait, coroutine):
    first = by_hand(coroutine.send, None)
    wait.finish()
    await aio.sleep(0.02)
    return [first, by_hand(coroutine.send, None), by_hand(coroutine.send, None)]


async def begun_by_hand(aio, wait, coroutine):
    first = by_hand(coroutine.send, None)
    task = aio.create_task(coroutine)
    await aio.sleep(0)
    wait.finish()
    return [first, await settle(aio, [task])]


async def sent_to_beside_a_task(aio, wait, coroutine):
    task = aio.create_task(coroutine)
    await aio.sleep(0)
    sent = by_hand(coroutine.send, None)
    wait.finish()
    return [sent, await settle(aio, [task])]


async def awaited_while_it_waits(aio, wait, coroutine):
    async def await_it():
        return await coroutine

    tasks = [aio.create_task(coroutine), aio.create_task(await_it())]
    await aio.sleep(0)
    wait.finish()
    return await settle(aio, tasks)


async def thrown_into_by_its_own_driver(aio, wait, coroutine):
    return [
        by_hand(coroutine.send, None),
        by_hand(coroutine.throw, ValueError("thrown")),
        by_hand(coroutine.send, None),
    ]


async def closed_by_its_own_driver(aio, wait, coroutine):
    results = [by_hand(coroutine.send, None), by_hand(coroutine.close), by_hand(coroutine.close)]
    return [*results, by_hand(coroutine.send, None), by_hand(coroutine.throw, ValueError("late"))]


async def taken_by_a_trampoline(aio, wait, coroutine):
    """A driver with callbacks, as in bridges to other libraries."""
    ended = aio.get_running_loop().create_future()

    def step(done=None):
        try:
            if done is not None:
                done.result()
            yielded = coroutine.send(None)
        except StopIteration as stop:
            ended.set_result(stop.value)
        except BaseException as failure:
            ended.set_exception(failure)
        else:
            if yielded is None:
                aio.get_running_loop().call_soon(step)
            else:
                assert yielded._asyncio_future_blocking
                yielded._asyncio_future_blocking = False
                assert yielded.get_loop() is aio.get_running_loop()
                yielded.add_done_callback(step)

    aio.get_running_loop().call_soon(step)
    await aio.sleep(0)
    wait.finish()
    return await settle(aio, [ended])


async def yielded_from(aio, wait, coroutine):
    @types.coroutine
    def generator():
        return (yield from coroutine)

    async def await_it():
        return await generator()

    task = aio.create_task(await_it())
    await aio.sleep(0)
    wait.finish()
    return await settle(aio, [task])


async def driven_by_a_standard_task(aio, wait, coroutine):
    loop = aio.get_running_loop()
    tasks = [asyncio.Task(coroutine, loop=loop), asyncio.tasks._PyTask(coroutine, loop=loop)]
    await aio.sleep(0)
    wait.finish()
    return await settle(aio, tasks)


async def standard_task_cancelled(aio, wait, coroutine):
    task = asyncio.Task(coroutine, loop=aio.get_running_loop())
    await aio.sleep(0)
    waiter = task._fut_waiter
    seen = waiter is None or (isinstance(waiter, asyncio.Future), waiter.done())
    task.cancel("enough")
    return [seen, await settle(aio, [task])]


SCENARIOS = [
    two_tasks,
    three_tasks_and_the_first_is_cancelled,
    two_tasks_and_the_second_is_cancelled,
    two_tasks_cancelled_after_the_end,
    gathered_twice,
    in_a_group_twice,
    awaited_twice,
    sent_to_by_hand,
    sent_to_by_hand_after_the_end,
    begun_by_hand,
    sent_to_beside_a_task,
    awaited_while_it_waits,
    thrown_into_by_its_own_driver,
    closed_by_its_own_driver,
    taken_by_a_trampoline,
    yielded_from,
    driven_by_a_standard_task,
    standard_task_cancelled,
]
KINDS = ["sleep", "turn", "get", "put", "join", "event", "lock", "enter", "semaphore", "read", "wait_for"]


def run(aio, scenario, kind, wrapped):
    async def main():
        wait = Wait(aio, kind)
        await wait.prepare()
        coroutine = wait.coroutine(wrapped)
        result = await scenario(aio, wait, coroutine)
        coroutine.close()
        return result, wait.state(), inspect.getcoroutinestate(coroutine)

    loop = aio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


# Outside a task, `wait_for` is refused and leaves behind what it was to await, about which the interpreter warns. On
# Python 3.11 it makes a task for what it awaits, so another wait can be observed.
CASES = [
    pytest.param(scenario, kind, id=f"{scenario.__name__}-{kind}")
    for scenario in SCENARIOS
    for kind in KINDS
    if kind != "wait_for" or (sys.version_info >= (3, 12) and scenario is not taken_by_a_trampoline)
]


@pytest.mark.parametrize("wrapped", [True, False], ids=["async def", "bare"])
@pytest.mark.parametrize(("scenario", "kind"), CASES)
def test_drivers_do_the_same_as_on_asyncio(scenario, kind, wrapped):
    assert run(ferrio, scenario, kind, wrapped) == run(asyncio, scenario, kind, wrapped)


@pytest.mark.parametrize("wrapped", [True, False], ids=["async def", "bare"])
@pytest.mark.parametrize("how", ["throw", "close"])
@pytest.mark.parametrize("kind", KINDS)
def test_task_fails_when_other_code_ends_its_coroutine(kind, how, wrapped):
    async def main():
        wait = Wait(ferrio, kind)
        await wait.prepare()
        coroutine = wait.coroutine(wrapped)
        task = ferrio.create_task(coroutine)
        await ferrio.sleep(0)
        by_hand(coroutine.close) if how == "close" else by_hand(coroutine.throw, ValueError())
        wait.finish()
        (result,) = await settle(ferrio, [task])
        return result, wait

    result, wait = ferrio.run(main())
    assert result == "RuntimeError: cannot reuse already awaited coroutine"
    # No waiter is left in line, and the result of the wait is available.
    assert wait.state()[4:] == (0, 0, 0)
    assert wait.queue.qsize() == (kind in ("get", "wait_for"))
    assert wait.semaphore._value == (kind == "semaphore")
    assert wait.lock.locked() == (kind not in ("lock", "enter"))


def test_task_fails_when_its_coroutine_goes_on_elsewhere():
    async def stubborn(queue, event):
        try:
            await queue.get()
        except ValueError:
            await event.wait()

    async def main():
        queue, event = ferrio.Queue(), ferrio.Event()
        coroutine = stubborn(queue, event)
        task = ferrio.create_task(coroutine)
        await ferrio.sleep(0)
        coroutine.throw(ValueError())
        return await settle(ferrio, [task])

    assert ferrio.run(main()) == ["RuntimeError: await wasn't used with future"]


def test_future_resumed_too_early_by_hand_raises(aio):
    async def main():
        future = aio.Future()

        async def wait():
            return await future

        coroutine = wait()
        assert coroutine.send(None) is future
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            coroutine.send(None)
        other = wait()
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            other.send(None)
        future._asyncio_future_blocking = False
        third = wait()
        assert third.send(None) is future
        future.set_result(1)
        assert by_hand(third.send, None) == "returned 1"

    loop = aio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()


async def awaited(aio, coroutine):
    return await coroutine


async def under_a_timeout(aio, coroutine):
    async with aio.timeout(60):
        return await coroutine


SECOND_AWAITS = {
    "await": awaited,
    "wait_for": lambda aio, coroutine: aio.wait_for(coroutine, 60),
    "timeout": under_a_timeout,
    "shield": lambda aio, coroutine: aio.shield(coroutine),
}


@pytest.mark.parametrize("second", SECOND_AWAITS)
@pytest.mark.parametrize("waits_for", ["turn", "future"])
def test_coroutine_awaited_while_a_task_runs_it(aio, second, waits_for):
    """The task gets its result and the second driver an error, or the other way round; nobody waits for ever."""

    async def main():
        future = aio.Future()

        async def wait():
            if waits_for == "turn":
                await aio.sleep(0)
            else:
                aio.get_running_loop().call_soon(future.set_result, None)
                await future
            return "waited"

        coroutine = wait()
        task = aio.create_task(coroutine)
        await aio.sleep(0)
        outcomes = []
        for attempt in (SECOND_AWAITS[second](aio, coroutine), task):
            try:
                outcomes.append(await attempt)
            except RuntimeError as error:
                outcomes.append(type(error))
        return outcomes

    loop = aio.new_event_loop()
    assert set(loop.run_until_complete(main())) == {RuntimeError, "waited"}
    loop.close()
