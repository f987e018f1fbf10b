"""Compares random programs on ferrio with the newest asyncio, until the time is up: `make fuzz SECONDS=60`.

    python3.15 -m tests.fuzz.compare --seconds 60     # each process runs every program on both
    python3.13 -m tests.fuzz.compare --seconds 60     # ferrio on 3.13 with asyncio on the newest Python found
    python3.13 -m tests.fuzz.compare --first 17 --count 1

A program whose logs differ is shortened while they differ, and written to target/fuzz/ as Python source, with the
differing lines. A process that crashes or hangs is a difference as well. Each worker has its own processes, and a
thread here that asks them.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import selectors
import subprocess
import sys
import threading
import time

from tests.fuzz import differences, programs

ROOT = pathlib.Path(__file__).parents[2]
HANGS = 30  # seconds that no programs of a request take
BATCH = 32  # programs in a request
AHEAD = 2  # requests that a process has at the same time


class Server:
    """A process of `serve.py`."""

    def __init__(self, python, *implementations):
        self.command = [python, "-m", "tests.fuzz.serve", *implementations]
        self.sent = collections.deque()
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "python"},
        )
        self.received = b""

    def send(self, request):
        self.sent.append(request)
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the end of the process is noticed when its answer is read

    def receive(self):
        """Returns the next answer, or a text about the end of the process; then a new one runs."""
        deadline = time.monotonic() + HANGS
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.received:
                if not selector.select(deadline - time.monotonic()):
                    return self.again("hangs")
                data = os.read(self.process.stdout.fileno(), 1 << 20)
                if not data:
                    return self.again(f"ends with status {self.process.wait()}")
                self.received += data
        line, _, self.received = self.received.partition(b"\n")
        self.sent.popleft()
        return json.loads(line)

    def again(self, why):
        """Starts a new process, which gets the requests that the old one hadn't come to."""
        self.stop()
        self.start()
        _, *unanswered = self.sent
        self.sent.clear()
        for request in unanswered:
            self.send(request)
        return why

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, *request):
        """Returns the answer to a request of a process that has no others."""
        self.send(request)
        return self.receive()


class Comparison:
    """ferrio on one Python with asyncio on another, or on the same."""

    def __init__(self, python, newest):
        if os.path.realpath(python) == os.path.realpath(newest):
            self.servers = [Server(newest, "asyncio", "ferrio")]
        else:
            self.servers = [Server(newest, "asyncio"), Server(python, "ferrio")]
        self.waiting = collections.deque()

    def stop(self):
        for server in self.servers:
            server.stop()

    def send(self, first, last):
        """Begins with the seeds of a range."""
        self.waiting.append((first, last))
        for server in self.servers:
            server.send(["seeds", first, last])

    def receive(self):
        """Returns how many programs and lines of the next range were compared, and the seeds that may differ."""
        first, last = self.waiting.popleft()
        seeds = range(first, last)
        answers = [server.receive() for server in self.servers]
        if any(isinstance(answer, str) for answer in answers):
            return len(seeds), 0, list(seeds)  # one of them ended the process or didn't end itself
        if len(answers) == 1:
            return len(seeds), *answers[0]
        differing = [seed for seed, *pair in zip(seeds, *answers, strict=True) if pair[0] != pair[1]]
        return len(seeds), sum(length for _, length in answers[0]), differing

    def difference(self, source):
        """Returns the first lines that differ; None if there are none; "chance" if asyncio's vary."""
        asyncio, ferrio = self.servers[0], self.servers[-1]
        expected = asyncio.ask("log", "asyncio", source, False)
        if expected is None or isinstance(expected, str):
            return None
        got = ferrio.ask("log", "ferrio", source, False)
        if isinstance(got, str):
            return [f"ferrio: {got}"]
        difference = differences.first(expected, got)
        if difference and asyncio.ask("log", "asyncio", source, True) != expected:
            return "chance"
        return difference

    def shortened(self, statements, seconds=60):
        """Returns the shortest program that was found in which the logs still differ."""
        deadline = time.monotonic() + seconds
        progress = True
        while progress and time.monotonic() < deadline:
            progress = False
            for candidate in programs.shorter(statements):
                try:
                    compile(programs.source(candidate), "program.py", "exec")
                except SyntaxError:
                    continue
                if isinstance(self.difference(programs.source(candidate)), list):
                    statements, progress = candidate, True
                    break
                if time.monotonic() > deadline:
                    break
        return statements


