"""A loop takes things from its thread when it begins to run, and gives them all back whatever goes wrong."""

import asyncio
import contextvars
import signal
import sys

import pytest
from tests.unit.panics import PanicException
from tests.unit.programs import run_program

import ferrio

VARIABLE = contextvars.ContextVar("variable", default="outer")


def panic():
    """Makes native code panic, which it does when it meets this exception, as after a panic within a panic."""
    raise PanicException("on purpose")


@pytest.fixture
def hooks():
    """Checks that nothing of a loop is left in the thread."""
    before = sys.get_asyncgen_hooks(), signal.set_wakeup_fd(-1)
    assert signal.set_wakeup_fd(before[1]) == -1
    yield
    assert asyncio._get_running_loop() is None
    assert VARIABLE.get() == "outer"
    assert sys.get_coroutine_origin_tracking_depth() == 0
    after = sys.get_asyncgen_hooks(), signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before[1])
    assert after == before
    assert asyncio.run(asyncio.sleep(0, 1)) == ferrio.run(ferrio.sleep(0, 2)) - 1 == 1


def in_a_callback(loop):
    loop.call_soon(panic)


def in_a_task(loop):
    async def main():
        VARIABLE.set("inner")
        panic()

    loop.create_task(main())


def in_an_eager_task(loop):
    async def eager():
        VARIABLE.set("inner")
        panic()

    async def main():
        ferrio.Task(eager(), loop=loop, eager_start=True)

    loop.create_task(main())


def in_a_done_callback(loop):
    future = loop.create_future()
    future.add_done_callback(lambda future: panic())
    future.set_result(None)


def in_a_protocol(loop):
    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            transport.close()
            VARIABLE.set("inner")
            panic()

    async def main():
        server = await loop.create_server(Protocol, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        server.close()
        writer.close()
        await asyncio.Event().wait()

    loop.create_task(main())


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("place", [in_a_callback, in_a_task, in_an_eager_task, in_a_done_callback, in_a_protocol])
@pytest.mark.filterwarnings("ignore")
def test_panic_leaves_the_loop_as_an_exception(hooks, place, debug):
    loop = ferrio.new_event_loop()
    loop.set_debug(debug)
    loop.set_exception_handler(lambda *_: None)
    place(loop)
    loop.call_later(1, loop.stop)  # where the panic is reported like any exception
    with pytest.raises(BaseException) as caught:
        loop.run_forever()
        panic()
    assert type(caught.value).__name__ == "PanicException"
    assert not loop.is_running()
    assert asyncio.current_task(loop) is None
    assert loop.run_until_complete(ferrio.sleep(0, "again")) == "again"
    loop.close()


def test_panic_while_a_dying_future_reports_its_exception():
    # The future dies while a panic's exception propagates.
    output = run_program(
        """
        import ferrio
        from tests.unit.test_loop_given_back import panic

        loop = ferrio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: print(context["message"]))

        def failed():
            future = loop.create_future()
            future.set_exception(KeyError())
            return future

        try:
            [failed(), panic()]
        except BaseException as error:
            print(type(error).__name__)
        """
    )
    assert output == "Future exception was never retrieved\nPanicException\n"


# From 3.14 on an asyncio loop stays "running" after such an error.
RIGHT = [asyncio, ferrio] if sys.version_info < (3, 14) else [ferrio]


@pytest.mark.parametrize("aio", RIGHT, ids=lambda aio: aio.__name__)
@pytest.mark.parametrize("name", ["_asyncgen_firstiter_hook", "_asyncgen_finalizer_hook"])
def test_error_while_a_loop_starts(aio, hooks, name):
    broken = True

    class Loop(aio.SelectorEventLoop if aio is asyncio else aio.EventLoop):
        def __getattribute__(self, attribute):
            if attribute == name and broken:
                raise ZeroDivisionError
            return super().__getattribute__(attribute)

    loop = Loop()
    loop.set_debug(True)
    with pytest.raises(ZeroDivisionError):
        loop.run_forever()
    assert not loop.is_running()
    broken = False
    assert loop.run_until_complete(asyncio.sleep(0, "fine")) == "fine"
    loop.close()


EVENTS = ["sys.set_asyncgen_hook_firstiter", "sys.set_asyncgen_hook_finalizer"]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("moment", ["begins", "ends"])
def test_audit_hook_may_refuse_once(moment, event):
    # A hook can't be removed, so it gets its own process.
    output = run_program(
        f"""
        import asyncio, sys
        import ferrio

        refusing = {moment == "begins"}

        def hook(name, arguments):
            global refusing
            if refusing and name == {event!r}:
                refusing = False
                raise PermissionError(name)

        async def main():
            global refusing
            refusing = {moment == "ends"}

        sys.addaudithook(hook)
        loop = ferrio.new_event_loop()
        loop.set_debug(True)
        try:
            loop.run_until_complete(main())
        except PermissionError:
            print("refused")
        print(loop.is_running(), asyncio._get_running_loop(), sys.get_coroutine_origin_tracking_depth())
        print(loop.run_until_complete(asyncio.sleep(0, 1)))
        """
    )
    assert output == "refused\nFalse None 0\n1\n"


def test_short_wait_needs_no_descriptor(aio):
    output = run_program(
        f"""
        import os, resource
        import {aio.__name__} as aio

        async def main():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            try:
                while True:
                    os.dup(0)
            except OSError:
                pass
            for delay in 0.00001, 0.0001, 0.001, 0.01:
                await aio.sleep(delay)
            print("slept")

        aio.run(main())
        """
    )
    assert output == "slept\n"
