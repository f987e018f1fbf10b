"""Runs one program of `programs.py` with an interrupt at a random bytecode, and says what is wrong after it.

An interrupt that reaches a runner while it closes its loop leaves tasks that are pending, in asyncio too. The same
holds for one that comes again out of a task that awaited the interrupted one. If it comes when the awaited task has
just ended, the next run stops at once, and so it does in asyncio.

Bytecodes of the program, of ferrio's package and of asyncio's are interrupted. Those of other modules, such as
`threading` and `subprocess`, aren't, because an interrupt there breaks asyncio as well.
"""

import asyncio
import contextlib
import faulthandler
import gc
import importlib
import io
import json
import os
import pathlib
import random
import signal
import sys
import warnings

from tests.faults import programs

HANGS = 20  # seconds that no program takes
#: What happens at the bytecode: the exception is raised there, or SIGINT comes (twice in the last case).
MODES = ["raise", "raise", "signal", "twice"]
#: How the program runs: by `run`, by a `Runner`, or on a loop by hand, which goes on after the interrupt.
FRAMES = ["run", "runner", "loop"]


class Stop:
    """A trace function that counts the bytecodes of some files, and interrupts at given ones."""

    def __init__(self, folders, mode="raise", moments=()):
        self.folders, self.mode, self.moments = folders, mode, list(moments)
        self.count = 0
        self.places = []
        self.at_the_end = False  # an interrupt came when a runner was closing its loop
        self.known = {}

    def __call__(self, frame, event, argument):
        code = frame.f_code
        wanted = self.known.get(code)
        if wanted is None:
            wanted = self.known[code] = code not in programs.HELD and code.co_filename.startswith(self.folders)
        if not wanted:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.count += 1
            if self.moments and self.count >= self.moments[0]:
                del self.moments[0]
                self.places.append(f"{pathlib.Path(code.co_filename).name}:{frame.f_lineno} {code.co_qualname}")
                self.at_the_end |= _is_at_the_end(frame)
                if self.mode == "raise":
                    raise KeyboardInterrupt
                signal.raise_signal(signal.SIGINT)
        return self


def _is_at_the_end(frame):
    while frame is not None:
        if frame.f_code.co_qualname == "Runner.close":
            return True
        frame = frame.f_back
    return False


def _is_late_stop(error):
    return isinstance(error, RuntimeError) and str(error) == "Event loop stopped before Future completed."


