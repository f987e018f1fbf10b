"""Callbacks may be added and removed while they are being compared: callbacks of futures, on asyncio and on ferrio, and
of an operation under a foreign driver, which treats it as a future.
"""

import asyncio

import pytest

import ferrio


def make_future():
    """Returns a future of the running loop."""
    return asyncio.get_running_loop().create_future()


def make_operation():
    """Returns an operation that waits, driven by code that takes it for a future."""
    operation = ferrio.sleep(3600)
    assert operation.send(None) is operation
    operation._asyncio_future_blocking = False
    return operation


class Curious:
    """A callback that changes the list when it is first compared."""

    def __init__(self, change):
        self.change = change
        self.calls = []

    def __call__(self, waited):
        self.calls.append(waited)

    def __eq__(self, other):
        change, self.change = self.change, None
        if change is not None:
            change()
        return False

    __hash__ = None


@pytest.mark.parametrize(
    ("run", "make"),
    [(asyncio.run, make_future), (ferrio.run, make_future), (ferrio.run, make_operation)],
    ids=["asyncio's future", "ferrio's future", "operation"],
)
def test_comparison_may_add_and_remove_callbacks(run, make):
    async def main():
        calls, removed = [], []

        def change():
            removed.append(waited.remove_done_callback(unwanted))
            waited.add_done_callback(late)

        def unwanted(_):
            calls.append("unwanted")

        def late(_):
            calls.append("late")

        waited, curious = make(), Curious(change)
        for callback in (curious, unwanted):
            waited.add_done_callback(callback)
        assert waited.remove_done_callback(print) == 0
        assert removed == [1]
        waited.cancel()
        await asyncio.sleep(0)
        assert (len(curious.calls), calls) == (1, ["late"])
        # An operation's callbacks get the future that represents its wait.
        assert curious.calls[0] is waited or make is make_operation
        assert curious.calls[0].cancelled()
        if make is make_operation:
            with pytest.raises(asyncio.CancelledError):
                waited.send(None)

    run(main())


@pytest.mark.parametrize(
    ("run", "make"),
    [(asyncio.run, make_future), (ferrio.run, make_future), (ferrio.run, make_operation)],
    ids=["asyncio's future", "ferrio's future", "operation"],
)
def test_every_registration_of_an_equal_callback_is_removed(run, make):
    async def main():
        calls, waited = [], make()
        for callback in (calls.append, print, calls.append):
            waited.add_done_callback(callback)
        assert waited.remove_done_callback(calls.append) == 2
        assert waited.remove_done_callback(calls.append) == 0
        assert waited.remove_done_callback(print) == 1
        waited.cancel()
        await asyncio.sleep(0)
        assert calls == []
        if make is make_operation:
            with pytest.raises(asyncio.CancelledError):
                waited.send(None)

    run(main())
