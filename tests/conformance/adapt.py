"""Makes CPython's test helpers work with another implementation, by patching them in memory.

The helpers reach into CPython's own loop: its selector, its list of ready callbacks, its modules' loggers.
Each of those places gets a replacement that does the same through public methods. No test body is changed.
"""

import logging
import sys
import types
from unittest import mock

from simulated_time import simulated_loop_class

_LOGGER_METHODS = ("critical", "debug", "error", "exception", "info", "log", "warning")

# Turns of the loop to run in place of "until nothing is ready"; no test of gather needs more.
_TURNS_ENOUGH = 12


class Adapter:
    """Makes the replacements once per process; `module` applies them to each test module."""

    def __init__(self, implementation):
        self._implementation = implementation
        from test.test_asyncio import utils

        self._utils = utils
        utils.TestLoop = self._simulated = simulated_loop_class(implementation)
        utils.run_briefly = run_briefly
        utils.TestCase.close_loop = staticmethod(self._close_loop)
        _patch_loggers_by_name()
        _detach_child_watchers(implementation.standard)

    def module(self, module: types.ModuleType) -> None:
        """Adapts the classes of one imported test module."""
        name = module.__name__.rpartition(".")[2]
        for class_ in [value for value in vars(module).values() if isinstance(value, type)]:
            change = getattr(self, f"_{name}_{class_.__name__}", None)
            if change is not None:
                change(class_)
            # This decides how the test classes get their loops; without it they ask for a selector loop.
            if "create_event_loop" in vars(class_) and name in ("test_events", "test_sendfile", "test_sock_lowlevel"):
                class_.create_event_loop = lambda case: self._implementation.new_loop()
            if "new_loop" in vars(class_) and name in ("test_server", "test_sslproto", "test_buffered_proto"):
                class_.new_loop = lambda case: self._implementation.new_loop()

    def _close_loop(self, loop):
        """TestCase.close_loop, without touching the loop's private executor."""
        if not loop.is_closed() and not isinstance(loop, self._simulated):
            try:
                loop.run_until_complete(loop.shutdown_default_executor())
            except RuntimeError:
                pass  # the test left its loop running
        loop.close()

    # One method per class that needs a change: _<module>_<class>.

    def _test_tasks_GatherTestsBase(self, class_):
        def run_loop(case, loop):
            for _ in range(_TURNS_ENOUGH):
                run_briefly(loop)

        class_._run_loop = run_loop

    def _test_pep492_BaseTest(self, class_):
        self._own_loop_for_each_test(class_)

    def _test_subprocess_SubprocessWatcherMixin(self, class_):
        self._own_loop_for_each_test(class_)
        class_.tearDown = lambda case: super(class_, case).tearDown()

    def _test_events_UnixEventLoopTestsMixin(self, class_):
        # Leaves out the child watcher that the original ties to its loop.
        class_.setUp = lambda case: super(class_, case).setUp()
        class_.tearDown = lambda case: super(class_, case).tearDown()

    def _test_runners_BaseTest(self, class_):
        implementation = self._implementation

        def new_loop(case):
            implementation.loops_made += 1
            loop = type("LoopOfRunner", (implementation.loop_class(),), {})()
            loop.shutdown_ag_run = False

            async def shutdown_asyncgens():
                loop.shutdown_ag_run = True

            loop.shutdown_asyncgens = shutdown_asyncgens
            return loop

        class_.new_loop = new_loop

    def _own_loop_for_each_test(self, class_):
        def set_up(case):
            super(class_, case).setUp()
            case.loop = self._implementation.new_loop()
            case.set_event_loop(case.loop)

        class_.setUp = set_up


def run_briefly(loop):
    """Runs one turn of the loop, through a task that ends at once."""

    async def at_once():
        pass

    coroutine = at_once()
    task = loop.create_task(coroutine)
    try:
        task._log_destroy_pending = False
    except AttributeError:
        pass  # this task lacks that switch
    try:
        loop.run_until_complete(task)
    finally:
        coroutine.close()


def _detach_child_watchers(standard):
    """Lets tests set a child watcher without the loop handling a signal; some set one although they start no child.

    asyncio dropped child watchers in 3.14. A loop that waits for its children itself never asks them.
    """
    for name in ("SafeChildWatcher", "FastChildWatcher"):
        watcher = getattr(standard, name, None) if sys.version_info < (3, 14) else None
        if watcher is not None:
            watcher.attach_loop = lambda self, loop: None


def _patch_loggers_by_name():
    """Makes mock.patch('asyncio.<module>.logger') replace the methods of the logger named "asyncio".

    CPython's modules hold that logger in a global, which the tests replace. Other implementations look it up by name.
    """
    holder = types.ModuleType("conformance_logger_holder")
    holder.logger = logging.getLogger("asyncio")
    sys.modules[holder.__name__] = holder
    original = mock.patch
    patcher_class = type(original(holder.__name__ + ".logger"))

    class LoggerPatcher(patcher_class):
        def __enter__(self):
            replacement = super().__enter__()
            for name in _LOGGER_METHODS:
                setattr(logging.getLogger("asyncio"), name, getattr(replacement, name))
            return replacement

        def __exit__(self, *exception):
            for name in _LOGGER_METHODS:
                vars(logging.getLogger("asyncio")).pop(name, None)
            return super().__exit__(*exception)

    def patch(target, *args, **kwargs):
        if target.startswith("asyncio.") and target.endswith(".logger"):
            patcher = original(holder.__name__ + ".logger", *args, **kwargs)
            patcher.__class__ = LoggerPatcher
            return patcher
        return original(target, *args, **kwargs)

    for name in ("TEST_PREFIX", "dict", "multiple", "object", "stopall"):
        setattr(patch, name, getattr(original, name))
    mock.patch = patch