class Case:
    """The program of a seed on one implementation, with the interrupts that the seed says."""

    def __init__(self, implementation, seed):
        self.aio = importlib.import_module(implementation)
        self.seed, self.loops = seed, []
        package = pathlib.Path(self.aio.__file__).parent
        # asyncio's own bytecodes aren't interrupted when it is what is tested: it loses callbacks then.
        libraries = [] if self.aio is asyncio else [package, pathlib.Path(asyncio.__file__).parent]
        self.folders = (programs.__file__, *(f"{library}{os.sep}" for library in libraries))
        choice = random.Random(seed)
        self.kind, self.mode = choice.choice(programs.KINDS), choice.choice(MODES)
        self.frame, self.eager = choice.choice(FRAMES), choice.random() < 0.2
        self.parts = sorted(choice.random() for _ in range(2 if self.mode == "twice" else 1))

    def __str__(self):
        return f"{self.kind.__name__} {self.frame} {self.mode}{' eager' if self.eager else ''}"

    def complaints(self):
        """Returns what is wrong after the interrupt, and where that was."""
        calm = Stop(self.folders)
        self.once(calm)
        moments = [1 + int(part * calm.count) for part in self.parts]
        stop = Stop(self.folders, self.mode, moments)
        descriptors = len(os.listdir("/proc/self/fd"))
        handler = signal.getsignal(signal.SIGINT)
        program = self.once(stop)
        wrong = program.complaints
        if asyncio._get_running_loop() is not None:
            wrong.append("a loop is still running in the thread")
            asyncio._set_running_loop(None)
        for loop in self.loops:
            self.end(loop, wrong)
        program.abandoned = not all(task.done() for task in program.tasks)
        if program.abandoned and (self.frame == "loop" or (self.mode == "signal" and not stop.at_the_end)):
            wrong.append("a task isn't done")
        program.check()
        if signal.getsignal(signal.SIGINT) is not handler:
            wrong.append("another handler of SIGINT")
            signal.signal(signal.SIGINT, handler)
        try:
            if self.aio.run(self.probe()) != "fine":
                wrong.append("the next loop gives another result")
        except Exception as error:
            wrong.append(f"the next loop fails: {error!r}")
        self.loops.clear()
        del loop, program
        gc.collect()
        if len(os.listdir("/proc/self/fd")) > descriptors:
            wrong.append("a descriptor stays open")
        return wrong, stop.places

    async def probe(self):
        """A small program for the next loop."""
        queue = self.aio.Queue()
        task = self.aio.create_task(self.aio.wait_for(queue.get(), 10))
        await self.aio.sleep(0)
        await queue.put("fine")
        return await task

    def once(self, stop):
        """Runs the program under the trace function; returns it. What it raises is what its caller would see."""
        program = self.kind(self.aio, random.Random(self.seed))
        before = sys.gettrace()
        try:
            sys.settrace(stop)
            getattr(self, self.frame)(program)
        except KeyboardInterrupt:
            pass
        except self.aio.CancelledError:
            if not stop.places:
                raise
        except RuntimeError as error:
            if not stop.places or not _is_late_stop(error):
                raise
            stop.at_the_end = True
        except BaseExceptionGroup as group:
            if not stop.places or not group.subgroup(KeyboardInterrupt):
                raise
        finally:
            sys.settrace(before)
        return program

    async def started(self, program):
        """Notes the loop, so that it can be looked at later; then runs the program."""
        loop = self.aio.get_running_loop()
        if loop not in self.loops:
            self.loops.append(loop)
        if self.eager and sys.version_info >= (3, 12):
            loop.set_task_factory(self.aio.eager_task_factory)
        loop.set_exception_handler(lambda loop, context: None)
        await program.main()

    def run(self, program):
        """By `run`."""
        self.aio.run(self.started(program))

    def runner(self, program):
        """By a `Runner` that runs something before and after."""
        with self.aio.Runner() as runner:
            runner.run(self.probe())
            runner.run(self.started(program))
            runner.run(self.probe())

    def loop(self, program):
        """By hand: after an interrupt the loop goes on, then all tasks are cancelled."""
        loop = self.aio.new_event_loop()
        self.loops.append(loop)
        main = loop.create_task(self.started(program))
        try:
            loop.run_until_complete(main)
        finally:
            sys.settrace(None)
            running = asyncio._get_running_loop()
            if running is not None or loop.is_running():
                program.complaints.append("a loop is still running")
                asyncio._set_running_loop(None)
            self.through(loop, lambda: self.aio.wait([main], timeout=0.004))
            self.through(loop, lambda: self.aio.sleep(0.003))
            if isinstance(program, programs.Callbacks) and len(program.wanted) - len(program.came) > 1:
                program.complaints.append(f"wanted {program.wanted}, came {program.came}")

    def through(self, loop, make):
        """Runs what `make` returns, again if the interrupt comes out of another task that awaited the first one, or if
        the end of an earlier run stops this one."""
        for _ in range(20):
            try:
                return loop.run_until_complete(make())
            except (KeyboardInterrupt, BaseExceptionGroup):
                pass
            except RuntimeError as error:
                if not _is_late_stop(error):
                    raise
        raise RuntimeError("the interrupt comes again and again")

    def end(self, loop, wrong):
        """Ends a loop that an interrupt left open, as its program would."""
        if loop.is_closed():
            return
        with warnings.catch_warnings(action="ignore"):
            try:
                for _ in range(3):
                    if tasks := self.aio.all_tasks(loop):
                        for task in tasks:
                            task.cancel()
                        self.through(loop, lambda tasks=tasks: self.aio.wait(tasks, timeout=5))
                self.through(loop, loop.shutdown_asyncgens)
                self.through(loop, loop.shutdown_default_executor)
                loop.close()
            except Exception as error:
                wrong.append(f"the loop doesn't end: {error!r}")


def report(implementation, seed):
    """Runs a case; returns what a line about it says: what it was, where it was interrupted, and what is wrong."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
        case = Case(implementation, seed)
        wrong, places = case.complaints()
    return {"seed": seed, "case": str(case), "places": places, "wrong": wrong}


if __name__ == "__main__":  # a process of `interrupts.py`: implementation, first seed, seed after the last
    errors = os.dup(2)
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        faulthandler.dump_traceback_later(HANGS, exit=True, file=errors)
        print(json.dumps(report(sys.argv[1], number)), flush=True)
