"""Class checks see ferrio's objects as they see asyncio's, and asyncio's own code may work on them.

`test_copies.py` covers copies.
"""

import asyncio
import asyncio.base_events
import collections
import functools
import gc
import heapq
import inspect
import selectors
import sys
import types
import weakref
from unittest import mock

import pytest
from tests.unit.programs import run_program

import ferrio
from ferrio import _ferrio

PRIVATE = {
    _ferrio.FlowControlMixin: asyncio.streams.FlowControlMixin,
    _ferrio.SocketTransport: asyncio.Transport,
    _ferrio.DatagramTransport: asyncio.selector_events._SelectorDatagramTransport,
    _ferrio.ReadPipeTransport: asyncio.unix_events._UnixReadPipeTransport,
    _ferrio.WritePipeTransport: asyncio.unix_events._UnixWritePipeTransport,
    _ferrio.SubprocessTransport: asyncio.SubprocessTransport,
    _ferrio.SSLProtocol: asyncio.sslproto.SSLProtocol,
    _ferrio.SSLTransport: asyncio.sslproto._SSLProtocolTransport,
    _ferrio._GatheringFuture: asyncio.tasks._GatheringFuture,
    ferrio.subprocess.Process: asyncio.subprocess.Process,
    ferrio.subprocess.SubprocessStreamProtocol: asyncio.subprocess.SubprocessStreamProtocol,
    ferrio.Server: asyncio.base_events.Server,
}


def public_pairs():
    for name in ferrio.__all__:
        ours, theirs = getattr(ferrio, name), vars(asyncio).get(name)
        # Loops are a separate matter: see test_differences.py.
        if isinstance(ours, type) and isinstance(theirs, type) and not issubclass(ours, (ferrio.EventLoop, Exception)):
            yield ours, theirs


PAIRS = [*public_pairs(), *PRIVATE.items()]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[ours.__name__ for ours, _ in PAIRS])
def test_class_is_asyncios_or_a_subclass(ours, theirs):
    assert issubclass(ours, theirs)
    public = {vars(asyncio).get(name) for name in asyncio.__all__}
    assert set(ours.__mro__) >= set(theirs.__mro__) & public
    assert ours is theirs or ours in theirs.__subclasses__() or hasattr(sys, "_is_gil_enabled")

    if ours.__flags__ & (1 << 10):  # it can be subclassed
        derived = type("Derived", (ours,), {})
        assert issubclass(derived, theirs)
        assert derived.__mro__[1:] == ours.__mro__


WITH_FIELDS = [ferrio.Future, ferrio.Task, ferrio.Handle, ferrio.TimerHandle]


@pytest.mark.parametrize("ours", WITH_FIELDS)
def test_no_field_of_asyncios_class_is_reachable_by_name(ours):
    for name in dir(ours):
        where = next(base for base in ours.__mro__ if name in vars(base))
        field = isinstance(vars(where)[name], (types.MemberDescriptorType, types.GetSetDescriptorType))
        if name not in ("__class__", "__dict__", "__weakref__") and (field or name == "__init__"):
            assert where.__module__.partition(".")[0] == "ferrio", name


def test_singledispatch_and_patterns(aio):
    @functools.singledispatch
    def kind(value):
        return "something else"

    kind.register(asyncio.Task, lambda value: "task")
    kind.register(asyncio.Future, lambda value: "future")
    kind.register(asyncio.TimerHandle, lambda value: "timer")
    kind.register(asyncio.Handle, lambda value: "handle")
    kind.register(asyncio.PriorityQueue, lambda value: "ordered")
    kind.register(asyncio.Queue, lambda value: "queue")

    def matched(value):
        match value:
            case asyncio.Task():
                return "task"
            case asyncio.Future():
                return "future"
            case asyncio.TimerHandle():
                return "timer"
            case asyncio.Handle():
                return "handle"
            case asyncio.PriorityQueue():
                return "ordered"
            case asyncio.Queue():
                return "queue"
        return "something else"

    async def main():
        loop = aio.get_running_loop()
        timer = loop.call_later(60, int)
        timer.cancel()
        gathering = aio.gather(loop.create_future(), return_exceptions=True)
        found = [aio.current_task(), loop.create_future(), gathering, loop.call_soon(int), timer, aio.Queue()]
        found += [aio.PriorityQueue(), aio.LifoQueue(), aio.Lock()]
        kinds = ["task", "future", "future", "handle", "timer", "queue", "ordered", "queue", "something else"]
        assert [kind(one) for one in found] == [matched(one) for one in found] == kinds
        assert all(one.__class__ is type(one) for one in found)
        imitation = mock.Mock(spec=loop.create_future())
        assert isinstance(imitation, asyncio.Future) and asyncio.isfuture(imitation)
        gathering.cancel()

    aio.run(main())


