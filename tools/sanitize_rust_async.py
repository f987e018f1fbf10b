"""Runs the tests of the C interface and of ferrio-async with AddressSanitizer: PYTHON tools/sanitize_rust_async.py

ferrio's module and the tests' extension modules are built with a nightly compiler, which checks each access to memory,
and Python takes all of its objects from malloc. Without a nightly compiler there is nothing to do, and it says so.
Arguments go to pytest.

ThreadSanitizer isn't here: the nightly standard library is linked as it comes, without checks, and so each use of its
locks and channels looks like a race. What threads share is modelled with loom instead (`make test-rust`).
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "sanitize")) / f"py{PYTHON}"
# Where the tests look for their modules (tests/rust_async/build.py).
os.environ["CARGO_TARGET_DIR"] = str(TARGET)
sys.path.insert(0, str(ROOT))

from tests.rust_async import build as modules  # noqa: E402

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
TESTS = ["tests/rust_async", "tests/unit/test_c_interface.py", "tests/unit/test_c_watches.py"]


def output(*command):
    """Returns what a command prints."""
    return subprocess.check_output(command, text=True).strip()


def build(name, crate):
    """Builds a module with the checks. Returns its path."""
    host = next(line.split()[1] for line in output("rustc", "+nightly", "-vV").splitlines() if line.startswith("host"))
    environment = {
        **os.environ,
        "RUSTFLAGS": "-Zsanitizer=address",
        "PYO3_PYTHON": sys.executable,
        "PYO3_BUILD_EXTENSION_MODULE": "1",
        "CARGO_PROFILE_DEV_OPT_LEVEL": "0",
        "CARGO_PROFILE_DEV_DEBUG": "line-tables-only",
    }
    print(f">> building {crate.relative_to(ROOT)} with AddressSanitizer", flush=True)
    command = ["cargo", "+nightly", "build", "--quiet", "--target", host]
    subprocess.run(command, cwd=crate, env=environment, check=True)
    return TARGET / host / "debug" / f"lib{name}.so"


def runtime():
    """Makes a library of the compiler's checks, to be loaded before Python. Returns its path."""
    directory = Path(output("rustc", "+nightly", "--print", "target-libdir"))
    (archive,) = directory.glob("librustc-*_rt.asan.a")
    # A name with "asan" in it would look like a second runtime to the first.
    library, copy = TARGET / "libsanitizer_rt.so", TARGET / "rt.a"
    shutil.copy(archive, copy)
    # It is for programs only.
    subprocess.run(["ar", "d", copy, "asan_preinit.cpp.o"], check=True)
    whole = ["-Wl,--whole-archive", copy, "-Wl,--no-whole-archive", "-lpthread", "-ldl", "-lm", "-lrt"]
    subprocess.run(["cc", "-shared", "-o", library, *whole], check=True)
    return library


def put(built, directory, name):
    """Copies a built module to where it is imported from."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(built, directory / (name + SUFFIX))


def run(arguments):
    """Builds all modules and runs the tests with them."""
    package = TARGET / "package"
    python = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "python/ferrio", package / "ferrio", ignore=python, dirs_exist_ok=True)
    put(build("_ferrio", ROOT / "crates/ferrio-python"), package / "ferrio", "_ferrio")
    for name, crate in modules.MODULES.items():
        if modules.too_new_for(name):
            continue
        if modules.toolchain(name):
            modules.build(name, crate)  # by its own compiler, without the checks
        else:
            put(build(name, crate), modules.directory(), name)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)]),
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": str(runtime()),
        # Python keeps much until its end; the tests count what leaks.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
    }
    check = [sys.executable, "-c", "import ferrio; print(ferrio._ferrio.__file__)"]
    found = subprocess.check_output(check, env=environment, cwd=package, text=True).strip()
    if not found.startswith(str(package)):
        sys.exit(f"the tests would run with {found}")
    print(">> pytest " + " ".join(TESTS), flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def main():
    """Runs everything, if there is a nightly compiler."""
    nightly = subprocess.run(["rustc", "+nightly", "--version"], capture_output=True, text=True, check=False)
    if nightly.returncode != 0:
        print("left out: there is no nightly Rust toolchain (rustup toolchain install nightly)")
        return
    TARGET.mkdir(parents=True, exist_ok=True)
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
