"""Runs the test suites of aiohttp and uvicorn on asyncio, on ferrio's loop and under `install()`, and compares them
test by test.

    python tests/libraries/suites/run.py [--only NAME] [--way WAY] [--resume] [--write]

The tests come from the source distributions of the installed versions; the package under test is the installed one. A
test whose outcome on ferrio differs is rerun several times on both. Only what differs every time counts as a
difference; the rest depends on the machine's load or on earlier tests. A difference must have its reason in
`reasons.py`.
`--write` writes the counts and the reasons into docs/libraries.md. The status is 1 if there is a difference without a
reason, or a reason without a difference.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile

from reasons import REASONS

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
WORK = ROOT / "target" / "suites"
DOCUMENT = ROOT / "docs" / "libraries.md"
BEGIN, END = "<!-- suites: written by make test-libraries-suites -->\n", "<!-- end of the suites -->\n"
WAYS = ["asyncio", "loop", "install"]
# The pytest plugins that the suites use, and those that run them.
PLUGINS = ["pytest_timeout", "xdist", "pytest_mock", "codspeed"]
# How many times a differing test is rerun by itself.
AGAIN = 3
# Seconds for one way of one suite.
LIMIT = 5400

# Further pytest arguments for each suite, besides its own settings.
SUITES = {
    # Without coverage, which its settings ask for, and without its benchmarks. The marks are those that its settings
    # leave out.
    "aiohttp": [
        *("-o", "addopts=", "-m", "not dev_mode and not autobahn and not internal", "--timeout=120"),
        "--ignore-glob=tests/test_benchmarks*",
    ],
    "uvicorn": ["-o", "addopts=--strict-markers", "--timeout=60", "-p", "anyio"],
}


def fetch(name: str) -> pathlib.Path:
    """Returns the directory with the installed version's suite, without the package under test."""
    version = importlib.metadata.version(name)
    directory = WORK / f"{name}-{version}"
    if directory.exists():
        return directory
    WORK.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        name,
        "--dest",
        str(WORK),
    ]
    subprocess.run([*command, f"{name}=={version}"], check=True)
    (archive,) = WORK.glob(f"{name}-{version}.tar.gz")
    unpacked = WORK / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(archive) as files:
        files.extractall(unpacked, filter="data")
    # Otherwise it would be imported instead of the installed one, which has the extension modules.
    shutil.rmtree(unpacked / f"{name}-{version}" / name)
    (unpacked / f"{name}-{version}").rename(directory)
    return directory


def whole(name: str, way: str, resume: bool) -> dict[str, str]:
    """Returns the whole suite's outcomes by test id; with `resume`, those of the previous run, if there was one."""
    results = WORK / f"{name}-{importlib.metadata.version(name)}-{way}.json"
    if not (resume and results.exists()):
        run(name, way, [], results)
    return json.loads(results.read_text())


def again(name: str, oracle: dict[str, str]) -> dict[str, str]:
    """Returns the outcomes on asyncio after rerunning the failures: on a busy machine some tests fail on every loop."""
    failed = [test for test, outcome in oracle.items() if outcome == "failed"]
    if not failed:
        return oracle
    second = run(name, "asyncio", failed, WORK / f"{name}-asyncio-again.json")
    return {test: second.get(test, outcome) for test, outcome in oracle.items()}


