"""`--record=order.bin` and `ferrio.testing.replay_recording`: a run is repeated in its order, or says where it departs.

The programs here get their results from threads and sockets in an order that the recorded run forces. The replay has
all results at once, or in another order, and must still do the same.
"""

import asyncio
import os
import random
import socket
import subprocess
import sys
import threading

import pytest

import ferrio
from ferrio import testing
from ferrio.sight import order

NAMES = "abc"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "order.bin"


def record(main, path):
    with order.record_order(path):
        return ferrio.run(main())


class Program:
    """Has three results from outside, in any order; `log` is the order in which it learnt of them.

    `begin(name)` returns what one task awaits, `come(name)` makes its result come.
    """

    def __init__(self):
        self.log = []

    async def main(self, forced=None):
        self.log = []
        ready = {name: self.begin(name) for name in NAMES}
        tasks = [asyncio.create_task(self.wait(name, ready[name])) for name in NAMES]
        await asyncio.sleep(0)
        for name in forced or NAMES:
            self.come(name)
            while forced and name not in self.log:
                await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)
        self.end()
        return self.log

    async def wait(self, name, result):
        await result
        self.log.append(name)
        await asyncio.sleep(0)
        self.log.append(name.upper())

    def end(self):
        """Puts away what it has."""


class InThreads(Program):
    def begin(self, name):
        self.gates = getattr(self, "gates", {})
        self.gates[name] = threading.Event()
        return self.call(self.gates[name].wait)

    def call(self, function):
        return asyncio.to_thread(function)

    def come(self, name):
        self.gates[name].set()


class InExecutor(InThreads):
    def call(self, function):
        return asyncio.get_running_loop().run_in_executor(None, function)


class ByThreadsafeCalls(Program):
    def begin(self, name):
        self.futures = getattr(self, "futures", {})
        self.futures[name] = asyncio.get_running_loop().create_future()
        return self.futures[name]

    def come(self, name):
        future = self.futures[name]

        # Each has a name of its own, by which it is known.
        def done():
            future.set_result(None)

        done.__code__ = done.__code__.replace(co_name=name, co_qualname=name)
        loop = asyncio.get_running_loop()
        threading.Thread(target=loop.call_soon_threadsafe, args=(done,)).start()


class BySockets(Program):
    def begin(self, name):
        self.pairs = getattr(self, "pairs", {})
        self.pairs[name] = socket.socketpair()
        self.pairs[name][0].setblocking(False)
        return self.read(self.pairs[name][0])

    async def read(self, sock):
        assert await asyncio.get_running_loop().sock_recv(sock, 10) == b"x"

    def come(self, name):
        self.pairs[name][1].send(b"x")

    def end(self):
        for pair in self.pairs.values():
            for each in pair:
                each.close()


class ByStreams(BySockets):
    async def read(self, sock):
        reader, writer = await asyncio.open_connection(sock=sock)
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()

    def come(self, name):
        super().come(name)


class ByReaders(BySockets):
    async def read(self, sock):
        loop = asyncio.get_running_loop()
        there = loop.create_future()
        loop.add_reader(sock, lambda: there.done() or there.set_result(None))
        await there
        loop.remove_reader(sock)


PROGRAMS = [InThreads, InExecutor, ByThreadsafeCalls, BySockets, ByStreams]


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("forced", ["cab", "bca"])
def test_results_come_in_the_recorded_order(path, kind, forced):
    program = kind()
    record(lambda: program.main(forced), path)
    expected = program.log
    assert [name for name in expected if name.islower()] == list(forced)
    for _ in range(5):
        # `forced` isn't obeyed: all results come at once, in the order of the alphabet.
        replayed = testing.replay_recording(lambda: program.main(forced), path)
        assert program.log == expected
    assert replayed.steps > 10


