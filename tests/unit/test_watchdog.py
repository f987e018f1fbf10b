"""`ferrio.sight.watch`: what blocks a loop is reported by name, while it blocks, whatever kind of blocking it is.

A blocking step waits for its report, so no test depends on the machine's speed.
"""

import asyncio
import ctypes
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from tests.unit.implementations import in_a_fork
from tests.unit.programs import run_program

import ferrio
from ferrio import sight

# Far more than any report takes; reached only by a failing test.
PATIENCE = 50
# Calls through it keep the interpreter's lock.
C = ctypes.PyDLL(None)


class Reports:
    """Collects reports, for blocking steps to wait for."""

    def __init__(self):
        self.all = []
        self._queue = queue.SimpleQueue()

    def __call__(self, block):
        self.all.append(block)
        self._queue.put(block)

    def next(self):
        """Waits for a report and returns it."""
        return self._queue.get(timeout=PATIENCE)

    def next_over(self):
        while not (block := self.next()).is_over:
            pass
        return block


@pytest.fixture
def reports():
    return Reports()


@pytest.fixture
def watched(reports):
    """Watches with a short threshold, and returns the reports."""
    with sight.watch(0.02, reports):
        yield reports


def functions(stack):
    return [frame.name for frame in stack]


def test_a_step_is_reported_while_it_blocks(watched):
    async def main():
        return watched.next()

    async def outer():
        return await ferrio.create_task(main(), name="the culprit")

    block = ferrio.run(outer())
    assert not block.is_over
    assert block.object.get_name() == "the culprit"
    assert "'the culprit'" in block.description and "main()" in block.description
    assert block.seconds >= 0.02
    assert functions(block.stack) == ["main", "next"]
    assert f"{block.description} has blocked the loop for {block.seconds:.3f} seconds so far." in str(block)
    assert "return watched.next()" in str(block)


def test_time_sleep_in_a_callback(watched):
    seen = []

    def parse(text):
        while not watched.all:
            time.sleep(0.01)
        seen.extend(watched.all)

    async def main():
        ferrio.get_running_loop().call_soon(parse, "hello")
        await ferrio.sleep(0.001)

    ferrio.run(main())
    assert seen[0].object is parse
    assert re.match(r"callback .*parse\(\) at .*test_watchdog.py:\d+$", seen[0].description)
    assert functions(seen[0].stack) == ["parse"]
    # On a busy machine it may have waited for the CPU after each sleep.
    assert "waits for the system, or for a lock" in str(seen[0]) or "busy with other work" in str(seen[0])


def test_a_loop_of_python_code_computes(watched):
    async def main():
        while not watched.all:
            pass

    ferrio.run(main())
    block = watched.next()
    # On a busy machine the thread may have got little of the CPU; then the report says that.
    assert "it computes" in str(block) or "busy with other work" in str(block)


def test_reports_double_and_the_last_one_says_that_it_is_over(watched):
    async def main():
        for _ in range(3):
            watched.next()

    ferrio.run(main())
    over = watched.next_over()
    times = [block.seconds for block in watched.all if not block.is_over]
    assert all(later >= 2 * 0.02 * 2**at for at, later in enumerate(times[1:]))
    assert over.seconds >= 0.02
    assert over.description == watched.all[0].description
    assert f"no longer blocks the loop. It took {over.seconds:.3f} seconds" in str(over)


def test_c_code_that_holds_the_interpreter(watched):
    async def main():
        C.usleep(1_000_000)
        return watched.next()

    block = ferrio.run(main())
    assert "C code holds its lock" in str(block)
    assert functions(block.stack)[0] == "main"
    assert block.seconds > 0.02


def test_c_code_that_is_the_whole_callback(watched):
    async def main():
        ferrio.get_running_loop().call_soon(C.usleep, 1_000_000)

    ferrio.run(main())
    block = watched.next()
    assert block.object is C.usleep or block.object == C.usleep
    assert watched.next_over().seconds >= 0.5


def test_a_regular_expression(watched):
    async def main():
        for length in range(18, 40):
            re.match(r"(a+)+$", "a" * length + "b")
            if any(is_in_re(block) for block in watched.all):
                return

    def is_in_re(block):
        return any(frame.filename == re.__file__ for frame in block.stack or ())

    ferrio.run(main())
    block = next(filter(is_in_re, watched.all))
    assert functions(block.stack)[0] == "main"
    assert "C code holds its lock" in str(block) or "so it computes" in str(block) or "busy with other" in str(block)


