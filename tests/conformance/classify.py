"""What a test of CPython's `test.test_asyncio` says about another implementation of asyncio.

A test is of one kind:

* behaviour: it uses asyncio's public API, or what is documented for people who extend it. These count.
* internal: it needs the private structure of CPython's implementation (its selector loop, its attributes, its mocks).
* n/a: it repeats what another class of its family runs. (In loop mode run.py adds the tests that never made a loop.)

Rules about whole classes are here; single tests are in `internal.json`, grouped by reason. Nothing here runs a
test. A test classed as internal may still pass, and is welcome to.
"""

import json
import re
from pathlib import Path

BEHAVIOUR = "behaviour"
INTERNAL = "internal"
NOT_APPLICABLE = "n/a"

MODES = ("module", "loop")

# Classes (as "module.Class" or "module.Class.test") that test private structure, grouped by what they need.
_INTERNAL_CLASSES = {
    "Windows": [
        r"test_windows_.*",
        r"test_proactor_events\..*",
        r".*Proactor.*",
    ],
    "the selector loop's own methods": [
        r"test_selector_events\..*",
        r"test_unix_events\.SelectorEventLoop\w+\..*",
        r"test_unix_events\.Unix(Read|Write)PipeTransportTests\..*",
    ],
    "BaseEventLoop with its selector and its private methods replaced": [
        r"test_base_events\.BaseEvent(LoopTests|LoopWithSelectorTests|Tests)\..*",
        r"test_base_events\.(BaseLoopSockSendfileTests|TestSelectorUtils)\..*",
    ],
    "child watchers, gone since 3.14": [
        r"test_unix_events\.(\w*ChildWatcher\w*|PolicyTests)\..*",
        r"test_subprocess\.(MultiLoopChildWatcherTests|GenericWatcherTests)\..*",
    ],
    "the private base of subprocess transports": [
        r"test_subprocess\.SubprocessTransportTests\..*",
    ],
    "the private SSL protocol": [
        r"test_sslproto\.SslProtoHandshakeTests\..*",
        r"test_ssl(proto)?\..*\.test_create_connection_memory_leak",
    ],
    "a private transport class": [
        r"test_transports\..*(FlowControl|flowcontrol).*",
    ],
}

# Families of classes that run the same tests on several selectors or watchers, or on both the C and the Python
# version of a class. Listed are the members that add nothing to the one we keep.
_REPEATED_CLASSES = [
    r"test_subprocess\.Subprocess(Safe|Fast|Pidfd)WatcherTests",
    r"test_(events|sendfile|sock_lowlevel)\.(Poll|Select|Kqueue)EventLoopTests",
    r"test_tasks\.(CTaskSubclass_PyFuture|PyTask_CFutureSubclass|CTask_PyFuture|PyTask_CFuture|PyTask_PyFuture)_Tests",
    r"test_tasks\.(PyTask_PyFuture_Subclass|PyIntrospection|PyCurrentLoop)Tests",
    r"test_futures\.PyFuture(DoneCallback|Inheritance)?Tests",
    r"test_futures2\.PyFutureTests",
    r"test_eager_task_factory\.(PyEagerTaskFactoryLoop|(Non)?Eager(Py|C)Task|PyIsEager)Tests",
    r"test_events\.TestPyGetEventLoop",
    r"test_graph\.TestCallStackPy",
    r"test_free_threading\.Test(Eager)?PyFreeThreading",
]


def _load_single_tests():
    """internal.json as test id -> (modes, versions or None for all, reason)."""
    groups = json.loads(Path(__file__).with_name("internal.json").read_text())
    return {
        test: (group["modes"], group.get("versions"), group["reason"]) for group in groups for test in group["tests"]
    }


_CLASS_RULES = [(re.compile(pattern), reason) for reason, patterns in _INTERNAL_CLASSES.items() for pattern in patterns]
_REPEATED = re.compile("|".join(rf"(?:{pattern}\..*)" for pattern in _REPEATED_CLASSES))
_SINGLE_TESTS = _load_single_tests()


def classify(test: str, mode: str, version: str) -> tuple[str, str]:
    """Returns the kind of test "test_module.Class.test_name" in a mode on a version ("3.14t"), and the reason.

    The reason is empty for behaviour.
    """
    for pattern, reason in _CLASS_RULES:
        if pattern.fullmatch(test):
            return INTERNAL, reason
    if _REPEATED.fullmatch(test):
        return NOT_APPLICABLE, "repeats another class"
    if test in _SINGLE_TESTS:
        modes, versions, reason = _SINGLE_TESTS[test]
        if mode in modes and (versions is None or version in versions or version.rstrip("t") in versions):
            return INTERNAL, reason
    return BEHAVIOUR, ""