def test_objects_of_a_running_program_pass_for_asyncios(aio):
    async def main():
        server = await aio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        assert isinstance(server, asyncio.Server) and isinstance(server, asyncio.AbstractServer)
        reader, writer = await aio.open_connection(*server.sockets[0].getsockname())
        assert isinstance(reader, asyncio.StreamReader) and isinstance(writer, asyncio.StreamWriter)
        assert isinstance(writer.transport, asyncio.Transport)
        assert isinstance(writer.transport.get_protocol(), asyncio.StreamReaderProtocol)
        assert await reader.read() == b""
        writer.close()
        server.close()

    aio.run(main())


def test_attribute_added_to_asyncios_class_is_found():
    queue = ferrio.Queue()
    assert not hasattr(queue, "added")
    asyncio.Queue.added = 1
    try:
        assert queue.added == 1
    finally:
        del asyncio.Queue.added
    assert not hasattr(queue, "added")


# asyncio's own functions and descriptors on ferrio's objects ----------------------------------------------------------


def objects_with_fields():
    """Returns one object of each class that runs no code of its own."""
    loop = ferrio.new_event_loop()
    task = loop.create_task(asyncio.sleep(60))
    task._log_destroy_pending = False
    timer = loop.call_later(60, int)
    return loop, {
        asyncio.Future: loop.create_future(),
        asyncio.Task: task,
        asyncio.Handle: loop.call_soon(int),
        asyncio.TimerHandle: timer,
    }


ARGUMENTS = [(), ("x",), (None,), (int,), ("x", "y")]


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except BaseException as error:
        return error


@pytest.mark.parametrize("standard", [asyncio.Future, asyncio.Task, asyncio.Handle, asyncio.TimerHandle])
def test_descriptors_of_asyncios_classes_do_no_harm(standard):
    loop, made = objects_with_fields()
    subject = made.pop(standard)
    keep = weakref.ref(subject)
    # asyncio's `__init__` and `cancel` schedule calls on the current loop, which Python 3.11 would make.
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda loop, problem: None)
    for base in standard.__mro__[:-1]:
        for name, found in sorted(vars(base).items()):
            if isinstance(found, (types.FunctionType, classmethod, staticmethod)) or name in (
                "__new__",
                "__class_getitem__",
            ):
                continue
            for arguments in ARGUMENTS:
                if callable(found):
                    attempt(found, subject, *arguments)
                elif inspect.isdatadescriptor(found):
                    attempt(found.__get__, subject)
                    attempt(found.__set__, subject, *arguments)
    if standard is asyncio.Task:
        assert asyncio.Task.get_coro(subject) is subject.get_coro()
    # The object is unchanged.
    if standard in (asyncio.Future, asyncio.Task):
        assert not subject.done()
        assert subject.get_loop() is loop
        subject.cancel()
    else:
        subject.cancel()
        assert subject.cancelled()
    loop.run_until_complete(ferrio.sleep(0))
    loop.run_until_complete(ferrio.sleep(0))
    asyncio.set_event_loop(None)
    loop.close()
    made.clear()
    del subject
    gc.collect()
    assert keep() is None


def test_asyncios_registry_accepts_ferrios_tasks():
    # In a separate program, because asyncio's knowledge of tasks is shared by the process.
    output = run_program("""
        import asyncio, asyncio.futures, asyncio.tasks, gc, sys, weakref
        add = getattr(asyncio.futures, "future_add_to_awaited_by", None)
        discard = getattr(asyncio.futures, "future_discard_from_awaited_by", None)
        import ferrio

        class Token:
            pass

        async def wait(future, token):
            await future

        def one():
            loop = ferrio.new_event_loop()
            token = Token()
            future = ferrio.Future(loop=loop)
            task = ferrio.Task(wait(future, token), loop=loop)
            task._log_destroy_pending = False
            asyncio.tasks._register_task(task)
            assert task in asyncio.tasks.all_tasks(loop)
            asyncio._set_running_loop(loop)
            asyncio.tasks._enter_task(loop, task)
            assert asyncio.tasks.current_task(loop) is task
            asyncio.tasks._leave_task(loop, task)
            assert asyncio.tasks.current_task(loop) is None
            if sys.version_info >= (3, 12):
                assert asyncio.tasks._swap_current_task(loop, task) is None
                assert asyncio.tasks._swap_current_task(loop, None) is task
                asyncio.tasks._register_eager_task(task)
                asyncio.tasks._unregister_eager_task(task)
            asyncio._set_running_loop(None)
            if add is not None:
                other = ferrio.Future(loop=loop)
                add(future, task)
                add(future, other)
                discard(future, other)
                add(other, task)
                add(task, other)
            asyncio.tasks._unregister_task(task)
            asyncio.tasks._unregister_task(task)
            asyncio.tasks._register_task(task)  # and dies so
            task._coro.close()
            return weakref.ref(token), weakref.ref(task), loop

        for _ in range(600):
            token, task, loop = one()
            loop.close()
            del loop
        gc.collect()
        print(token(), task(), len(asyncio.tasks.all_tasks(ferrio.new_event_loop())))
        asyncio.run(asyncio.sleep(0))
        ferrio.run(ferrio.sleep(0))
    """)
    assert output == "None None 0\n"