def save(where, seed, statements, difference):
    where.mkdir(parents=True, exist_ok=True)
    lines = [f"# {line}" for line in difference]
    path = where / f"{seed}.py"
    path.write_text("\n".join(lines) + "\n" + programs.source(statements))
    return path


def newest_python():
    """Returns the Python whose asyncio is the reference."""
    if sys.version_info >= (3, 15):
        return sys.executable
    found = subprocess.run(["sh", ROOT / "tools/find-python", "3.15"], capture_output=True, text=True)
    return found.stdout.strip() or sys.exit("ferrio is compared with asyncio of Python 3.15: tools/get-python 3.15")


class Run:
    """All workers of one call of this program, and what they have found."""

    def __init__(self, arguments):
        self.arguments = arguments
        first = time.time_ns() // 1_000_000 if sys.version_info >= (3, 15) else random.randrange(programs.PORTABLE // 2)
        self.first = self.next = arguments.first if arguments.first is not None else first
        self.start = time.monotonic()
        self.compared = self.lines = self.chance = 0
        self.found = []
        self.lock = threading.Lock()

    def take(self):
        """Returns the next range of seeds, or None at the end."""
        with self.lock:
            last = self.next + BATCH
            if self.arguments.count is not None:
                last = min(last, self.first + self.arguments.count)
            elif time.monotonic() - self.start > self.arguments.seconds:
                return None
            if last <= self.next or len(self.found) >= self.arguments.stop_after:
                return None
            taken, self.next = (self.next, last), last
            return taken

    def work(self):
        """Compares programs in processes of its own."""
        comparison = Comparison(sys.executable, self.arguments.newest or newest_python())
        suspects = []
        try:
            for _ in range(AHEAD):
                if taken := self.take():
                    comparison.send(*taken)
            while comparison.waiting:
                compared, lines, differing = comparison.receive()
                with self.lock:
                    self.compared += compared
                    self.lines += lines
                suspects += differing
                if not suspects and (taken := self.take()):
                    comparison.send(*taken)
                if comparison.waiting:
                    continue
                for seed in suspects:  # nothing else is asked at the same time
                    self.look(comparison, seed)
                suspects.clear()
                for _ in range(AHEAD):
                    if taken := self.take():
                        comparison.send(*taken)
        finally:
            comparison.stop()

    def look(self, comparison, seed):
        """Finds out what differs in the program of a seed."""
        statements = programs.program(seed)
        difference = comparison.difference(programs.source(statements))
        if difference == "chance":
            with self.lock:
                self.chance += 1
                self.compared -= 1
        if not isinstance(difference, list):
            return
        statements = comparison.shortened(statements, self.arguments.shrink)
        difference = comparison.difference(programs.source(statements)) or difference
        path = save(ROOT / "target/fuzz", seed, statements, difference)
        with self.lock:
            self.found.append(path)
        print(f"seed {seed} differs: {path}", flush=True)

    def progress(self):
        seconds = time.monotonic() - self.start
        return f"{self.compared} programs, {self.compared / seconds:.0f} a second, {len(self.found)} differ"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=None, help="the first seed (default: by the clock)")
    parser.add_argument("--count", type=int, default=None, help="how many programs, instead of seconds")
    parser.add_argument("--newest", default=None, help="the Python whose asyncio is the reference")
    parser.add_argument("--shrink", type=float, default=60, help="seconds to shorten a program")
    parser.add_argument("--stop-after", type=int, default=20, help="how many differences end the run")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="how many workers")
    parser.add_argument("--tell", type=float, default=5, help="seconds between lines about the progress")
    run = Run(parser.parse_args())
    workers = [threading.Thread(target=run.work) for _ in range(run.arguments.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive():
            worker.join(run.arguments.tell)
            print(run.progress(), flush=True)
    print(f"{run.compared} programs compared (seeds {run.first} to {run.next - 1}, {run.lines} lines)")
    print(f"{len(run.found)} differ, {run.chance} depend on chance where they differ")
    return 1 if run.found else 0


if __name__ == "__main__":
    sys.exit(main())