def run(name: str, way: str, tests: list[str], results: pathlib.Path) -> dict[str, str]:
    """Returns the outcomes of the tests by id (of all, if none are given), and writes them to the file `results`.

    pytest's output goes into a file beside it.
    """
    directory = fetch(name)
    results.unlink(missing_ok=True)
    unwanted = ("proxy", "pythonasynciodebug", "pythondevmode", "pythonwarnings")
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith(unwanted)}
    environment |= {
        "FERRIO_SUITE_WAY": way,
        "FERRIO_SUITE_OUTCOMES": str(results),
        "PYTHONPATH": str(HERE),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "plugin", "-q", *SUITES[name]]
    for plugin in PLUGINS:
        command += ["-p", plugin]
    command += ["-n", "0" if tests else "2"]
    log = results.with_suffix(".log")
    with log.open("w") as output, tempfile.TemporaryDirectory(prefix="suite-", ignore_cleanup_errors=True) as temporary:
        # Suites that start pytest themselves find these settings, not those in a parent directory.
        pathlib.Path(temporary, "pytest.ini").write_text("[pytest]\n")
        environment["TMPDIR"] = temporary
        process = subprocess.Popen(
            [*command, *(tests or ["tests"])],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            sys.exit(f"{name}, {way}, did not end within {LIMIT} s:\n{log.read_text()[-3000:]}")
        finally:
            # Together with its workers and what the tests left behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not results.exists():
        sys.exit(f"pytest ended early on {name}, {way}:\n{log.read_text()[-3000:]}")
    return json.loads(results.read_text())


def differences(name: str, way: str, oracle: dict[str, str], found: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Returns the tests whose outcome differs on every run, with the outcome on asyncio and on ferrio.

    They are rerun on both, first together, then each in its own process, which no other test has disturbed.
    """
    same = renamed(oracle, found)
    suspects = sorted(
        test for test in oracle.keys() | found.keys() if oracle.get(test, "not run") != found.get(test, "not run")
    )
    known = {test: (oracle.get(test, "not run"), found.get(test, "not run")) for test in suspects if test not in same}
    for time in range(AGAIN):
        # A test that exists on one side only can't be run by its name.
        tests = [test for test in known if test in oracle and test in found]
        if not tests:
            break
        print(f"   {len(known)} differ; again: {', '.join(list(known)[:5])}", flush=True)
        for group in [tests] if time < AGAIN - 1 else [[test] for test in tests]:
            theirs, ours = (run(name, each, group, WORK / f"{name}-{way}-again.json") for each in ("asyncio", way))
            for test in group:
                known[test] = theirs.get(test, known[test][0]), ours.get(test, known[test][1])
        known = {test: pair for test, pair in known.items() if pair[0] != pair[1]}
    return known


def renamed(oracle: dict[str, str], found: dict[str, str]) -> set[str]:
    """Returns the tests that exist on one side only, but on the other under another name with the same outcome.

    A parameter that is a loop's class becomes part of a test's name: `test_get_loop_factory[asyncio-EventLoop]`.
    """
    same = set()
    for test in oracle.keys() ^ found.keys():
        function = test.partition("[")[0] + "["
        theirs, ours = (
            sorted(name for name in each.keys() - other.keys() if name.startswith(function))
            for each, other in ((oracle, found), (found, oracle))
        )
        if [oracle[name] for name in theirs] == [found[name] for name in ours]:
            same |= {*theirs, *ours}
    return same


def summary(outcomes: dict[str, str]) -> str:
    """Returns the outcomes the way the table counts them: "4312 pass, 40 are skipped"."""
    words = {"passed": "pass", "failed": "fail", "skipped": "are skipped", "xfailed": "fail as expected"}
    counts = {word: sum(1 for outcome in outcomes.values() if outcome == kind) for kind, word in words.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def compare(name: str, ways: list[str], resume: bool) -> tuple[list[str], bool]:
    """Runs one suite. Returns the lines for the document, and whether everything is as the reasons say."""
    version = importlib.metadata.version(name)
    oracle = again(name, whole(name, "asyncio", resume))
    print(f">> {name} {version} on asyncio: {summary(oracle)}", flush=True)
    cells, differing = [], {}
    for way in ways:
        found = whole(name, way, resume)
        print(f">> {name} {version}, {way}: {summary(found)}", flush=True)
        mine = differences(name, way, oracle, found)
        cells.append("the same" if not mine else f"{len(mine)} differ")
        for test, (theirs, ours) in mine.items():
            print(f"   {way}: {test}: {theirs} on asyncio, {ours} on ferrio", flush=True)
            differing.setdefault(test, {})[way] = (theirs, ours)
    expected = {test for suite, test in REASONS if suite == name}
    for test in differing.keys() - expected:
        print(f"!! {test} differs and has no reason in reasons.py")
    for test in expected - differing.keys():
        print(f"!! {test} has a reason but no longer differs: remove it from reasons.py")
    row = f"| {name} {version} | {platform.python_version()} | {summary(oracle)} | {' | '.join(cells)} |"
    notes = [f"- `{test}` of {name}: {REASONS[name, test]}" for test in sorted(differing.keys() & expected)]
    failed = [test for test, outcome in oracle.items() if outcome == "failed" and test not in differing]
    failing = sorted({test.partition("[")[0] for test in failed})
    if failing:
        notes.append(f"- fail on asyncio too, of {name}: {', '.join(f'`{test}`' for test in failing)}")
    return [row, *notes], differing.keys() == expected


def write(rows: list[str], notes: list[str]) -> None:
    """Writes the table and the reasons into the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    header = ["| suite | Python | on asyncio | on the loop | under `install()` |", "|---|---|---|---|---|"]
    text = "\n".join([*header, *rows]) + "\n" + ("\n" + "\n".join(notes) + "\n" if notes else "")
    DOCUMENT.write_text(before + BEGIN + text + END + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=sorted(SUITES), help="only this suite; the document is not written then")
    parser.add_argument("--way", choices=WAYS[1:], help="only this way and asyncio; the document is not written then")
    parser.add_argument("--resume", action="store_true", help="reuse the outcomes of suites that ran before")
    parser.add_argument("--write", action="store_true", help=f"write the counts into {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args()
    # Some tests send themselves Ctrl-C, which a shell makes its background processes ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rows, notes, right = [], [], True
    for name in [options.only] if options.only else SUITES:
        (row, *more), as_expected = compare(name, [options.way] if options.way else WAYS[1:], options.resume)
        rows.append(row)
        notes += more
        right = right and as_expected
    if options.write and not options.only and not options.way:
        write(rows, notes)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
