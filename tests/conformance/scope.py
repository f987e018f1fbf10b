"""Which tests are of what ferrio has: everything but children of the program's own, and other systems' loops.

`run.py --scope no-children` chooses these. A list of modules, less what is named here; it decides nothing about what a
test says (classify.py) or whether it may fail (expectations.py).
"""

import re

MODULES_IN_SCOPE = (
    "test_base_events",
    "test_buffered_proto",
    "test_context",
    "test_eager_task_factory",
    "test_events",
    "test_futures",
    "test_futures2",
    "test_locks",
    "test_pep492",
    "test_protocols",
    "test_queues",
    "test_runners",
    "test_sendfile",
    "test_server",
    "test_sock_lowlevel",
    "test_ssl",
    "test_sslproto",
    "test_staggered",
    "test_streams",
    "test_taskgroups",
    "test_tasks",
    "test_threads",
    "test_timeouts",
    "test_transports",
    "test_unix_events",
    "test_waitfor",
)

# Children, and how their ends are noticed.
_OUTSIDE = re.compile(
    r"test_events\.\w+\.test_subprocess.*"
    r"|test_unix_events\.(\w*ChildWatcher\w*|\w*Subprocess\w*)\..*"
    r"|test_unix_events\.TestFork\.test_fork_asyncio_subprocess"
    r"|test_streams\.StreamTests\.test_read_all_from_pipe_reader"
)


def is_in_scope(test: str) -> bool:
    """Whether the test "test_module.Class.test_name" is of what ferrio has."""
    return test.partition(".")[0] in MODULES_IN_SCOPE and not _OUTSIDE.fullmatch(test)
