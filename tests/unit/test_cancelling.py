"""`ferrio.testing`'s `cancel_everywhere` and `timeout_everywhere`: a program that is ended in each of its waits."""

import asyncio

import pytest

from ferrio import testing


def test_each_wait_is_cancelled_early_and_late():
    async def program():
        try:
            await asyncio.sleep(1)
            reached.append(1)
            await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
            reached.append(2)
            await asyncio.sleep(0)
            reached.append(3)
        except asyncio.CancelledError:
            reached.append("cancelled")
            raise

    reached = []
    # Nothing else runs while it waits in sleep(0), so that is only cancelled late.
    assert testing.cancel_everywhere(program) == 5
    assert reached.count("cancelled") == 5
    # Early in sleep(0), and in the two runs that had nothing left to cancel.
    assert reached.count(3) == 3


def test_a_leaked_semaphore_is_found():
    async def program():
        nonlocal semaphore
        semaphore = asyncio.Semaphore(1)
        await semaphore.acquire()
        await asyncio.sleep(1)
        semaphore.release()

    def check():
        assert not semaphore.locked()

    semaphore = None
    with pytest.raises(AssertionError) as caught:
        testing.cancel_everywhere(program, check)
    assert "main was cancelled when it had begun to wait" in caught.value.__notes__[0]
    assert "await asyncio.sleep(1)" in caught.value.__notes__[0]


def test_what_cleans_up_passes():
    async def program():
        nonlocal semaphore
        semaphore = asyncio.Semaphore(1)
        async with semaphore:
            await asyncio.sleep(1)

    semaphore = None
    assert testing.cancel_everywhere(program, lambda: None if not semaphore.locked() else 1 / 0) == 2


def test_another_exception_fails():
    async def program():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise KeyError("instead") from None

    with pytest.raises(KeyError, match="instead"):
        testing.cancel_everywhere(program)


def test_a_program_may_return_instead():
    async def program():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return

    assert testing.cancel_everywhere(program) == 2


def test_a_cleanup_that_waits_for_ever_is_stuck():
    async def program():
        event = asyncio.Event()
        try:
            await asyncio.sleep(1)
        finally:
            if asyncio.current_task().cancelling():
                await event.wait()

    with pytest.raises(testing.WaitsForever, match="Event"):
        testing.cancel_everywhere(program)


def test_a_program_that_waits_for_ever_is_refused():
    async def program():
        while True:
            await asyncio.sleep(0)

    async def limited():
        for _ in range(20):
            await asyncio.sleep(0)

    assert testing.cancel_everywhere(limited) == 20


async def retries():
    """Takes the end of its own time for the end of an attempt."""
    for _attempt in range(2):
        try:
            async with asyncio.timeout(10):
                await asyncio.sleep(1)
            return
        except (TimeoutError, asyncio.CancelledError):
            asyncio.current_task().uncancel()
            attempts.append("again")


attempts = []


def test_each_wait_is_timed_out_early_and_late():
    async def program():
        try:
            await asyncio.sleep(1)
            await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        except asyncio.CancelledError:
            seen.append(asyncio.current_task().cancelling())
            raise

    seen = []
    assert testing.timeout_everywhere(program) == 4
    assert seen == [1] * 4


def test_a_retry_that_swallows_the_timeout_is_found():
    def check():
        assert not attempts, "it tried again after its time was over"

    attempts.clear()
    with pytest.raises(AssertionError, match="tried again") as caught:
        testing.timeout_everywhere(retries, check)
    assert "main timed out when it had begun to wait" in caught.value.__notes__[0]
    assert "await asyncio.sleep(1)" in caught.value.__notes__[0]


def test_a_cancellation_that_remains_is_no_timeout():
    async def program():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            asyncio.current_task().cancel()
            raise

    with pytest.raises(asyncio.CancelledError):
        testing.timeout_everywhere(program)


def test_what_gives_back_its_semaphore_passes():
    async def program():
        nonlocal semaphore
        semaphore = asyncio.Semaphore(1)
        async with semaphore, asyncio.timeout(100):
            await asyncio.sleep(1)

    semaphore = None
    assert testing.timeout_everywhere(program, lambda: None if not semaphore.locked() else 1 / 0) == 2
