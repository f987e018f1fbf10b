"""Threads that do the same things to the same objects at the same time: tools for the tests about sharing.

Most of these actions break asyncio's rules: its objects belong to their loop's thread. The outcome must be what the
action is for, or an exception that says what is wrong. It must never be a crash, a panic of the Rust code, or a hang.
"""

import contextlib
import gc
import itertools
import random
import sys
import threading

import ferrio

THREADS = 4
ROUNDS = 300


@contextlib.contextmanager
def quick_switches(seconds=1e-5):
    """With a GIL, makes threads switch five hundred times as often as usual; without one, changes nothing."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def hammer(*actions, allowed=(), threads=THREADS, rounds=ROUNDS, until=None):
    """Calls the actions from several threads at once, in a different order in each, while this thread collects garbage.

    Each thread makes `rounds` calls, or calls until `until()` is true. Exceptions of the classes `allowed` count as
    answers; the first other one is raised here.
    """
    errors = []
    begin = threading.Barrier(threads + 1)

    def body(seed):
        order = random.Random(seed)
        begin.wait()
        for _ in itertools.takewhile(lambda _: not until(), itertools.count()) if until else range(rounds):
            try:
                order.choice(actions)()
            except allowed:
                pass
            except BaseException as error:
                errors.append(error)
                return

    team = [threading.Thread(target=body, args=(seed,)) for seed in range(threads)]
    with quick_switches():
        for thread in team:
            thread.start()
        begin.wait()
        for thread in team:
            while thread.is_alive():
                gc.collect(0)
                # Give the others a moment: without a GIL the collector stops all threads.
                thread.join(0.005)
    if errors:
        raise errors[0]


class Served:
    """A ferrio loop that runs in its own thread."""

    def __init__(self, loop=None):
        self.loop = loop or ferrio.new_event_loop()
        self.reported = []
        self.loop.set_exception_handler(lambda loop, context: self.reported.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self):
        self._thread.start()
        # Only a loop that turns takes what `run` posts.
        self.run(ferrio.sleep(0))
        return self

    def __exit__(self, *exception):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self._end_tasks())
        self.loop.close()

    def run(self, coroutine):
        """Runs a coroutine on the loop from this thread and returns its result. Raises `TimeoutError` if it hangs."""
        return ferrio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _end_tasks(self):
        tasks = ferrio.all_tasks() - {ferrio.current_task()}
        for task in tasks:
            task.cancel()
        await ferrio.gather(*tasks, return_exceptions=True)
