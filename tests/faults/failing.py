"""Runs each part of `scenes.py` with one system call that fails, each call that ferrio makes in turn.

An interrupted call, a transfer of one byte and a wrong report that something is ready change nothing. Another error may
reach the program. After each the loop goes on and closes, and no descriptor, child or task stays.
"""

import asyncio
import contextlib
import errno
import faulthandler
import gc
import importlib
import io
import json
import os
import resource
import sys
import time
import warnings

from tests.faults import scenes
from tests.faults.shim import SHORT, Shim

HANGS = 30  # seconds that no case takes
PATIENCE = 6  # seconds for a part

TRANSFERS = ("read", "recv", "send", "sendmsg", "write", "writev", "pread64", "preadv2", "sendfile64")
#: What may happen to a call without a difference in what a program sees.
HARMLESS = {
    **{call: ["EINTR", "SHORT"] for call in TRANSFERS},
    **{call: ["EINTR"] for call in ("close", "epoll_pwait2", "epoll_wait", "open64", "poll", "ppoll", "waitid")},
    **{call: ["EINTR", "EAGAIN", "SHORT"] for call in ("recv", "send", "sendmsg", "sendfile64")},
    **{call: ["EINTR", "EAGAIN"] for call in ("accept4", "recvfrom", "sendto")},
}
DESCRIPTORS_MOST = resource.getrlimit(resource.RLIMIT_NOFILE)
DESCRIPTORS = ["EMFILE", "ENFILE", "ENOMEM"]
#: Errors that may reach the program.
HARMFUL = {
    "accept4": ["EMFILE", "ENOBUFS", "ECONNABORTED", "EPERM"],
    "clone": ["EAGAIN", "ENOMEM"],
    "close": ["EIO"],
    "connect": ["ECONNREFUSED", "ENOBUFS"],
    "dup3": ["EBADF"],
    "epoll_create1": DESCRIPTORS,
    "epoll_ctl": ["ENOMEM", "ENOSPC"],
    "eventfd": DESCRIPTORS,
    "fcntl": ["EMFILE"],
    "fstat64": ["EIO"],
    "getsockname": ["ENOBUFS"],
    "getsockopt": ["ENOBUFS"],
    "ioctl": ["EIO"],
    "epoll_pwait2": ["ENOSYS"],
    "kill": ["ESRCH", "EPERM"],
    "pidfd_send_signal": ["ESRCH", "EPERM"],
    "lseek64": ["EIO"],
    "open64": [*DESCRIPTORS, "EINTR"],
    "pidfd_open": [*DESCRIPTORS, "ENOSYS"],
    "pipe2": DESCRIPTORS,
    "pread64": ["EIO"],
    "preadv2": ["EIO", "ENOSYS", "EOPNOTSUPP"],
    "pthread_create": ["EAGAIN"],
    "recv": ["ECONNRESET", "ETIMEDOUT", "ENOBUFS"],
    "recvfrom": ["ECONNREFUSED", "ENOBUFS"],
    "send": ["EPIPE", "ECONNRESET", "ENOBUFS"],
    "sendfile64": ["EIO", "EINVAL", "ENOSYS", "EPIPE"],
    "sendmsg": ["EPIPE", "ECONNRESET", "ENOBUFS"],
    "sendto": ["ECONNREFUSED", "ENOBUFS"],
    "statx": ["EIO"],
    "timerfd_create": DESCRIPTORS,
    "timerfd_settime": ["ECANCELED"],
    "waitid": ["ECHILD"],
    "write": ["EPIPE", "EIO", "ENOSPC"],
    "writev": ["EPIPE", "EIO"],
}


class Case:
    """One part with one fault; `again` lets it happen at each call of that number."""

    def __init__(self, scene, call, what, moment, again=False):
        self.scene, self.call, self.what, self.moment, self.again = scene, call, what, moment, again
        self.harmless = what in HARMLESS.get(call, ())

    def __str__(self):
        which = f"every {self.moment}." if self.again else f"{self.moment}."
        return f"{self.scene.__name__}: {which} {self.call} {self.what}"

    def arm(self, shim):
        """Lets it happen from now on."""
        number = SHORT if self.what == "SHORT" else getattr(errno, self.what)
        shim.begin(self.call, self.moment, number, again=self.again)


class Limit:
    """One part with room for only so many more descriptors."""

    call, what, harmless = "open", "EMFILE", False

    def __init__(self, scene, room):
        self.scene, self.room = scene, room

    def __str__(self):
        return f"{self.scene.__name__}: {self.room} descriptors"

    def arm(self, shim):
        """Limits them from now on."""
        shim.begin()
        most = max(number for number, _ in _descriptors()) + 1 + self.room
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, DESCRIPTORS_MOST[1]))


