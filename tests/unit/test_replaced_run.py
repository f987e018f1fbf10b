"""A program may replace `Handle._run`, which runs everything in asyncio: the method itself, or only its code.

Tracers and monitors of slow callbacks do that. They see each callback and each step of a task on ferrio too, whichever
of the two `Handle` classes they know.
"""

import asyncio
import asyncio.events
import collections
import types

import pytest

import ferrio


@pytest.fixture(params=["asyncio", "ferrio"])
def patched(request):
    """Returns a class whose `_run` the loop of `aio` obeys."""
    return {"asyncio": asyncio.events.Handle, "ferrio": ferrio.Handle}[request.param]


@pytest.fixture(autouse=True)
def restored():
    """Puts back both methods and their code."""
    before = [
        (owner, vars(owner)["_run"], vars(owner)["_run"].__code__) for owner in (asyncio.events.Handle, ferrio.Handle)
    ]
    yield
    for owner, method, code in before:
        owner._run = method
        method.__code__ = code


def by_method(owner, before, after):
    """Replaces the method by one that calls the old one, as monitors of slow callbacks do."""
    original = owner._run

    def run(self):
        before(self)
        try:
            return original(self)
        finally:
            after(self)

    owner._run = run


def by_code(owner, before, after):
    """Gives the method code that calls a copy of the old one, as tracers do."""
    function = owner._run
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)

    def run(self):
        HOOKS[0](self)
        try:
            return HOOKS[1](self)
        finally:
            HOOKS[2](self)

    HOOKS[:] = before, copy, after
    function.__globals__["HOOKS"] = HOOKS
    function.__code__ = run.__code__


HOOKS = []
WAYS = pytest.mark.parametrize("replace", [by_method, by_code])


def skip_if_unknown(aio, patched):
    if aio is asyncio and patched is ferrio.Handle:
        pytest.skip("asyncio's loop doesn't know ferrio's class")


@WAYS
def test_sees_each_step_and_each_callback(aio, patched, replace):
    skip_if_unknown(aio, patched)
    steps, callbacks, depth = collections.Counter(), [], []

    def before(handle):
        depth.append(handle)
        owner = getattr(handle._callback, "__self__", None)
        if isinstance(owner, aio.Task):
            steps[owner.get_name()] += 1
        else:
            callbacks.append((handle._callback, handle._args))

    def called(*arguments):
        assert len(depth) == 1

    async def sleeps(turns):
        for _ in range(turns):
            await aio.sleep(0)

    async def main():
        loop = aio.get_running_loop()
        loop.call_soon(called, 1)
        loop.call_later(0.001, called, 2, 3)
        loop.call_soon_threadsafe(called)
        future, queue = loop.create_future(), aio.Queue()
        tasks = [aio.create_task(sleeps(number), name=f"sleeps {number}") for number in range(4)]
        tasks.append(aio.create_task(queue.get(), name="gets"))
        tasks.append(aio.create_task(aio.wait_for(future, 10), name="waits"))
        await aio.sleep(0)
        queue.put_nowait(None)
        future.set_result(None)
        await aio.gather(*tasks)
        await aio.sleep(0.002)

    replace(patched, before, lambda handle: depth.pop())
    aio.run(main())
    assert depth == []
    expected = {"sleeps 0": 1, "sleeps 1": 2, "sleeps 2": 3, "sleeps 3": 4, "gets": 2, "waits": 2}
    assert {name: steps[name] for name in expected} == expected
    assert [arguments for callback, arguments in callbacks if callback is called] == [(1,), (), (2, 3)]


@WAYS
def test_is_noticed_in_a_running_loop(aio, patched, replace):
    skip_if_unknown(aio, patched)
    seen = []

    async def main():
        await aio.sleep(0.001)
        replace(patched, lambda handle: seen.append("before"), lambda handle: seen.append("after"))
        await aio.sleep(0.001)
        await aio.sleep(0)

    aio.run(main())
    assert len(seen) >= 4
    assert seen[:4] == ["before", "after"] * 2


def test_is_noticed_when_it_is_taken_back(aio, patched):
    skip_if_unknown(aio, patched)
    seen = []
    original = patched._run

    async def main():
        await aio.sleep(0.001)
        assert seen
        patched._run = original
        await aio.sleep(0.001)
        seen.clear()
        await aio.sleep(0.001)

    by_method(patched, seen.append, lambda handle: None)
    aio.run(main())
    assert seen == []


@WAYS
def test_no_task_is_current_around_a_step(aio, patched, replace):
    skip_if_unknown(aio, patched)
    current = []

    def note(handle):
        current.append(aio.current_task())

    async def main():
        assert aio.current_task() is not None
        await aio.gather(aio.sleep(0), aio.sleep(0))

    replace(patched, note, note)
    aio.run(main())
    assert set(current) == {None}


def test_errors_go_where_they_go_without_it(aio, patched):
    skip_if_unknown(aio, patched)
    reported = []

    async def fails():
        raise ValueError("of a task")

    async def main():
        loop = aio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context["exception"].args))
        loop.call_soon(int, "of a callback")
        with pytest.raises(ValueError, match="of a task"):
            await aio.create_task(fails())

    by_method(patched, lambda handle: None, lambda handle: None)
    aio.run(main())
    assert reported == [("invalid literal for int() with base 10: 'of a callback'",)]


def test_error_of_the_replacement_ends_the_run(aio, patched):
    skip_if_unknown(aio, patched)

    def refuse(handle):
        raise LookupError("of the monitor")

    by_method(patched, refuse, lambda handle: None)
    loop = aio.new_event_loop()
    loop.call_soon(print)
    with pytest.raises(LookupError):
        loop.run_forever()
    loop.close()


def test_callback_may_be_replaced_while_it_runs(aio, patched):
    skip_if_unknown(aio, patched)
    called = []

    def run(self):
        callback = self._callback
        self._callback = lambda *arguments: called.append((callback, arguments))
        original(self)
        self._callback = callback
        assert self._callback is callback

    original = patched._run
    patched._run = run
    loop = aio.new_event_loop()
    loop.call_soon(print, "never", "printed")
    loop._run_once()
    loop.close()
    assert called == [(print, ("never", "printed"))]


@pytest.mark.parametrize("debug", [False, True])
def test_in_debug_mode_and_in_a_handle_of_a_subclass(patched, debug):
    seen = []

    class Own(ferrio.Handle):
        def _run(self):
            seen.append("own")
            super()._run()

    async def main():
        loop = ferrio.get_running_loop()
        loop.set_debug(debug)
        loop._ready = [*loop._ready, Own(seen.append, ("called",), loop)]
        await ferrio.sleep(0)
        await ferrio.sleep(0)

    by_method(patched, lambda handle: seen.append("before"), lambda handle: None)
    ferrio.run(main())
    start = seen.index("own")
    assert "called" in seen[start:]


def test_transports_call_their_protocols_without_a_handle(pair):
    # A difference from asyncio, whose transports are called by handles.
    seen, running = [], []

    class Protocol(asyncio.Protocol):
        def data_received(self, data):
            seen.append((data, list(running)))

        def connection_lost(self, error):
            lost.set_result(None)

    async def main():
        nonlocal lost
        loop = ferrio.get_running_loop()
        lost = loop.create_future()
        await loop.create_connection(Protocol, sock=pair[0])
        pair[1].sendall(b"data")
        pair[1].close()
        await lost

    lost = None
    by_method(ferrio.Handle, running.append, lambda handle: running.pop())
    ferrio.run(main())
    assert seen == [(b"data", [])]