def test_a_race_fails_in_the_same_way_each_time(path):
    balance = 0

    def read(gate):
        seen = balance
        gate.wait()
        return seen

    async def deposit(gate, amount):
        nonlocal balance
        seen = await asyncio.to_thread(read, gate)
        await asyncio.sleep(random.random() / 1000)
        balance = seen + amount

    async def main():
        nonlocal balance
        balance = 0
        gate = threading.Event()
        tasks = [asyncio.create_task(deposit(gate, 2**number)) for number in range(4)]
        asyncio.get_running_loop().call_later(0.001, gate.set)
        await asyncio.gather(*tasks)
        assert balance == 15, balance

    with pytest.raises(AssertionError) as first:
        record(main, path)
    for _ in range(100):
        with pytest.raises(AssertionError) as again:
            testing.replay_recording(main, path)
        assert str(again.value) == str(first.value)
        [note] = again.value.__notes__
        assert note.startswith(f"ferrio.testing: replayed {path}. It ran ")


def test_the_clock_shows_what_it_showed(path):
    times = []

    async def main():
        times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
        times.append(asyncio.get_running_loop().time())

    record(main, path)
    testing.replay_recording(main, path)
    recorded, replayed = times[:2], times[2:]
    assert all(abs(then - now) < 0.005 for then, now in zip(recorded, replayed, strict=True))


def test_random_delays_keep_their_order(path):
    log = []

    async def sleeper(number):
        for _ in range(5):
            await asyncio.sleep(random.random() / 500)
            log.append(number)

    async def main():
        log.clear()
        await asyncio.gather(*(sleeper(number) for number in range(5)))

    record(main, path)
    expected = list(log)
    for _ in range(5):
        assert testing.replay_recording(main, path).steps > 30
        assert log == expected


# ---- departing


async def one():
    await asyncio.sleep(0)


async def other():
    await asyncio.sleep(0)


def program_of(*kinds):
    async def main():
        await asyncio.gather(*(kind() for kind in kinds))

    return main


def test_another_coroutine_is_told(path):
    record(program_of(one, one, one), path)
    with pytest.raises(testing.Departed) as caught:
        testing.replay_recording(program_of(one, other, one), path)
    text = str(caught.value)
    assert "departs from the recording at step 3.\n" in text
    assert "The next step was: task number 3 (one); now it is at " in text
    assert "Ready instead:\n  task 'Task-" in text and "(other) at " in text
    assert "The last 2 steps before:\n  task 'Task-" in text


def test_a_named_task_that_is_missing_is_told(path):
    async def main(name="poller"):
        await asyncio.create_task(one(), name=name)
        if name:
            await asyncio.create_task(other(), name=name)

    record(main, path)
    with pytest.raises(testing.Departed, match=r"task 'poller' \(other\); now there is none"):
        testing.replay_recording(lambda: main(None), path, patience=0.1)


def test_a_departure_is_noted_on_a_failure(path):
    record(program_of(one, one), path)

    async def failing():
        await asyncio.gather(one(), other())
        raise KeyError("here")

    with pytest.raises(KeyError) as caught:
        testing.replay_recording(failing, path)
    [note] = caught.value.__notes__
    assert "departs from the recording at step 3" in note or "departs from the recording at step 1" in note


def test_a_result_that_doesnt_come_is_told_after_a_while(path):
    gate = threading.Event()
    gate.set()

    async def main():
        # In the end it comes, but the test isn't that patient.
        asyncio.get_running_loop().call_later(2, gate.set)
        await asyncio.to_thread(gate.wait)

    record(main, path)
    gate.clear()
    with pytest.raises(testing.Departed, match=r"goes on after|result of job 1"):
        testing.replay_recording(main, path, patience=0.05)


@pytest.mark.parametrize("count", [4, 14])
def test_a_shorter_or_longer_program_departs(path, count):
    async def main(count=9):
        for _ in range(count):
            await asyncio.sleep(0)

    record(main, path)
    with pytest.raises(testing.Departed) as caught:
        testing.replay_recording(lambda: main(count), path)
    assert f"at step {min(count, 9) + 2}.\n" in str(caught.value)


# ---- the file


