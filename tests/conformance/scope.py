"""Which tests run within one process: no descriptor, socket, stream, signal or child of the program's own.

`run.py --scope in-process` chooses these. A list of modules, less what is named here; it decides nothing about what a
test says (classify.py) or whether it may fail (expectations.py).
"""

import re

IN_PROCESS_MODULES = (
    "test_base_events",
    "test_context",
    "test_eager_task_factory",
    "test_events",
    "test_futures",
    "test_futures2",
    "test_locks",
    "test_pep492",
    "test_queues",
    "test_runners",
    "test_taskgroups",
    "test_tasks",
    "test_threads",
    "test_timeouts",
    "test_waitfor",
)

_OUTSIDE = re.compile(
    r"test_events\.EPollEventLoopTests\.test_("
    r"add_fds|add_signal|bidirectional|connect_|create_|datagram|read_|reader|remove_fds|server|signal|ssl|subprocess|"
    r"unclosed_pipe|write_|writer).*"
    r"|test_events\.TestServer\..*"
    r"|test_pep492\.StreamReaderTests\..*"
)


def is_in_process(test: str) -> bool:
    """Whether the test "test_module.Class.test_name" runs within one process."""
    return test.partition(".")[0] in IN_PROCESS_MODULES and not _OUTSIDE.fullmatch(test)
