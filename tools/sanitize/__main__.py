"""Runs ferrio under checkers of memory and of Python's rules: PYTHON tools/sanitize [PART...]

    address      the Python tests with AddressSanitizer in the extension module
    engine       the engine's tests with AddressSanitizer
    rust-async   the tests of the C interface and of ferrio-async with AddressSanitizer, in all modules
    valgrind     everything.py, a short program of everything, under Valgrind
    assertions   the Python tests on a Python with assertions (--with-pydebug)

All but rust-async run if none is named. A part that this machine can't run is left out, with the reason. The last
lines say what each part ran, and how long it took. The tests that a part doesn't run are in `left_out.py`, with
reasons, and the leaks that the engine's tests mean are in `leaks.supp`. Nothing else is suppressed. `make sanitize`
calls it with `.venv-sanitize-3.X`, which has the packages of the tests.

The Python with assertions is 3.11. Newer ones assert in the code of functions that an object is exactly a function, and
ferrio's native functions are of a subtype; without assertions that code works for both.

ThreadSanitizer isn't here: the nightly standard library is linked as it comes, without checks, and so each use of its
locks and channels looks like a race. What threads share is modelled with loom instead (`make test-rust`).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import checked
import left_out

ROOT = checked.ROOT
TESTS = ["unit", "properties", "leaks", "examples", "fuzz", "load", "surface"]
RUST_ASYNC = ["tests/rust_async", "tests/unit/test_c_interface.py", "tests/unit/test_c_watches.py"]
#: Tests that wait take as long as ever, and those that compute take many times as long.
TIMEOUT = 300


class LeftOut(Exception):
    """A part can't run on this machine, and this is why."""


class Failed(Exception):
    """A part has found something."""