def test_a_protocol_that_blocks_is_named_with_its_transport(watched):
    class Slow(asyncio.Protocol):
        def data_received(self, data):
            heard.set_result(watched.next())

        def __repr__(self):
            return "<the slow protocol>"

    async def main():
        nonlocal heard
        loop = ferrio.get_running_loop()
        heard = loop.create_future()
        server = await loop.create_server(Slow, "127.0.0.1", 0)
        _, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        block = await heard
        writer.close()
        server.close()
        return block

    heard = None
    block = ferrio.run(main())
    assert "SocketTransport" in block.description and "<the slow protocol>" in block.description
    assert "data_received" in functions(block.stack)


def test_a_thread_that_keeps_the_interpreter_from_the_loop(watched):
    stop = threading.Event()

    def hog():
        while not stop.is_set():
            C.usleep(300_000)

    async def main():
        thread = threading.Thread(target=hog, name="the hog")
        thread.start()
        while not any("waited for the interpreter" in str(block) for block in watched.all):
            await ferrio.sleep(0.001)
        stop.set()
        await ferrio.to_thread(thread.join)

    ferrio.run(main())
    block = next(block for block in watched.all if "waited for the interpreter" in str(block))
    assert "'the hog'" in str(block) and "hog" in str(block)


def test_loops_in_several_threads_are_watched(watched):
    reported = threading.Barrier(2)

    def in_thread():
        async def main():
            loop = ferrio.get_running_loop()
            while not any(block.loop is loop for block in watched.all):
                time.sleep(0.01)
            reported.wait(PATIENCE)

        ferrio.run(main())

    threads = [threading.Thread(target=in_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({block.loop for block in watched.all}) == 2


def test_loops_may_be_made_while_a_report_looks_for_its_loop(watched):
    stop = threading.Event()

    def make_loops():
        while not stop.is_set():
            ferrio.EventLoop().close()

    async def main():
        for _ in range(5):
            watched.next()

    makers = [threading.Thread(target=make_loops) for _ in range(3)]
    for maker in makers:
        maker.start()
    try:
        ferrio.run(main())
    finally:
        stop.set()
        for maker in makers:
            maker.join()
    assert all(block.loop is not None for block in watched.all)


def test_a_loop_that_runs_already_is_watched_from_its_next_turn_on(reports):
    async def main():
        with sight.watch(0.02, reports):
            await ferrio.sleep(0)
            return reports.next()

    assert "main()" in ferrio.run(main()).description


def test_an_eager_task_is_the_one_that_is_named(watched):
    async def eager():
        return watched.next()

    async def main():
        ferrio.get_running_loop().set_task_factory(ferrio.eager_task_factory)
        return await ferrio.create_task(eager(), name="eager one")

    assert "'eager one'" in ferrio.run(main()).description


def test_debug_mode_says_where_the_task_was_made(watched):
    async def main():
        return watched.next()

    async def maker():
        return await ferrio.create_task(main())

    block = ferrio.run(maker(), debug=True)
    assert "It was created at (most recent call last):" in str(block)
    assert "in maker" in str(block)


def test_nested_loops_restore_what_is_shown(watched):
    async def inner():
        await ferrio.sleep(0.001)

    async def main():
        ferrio.run(inner())
        return watched.next()

    before = ferrio.allow_nested()
    try:
        block = ferrio.run(main())
    finally:
        if not before:
            ferrio.allow_nested(False)
    assert "main()" in block.description


def test_a_loop_that_waits_is_not_blocked(watched):
    async def main():
        await ferrio.sleep(0.2)

    ferrio.run(main())
    assert not [block for block in watched.all if block.object is None]


def test_reports_go_to_the_logger(caplog, watched):
    async def main():
        watched.next()

    with caplog.at_level(logging.WARNING, "asyncio"):
        ferrio.run(main())
        watched.next_over()
    said = [record.getMessage() for record in caplog.records]
    assert "has blocked the loop for" in said[0] and "no longer blocks the loop" in said[-1]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_stopping_ends_the_thread_and_may_happen_in_a_report():
    ended = threading.Event()

    def on_block(block):
        watch.stop()
        ended.set()

    async def main():
        ended.wait(PATIENCE)

    watch = sight.watch(0.02, on_block)
    ferrio.run(main())
    assert ended.is_set()
    watch.stop()
    for thread in threading.enumerate():
        if thread.name == "ferrio watch":
            thread.join(PATIENCE)
    assert "ferrio watch" not in {thread.name for thread in threading.enumerate()}


def test_watches_are_independent(reports):
    async def main(*all_reports):
        for each in all_reports:
            each.next()

    others = Reports()
    with sight.watch(0.02, reports):
        with sight.watch(0.05, others) as watch:
            assert watch.threshold == 0.05
            ferrio.run(main(reports, others))
        ferrio.run(main(reports))
    assert all(block.seconds >= 0.05 for block in others.all)


def test_a_callback_that_fails_is_reported_and_the_watching_goes_on(reports, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_value))

    def on_block(block):
        reports(block)
        raise LookupError("on purpose")

    async def main():
        reports.next()

    with sight.watch(0.02, on_block):
        ferrio.run(main())
        ferrio.run(main())
    assert {type(error) for error in unraisable} == {LookupError}


def test_a_report_that_never_ends_does_not_keep_the_program():
    program = """
        import threading
        import ferrio
        from ferrio import sight

        sight.watchdog._PATIENCE = 0.01
        reporting = threading.Event()

        def on_block(block):
            reporting.set()
            threading.Event().wait()

        async def main():
            reporting.wait()

        sight.watch(0.02, on_block)
        ferrio.run(main())
        print("done")
    """
    assert run_program(program).endswith("done\n")


@pytest.mark.parametrize("threshold", [0, -1, float("nan")])
def test_a_threshold_is_positive(threshold):
    with pytest.raises(ValueError, match="positive threshold"):
        sight.watch(threshold)
    assert not sight.watchdog._active


# The watching thread is a thread like any other.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_has_its_own_watcher(watched):
    def in_child():
        async def main():
            assert "main()" in watched.next().description

        ferrio.run(main())

    async def blocked():
        watched.next()

    ferrio.run(blocked())
    watched.next_over()
    in_a_fork(in_child)


PROGRAM = """
    import ctypes
    import {module}

    async def main():
        ctypes.PyDLL(None).usleep(1_000_000)

    {module}.run(main())
"""


def test_a_program_is_watched_by_option(tmp_path):
    program = PROGRAM.format(module="asyncio")
    said = run_program(program, file=tmp_path / "app.py", options=("-m", "ferrio", "--watch=0.05"))
    assert "main()" in said and "C code holds its lock" in said and "no longer blocks the loop" in said


def test_a_program_is_watched_by_environment():
    said = run_program(PROGRAM.format(module="ferrio"), env={**os.environ, "FERRIO_WATCH": "0.05"})
    assert "main()" in said and "no longer blocks the loop" in said
    said = run_program(PROGRAM.format(module="ferrio"), env={**os.environ, "FERRIO_WATCH": "0"})
    assert said == ""


def test_a_process_that_stood_still_is_not_blamed(tmp_path):
    program = """
        import asyncio, os, signal
        async def main():
            os.kill(os.getpid(), signal.SIGSTOP)
        asyncio.run(main())
        print("done")
    """
    file = tmp_path / "app.py"
    file.write_text(textwrap.dedent(program))
    child = subprocess.Popen(
        [sys.executable, "-m", "ferrio", "--watch=0.3", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with child:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        time.sleep(1)  # this is the time that must not count
        child.send_signal(signal.SIGCONT)
        said = child.communicate(timeout=PATIENCE)[0]
    assert said == "done\n"


@pytest.mark.parametrize("value", ["soon", "0.0", "-1", "nan"])
def test_a_threshold_that_makes_no_sense(value):
    done = subprocess.run(
        [sys.executable, "-m", "ferrio", f"--watch={value}", "-c", ""], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"ferrio: --watch={value}: a number of seconds is needed, such as 0.1")
    said = run_program("import ferrio", env={**os.environ, "FERRIO_WATCH": value}, options=("-W", "always"))
    assert f"FERRIO_WATCH={value}: a number of seconds is needed" in said
