"""Builds the sdist and one wheel per Python the way they are released, and checks them: `make wheels`.

    PYTHON tools/wheels.py [--out dist] [--sdist-only] [--libc glibc|musl|native ...] PYTHON_TO_BUILD_FOR...

zig links the wheels against glibc 2.17 (manylinux2014), whatever this machine has, and maturin refuses that tag if a
wheel needs more. `--libc glibc musl` makes a second wheel of each, for Alpine (musllinux_1_2); it takes Rust's standard
library for that target. `--libc native` links with the machine's own compiler, for when zig isn't available; the
wheel's name then tells which glibc it needs. Each Python has its own cargo directory, so a second run is quick. Panic
messages name no directory of this machine.

`check_dist.py` knows what a good distribution is: everything built goes through it, in a fresh environment of the
Python it is for. This machine's Python can't load a wheel for musl: `check_musl_wheels` installs those on Alpine.
Nothing here uploads anything.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from develop import ROOT, check_tools, ensure_environment, ensure_requirements, run, say

CHECK = ROOT / "tools" / "check_dist.py"
MUSL_TARGET = f"{platform.machine()}-unknown-linux-musl"
# What maturin is told for each C library. The name is the one that Rust and Python packages use for the oldest version
# that the wheel runs on.
LINKING = {
    "glibc": ["--zig", "--compatibility", "manylinux2014"],
    "musl": ["--zig", "--compatibility", "musllinux_1_2", "--target", MUSL_TARGET],
    "native": [],
}


def tag_of(python):
    """Returns an interpreter's version as directory names have it: "3.13", "3.14t"."""
    ask = 'import sys; print("%d.%d%s" % (*sys.version_info[:2], sys.abiflags))'
    return subprocess.check_output([str(python), "-c", ask], text=True).strip()


def new_file(directory, pattern, since):
    """Returns the one file matching the pattern that was made after `since` (seconds since the epoch)."""
    made = [path for path in directory.glob(pattern) if path.stat().st_mtime >= since - 1]
    if len(made) != 1:
        sys.exit(f"expected one new {pattern} in {directory}, found {[path.name for path in made]}")
    return made[0]


def flags_without_directories():
    """Returns the environment's flags for rustc, plus those that keep this machine's directories out of the output, in
    the form of CARGO_ENCODED_RUSTFLAGS."""
    cargo = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    # If several match a path, rustc takes the last.
    names = {Path.home(): "~", cargo: "cargo", ROOT: "ferrio"}
    flags = [f"--remap-path-prefix={path}={name}" for path, name in names.items()]
    return "\x1f".join(os.environ.get("RUSTFLAGS", "").split() + flags)


def build_sdist(maturin, out):
    """Makes the sdist. Returns its path."""
    started = time.time()
    run([maturin, "sdist", "--out", out])
    return new_file(out, "ferrio-*.tar.gz", started)


def check_musl():
    """Ends the program with advice if rustc has no standard library for musl."""
    ask = ["rustc", "--print", "target-libdir", "--target", MUSL_TARGET]
    folder = Path(subprocess.check_output(ask, text=True).strip())
    if not any(folder.glob("libstd-*")):
        sys.exit(f"rustc has no standard library for musl: rustup target add {MUSL_TARGET}")


def build_wheel(maturin, python, out, libc):
    """Makes the wheel for `python` and a C library. Returns its path."""
    started = time.time()
    environment = dict(os.environ)
    environment["CARGO_TARGET_DIR"] = str(ROOT / "target" / "wheels" / ("py" + tag_of(python)))
    flags = flags_without_directories()
    # Rust programs contain musl; a module must use its interpreter's.
    environment["CARGO_ENCODED_RUSTFLAGS"] = flags + ("\x1f-Ctarget-feature=-crt-static" if libc == "musl" else "")
    # maturin knows the Pythons of Alpine by their names; none of them runs here.
    named = "python" + tag_of(python) if libc == "musl" else python
    command = [maturin, "build", "--release", "--strip", "--locked", "--interpreter", named, "--out", out]
    run(command + LINKING[libc], env=environment)
    wheel = new_file(out, "ferrio-*.whl", started)
    say(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {time.time() - started:.0f} s")
    return wheel


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where to put them (dist/)")
    parser.add_argument("--sdist-only", action="store_true", help="only the sdist, which pip then builds and installs")
    parser.add_argument(
        "--libc", nargs="+", choices=LINKING, default=["glibc"], help="the C libraries to build for (glibc)"
    )
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="interpreters to build for")
    options = parser.parse_args()
    check_tools()
    if "musl" in options.libc and not options.sdist_only:
        check_musl()
    venv = ROOT / ".venv-wheels"
    tools = ensure_environment(venv)
    ensure_requirements(venv, tools, "build" if options.sdist_only else "wheels")
    maturin = venv / "bin" / "maturin"
    # maturin looks for zig as a module of the first Python on PATH.
    os.environ["PATH"] = str(venv / "bin") + os.pathsep + os.environ["PATH"]
    options.out.mkdir(parents=True, exist_ok=True)

    sdist = build_sdist(maturin, options.out)
    run([tools, CHECK, sdist])
    for python in options.pythons:
        if options.sdist_only:
            run([tools, CHECK, sdist, "--install", python])
            continue
        for libc in options.libc:
            wheel = build_wheel(maturin, python, options.out, libc)
            run([tools, CHECK, wheel, *([] if libc == "musl" else ["--install", python])])
    say(f"in {options.out}: {', '.join(sorted(path.name for path in options.out.iterdir()))}")


if __name__ == "__main__":
    main()
