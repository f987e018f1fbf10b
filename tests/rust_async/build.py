"""Builds the extension modules of these tests for the Python that runs it: PYTHON tests/rust_async/build.py

They go to target/rust-async/MODULES, where the tests and benchmarks import them from (`directory()`).
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "rust_example": ROOT / "examples/rust",
    "rust_probe": ROOT / "tests/rust_async/probe",
    "rust_older": ROOT / "tests/rust_async/older",
}
# The newest Python that a module's PyO3 knows.
NEWEST_PYTHON = {"rust_older": (3, 14)}
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "rust-async"))


def directory() -> Path:
    """Returns where the modules of this Python are."""
    return TARGET / f"modules-{PYTHON}"


def too_new_for(name: str) -> str | None:
    """Returns why this Python can't have the module, if it can't."""
    newest = NEWEST_PYTHON.get(name)
    if newest is None or sys.version_info[:2] <= newest:
        return None
    return f"the PyO3 of {name} knows Python up to {newest[0]}.{newest[1]}"


def toolchain(name: str) -> str | None:
    """Returns the toolchain of a module that is built with another Rust than the rest, if the machine has one."""
    if name != "rust_older" or shutil.which("rustup") is None:
        return None
    found = subprocess.run(["rustup", "toolchain", "list"], capture_output=True, text=True, check=True).stdout.split()
    return next((toolchain for toolchain in found if toolchain.startswith("nightly-")), None)


def environment() -> dict[str, str]:
    """Returns the environment of every cargo command for these crates.

    What they share is compiled once, because all have the same settings.
    """
    # Symbols of Python are found when a module is loaded; a test program without Python never calls them.
    unresolved = "-undefined,dynamic_lookup" if sys.platform == "darwin" else "--unresolved-symbols=ignore-all"
    return {
        **os.environ,
        "PYO3_PYTHON": sys.executable,
        "PYO3_BUILD_EXTENSION_MODULE": "1",
        # A directory for each Python, as PyO3 is compiled for one.
        "CARGO_TARGET_DIR": str(TARGET / f"py{PYTHON}"),
        "CARGO_PROFILE_DEV_DEBUG": "none",
        "CARGO_INCREMENTAL": "0",
        "RUSTFLAGS": f"-C link-arg=-Wl,{unresolved}",
        "RUSTDOCFLAGS": f"-C link-arg=-Wl,{unresolved}",
    }


def build(name: str, crate: Path, profile: str = "dev") -> None:
    """Builds one module."""
    settings = environment()
    if other := toolchain(name):
        settings |= {"RUSTUP_TOOLCHAIN": other, "OTHER_TOOLCHAIN": other}
    subprocess.run(["cargo", "build", "--quiet", "--profile", profile], cwd=crate, env=settings, check=True)
    directory().mkdir(parents=True, exist_ok=True)
    built = Path(settings["CARGO_TARGET_DIR"]) / ("debug" if profile == "dev" else profile) / f"lib{name}.so"
    module = directory() / (name + sysconfig.get_config_var("EXT_SUFFIX"))
    # Renamed, so that a process that has the old one loaded keeps it.
    shutil.copy(built, f"{module}.new")
    os.replace(f"{module}.new", module)


if __name__ == "__main__":
    for name, crate in MODULES.items():
        if reason := too_new_for(name):
            print(f">> {crate.relative_to(ROOT)} is left out: {reason}", flush=True)
            continue
        print(f">> building {crate.relative_to(ROOT)}", flush=True)
        build(name, crate)
