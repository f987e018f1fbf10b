"""Makes a Python's virtual environment and builds ferrio into it, doing only what is out of date.

    PYTHON tools/develop.py [--for-tests] [--with test] [--with lint] [--environment bench --with bench]

The Python to build for runs it, from any directory. Each Python version has its own environment (`.venv-3.13`) and
cargo directory (`target/py3.13`): PyO3 is compiled for one version, and a shared directory would be rebuilt at every
change of PYTHON. The built module goes to `python/ferrio/`. Its name ends in the version, so several versions coexist.
The Python sources are used in place.

Stamps in the environment tell what is out of date: one per list of requirements (its hash), and one for the module (no
source is newer than the stamp). The module is what `pip install` would build. With `--for-tests` it may instead be one
that compiles quickly and checks itself (the profile "tests" of Cargo.toml). A module that is up to date and faster than
needed is left alone. Nothing here knows how to test or what to run.
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
    "bench-programs": ROOT / "benches" / "programs" / "requirements.txt",
    "libraries": ROOT / "tests" / "libraries" / "requirements.txt",
    "suites": ROOT / "tests" / "libraries" / "suites" / "requirements.txt",
    "browser": ROOT / "tests" / "browser" / "requirements.txt",
    "testing": ROOT / "tests" / "testing" / "requirements.txt",
    "rust-async": ROOT / "tests" / "rust_async" / "requirements.txt",
    "lint": ROOT / "tools" / "requirements-lint.txt",
    "wheels": ROOT / "tools" / "requirements-wheels.txt",
    "docs": ROOT / "tools" / "requirements-docs.txt",
}
# The files that the module is built from. The package's Python files are used in place and need no build.
SOURCES = ["crates/ferrio-engine", "crates/ferrio-python", "Cargo.toml", "Cargo.lock", "pyproject.toml"]
SOURCE_ENDINGS = (".rs", ".toml", ".lock")


def version_tag():
    """Returns the Python's version as directory names have it: "3.13", or "3.14t" without a GIL."""
    return "%d.%d%s" % (*sys.version_info[:2], getattr(sys, "abiflags", ""))


def say(text):
    """Prints one line of progress at once, so that it comes before the children's output."""
    print(">> " + text, flush=True)


def run(command, **kwargs):
    """Runs a command with its output shown; if it fails, ends the program with its status."""
    say(" ".join(str(part) for part in command))
    status = subprocess.call([str(part) for part in command], cwd=str(ROOT), **kwargs)
    if status != 0:
        sys.exit("%s ended with status %d" % (command[0], status))


def check_tools():
    """Ends the program with advice if this Python is too old or there is no cargo."""
    if sys.implementation.name != "cpython" or sys.version_info < (3, 11):
        sys.exit(
            "ferrio needs CPython 3.11 or newer; %s is %s %s. Use PYTHON=/path/to/a/newer/python3."
            % (sys.executable, sys.implementation.name, sys.version.split()[0])
        )
    if shutil.which("cargo") is None:
        sys.exit(
            "ferrio is built with cargo, but there is none on PATH. "
            "Install a Rust toolchain (https://rustup.rs, or the distribution's) of version 1.88 or newer."
        )


def ensure_environment(venv):
    """Makes the virtual environment unless its Python already runs. Returns the path of that Python."""
    python = venv / "bin" / "python"
    alive = python.exists() and subprocess.call([str(python), "-m", "pip", "--version"], stdout=subprocess.DEVNULL) == 0
    if alive:
        return python
    say("making the virtual environment %s with %s" % (venv.name, sys.executable))
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(venv)]) != 0:
        shutil.rmtree(str(venv), ignore_errors=True)
        sys.exit(
            "%s can't make virtual environments. On Debian and Ubuntu this takes a separate package: "
            "apt install python%d.%d-venv" % (sys.executable, *sys.version_info[:2])
        )
    return python


def ensure_requirements(venv, python, group):
    """Installs one group's list, unless this exact list was installed before."""
    listing = REQUIREMENTS[group]
    digest = hashlib.sha256(listing.read_bytes()).hexdigest()
    stamp = venv / (".requirements-" + group)
    if stamp.exists() and stamp.read_text() == digest:
        return
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", listing])
    stamp.write_text(digest)


def newest_source():
    """Returns the time of the newest change among the sources, in seconds since the epoch."""
    newest = 0.0
    for name in SOURCES:
        path = ROOT / name
        files = path.rglob("*") if path.is_dir() else [path]
        for file in files:
            if file.name.endswith(SOURCE_ENDINGS) and file.is_file():
                newest = max(newest, file.stat().st_mtime)
    return newest


def ensure_module(venv, python, profile):
    """Builds ferrio into the environment, unless it has a current module built as the profile or better."""
    target = ROOT / "target" / ("py" + version_tag())
    stamp = venv / ".ferrio-built"
    # A Python's environments share the module, so none of them records how it was built.
    built_as = target / "module-profile"
    suffix = subprocess.check_output(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"], text=True
    ).strip()
    module = ROOT / "python" / "ferrio" / ("_ferrio" + suffix)
    current = module.exists() and stamp.exists() and stamp.stat().st_mtime >= newest_source()
    # The module's time is recorded too: if it was built by hand since then, it isn't ours.
    fit = ["%s %d" % (name, module.stat().st_mtime_ns) for name in ("release", profile)] if current else []
    if built_as.exists() and built_as.read_text() in fit:
        say("ferrio in %s is up to date" % venv.name)
        return
    # Sources that change during the build must look newer than its stamp.
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
        help="also install this group's requirements; may be repeated",
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        help="use a separate environment, .venv-NAME-3.13, for packages to keep apart (peers, libraries)",
    )
    parser.add_argument(
        "--for-tests",
        dest="profile",
        action="store_const",
        const="tests",
        default="release",
        help="build quickly and with checks, since it needn't be fast",
    )
    parser.add_argument(
        "--without-module",
        action="store_true",
        help="make only the environment; it uses the module in python/ferrio that another call built",
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
