"""What `multiprocessing` starts from a program under `python -m ferrio` also runs on ferrio, with the same options."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, multiprocessing, sys, time

def where(number):
    loop = asyncio.new_event_loop()
    kind, debug = type(loop).__module__, loop.get_debug()
    began = loop.time()
    if kind.startswith("ferrio") and virtual:
        loop.run_until_complete(asyncio.sleep(3600))
    passed = loop.time() - began
    loop.close()
    return kind.partition(".")[0], asyncio.Task.__module__.partition(".")[0], debug, passed > 3599

def nested(number):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(where, [number])

def everywhere(method):
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        print(pool.apply(where, [1]))
    process = context.Process(target=print_nested)
    process.start()
    process.join()

def print_nested():
    print(nested(1), flush=True)

virtual = "--really-virtual" in sys.argv
if __name__ == "__main__":
    everywhere(sys.argv[1])
"""


@pytest.fixture
def run(tmp_path):
    """Returns a function that runs the program above and returns the lines that it printed."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)

    def run(*arguments):
        command = [sys.executable, *arguments]
        done = subprocess.run(
            [str(path) if part == "PROGRAM" else part for part in command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_loops_and_names_of_the_child_are_ferrios(run, method):
    assert run("-m", "ferrio", "PROGRAM", method) == [str(("ferrio", "ferrio", False, False))] * 2


def test_options_are_passed_on(run):
    lines = run("-m", "ferrio", "--debug", "--virtual-time", "PROGRAM", "spawn", "--really-virtual")
    assert lines == [str(("ferrio", "ferrio", True, True))] * 2


def test_other_programs_are_left_alone(run):
    kinds = {line.split(",")[0] for line in run("PROGRAM", "spawn")}
    assert kinds == {"('asyncio'"}


def test_multiprocessing_is_imported_only_by_programs_that_use_it():
    program = "import sys; print([name for name in sys.modules if name.startswith('multiprocessing')])"
    done = subprocess.run([sys.executable, "-m", "ferrio", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_program_may_import_multiprocessing_before_ferrio(run):
    # A sitecustomize does this: a module that is already there is changed, not waited for.
    program = (
        "import multiprocessing.spawn, runpy, sys; sys.argv = ['-m', *sys.argv[1:]]; "
        "runpy.run_module('ferrio', run_name='__main__', alter_sys=True)"
    )
    assert run("-c", program, "PROGRAM", "spawn") == [str(("ferrio", "ferrio", False, False))] * 2