def test_standard_task_that_waits_for_ferrios_future_leaves_nothing_behind():
    class Token:
        pass

    async def wait(future, token):
        await future

    def one(end):
        loop = asyncio.SelectorEventLoop()
        token = Token()
        future = ferrio.Future(loop=loop)
        task = loop.create_task(wait(future, token))
        task._log_destroy_pending = False
        loop.run_until_complete(asyncio.sleep(0))
        if end:
            future.set_result(None)
            loop.run_until_complete(task)
        loop.close()
        return weakref.ref(token), weakref.ref(future)

    for end in (True, False):
        token, future = one(end)
        gc.collect()
        assert (token(), future()) == (None, None)


# Loops of a program's own ---------------------------------------------------------------------------------------------


class JumpingLoop(asyncio.BaseEventLoop):
    """As test tools make one: its clock jumps to the next timer."""

    def __init__(self):
        super().__init__()
        self._selector = selectors.DefaultSelector()
        self.now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass

    def close(self):
        super().close()
        self._selector.close()


class OwnLoop(asyncio.AbstractEventLoop):
    """Like a toolkit's loop: only the handles are asyncio's."""

    def __init__(self, aio):
        self.aio = aio
        self.ready, self.timers, self.number = collections.deque(), [], 0
        self.now, self.debug, self.stopped = 0.0, False, False

    def get_debug(self):
        return self.debug

    def set_debug(self, enabled):
        self.debug = enabled

    def time(self):
        return self.now

    def is_closed(self):
        return False

    def close(self):
        pass

    def call_soon(self, callback, *args, context=None):
        self.ready.append(self.aio.Handle(callback, args, self, context))
        return self.ready[-1]

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        self.number += 1
        handle = self.aio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self.timers, (when, self.number, handle))
        return handle

    def _timer_handle_cancelled(self, handle):
        pass

    def create_future(self):
        return self.aio.Future(loop=self)

    def create_task(self, coro, **options):
        return self.aio.Task(coro, loop=self, **options)

    def run_until_complete(self, coro):
        task = self.aio.ensure_future(coro, loop=self)
        asyncio._set_running_loop(self)
        try:
            while not task.done():
                if not self.ready:
                    when, _, handle = heapq.heappop(self.timers)
                    self.now = max(self.now, when)
                    self.ready.append(handle)
                for _ in range(len(self.ready)):
                    handle = self.ready.popleft()
                    if not handle.cancelled():
                        handle._run()
        finally:
            asyncio._set_running_loop(None)
        return task.result()


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", [JumpingLoop, OwnLoop])
def test_everything_runs_on_the_programs_own_loop(aio, kind, debug):
    async def in_turn(number, semaphore, lock, barrier, condition):
        async with semaphore, lock:
            await aio.sleep(1)
        await barrier.wait()
        async with condition:
            condition.notify_all()
        return number

    async def main():
        loop, seen = aio.get_running_loop(), []
        async with aio.timeout(7200):
            await aio.gather(aio.sleep(3600), aio.sleep(60))
        queue = aio.Queue(1)
        loop.call_later(5, queue.put_nowait, "item")
        seen += [loop.time(), await queue.get()]
        with pytest.raises(TimeoutError):
            await aio.wait_for(queue.get(), 3)
        with pytest.raises(TimeoutError):
            async with aio.timeout(2):
                await aio.Event().wait()
        primitives = aio.Semaphore(2), aio.Lock(), aio.Barrier(3), aio.Condition()
        async with aio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(number, *primitives)) for number in range(3)]
        seen += [task.result() for task in tasks]
        quick, slow = (aio.create_task(aio.sleep(delay, delay)) for delay in (1, 10))
        done, pending = await aio.wait([quick, slow], return_when=aio.FIRST_COMPLETED)
        assert (done, pending) == ({quick}, {slow})
        slow.cancel()
        seen += [await each for each in aio.as_completed([aio.sleep(2, "late"), aio.sleep(1, "early")])]
        seen.append(await aio.shield(aio.sleep(1, "shielded")))
        assert aio.all_tasks() == {aio.current_task()}
        return seen, loop.time()

    loop = OwnLoop(aio) if kind is OwnLoop else kind()
    loop.set_debug(debug)
    assert loop.run_until_complete(main()) == ([3600, "item", 0, 1, 2, "early", "late", "shielded"], 3617)
    loop.close()


def test_loops_have_asyncios_base_class(aio):
    assert aio.BaseEventLoop is asyncio.base_events.BaseEventLoop
