"""`python -m ferrio` runs a program on ferrio as `python` would, and says clearly what it can't run.

Most tests run one program both ways and compare everything: output, error output and exit status.
"""

import os
import signal
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest


class Ran:
    """How a process ended: exit status, output, error output."""

    def __init__(self, *arguments, stdin=None, cwd=None, environment=None):
        env = {**os.environ, "PYTHON_COLORS": "0", "NO_COLOR": "1", **(environment or {})}
        done = subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=cwd,
            env=env,
        )
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __eq__(self, other):
        return (self.status, self.out, self.err) == (other.status, other.out, other.err)

    def __repr__(self):
        return f"status {self.status}\n--- out\n{self.out}--- err\n{self.err}"


def on_ferrio(*arguments, **options):
    return Ran("-m", "ferrio", *arguments, **options)


@pytest.fixture
def program(tmp_path):
    """Writes a program to a file and returns its path."""

    def write(source, name="program.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return str(path)

    return write


SHOW_MAIN = """
    import sys, os, __main__
    print(__name__, sys.argv, sys.modules["__main__"] is __main__, vars(__main__) is globals())
    print(sys.path[0], globals().get("__file__"), __spec__ and __spec__.name, __package__, __doc__)
    print(sorted(name for name in globals() if name.startswith("__")))
"""


def test_file_is_run_as_python_runs_it(program):
    path = program(SHOW_MAIN)
    assert on_ferrio(path, "-x", "two words") == Ran(path, "-x", "two words")


def test_file_by_relative_path_and_link(program, tmp_path):
    os.symlink(program(SHOW_MAIN, "deep/program.py"), tmp_path / "link.py")
    for path in ("deep/program.py", "link.py"):
        assert on_ferrio(path, cwd=tmp_path) == Ran(path, cwd=tmp_path)


def test_directory_and_zip_file(program, tmp_path):
    path = program(SHOW_MAIN, "app/__main__.py")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.write(path, "__main__.py")
    for target in (os.path.dirname(path), str(tmp_path / "app.zip")):
        assert on_ferrio(target, "arg") == Ran(target, "arg")


def test_module_is_run_as_python_runs_it(program, tmp_path):
    program(SHOW_MAIN, "package/inside.py")
    program(SHOW_MAIN, "package/__main__.py")
    for module in ("package.inside", "package"):
        assert on_ferrio("-m", module, "-m", cwd=tmp_path) == Ran("-m", module, "-m", cwd=tmp_path)


def test_code_is_run_as_python_runs_it(tmp_path):
    code = textwrap.dedent(SHOW_MAIN)
    assert on_ferrio("-c", code, "-c", cwd=tmp_path) == Ran("-c", code, "-c", cwd=tmp_path)
    assert on_ferrio("-cprint(1)").out == "1\n"


def test_program_from_standard_input(tmp_path):
    code = textwrap.dedent(SHOW_MAIN)
    assert on_ferrio("-", "arg", stdin=code, cwd=tmp_path) == Ran("-", "arg", stdin=code, cwd=tmp_path)


def test_null_bytes_are_reported_with_the_file(program):
    path = program("first = 1\nsecond = '\0'\n")
    ran = on_ferrio(path)
    assert ran.status == 1
    assert f'File "{path}", line 2' in ran.err
    assert "source code cannot contain null bytes" in ran.err
    assert "program.py" not in ran.err.replace(path, "")


def test_end_of_options_without_a_program_is_the_prompt():
    assert on_ferrio("--", stdin="print(await __import__('asyncio').sleep(0, 'spam'))").out.splitlines()[-1] == "spam"


def test_safe_path_is_left_alone(program, tmp_path):
    path = program("import sys; print(sys.path[0])")
    assert Ran("-P", "-m", "ferrio", path).out == Ran("-P", path).out


@pytest.mark.parametrize(
    "ending",
    [
        "raise SystemExit",
        "raise SystemExit(3)",
        "raise SystemExit('a message')",
        "import sys; sys.exit(4)",
        "1 / 0",
        "raise ValueError('no') from KeyError('cause')",
        "def inner():\n    raise LookupError\ninner()",
        "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
        "not a program",
        "raise KeyboardInterrupt",
        "import sys; sys.excepthook = lambda *a: print('hook', a[0].__name__, a[2].tb_lineno)\n1 / 0",
        "import atexit; atexit.register(print, 'at exit')\n1 / 0",
        "import threading; threading.Thread(target=lambda: print('thread')).start()",
        "import os; os._exit(7)",
    ],
)
def test_program_ends_as_in_python(program, ending):
    path = program(ending)
    assert on_ferrio(path) == Ran(path)
    assert on_ferrio("-c", ending) == Ran("-c", ending)


def test_traceback_of_a_module_begins_in_the_module(program, tmp_path):
    path = program("1 / 0", "broken.py")
    ran = on_ferrio("-m", "broken", cwd=tmp_path)
    assert ran.status == 1
    assert ran.err.splitlines()[:2] == ["Traceback (most recent call last):", f'  File "{path}", line 1, in <module>']


def test_asyncio_is_ferrio_in_the_whole_program(program, tmp_path):
    program("import asyncio\nTask = asyncio.Task\nfrom asyncio.queues import Queue", "library.py")
    path = program(
        """
        import asyncio, ferrio, library

        async def main():
            task = asyncio.current_task()
            print(type(task) is ferrio.Task is library.Task, library.Queue is ferrio.Queue)
            print(isinstance(asyncio.get_running_loop(), ferrio.EventLoop))

        asyncio.run(main())
        with asyncio.Runner() as runner:
            runner.run(main())
        asyncio.new_event_loop().run_until_complete(main())
        """
    )
    assert on_ferrio(path).out == "True True\nTrue\n" * 3


TOP_LEVEL_AWAIT = """
    import asyncio

    async def numbers():
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    first = asyncio.get_running_loop()
    async for number in numbers():
        print(number)
    async with asyncio.timeout(5):
        print([number async for number in numbers()])
    print(await asyncio.sleep(0, "slept"), asyncio.get_running_loop() is first, __name__)
"""


def test_top_level_await(program, tmp_path):
    path = program(TOP_LEVEL_AWAIT)
    expected = "0\n1\n2\n[0, 1, 2]\nslept True __main__\n"
    assert on_ferrio(path).out == expected
    assert on_ferrio("-m", "program", cwd=tmp_path).out == expected
    assert on_ferrio("-c", textwrap.dedent(TOP_LEVEL_AWAIT)).out == expected
    assert on_ferrio("-", stdin=textwrap.dedent(TOP_LEVEL_AWAIT)).out == expected


def test_top_level_await_that_fails(program):
    path = program("import asyncio\nawait asyncio.sleep(0)\n1 / 0\n")
    ran = on_ferrio(path)
    assert ran.status == 1
    first, where, *_, last = ran.err.splitlines()
    assert (first, where) == ("Traceback (most recent call last):", f'  File "{path}", line 3, in <module>')
    assert last == "ZeroDivisionError: division by zero"
    assert on_ferrio("-c", "import asyncio; await asyncio.sleep(0); raise SystemExit(5)").status == 5


@pytest.mark.parametrize(
    "source",
    [
        "import time; print('on', flush=True); time.sleep(60)",
        """
        import asyncio
        async def main():
            print('on', flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
        """,
        "import asyncio; print('on', flush=True); await asyncio.sleep(60)",
    ],
)
def test_interrupt_ends_the_program_as_in_python(source):
    process = subprocess.Popen(
        [sys.executable, "-m", "ferrio", "-c", textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        # The signal came between Python's signal check and the system call that waits; plain Python loses it there too.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    # Killed by its own SIGINT, which a shell reports as 130.
    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert '  File "<string>", line ' in err
    assert "cli" not in err
    assert err.endswith("\nKeyboardInterrupt\n")


@pytest.mark.parametrize("failure", ["KeyboardInterrupt", "ValueError", "SystemExit"])
def test_what_a_failed_program_leaves_ends_when_it_does_in_python(failure):
    """Its frames live as long as in Python: the objects in them still have all modules, and `sys.excepthook`."""
    source = f"""
        import asyncio, sys

        class Left:
            def __del__(self):
                print("left", asyncio is not None, sys.excepthook is sys.__excepthook__, file=sys.stderr)

        def fail(left, never_awaited):
            raise {failure}

        fail(Left(), asyncio.sleep(60))
    """
    source = textwrap.dedent(source)
    assert on_ferrio("-c", source) == Ran("-c", source)


def test_unrunnable_programs_are_reported(tmp_path):
    for arguments in (["nothing.py"], ["-m", "nothing_here"], [str(tmp_path)]):
        ran, python = on_ferrio(*arguments, cwd=tmp_path), Ran(*arguments, cwd=tmp_path)
        assert ran == python
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    for module in ("package", "package.missing", ".relative"):
        assert on_ferrio("-m", module, cwd=tmp_path) == Ran("-m", module, cwd=tmp_path)


def test_module_given_as_a_file_name(program, tmp_path):
    program("", "module.py")
    ran = on_ferrio("-m", "module.py", cwd=tmp_path)
    assert ran.status == 1
    assert "try 'module'" in ran.err


def test_unknown_option():
    for option in ("--nonsense", "-x"):
        ran = on_ferrio(option, "program.py")
        assert (ran.status, ran.out) == (2, "")
        assert ran.err == f"ferrio: unknown option {option}\nTry `python -m ferrio --help`.\n"


def test_option_without_its_argument():
    assert (on_ferrio("-m").status, on_ferrio("-c").status) == (2, 2)
    assert on_ferrio("-m").err.startswith("ferrio: -m needs a module after it\n")


def test_help_and_version():
    ran = on_ferrio("--help")
    assert (ran.status, ran.err) == (0, "")
    for option in ("-m MODULE", "-c CODE", "--debug", "--observe", "--virtual-time", "--version"):
        assert option in ran.out
    ran = on_ferrio("--version")
    assert ran.status == 0
    assert ran.out.startswith("ferrio ")
    assert f"CPython {sys.version.split()[0]}" in ran.out


def test_options_after_the_program_belong_to_it(program):
    path = program("import sys; print(sys.argv[1:])")
    assert on_ferrio(path, "--help", "--debug").out == "['--help', '--debug']\n"


def test_debug_option():
    code = "import asyncio; print(asyncio.get_running_loop().get_debug(), await asyncio.sleep(0))"
    assert on_ferrio("--debug", "-c", code).out == "True None\n"
    assert on_ferrio("-c", code).out == "False None\n"
    code = "import asyncio\nasync def main(): print(asyncio.get_running_loop().get_debug())\nasyncio.run(main())"
    assert on_ferrio("--debug", "-c", code).out == "True\n"
    assert Ran("-E", "-m", "ferrio", "--debug", "-c", code).out == "True\n"


def test_virtual_time(program):
    # An hour: if the clock weren't virtual, the test would run into the limit of `Ran`.
    path = program(
        """
        import asyncio

        async def main():
            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.sleep(3600)
            print(round(loop.time() - began, 6))

        asyncio.run(main())
        """
    )
    assert on_ferrio("--virtual-time", path).out == "3600.0\n"


def test_child_processes_can_import_the_program(program):
    path = program(
        """
        import multiprocessing, os

        def double(number):
            return number * 2, os.getppid()

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.apply(double, [21]) == (42, os.getpid()))
        """
    )
    assert on_ferrio(path).out == "True\n"


@pytest.fixture
def command(tmp_path):
    """Returns the path of the command `ferrio` as pip would write it."""
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    module, function = tomllib.loads(pyproject.read_text())["project"]["scripts"]["ferrio"].split(":")
    directory = tmp_path / "bin"
    directory.mkdir()
    path = directory / "ferrio"
    path.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return str(path)


def test_command_does_what_the_module_does(command, program, tmp_path):
    path = program(SHOW_MAIN, "here/program.py")
    package = str(tmp_path / "here")
    for arguments in ([path, "a", "--b"], ["-m", "program", "c"], ["-c", "import sys; print(sys.path[0], sys.argv)"]):
        assert Ran(command, *arguments, cwd=package) == on_ferrio(*arguments, cwd=package)
    for arguments in (["--help"], ["--version"], ["--wrong"], ["nowhere.py"], ["-m", "nowhere"]):
        assert Ran(command, *arguments) == on_ferrio(*arguments)
    assert Ran(command, stdin="await asyncio.sleep(0, 42)\n") == on_ferrio(stdin="await asyncio.sleep(0, 42)\n")


def test_command_appears_in_no_traceback(command, program):
    for source in ("raise LookupError('spam')", "def wrong(:", "await nothing()"):
        path = program(source)
        ran = Ran(command, path)
        assert ran == on_ferrio(path)
        assert ran.status == 1
        assert command not in ran.err
