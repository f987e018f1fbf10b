"""Policies: ferrio's own beside the standard library's, and ferrio's as the standard library's."""

import asyncio
import concurrent.futures
import errno
import gc
import os
import resource
import sys
import threading
import warnings
import weakref

import pytest
from tests.unit.implementations import in_a_fork, since
from tests.unit.programs import run_program

import ferrio
from ferrio import events


@pytest.fixture(autouse=True)
def restored():
    """Restores the defaults after whatever a test sets."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ferrio.set_event_loop_policy(None)
        asyncio.set_event_loop_policy(None)
    ferrio.set_event_loop(None)


def set_policy(module, policy):
    if sys.version_info >= (3, 14):
        with pytest.warns(DeprecationWarning):
            module.set_event_loop_policy(policy)
    else:
        module.set_event_loop_policy(policy)


def get_policy(module):
    if sys.version_info >= (3, 14):
        with pytest.warns(DeprecationWarning):
            return module.get_event_loop_policy()
    return module.get_event_loop_policy()


async def running_loop():
    return asyncio.get_running_loop()


def test_new_event_loop_is_ferrios():
    loop = ferrio.new_event_loop()
    assert isinstance(loop, ferrio.EventLoop)
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()


def test_standard_asyncio_with_ferrios_policy():
    set_policy(asyncio, ferrio.EventLoopPolicy())
    assert isinstance(asyncio.run(running_loop()), ferrio.EventLoop)
    loop = asyncio.new_event_loop()
    assert isinstance(loop, ferrio.EventLoop)
    loop.close()


def test_standard_asyncio_with_ferrios_loop_factory():
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        assert isinstance(runner.run(running_loop()), ferrio.EventLoop)


def test_standard_policy_does_not_change_ferrio():
    standard = (
        asyncio.DefaultEventLoopPolicy if sys.version_info < (3, 14) else asyncio.unix_events._DefaultEventLoopPolicy
    )
    set_policy(asyncio, standard())
    assert isinstance(ferrio.run(running_loop()), ferrio.EventLoop)


def test_policy_of_the_program_is_asked():
    made = []

    class Policy(ferrio.EventLoopPolicy):
        def new_event_loop(self):
            made.append(super().new_event_loop())
            return made[-1]

    policy = Policy()
    set_policy(ferrio, policy)
    assert get_policy(ferrio) is policy
    assert ferrio.run(running_loop()) is made[0]
    set_policy(ferrio, None)
    assert type(get_policy(ferrio)) is ferrio.EventLoopPolicy


def test_policy_with_a_loop_factory():
    policy = ferrio.EventLoopPolicy(lambda: ferrio.EventLoop(virtual_time=True))
    set_policy(ferrio, policy)

    async def main():
        began = ferrio.get_running_loop().time()
        await ferrio.sleep(3600)
        return ferrio.get_running_loop().time() - began

    assert round(ferrio.run(main()), 6) == 3600


@pytest.mark.parametrize("module", [asyncio, ferrio], ids=["asyncio", "ferrio"])
def test_wrong_policy(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(TypeError, match="policy must be an instance of AbstractEventLoopPolicy or None, not 'int'"):
            module.set_event_loop_policy(1)


def answer_of(loop, future):
    loop.call_soon(future.set_result, 42)
    return loop.run_until_complete(future)


async def value(number):
    return number


def test_loop_is_made_before_what_runs_on_it(aio):
    """How programs were written before `run`: futures and gathers are made while no loop runs."""
    loop = aio.new_event_loop()
    aio.set_event_loop(loop)
    assert loop.run_until_complete(aio.gather(value(1), value(2))) == [1, 2]
    assert loop.run_until_complete(aio.shield(value(3))) == 3
    future = aio.Future()
    assert future.get_loop() is loop
    assert answer_of(loop, future) == 42
    queue, reader = aio.Queue(), aio.StreamReader()
    loop.call_soon(queue.put_nowait, 5)
    loop.call_soon(reader.feed_eof)
    assert loop.run_until_complete(aio.gather(queue.get(), reader.read())) == [5, b""]
    assert aio.get_event_loop() is loop
    loop.close()


def outcome(aio, make):
    """Returns what `make` does without a running loop: the error, or the class of what it makes, and its warnings."""
    coroutine = value(1)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            made = make(aio, coroutine)
        except RuntimeError as error:
            result = str(error)[:21]
        else:
            result = "made"
            if hasattr(made, "get_loop"):
                loop = made.get_loop()
                made.cancel()
                loop.run_until_complete(value(1))
    coroutine.close()
    loop = aio.get_event_loop_policy()._local._loop if sys.version_info < (3, 14) else None
    if loop is not None:
        loop.close()
    return result, [(warning.category, str(warning.message), warning.filename == __file__) for warning in warned]


MAKERS = {
    "get_event_loop": lambda aio, coroutine: aio.get_event_loop() and None,
    "Future": lambda aio, coroutine: aio.Future(),
    "Task": lambda aio, coroutine: aio.Task(coroutine),
    "gather": lambda aio, coroutine: aio.gather(coroutine),
    "gather of nothing": lambda aio, coroutine: aio.gather(),
    "ensure_future": lambda aio, coroutine: aio.ensure_future(coroutine),
    "shield": lambda aio, coroutine: aio.shield(coroutine),
    "wrap_future": lambda aio, coroutine: aio.wrap_future(concurrent.futures.Future()),
    "StreamReader": lambda aio, coroutine: aio.StreamReader() and None,
    "Queue": lambda aio, coroutine: aio.Queue(),
    "Lock": lambda aio, coroutine: aio.Lock(),
    "create_task": lambda aio, coroutine: aio.create_task(coroutine),
    "timeout": lambda aio, coroutine: aio.timeout(1),
}


def no_policy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ferrio.set_event_loop_policy(None)
        asyncio.set_event_loop_policy(None)


@pytest.mark.parametrize("maker", MAKERS)
def test_without_a_loop_the_running_python_decides(maker):
    expected = []
    for aio in (asyncio, ferrio):
        no_policy()
        nobody_asked = outcome(aio, MAKERS[maker])
        no_policy()
        aio.set_event_loop(None)
        expected.append((nobody_asked, outcome(aio, MAKERS[maker])))
    assert expected[0] == expected[1]


@pytest.mark.parametrize("maker", MAKERS)
def test_no_loop_is_made_in_a_thread(maker):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(outcome, asyncio, MAKERS[maker]).result(60) == (
            pool.submit(outcome, ferrio, MAKERS[maker]).result(60)
        )


@pytest.mark.parametrize(("sets", "asks"), [(ferrio, asyncio), (asyncio, ferrio)], ids=["ferrio", "asyncio"])
def test_other_implementation_sees_the_loop_that_was_set(sets, asks):
    loop = sets.new_event_loop()
    sets.set_event_loop(loop)
    assert asks.get_event_loop() is loop
    assert asks.Future().get_loop() is loop
    sets.set_event_loop(None)
    with pytest.raises(RuntimeError, match="There is no current event loop"):
        asks.get_event_loop()
    loop.close()


@pytest.mark.parametrize(("makes", "asks"), [(ferrio, asyncio), (asyncio, ferrio)], ids=["ferrio", "asyncio"])
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="from Python 3.14 on asking for a loop makes none")
def test_other_implementation_sees_the_loop_made_by_asking(makes, asks):
    no_policy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loop = makes.get_event_loop()
    assert isinstance(loop, ferrio.EventLoop) is (makes is ferrio)
    assert asks.get_event_loop() is loop
    loop.close()


def test_each_implementation_prefers_its_own_loop():
    ours, theirs = ferrio.new_event_loop(), asyncio.new_event_loop()
    ferrio.set_event_loop(ours)
    asyncio.set_event_loop(theirs)
    assert ferrio.get_event_loop() is ours
    assert ferrio.Future().get_loop() is ours
    assert asyncio.get_event_loop() is theirs
    assert asyncio.Future().get_loop() is theirs
    ours.close()
    theirs.close()


def test_standard_asyncio_with_ferrios_policy_sees_ferrios_loop():
    set_policy(asyncio, ferrio.EventLoopPolicy())
    loop = ferrio.new_event_loop()
    ferrio.set_event_loop(loop)
    assert asyncio.get_event_loop() is loop
    loop.close()


@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
def test_new_policy_forgets_the_loop_set_before(aio):
    before = aio.new_event_loop()
    aio.set_event_loop(before)
    set_policy(aio, aio.DefaultEventLoopPolicy())
    if sys.version_info >= (3, 14):
        with pytest.raises(RuntimeError, match="There is no current event loop"):
            aio.get_event_loop()
    else:
        made = aio.get_event_loop()
        assert made is not before
        made.close()
    before.close()


def test_programs_own_policy_is_asked_for_the_loop():
    loop = ferrio.new_event_loop()

    class Policy(ferrio.EventLoopPolicy):
        def get_event_loop(self):
            return loop

    set_policy(ferrio, Policy())
    assert ferrio.get_event_loop() is loop
    assert ferrio.Future().get_loop() is loop
    loop.close()


def test_both_implementations_see_the_current_loop():
    loop = ferrio.new_event_loop()
    ferrio.set_event_loop(loop)
    assert ferrio.get_event_loop() is loop
    assert asyncio.get_event_loop() is loop
    ferrio.set_event_loop(None)
    for module in (ferrio, asyncio):
        with pytest.raises(RuntimeError, match="There is no current event loop"):
            module.get_event_loop()
    loop.close()


def test_running_loop_wins_over_the_current_one():
    other = ferrio.new_event_loop()

    async def main():
        ferrio.set_event_loop(other)
        return ferrio.get_event_loop(), ferrio.get_running_loop(), asyncio.get_event_loop()

    got, running, standard = ferrio.run(main())
    assert got is running is standard is not other
    other.close()


@pytest.mark.parametrize("module", [asyncio, ferrio], ids=["asyncio", "ferrio"])
def test_threads_have_no_current_loop(module):
    raised = []

    def ask():
        try:
            module.get_event_loop()
        except RuntimeError as error:
            raised.append(str(error))

    thread = threading.Thread(target=ask, name="asker")
    thread.start()
    thread.join(60)
    assert len(raised) == 1
    assert raised[0].startswith("There is no current event loop in thread 'asker'.")


@pytest.mark.parametrize("module", [asyncio, ferrio], ids=["asyncio", "ferrio"])
def test_only_a_loop_can_be_current(module):
    # Python 3.11 uses an assertion.
    with pytest.raises((TypeError, AssertionError)):
        module.set_event_loop("loop")


def test_only_policy_functions_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ferrio.run(running_loop())
        ferrio.new_event_loop().close()
        with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
            runner.run(running_loop())


def test_making_a_loop_leaves_asyncio_sound():
    # asyncio's C module caches dead objects for reuse; making ferrio's first loop once freed them twice.
    program = """
