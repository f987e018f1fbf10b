"""ferrio: Python's asyncio, whole, in Rust. Use it as `import ferrio as asyncio`."""

from os import environ, register_at_fork

from ferrio import _interpreter as _interpreter  # raises if ferrio can't work, before the rest is imported

# isort: split
from ferrio import (
    _exit,
    _ferrio,
    _modules,
    _policy,
    base_events,
    coroutines,
    events,
    exceptions,
    executor,
    files,
    futures,
    graph,
    locks,
    mixins,
    os,
    processes,
    protocols,
    queues,
    runners,
    sslproto,
    staggered,
    streams,
    subprocess,
    taskgroups,
    tasks,
    threads,
    timeouts,
    transports,
)
from ferrio._ferrio import Operation, observe
from ferrio._install import install, uninstall
from ferrio._modules import base_futures, base_tasks, constants, format_helpers, log, trsock
from ferrio._nesting import allow_nested
from ferrio.base_events import *
from ferrio.coroutines import *
from ferrio.events import *
from ferrio.exceptions import *
from ferrio.executor import *
from ferrio.files import File
from ferrio.files import open as open  # not in `__all__`; written this way for mypy, which then takes it as public
from ferrio.futures import *
from ferrio.graph import *
from ferrio.locks import *
from ferrio.processes import *
from ferrio.protocols import *
from ferrio.queues import *
from ferrio.runners import *
from ferrio.streams import *
from ferrio.subprocess import *
from ferrio.taskgroups import *
from ferrio.tasks import *
from ferrio.threads import *
from ferrio.timeouts import *
from ferrio.transports import *

__version__ = _ferrio.__version__

# Built in a form that pyright evaluates, so that it takes the names with an underscore as public, too.
__all__ = ["File", "Operation", "allow_nested", "install", "observe", "uninstall"]
__all__ += base_events.__all__
__all__ += coroutines.__all__
__all__ += events.__all__
__all__ += exceptions.__all__
__all__ += executor.__all__
__all__ += futures.__all__
__all__ += graph.__all__
__all__ += locks.__all__
__all__ += processes.__all__
__all__ += protocols.__all__
__all__ += queues.__all__
__all__ += runners.__all__
__all__ += streams.__all__
__all__ += subprocess.__all__
__all__ += taskgroups.__all__
__all__ += tasks.__all__
__all__ += threads.__all__
__all__ += timeouts.__all__
__all__ += transports.__all__

_modules.share()
_modules.name_contents(
    (
        events,
        base_events,
        executor,
        futures,
        graph,
        locks,
        processes,
        queues,
        streams,
        subprocess,
        taskgroups,
        tasks,
        threads,
        timeouts,
    )
)

# A forked child has one thread, and no loop is running or current in it.
register_at_fork(after_in_child=_ferrio._forget_running_loop)
register_at_fork(after_in_child=_policy.forget_after_fork)

if environ.get("FERRIO_OBSERVE", "0") not in ("", "0"):
    observe()

_exit.call_before_threads_are_joined()
_exit.load_before_the_end()

if any(environ.get(f"FERRIO_{switch}") for switch in ("WATCH", "DUMP_SIGNAL", "METRICS", "SIGHT", "TRACE", "RECORD")):
    from ferrio.sight import switches

    switches.follow_environment()


def load_ipython_extension(shell: object) -> None:
    """Called by IPython's `%load_ext ferrio`: from now on, the cells of `shell` run on ferrio."""
    from ferrio.integrations import ipython

    ipython.load(shell)


def unload_ipython_extension(shell: object) -> None:
    """Called by IPython's `%unload_ext ferrio`: the cells of `shell` run on IPython's earlier loop again."""
    from ferrio.integrations import ipython

    ipython.unload(shell)


# No `__getattr__` here: it would keep the interpreter from specializing look-ups such as `ferrio.sleep`.
globals().update(events.version_bound_names())