def run_tests(python, environment, tests, without, options):
    """Runs tests. Returns pytest's summary."""
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        str(options.processes),
        f"--timeout={TIMEOUT}",
    ]
    command += [f"--deselect={test}" for test in without]
    print(f">> pytest {' '.join(tests)}", flush=True)
    process = subprocess.Popen(
        [*command, *tests, *options.pytest], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip() or last
    summary = last.strip("= ")
    if process.wait() != 0:
        raise Failed(summary)
    left = re.search(r"(\d+) deselected", summary)
    if int(left[1] if left else 0) < len(without):
        raise Failed(f"{summary}, but {len(without)} tests are to be left out")
    return summary


def checked_tests(tests, without, options):
    """Runs tests with the module that was installed last, which has the checks."""
    environment = checked.environment()
    found = subprocess.check_output(
        [sys.executable, "-c", "import ferrio; print(ferrio.__file__)"], env=environment, text=True
    )
    if not Path(found.strip()).is_relative_to(sys.prefix):
        sys.exit(f"the tests would run with {found}")
    checked.forget_reports()
    checked.deepen_stacks()
    try:
        summary = run_tests(sys.executable, environment, tests, without, options)
    finally:
        reports = checked.reports()
        for report in reports:
            print(report[:20_000])
    if reports:
        raise Failed(f"{len(reports)} reports; {summary}")
    return summary


def need_nightly():
    """Leaves a part out if there is no nightly compiler."""
    if reason := checked.no_nightly():
        raise LeftOut(reason)


def address(options):
    """The Python tests with AddressSanitizer."""
    need_nightly()
    checked.install_ferrio(sys.executable, "dev", checked.settings())
    return checked_tests([f"tests/{name}" for name in TESTS], left_out.ADDRESS, options)


def rust_async(options):
    """The C interface and ferrio-async with AddressSanitizer."""
    need_nightly()
    os.environ["CARGO_TARGET_DIR"] = str(checked.TARGET)
    sys.path.insert(0, str(ROOT))
    from tests.rust_async import build as modules  # it looks at the variable

    checked.install_ferrio(sys.executable, "dev", checked.settings())
    for name, crate in modules.MODULES.items():
        if modules.too_new_for(name):
            continue
        if modules.toolchain(name):
            modules.build(name, crate)  # by its own compiler, without the checks
        else:
            checked.build_module(name, crate, modules.directory())
    return checked_tests(RUST_ASYNC, [], options)


def engine(_options):
    """The engine's own tests with AddressSanitizer."""
    need_nightly()
    command = [
        "cargo",
        "+nightly",
        "test",
        "--quiet",
        "--package",
        "ferrio-engine",
        "--tests",
        "--target",
        checked.host(),
    ]
    leaks = Path(__file__).with_name("leaks.supp")
    environment = {**checked.settings(), "ASAN_OPTIONS": "detect_leaks=1", "LSAN_OPTIONS": f"suppressions={leaks}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    results = re.findall(r"(\d+) passed; (\d+) failed", done.stdout)
    summary = f"{sum(int(passed) for passed, _ in results)} passed"
    if done.returncode != 0:
        print(done.stdout)
        raise Failed(f"{summary}, {sum(int(failed) for _, failed in results)} failed")
    return summary


def valgrind(_options):
    """A short program of everything under Valgrind."""
    if shutil.which("valgrind") is None:
        raise LeftOut("there is no valgrind")
    python = ROOT / f".venv-{checked.PYTHON}" / "bin/python"
    if not python.exists():
        raise LeftOut(f"there is no {python.parent.parent.name} (make build-for-tests)")
    program = Path(__file__).with_name("everything.py")
    report = checked.TARGET / "valgrind.txt"
    report.parent.mkdir(parents=True, exist_ok=True)
    command = ["valgrind", "--error-exitcode=9", "--num-callers=40", f"--log-file={report}", python, program]
    print(">> valgrind everything.py", flush=True)
    done = subprocess.run(
        command, env={**os.environ, "PYTHONMALLOC": "malloc"}, text=True, stdout=subprocess.PIPE, check=False
    )
    text = report.read_text()
    print(done.stdout, end="")
    if done.returncode != 0:
        print(text[-20_000:])
        raise Failed(f"everything.py ended with status {done.returncode}")
    return f"{done.stdout.strip()}: " + re.search(r"ERROR SUMMARY: (.*)", text)[1]


def assertions(options):
    """The Python tests on a Python with assertions."""
    got = subprocess.run([ROOT / "tools/get-python", options.debug], stdout=subprocess.PIPE, text=True, check=False)
    if got.returncode != 0:
        raise LeftOut(f"no Python {options.debug} with assertions could be had (tools/get-python)")
    develop = [got.stdout.strip(), ROOT / "tools/develop.py", "--environment", "sanitize", "--with", "test"]
    subprocess.run([*develop, "--without-module"], check=True)
    python = ROOT / f".venv-sanitize-{options.debug}" / "bin/python"
    environment = {**os.environ, "CARGO_TARGET_DIR": str(checked.TARGET / f"py{options.debug}"), "VIRTUAL_ENV": ""}
    checked.install_ferrio(python, "tests", environment)
    return run_tests(python, dict(os.environ), [f"tests/{name}" for name in TESTS], left_out.ASSERTIONS, options)


PARTS = {"address": address, "engine": engine, "rust-async": rust_async, "valgrind": valgrind, "assertions": assertions}
ALWAYS = [name for name in PARTS if name != "rust-async"]


def main():
    """Runs the parts and says how each ended."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("-n", "--processes", type=int, default=2, help="how many processes run tests")
    parser.add_argument("--debug", default="3.11d", help="the Python with assertions, as tools/get-python has it")
    parser.add_argument("--pytest", action="append", default=[], help="an argument for pytest; may be repeated")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    lines, failed = [], False
    for name in options.parts or ALWAYS:
        started = time.monotonic()
        try:
            outcome = PARTS[name](options)
        except LeftOut as reason:
            outcome = f"left out: {reason}"
        except (Failed, subprocess.CalledProcessError) as failure:
            outcome, failed = f"FAILED: {failure}", True
        lines.append(f"{name:12} {time.monotonic() - started:5.0f} s  {outcome}")
        print(f">> {lines[-1]}", flush=True)
    print(">> make sanitize", *lines, sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
