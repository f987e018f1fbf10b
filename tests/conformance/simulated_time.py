"""A loop with simulated time, built on the implementation's own loop class through public methods only.

CPython's tests drive time with a generator: it receives each new timer's deadline and yields how far to advance.
Their own loop for this is a BaseEventLoop with a replaced selector, which says nothing about another
implementation. Here we override `time`, `call_later` and `call_at` of the implementation's class. A callback that
reschedules itself while timers exist stands in for the loop's turns. The invariant: a timer runs in the first turn
whose simulated time has reached it; timers of one turn run in the order of their deadlines.
"""

import heapq
from contextvars import copy_context

# asyncio counts a timer as due once the clock is within its resolution.
_RESOLUTION = 1e-9


def _never():
    """The generator of a loop on which time stands still."""
    yield


def simulated_loop_class(implementation) -> type:
    """Returns the class to use in place of CPython's test.test_asyncio.utils.TestLoop."""
    timer_handle_class = implementation.standard.TimerHandle
    base = implementation.loop_class()

    class SimulatedLoop(base):
        def __new__(cls, advances=None):  # otherwise constructors of extension types would see the argument
            return super().__new__(cls)

        def __init__(self, advances=None):
            implementation.loops_made += 1
            super().__init__()
            # When the loop is closed, a generator written by the test must be exhausted.
            self._simulated_must_end = advances is not None
            self._simulated_advances = (advances or _never)()
            next(self._simulated_advances)
            self._simulated_now = 0
            self._simulated_timers = []
            self._simulated_announced = []
            self._simulated_count = 0
            self._simulated_queued = False

        def time(self):
            return self._simulated_now

        def advance_time(self, advance):
            self._simulated_now += advance or 0

        def call_later(self, delay, callback, *args, context=None):
            if delay is None:
                raise TypeError("delay must not be None")
            return self.call_at(self._simulated_now + delay, callback, *args, context=context)

        def call_at(self, when, callback, *args, context=None):
            if when is None:
                raise TypeError("when cannot be None")
            handle = timer_handle_class(when, callback, args, self, context)
            context = copy_context() if context is None else context
            self._simulated_count += 1
            # The count keeps timers with equal deadlines in order.
            heapq.heappush(
                self._simulated_timers, (when, self._simulated_count, handle, lambda: context.run(callback, *args))
            )
            self._simulated_announced.append(when)
            self._simulated_queue_turn()
            return handle

        def _timer_handle_cancelled(self, handle):
            """Called by the standard TimerHandle."""

        if not hasattr(base, "_run_once"):

            def _run_once(self):
                super().call_soon(self.stop)
                self.run_forever()

        def _simulated_queue_turn(self):
            if not self._simulated_queued and not self.is_closed():
                self._simulated_queued = True
                super().call_soon(self._simulated_turn)

        def _simulated_turn(self):
            self._simulated_queued = False
            try:
                announced, self._simulated_announced = self._simulated_announced, []
                for when in announced:
                    self.advance_time(self._simulated_advances.send(when))
                self._simulated_run_due(self._simulated_now + _RESOLUTION)
            finally:
                timers = self._simulated_timers
                while timers and timers[0][2].cancelled() and not self._simulated_announced:
                    heapq.heappop(timers)
                if timers or self._simulated_announced:
                    self._simulated_queue_turn()

        def _simulated_run_due(self, now):
            while self._simulated_timers and self._simulated_timers[0][0] <= now:
                handle, run = heapq.heappop(self._simulated_timers)[2:]
                if handle.cancelled():
                    continue
                try:
                    run()
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as exception:
                    self.call_exception_handler({
                        "message": f"Exception in callback of {handle!r}",
                        "exception": exception,
                        "handle": handle,
                    })  # fmt: skip

        def close(self):
            was_closed = self.is_closed()
            super().close()
            if self._simulated_must_end and not was_closed:
                try:
                    self._simulated_advances.send(0)
                except StopIteration:
                    return
                raise AssertionError("Time generator is not finished")

    return SimulatedLoop
