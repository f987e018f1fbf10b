"""Policies: ferrio's own beside the standard library's, and ferrio's as the standard library's."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
import threading
import warnings

import pytest
from tests.unit.implementations import in_a_fork, since

import ferrio
from ferrio import events


@pytest.fixture(autouse=True)
def restored():
    """Whatever a test sets, the next one finds the defaults."""
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


def test_current_loop_is_seen_in_both_worlds():
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
    assert raised == ["There is no current event loop in thread 'asker'."]


@pytest.mark.parametrize("module", [asyncio, ferrio], ids=["asyncio", "ferrio"])
def test_what_is_no_loop_cannot_be_current(module):
    # Python 3.11 asserts.
    with pytest.raises((TypeError, AssertionError)):
        module.set_event_loop("loop")


def test_nothing_warns_unless_policies_are_asked_for():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ferrio.run(running_loop())
        ferrio.new_event_loop().close()
        with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
            runner.run(running_loop())


def test_making_a_loop_leaves_asyncio_sound():
    # asyncio's C module keeps dead objects to use them again; making ferrio's first loop once freed them twice.
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
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("300 300 300\n", "")


def test_deprecated_names():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        assert events.DefaultEventLoopPolicy is ferrio.EventLoopPolicy
        theirs = ferrio.AbstractEventLoopPolicy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # asyncio's, from Python 3.14 on
        assert theirs is asyncio.AbstractEventLoopPolicy


@since(3, 12)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
def test_forked_child_has_no_current_loop(aio):
    loop = aio.new_event_loop()
    aio.set_event_loop(loop)
    child = os.fork()
    if child == 0:
        # No exception may leave the child, it would run the parent's tests.
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
def test_loop_for_which_no_descriptor_is_left(aio):
    def body():
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        with pytest.raises(OSError, match="Too many open files") as caught:
            aio.new_event_loop()
        assert caught.value.errno == errno.EMFILE

    in_a_fork(body)