import asyncio, ferrio

async def main():
    futures = [asyncio.get_running_loop().create_future() for _ in range(300)]

    async def wait(future):
        return await future

    tasks = [asyncio.create_task(wait(future)) for future in futures]
    await asyncio.sleep(0)
    for future in futures:
        future.set_result(1)
    return sum(await asyncio.gather(*tasks))

first = asyncio.run(main())
ferrio.new_event_loop().close()
print(first, asyncio.run(main()), asyncio.run(main()))
"""
    assert run_program(program) == "300 300 300\n"


def test_deprecated_names():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        assert events.DefaultEventLoopPolicy is ferrio.EventLoopPolicy
        theirs = ferrio.AbstractEventLoopPolicy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # asyncio's own, from Python 3.14 on
        assert theirs is asyncio.AbstractEventLoopPolicy


@since(3, 12)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
def test_forked_child_has_no_current_loop(aio):
    loop = aio.new_event_loop()
    aio.set_event_loop(loop)
    child = os.fork()
    if child == 0:
        # No exception may leave the child, or it would run the parent's tests.
        try:
            os._exit(3 if aio.get_event_loop() is loop else 0)
        except RuntimeError:
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    aio.set_event_loop(None)
    loop.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_loop_without_a_free_descriptor_raises(aio):
    def body():
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        with pytest.raises(OSError, match="Too many open files") as caught:
            aio.new_event_loop()
        assert caught.value.errno == errno.EMFILE

    in_a_fork(body)


def the_program_lets_go(aio):
    aio.set_event_loop(None)


def another_loop_is_set(aio):
    other = aio.new_event_loop()
    aio.set_event_loop(other)
    other.close()


def each_policy_forgets(aio):
    for policy in (asyncio.events._event_loop_policy, ferrio._policy._policy):
        if policy is not None:
            policy.set_event_loop(None)


def another_policy_is_set(aio):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        aio.set_event_loop_policy(None)


@pytest.mark.parametrize(
    "let_go", [the_program_lets_go, another_loop_is_set, each_policy_forgets, another_policy_is_set]
)
def test_loop_that_is_no_longer_current_is_collected(aio, let_go):
    loop = aio.new_event_loop()
    aio.set_event_loop(loop)
    loop.close()
    alive = weakref.ref(loop)
    del loop
    let_go(aio)
    gc.collect()
    assert alive() is None


def test_dead_loop_is_not_mistaken_for_the_other_implementations():
    # The new loop may get the address of the old one.
    for _ in range(10):
        ferrio.set_event_loop(loop := ferrio.new_event_loop())
        loop.close()
        del loop
        each_policy_forgets(ferrio)
        gc.collect()
        asyncio.set_event_loop(theirs := ferrio.new_event_loop())
        assert ferrio.get_event_loop() is theirs
        theirs.close()