class Runner:
    """Runs parts on one implementation."""

    def __init__(self, implementation):
        self.aio = importlib.import_module(implementation)
        self.shim = Shim("/_ferrio." if implementation == "ferrio" else None)
        self.problems = []
        self.hits = 0
        self.calm = {}
        self.descriptors = None

    def cases(self, scene, most, kinds):
        """Yields the cases of a part: each call, up to the number `most` of a kind, with each fault of these kinds."""
        harmless = HARMLESS if "harmless" in kinds else {}
        harmful = HARMFUL if "harmful" in kinds else {}
        for _ in range(2):  # the first run imports modules and starts threads
            self.shim.begin()
            self.calm[scene], _ = self.run(scene)
        for call, count in self.shim.counts().items():
            for what in [*harmless.get(call, ()), *harmful.get(call, ())]:
                for moment in range(1, min(count, most) + 1):
                    yield Case(scene, call, what, moment)
            for what in harmless.get(call, ()):
                yield Case(scene, call, what, 1 if what == "SHORT" else 2, again=True)
        for room in range(20) if harmful else ():
            yield Limit(scene, room)

    def run(self, scene):
        """Runs a part on a new loop; returns the result of it, and what is wrong then."""
        wrong, outcome, self.problems = [], None, []
        try:
            loop = self.aio.new_event_loop()
        except scenes.EXPECTED as error:
            self.heal()
            return error, wrong
        loop.set_exception_handler(lambda _, context: self.problems.append(context))
        try:
            outcome = loop.run_until_complete(self.aio.wait_for(scene(self.aio), PATIENCE))
        except TimeoutError as error:
            outcome = error
            if not error.errno:
                wrong.append("hangs")
        except scenes.EXPECTED as error:
            outcome = error
        except BaseException as error:
            wrong.append(f"raises {error!r}")
        self.heal()
        self.leave(loop, wrong)
        for context in self.problems:
            error = context.get("exception")
            if error is not None and not isinstance(error, scenes.EXPECTED):
                wrong.append(f"reports {context['message']}: {error!r}")
        return outcome, wrong

    def heal(self):
        """Lets nothing fail any more."""
        self.hits = self.shim.end()
        resource.setrlimit(resource.RLIMIT_NOFILE, DESCRIPTORS_MOST)

    def leave(self, loop, wrong):
        """Lets the loop go on, and closes it."""
        if asyncio._get_running_loop() is not None or loop.is_running():
            wrong.append("a loop is still running")
            asyncio._set_running_loop(None)
        try:
            loop.run_until_complete(self.probe())
            for _ in range(3):
                if tasks := self.aio.all_tasks(loop):
                    for task in tasks:
                        task.cancel()
                    loop.run_until_complete(self.aio.wait(tasks, timeout=2))
            if self.aio.all_tasks(loop):
                wrong.append("a task stays")
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        except BaseException as error:
            wrong.append(f"the loop can't go on: {error!r}")
        finally:
            loop.close()

    async def probe(self):
        """What a loop can do in any case."""
        called = self.aio.get_running_loop().create_future()
        self.aio.get_running_loop().call_soon_threadsafe(called.set_result, None)
        await self.aio.wait_for(called, 5)
        await self.aio.sleep(0.0001)

    def report(self, case):
        """Runs a case; returns what a line says about it."""
        case.arm(self.shim)
        outcome, wrong = self.run(case.scene)
        if isinstance(case, Limit) and any(_is_lack(context.get("exception")) for context in self.problems):
            wrong = [text for text in wrong if text != "hangs"]  # a server waits until there are descriptors again
        if case.harmless and outcome != self.calm[case.scene]:
            wrong.append(f"{outcome!r} instead of {self.calm[case.scene]!r}")
        if not (case.call == "waitid" or isinstance(outcome, BaseException)) and outcome != self.calm[case.scene]:
            wrong.append(f"returns {outcome!r}")
        # Whatever is here keeps the loop alive by a traceback.
        outcome, self.problems = None, []
        deadline = time.monotonic() + 5
        while (left := self.left(case)) and time.monotonic() < deadline:
            gc.collect()
            self.problems.clear()  # a task that was just collected may have reported its exception
            time.sleep(0.001)  # a thread may be closing and reaping what was given up
        if left:
            wrong.append(f"left: {left}")
            self.descriptors = _descriptors()
        return {"case": str(case), "hits": self.hits if isinstance(case, Case) else 1, "wrong": wrong}

    def left(self, case):
        """Returns descriptors and children that shouldn't be there any more."""
        left = sorted(_descriptors() - self.descriptors)
        try:
            # Only looks: ferrio may be about to wait for it.
            if child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                left.append(child.si_pid)
                if case.what == "ECHILD":  # that child is ours now: the call said that others have waited for it
                    os.waitpid(child.si_pid, 0)
            elif case.what != "ECHILD":
                left.append("a running child")
        except ChildProcessError:
            pass
        return left


def _is_lack(error):
    return isinstance(error, OSError) and error.errno == errno.EMFILE


def _descriptors():
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return found


if (
    __name__ == "__main__"
):  # a process of `calls.py`: the part, the case to begin with, the most calls of a kind, the kinds
    part, begin, most, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    runner = Runner("ferrio")
    errors = os.dup(2)
    faulthandler.enable(errors)
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
        for number, case in enumerate(runner.cases(getattr(scenes, part), most, wanted.split())):
            if number < begin:
                continue
            if runner.descriptors is None:
                gc.collect()
                runner.descriptors = _descriptors()
            faulthandler.dump_traceback_later(HANGS, exit=True, file=errors)
            print(json.dumps(runner.report(case)), flush=True)
