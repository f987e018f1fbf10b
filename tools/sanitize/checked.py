"""Builds ferrio and other extension modules with AddressSanitizer, and says with which environment Python runs them.

The compiler has the sanitizer's runtime in an archive only, so a shared library is made of it, which is loaded before
Python. Python takes all of its objects from malloc, or the sanitizer wouldn't see where one ends.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "sanitize"))
FLAGS = "-Zsanitizer=address"
REPORTS = TARGET / "reports"
#: Bytes of a stack.
STACK = 128 << 20


def no_nightly():
    """Returns why nothing can be built with a sanitizer, if so."""
    found = subprocess.run(["rustc", "+nightly", "--version"], capture_output=True, check=False)
    return "there is no nightly Rust toolchain (rustup toolchain install nightly)" if found.returncode else None


def host():
    """Returns the name of this machine's kind, as Rust has it."""
    text = subprocess.check_output(["rustc", "+nightly", "-vV"], text=True)
    return re.search(r"^host: (.*)$", text, re.MULTILINE)[1]


def settings(**more):
    """Returns the environment of a build with the checks."""
    return {
        **os.environ,
        "RUSTUP_TOOLCHAIN": "nightly",
        "RUSTFLAGS": FLAGS,
        "CARGO_TARGET_DIR": str(TARGET / f"py{PYTHON}"),
        "CARGO_PROFILE_DEV_DEBUG": "line-tables-only",
        "PYO3_PYTHON": sys.executable,
        **more,
    }


def install_ferrio(python, profile, environment):
    """Builds ferrio and installs it into the environment of a Python, as users do."""
    arguments = f"--profile {profile}"
    if "RUSTFLAGS" in environment:
        # For a target, even if it is this machine: otherwise what runs during the build is checked as well.
        arguments += f" --target {host()}"
    print(f">> building ferrio: pip install . ({arguments})", flush=True)
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--force-reinstall",
    ]
    subprocess.run([*command, ROOT], env={**environment, "MATURIN_PEP517_ARGS": arguments}, check=True)


def build_module(name, crate, directory):
    """Builds an extension module with the checks and puts it into a directory."""
    print(f">> building {crate.relative_to(ROOT)} with AddressSanitizer", flush=True)
    environment = settings(PYO3_BUILD_EXTENSION_MODULE="1", CARGO_PROFILE_DEV_OPT_LEVEL="0")
    subprocess.run(["cargo", "build", "--quiet", "--target", host()], cwd=crate, env=environment, check=True)
    built = Path(environment["CARGO_TARGET_DIR"]) / host() / "debug" / f"lib{name}.so"
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(built, directory / (name + sysconfig.get_config_var("EXT_SUFFIX")))


def runtime():
    """Makes a library of the sanitizer's runtime. Returns its path."""
    directory = Path(subprocess.check_output(["rustc", "+nightly", "--print", "target-libdir"], text=True).strip())
    (archive,) = directory.glob("librustc-*_rt.asan.a")
    # A name with "asan" in it would look like a second runtime to the first.
    library, copy = TARGET / "libsanitizer_rt.so", TARGET / "rt.a"
    TARGET.mkdir(parents=True, exist_ok=True)
    shutil.copy(archive, copy)
    # It is for programs only.
    subprocess.run(["ar", "d", copy, "asan_preinit.cpp.o"], check=True)
    whole = ["-Wl,--whole-archive", copy, "-Wl,--no-whole-archive", "-lpthread", "-ldl", "-lm", "-lrt"]
    subprocess.run(["cc", "-shared", "-o", library, *whole], check=True)
    return library


def environment():
    """Returns the environment of a Python that loads what was built with the checks."""
    return {
        **os.environ,
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": str(runtime()),
        # Python keeps much until its end; the tests count what leaks. A failed allocation is a MemoryError, as ever.
        # Reports go to files, because pytest takes what is printed.
        "ASAN_OPTIONS": f"detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:log_path={REPORTS / 'of'}",
    }


def forget_reports():
    """Removes the reports of an earlier run."""
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)


def reports():
    """Returns what the sanitizer reported since then, a text for each process."""
    return [path.read_text() for path in sorted(REPORTS.iterdir())]


def deepen_stacks():
    """Gives this process larger stacks, because with the checks a frame takes several times the room."""
    _, most = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (STACK if most == resource.RLIM_INFINITY else min(STACK, most), most))
