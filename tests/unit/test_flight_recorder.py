"""`ferrio.sight.record`, `--record` and `FERRIO_RECORD`: the latest seconds, written when something goes wrong."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.unit import chrome_format
from tests.unit.programs import run_program

import ferrio
from ferrio import sight
from ferrio.sight import triggers

PATIENCE = 50


def tasks(path):
    with open(path) as file:
        events = chrome_format.check(file.read())
    return [event["name"] for event in events if event.get("cat") == "task"]


def wait_for_writers():
    for thread in threading.enumerate():
        if thread.name == "ferrio record":
            thread.join(PATIENCE)


@pytest.fixture
def pattern(tmp_path):
    return tmp_path / "{pid}-{time}.json"


def test_a_file_on_request(tmp_path, pattern):
    async def main():
        with sight.record(60, pattern) as recording:
            await ferrio.create_task(ferrio.sleep(0), name="noticed")
            first = recording.write()
            second = recording.write(tmp_path / "again.json")
        return recording, first, second

    recording, first, second = ferrio.run(main())
    assert recording.files == [first, second]
    assert re.fullmatch(rf"{os.getpid()}-\d{{8}}-\d{{6}}\.\d{{3}}\.json", os.path.basename(first))
    assert "noticed" in tasks(first) and "noticed" in tasks(second)


def test_only_the_latest_time_is_written(pattern):
    async def main():
        with sight.record(0.2, pattern) as recording:
            for n in range(2):
                await ferrio.create_task(ferrio.sleep(0), name=f"number {n}")
                time.sleep(0.3 * (1 - n))
            return recording.write()

    found = tasks(ferrio.run(main()))
    assert "number 1" in found and "number 0" not in found


def test_nothing_is_written_if_nothing_goes_wrong(tmp_path, pattern):
    with sight.record(60, pattern):
        ferrio.run(ferrio.sleep(0))
    assert list(tmp_path.iterdir()) == []


def test_an_exception_in_a_callback(pattern, caplog):
    async def main():
        ferrio.get_running_loop().call_soon(lambda: 1 / 0)
        await ferrio.create_task(ferrio.sleep(0), name="before")
        await ferrio.sleep(0)

    with sight.record(60, pattern) as recording:
        ferrio.run(main())
        wait_for_writers()
    [path] = recording.files
    assert "before" in tasks(path)
    assert f"What happened before ZeroDivisionError in a loop is in {path}." in caplog.text


def test_an_exception_that_nobody_takes_from_a_task(pattern):
    async def fail():
        raise LookupError

    async def main():
        ferrio.get_running_loop().set_exception_handler(lambda loop, context: None)
        task = ferrio.create_task(fail(), name="failing")
        await ferrio.wait([task])

    with sight.record(60, pattern) as recording:
        ferrio.run(main())
        wait_for_writers()
    assert "failing" in tasks(recording.files[0])


def test_what_has_a_reason_to_end_is_no_exception(tmp_path, pattern):
    async def main():
        task = ferrio.create_task(ferrio.sleep(1000))
        await ferrio.sleep(0)
        task.cancel()
        await ferrio.gather(task, return_exceptions=True)

    with sight.record(60, pattern):
        ferrio.run(main())
        wait_for_writers()
    assert list(tmp_path.iterdir()) == []


def test_after_a_file_there_is_a_pause_and_a_limit(pattern):
    class Clock:
        now = 0.0

    from ferrio.sight import triggers

    written = []
    made = triggers.Triggers(lambda: written.append(1) or "file", 10, 3)
    before, time.monotonic = time.monotonic, lambda: Clock.now
    try:
        for now, expected in ((0, 1), (1, 1), (9, 1), (10, 2), (19, 2), (25, 3), (100, 3)):
            Clock.now = now
            made.fire("a test", at_once=True)
            assert len(written) == expected
    finally:
        time.monotonic = before


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    place = tmp_path / "place"
    place.mkdir()
    with sight.record(60, place / "{time}.json") as recording:
        place.rmdir()
        recording._triggers.fire("a test", at_once=True)
    assert "What happened before a test can't be written: " in caplog.text and recording.files == []


def test_a_stall_is_written_while_it_lasts(pattern):
    with sight.watch(0.02), sight.record(60, pattern) as recording:

        async def main():
            ferrio.current_task().set_name("the culprit")
            until = time.monotonic() + PATIENCE
            while not recording.files and time.monotonic() < until:
                time.sleep(0.001)

        ferrio.run(main())
        wait_for_writers()
    with open(recording.files[0]) as file:
        events = chrome_format.check(file.read())
    longest = max((event for event in events if event.get("cat") == "step"), key=lambda event: event["dur"])
    life = next(event for event in events if event.get("cat") == "task" and event["name"] == "the culprit")
    assert longest["tid"] == life["tid"] and longest["dur"] >= 20_000


def test_record_starts_a_watchdog_if_there_is_none(pattern):
    from ferrio.sight import watchdog

    assert not watchdog.is_watching()
    with sight.record(60, pattern):
        assert [each.threshold for each in watchdog._active] == [1.0]
    assert not watchdog.is_watching()
    with sight.record(60, pattern, on_stall=False):
        assert not watchdog.is_watching()
    with sight.watch(5), sight.record(60, pattern):
        assert [each.threshold for each in watchdog._active] == [5]


def test_a_signal(pattern):
    async def main(recording):
        ferrio.current_task().set_name("signalled")
        os.kill(os.getpid(), signal.SIGUSR2)
        await ferrio.sleep(0)
        wait_for_writers()

    before = signal.getsignal(signal.SIGUSR2)
    with sight.record(60, pattern, signal="USR2") as recording:
        ferrio.run(main(recording))
    assert "signalled" in tasks(recording.files[0])
    assert signal.getsignal(signal.SIGUSR2) is before


@pytest.mark.parametrize("name", ["KILL", "nonsense"])
def test_a_signal_that_cannot_be_handled(tmp_path, pattern, name):
    with pytest.raises(ValueError, match="a signal that can be handled"):
        sight.record(60, pattern, signal=name)
    with sight.record(60, pattern):  # the refused one has left nothing
        pass
    assert list(tmp_path.iterdir()) == []


def test_hooks_are_restored(pattern):
    before = sys.excepthook, threading.excepthook
    with sight.record(60, pattern):
        assert sys.excepthook is not before[0]
    assert (sys.excepthook, threading.excepthook) == before


def test_the_end_of_a_program_by_an_exception(tmp_path):
    program = tmp_path / "app.py"
    program.write_text("import asyncio\n\nasync def main():\n    1 / 0\n\nasyncio.run(main())\n")
    command = [sys.executable, "-m", "ferrio", "--record=60", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr and "ZeroDivisionError at the end of the program is in " in done.stderr
    [path] = tmp_path.glob("ferrio-*.html")
    assert path.read_text(encoding="ascii").startswith("<!")


def test_the_environment(tmp_path):
    said = run_program(
        """
        import os, signal, threading
        import ferrio

        async def main():
            os.kill(os.getpid(), signal.SIGUSR2)
            await ferrio.sleep(0)

        ferrio.run(main())
        for thread in threading.enumerate():
            if thread.name == "ferrio record":
                thread.join()
        """,
        env=os.environ | {"FERRIO_RECORD": "5"},
        cwd=tmp_path,
    )
    assert "What happened before signal SIGUSR2 is in " in said
    assert len(list(tmp_path.glob("ferrio-*.html"))) == 1


def test_trace_and_record_are_not_both_on(tmp_path):
    command = [sys.executable, "-m", "ferrio", "--trace=out.html", "--record", "-c", "print(1)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and "--trace and --record" in done.stderr


def test_loops_that_are_gone_leave_no_tape_for_ever(pattern):
    with sight.record(0.05, pattern) as recording:
        for _ in range(3):
            ferrio.run(ferrio.sleep(0.06))
        lanes = recording._native.picture()["lanes"]
    assert len(lanes) <= 2


def test_a_cause_may_come_while_another_is_handled():
    # The collector may run there, and end a task whose exception nobody takes.
    written = []
    made = triggers.Triggers(lambda: written.append("file") or "file", 60, 10)

    def fire():
        with made._lock:
            made.fire("a cause", at_once=True)

    thread = threading.Thread(target=fire, daemon=True)
    thread.start()
    thread.join(10)
    assert written == ["file"]


# Python reports what the callback raises.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stall_is_written_even_if_the_watchdogs_callback_fails(pattern):
    def fail(block):
        raise ValueError("a mistake")

    async def main():
        with sight.record(60, pattern, on_exception=False) as recording, sight.watch(0.05, fail):
            time.sleep(0.3)
            await ferrio.sleep(0.1)
            wait_for_writers()
            return len(recording.files)

    assert ferrio.run(main()) == 1


def test_a_trace_in_the_environment_wins(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import asyncio, ferrio; ferrio.run(asyncio.sleep(0))"],
        env=os.environ | {"FERRIO_TRACE": "out.json", "FERRIO_RECORD": "5"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "FERRIO_RECORD=5: FERRIO_TRACE is set, too" in done.stderr
    assert (tmp_path / "out.json").exists()