def test_other_files_are_refused(tmp_path, path):
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"order\.bin: it isn't a recording"):
        testing.replay_recording(one, path)
    record(one, path)
    with pytest.raises(ValueError, match=r"no loop 7 in this recording: there are loops 1$"):
        testing.replay_recording(one, path, loop=7)
    with pytest.raises(FileNotFoundError):
        testing.replay_recording(one, tmp_path / "none.bin")
    with pytest.raises(ValueError, match=r"ends in \.bin"):
        order.record_order(tmp_path / "order.txt")


def test_each_loop_has_its_number(path):
    with order.record_order(path):
        ferrio.run(one())
        ferrio.run(program_of(one, one, one)())
    assert (
        testing.replay_recording(one, path).steps
        < testing.replay_recording(program_of(one, one, one), path, loop=2).steps
    )


def test_one_recording_at_a_time(path, tmp_path):
    with order.record_order(path), pytest.raises(RuntimeError, match="already"):
        order.record_order(tmp_path / "second.bin")


PROGRAM = """
import asyncio, os, signal, sys

async def main():
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))
    {end}

if __name__ == "__main__":
    asyncio.run(main())
"""


def replay_program(path, source):
    made = {"__name__": "program"}
    exec(source, made)
    return testing.replay_recording(made["main"], path)


def run_recorded(path, source, *, variable=False):
    """Runs a program, however it ends, and returns what it said."""
    if variable:
        options, env = [], os.environ | {"FERRIO_RECORD": str(path)}
        source = source.replace("import asyncio", "import ferrio as asyncio")
    else:
        options, env = ["-m", "ferrio", f"--record={path}"], None
    command = [sys.executable, *options, "-c", source]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, timeout=60, check=False
    )
    return done.stdout


@pytest.mark.parametrize("end", ["1 / 0", "await asyncio.sleep(0.1); os._exit(0)"])
def test_a_program_that_ends_in_any_way_leaves_its_order(path, end):
    source = PROGRAM.format(end=end)
    run_recorded(path, source)
    assert replay_program(path, PROGRAM.format(end="pass")).steps >= 7


def test_the_variable_is_the_same(path):
    run_recorded(path, PROGRAM.format(end="pass"), variable=True)
    made = {"__name__": "program"}
    exec(PROGRAM.format(end="pass").replace("import asyncio", "import ferrio as asyncio"), made)
    assert testing.replay_recording(made["main"], path).steps >= 7


def test_a_program_that_is_killed_leaves_what_ran_before_it_slept(path):
    run_recorded(path, PROGRAM.format(end="await asyncio.sleep(0.1); os.kill(os.getpid(), signal.SIGKILL)"))
    assert replay_program(path, PROGRAM.format(end="pass")).steps >= 7


def test_children_write_beside_it(path):
    fork = "\npid = os.fork()\nif pid: os.wait()\n"
    source = PROGRAM.format(end="pass").replace("if __name__", f"{fork}if __name__")
    run_recorded(path, source)
    names = sorted(each.name for each in path.parent.iterdir())
    assert len(names) == 2 and names[1] == "order.bin" and names[0].startswith("order-")
    for name in names:
        assert replay_program(path.parent / name, PROGRAM.format(end="pass")).steps >= 7


def test_a_file_that_cant_be_written_is_told(tmp_path):
    (tmp_path / "full.bin").symlink_to("/dev/full")
    said = run_recorded(tmp_path / "full.bin", PROGRAM.format(end="print('it runs')"))
    assert "full.bin: [Errno 28] No space left on device" in said and "Traceback" not in said
    said = run_recorded(tmp_path / "none" / "order.bin", PROGRAM.format(end="print('it runs')"), variable=True)
    assert "FERRIO_RECORD=" in said and "it runs" in said


@pytest.mark.parametrize("value", ["1O", "order.txt"])
def test_neither_seconds_nor_a_file(value):
    command = [sys.executable, "-m", "ferrio", f"--record={value}", "-c", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "a number of seconds is needed, such as 10, or a file that ends in .bin" in done.stderr
