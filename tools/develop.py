"""Makes the virtual environment of one Python and builds ferrio into it, doing only what is out of date.

    PYTHON tools/develop.py [--for-tests] [--with test] [--with lint] [--environment bench --with bench]

Run by the Python to build for, from anywhere. Each version of Python has its own environment (`.venv-3.13`) and its own
cargo directory (`target/py3.13`): PyO3 is compiled for one version, and a shared directory would be rebuilt at each
change of PYTHON. The built module lies in `python/ferrio/`, its name ends in the version, so several stand side by side
and the Python sources are used in place.

What is out of date is told by stamps in the environment: one for each list of requirements (its hash), one for the
module (no source newer than the stamp). The module is what `pip install` would build, unless `--for-tests` says that it
may be one that compiles quickly and checks itself (the profile "tests" of Cargo.toml); a module that is up to date and
faster than needed is left. Nothing here knows how to test or what to run.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = {
    "build": ROOT / "tools" / "requirements-build.txt",
    "test": ROOT / "tests" / "requirements.txt",
    "bench": ROOT / "benches" / "requirements.txt",
    "libraries": ROOT / "tests" / "libraries" / "requirements.txt",
    "suites": ROOT / "tests" / "libraries" / "suites" / "requirements.txt",
    "lint": ROOT / "tools" / "requirements-lint.txt",
    "wheels": ROOT / "tools" / "requirements-wheels.txt",
    "docs": ROOT / "tools" / "requirements-docs.txt",
}
# What the module is made of. The Python files of the package are used in place and need no build.
SOURCES = ["crates", "Cargo.toml", "Cargo.lock", "pyproject.toml"]
SOURCE_ENDINGS = (".rs", ".toml", ".lock")


def version_tag():
    """The Python's version as the names of directories have it: "3.13", "3.14t" where there is no GIL."""
    return "%d.%d%s" % (*sys.version_info[:2], getattr(sys, "abiflags", ""))


def say(text):
    """Prints one line of progress at once, so that it comes before what the children print."""
    print(">> " + text, flush=True)


def run(command, **kwargs):
    """Runs a command with its output shown; ends the program with its status if it fails."""
    say(" ".join(str(part) for part in command))
    status = subprocess.call([str(part) for part in command], cwd=str(ROOT), **kwargs)
    if status != 0:
        sys.exit("%s ended with status %d" % (command[0], status))


def check_tools():
    """Ends the program with what to do, if this Python is too old or there is no cargo."""
    if sys.implementation.name != "cpython" or sys.version_info < (3, 11):
        sys.exit(
            "ferrio needs CPython 3.11 or newer; %s is %s %s. Say PYTHON=/path/to/a/newer/python3."
            % (sys.executable, sys.implementation.name, sys.version.split()[0])
        )
    if shutil.which("cargo") is None:
        sys.exit(
            "ferrio is built with cargo, and there is none on PATH. "
            "Install a Rust toolchain (https://rustup.rs, or the distribution's) of version 1.88 or newer."
        )


def ensure_environment(venv):
    """Makes the virtual environment, if its Python does not run. Returns the path of that Python."""
    python = venv / "bin" / "python"
    alive = python.exists() and subprocess.call([str(python), "-m", "pip", "--version"], stdout=subprocess.DEVNULL) == 0
    if alive:
        return python
    say("making the virtual environment %s with %s" % (venv.name, sys.executable))
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(venv)]) != 0:
        shutil.rmtree(str(venv), ignore_errors=True)
        sys.exit(
            "%s cannot make virtual environments. On Debian and Ubuntu the module is a package of its own: "
            "apt install python%d.%d-venv" % (sys.executable, *sys.version_info[:2])
        )
    return python


def ensure_requirements(venv, python, group):
    """Installs the list of one group, unless this very list was installed before."""
    listing = REQUIREMENTS[group]
    digest = hashlib.sha256(listing.read_bytes()).hexdigest()
    stamp = venv / (".requirements-" + group)
    if stamp.exists() and stamp.read_text() == digest:
        return
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", listing])
    stamp.write_text(digest)


def newest_source():
    """The time of the newest change among the sources, in seconds since the epoch."""
    newest = 0.0
    for name in SOURCES:
        path = ROOT / name
        files = path.rglob("*") if path.is_dir() else [path]
        for file in files:
            if file.name.endswith(SOURCE_ENDINGS) and file.is_file():
                newest = max(newest, file.stat().st_mtime)
    return newest


def ensure_module(venv, python, profile):
    """Builds ferrio into the environment, unless it is as new as its sources and built as the profile or better."""
    target = ROOT / "target" / ("py" + version_tag())
    stamp = venv / ".ferrio-built"
    # Environments of one Python share the module, so what it was built as does not belong to one of them.
    built_as = target / "module-profile"
    suffix = subprocess.check_output(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"], text=True
    ).strip()
    module = ROOT / "python" / "ferrio" / ("_ferrio" + suffix)
    current = module.exists() and stamp.exists() and stamp.stat().st_mtime >= newest_source()
    # Its time is noted too: a module that was built by hand since then is none of ours.
    fit = ["%s %d" % (name, module.stat().st_mtime_ns) for name in ("release", profile)] if current else []
    if built_as.exists() and built_as.read_text() in fit:
        say("ferrio in %s is up to date" % venv.name)
        return
    # Sources that change while the build runs must look newer than its stamp.
    started = time.time()
    environment = dict(os.environ)
    environment["VIRTUAL_ENV"] = str(venv)
    environment["CARGO_TARGET_DIR"] = str(target)
    environment.pop("CONDA_PREFIX", None)
    environment.pop("PYTHONHOME", None)
    say("building ferrio for Python %s (the first time takes a few minutes)" % version_tag())
    run([venv / "bin" / "maturin", "develop", "--profile", profile], env=environment)
    built_as.write_text("%s %d" % (profile, module.stat().st_mtime_ns))
    stamp.touch()
    os.utime(str(stamp), (started, started))
    say("built in %.0f s" % (time.time() - started))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--with",
        dest="groups",
        action="append",
        default=[],
        choices=[name for name in REQUIREMENTS if name != "build"],
        help="also install what this needs; may be given twice",
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        help="an environment of its own, .venv-NAME-3.13, for what must not meet the rest (peers, libraries)",
    )
    parser.add_argument(
        "--for-tests",
        dest="profile",
        action="store_const",
        const="tests",
        default="release",
        help="build quickly, with checks, what need not be fast",
    )
    parser.add_argument(
        "--without-module",
        action="store_true",
        help="only the environment: what runs in it finds the module that another call built, in python/ferrio",
    )
    options = parser.parse_args()
    check_tools()
    venv = ROOT / "-".join(filter(None, [".venv", options.environment, version_tag()]))
    python = ensure_environment(venv)
    for group in [*([] if options.without_module else ["build"]), *options.groups]:
        ensure_requirements(venv, python, group)
    if not options.without_module:
        ensure_module(venv, python, options.profile)


if __name__ == "__main__":
    main()
