"""Compares random programs on ferrio with the newest asyncio, until the time is up: `make fuzz SECONDS=60`.

    python3.13 -m tests.fuzz.compare --seconds 60     # ferrio on 3.13 with asyncio on the newest Python found
    python3.13 -m tests.fuzz.compare --first 17 --count 1

A program whose logs differ is shortened while they differ, and written to target/fuzz/ as Python source, with the
differing lines. A process that crashes or hangs is a difference as well.
"""

import argparse
import json
import os
import pathlib
import selectors
import subprocess
import sys
import time

from tests.fuzz import differences, programs

ROOT = pathlib.Path(__file__).parents[2]
HANGS = 20  # seconds that no program takes
AHEAD = 64  # programs that a process is given before its answers are read


class Server:
    """A process of `serve.py`."""

    def __init__(self, python, implementation):
        self.command = [python, "-m", "tests.fuzz.serve", implementation]
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
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

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
        return json.loads(line)

    def answers(self, requests):
        """Returns the answers to requests that were sent."""
        answers = []
        for index in range(len(requests)):
            answers.append(self.receive())
            if isinstance(answers[-1], str):  # the rest was lost with the process
                for request in requests[index + 1 :]:
                    self.send(request)
        return answers

    def again(self, why):
        self.stop()
        self.start()
        return why

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, request):
        self.send(request)
        return self.receive()


class Comparison:
    """ferrio on one Python with asyncio on another."""

    def __init__(self, python, newest):
        self.asyncio, self.ferrio = Server(newest, "asyncio"), Server(python, "ferrio")

    def stop(self):
        self.asyncio.stop()
        self.ferrio.stop()

    def digests(self, seeds):
        """Returns each seed with both digests."""
        for seed in seeds:  # both processes work at the same time
            self.asyncio.send(seed)
            self.ferrio.send(seed)
        return list(zip(seeds, self.asyncio.answers(seeds), self.ferrio.answers(seeds), strict=True))

    def difference(self, source):
        """Returns the first lines that differ, or None."""
        expected = self.asyncio.ask(source)
        if expected is None or isinstance(expected, str):
            return None
        got = self.ferrio.ask(source)
        if isinstance(got, str):
            return [got]
        return differences.first(expected, got)

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
                if self.difference(programs.source(candidate)):
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=None, help="the first seed (default: by the clock)")
    parser.add_argument("--count", type=int, default=None, help="how many programs, instead of seconds")
    parser.add_argument("--newest", default=None, help="the Python whose asyncio is the reference")
    parser.add_argument("--shrink", type=float, default=60, help="seconds to shorten a program")
    parser.add_argument("--stop-after", type=int, default=20, help="how many differences end the run")
    arguments = parser.parse_args()
    first = arguments.first if arguments.first is not None else time.time_ns() // 1_000_000
    comparison = Comparison(sys.executable, arguments.newest or newest_python())
    start = told = time.monotonic()
    compared = lines = chance = 0
    found = []
    seed = first
    while len(found) < arguments.stop_after:
        if arguments.count is not None:
            if seed >= first + arguments.count:
                break
        elif time.monotonic() - start > arguments.seconds:
            break
        last = seed + AHEAD if arguments.count is None else min(seed + AHEAD, first + arguments.count)
        for number, expected, got in comparison.digests(range(seed, last)):
            if expected is None:
                chance += 1
                continue
            if isinstance(expected, str):
                sys.exit(f"seed {number}: asyncio {expected}")
            compared += 1
            lines += expected[1]
            if expected == got:
                continue
            statements = programs.program(number)
            if not isinstance(got, str) and not comparison.difference(programs.source(statements)):
                continue  # a listed difference
            statements = comparison.shortened(statements, arguments.shrink)
            difference = comparison.difference(programs.source(statements)) or [str(got)]
            path = save(ROOT / "target/fuzz", number, statements, difference)
            found.append(path)
            print(f"seed {number} differs: {path}", flush=True)
        seed = last
        if time.monotonic() - told > 5:
            told = time.monotonic()
            print(f"{compared} programs, {compared / (told - start):.0f} a second, {len(found)} differ", flush=True)
    comparison.stop()
    print(f"{compared} programs compared (seeds from {first} on, {lines} lines): {len(found)} differ")
    print(f"{chance} more depend on chance")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
