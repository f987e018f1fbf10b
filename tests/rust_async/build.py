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
MODULES = {"rust_example": ROOT / "examples/rust", "rust_probe": ROOT / "tests/rust_async/probe"}
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "rust-async"))


def directory() -> Path:
    """Returns where the modules of this Python are."""
    return TARGET / f"modules-{PYTHON}"


def build(name: str, crate: Path, profile: str = "dev") -> None:
    """Builds one module."""
    # A target directory for each Python, as PyO3 is compiled for one.
    target = TARGET / f"py{PYTHON}"
    environment = {
        **os.environ,
        "PYO3_PYTHON": sys.executable,
        "PYO3_BUILD_EXTENSION_MODULE": "1",
        "CARGO_TARGET_DIR": str(target),
        "CARGO_PROFILE_DEV_DEBUG": "none",
    }
    subprocess.run(["cargo", "build", "--quiet", "--profile", profile], cwd=crate, env=environment, check=True)
    directory().mkdir(parents=True, exist_ok=True)
    built = target / ("debug" if profile == "dev" else profile) / f"lib{name}.so"
    module = directory() / (name + sysconfig.get_config_var("EXT_SUFFIX"))
    # Renamed, so that a process that has the old one loaded keeps it.
    shutil.copy(built, f"{module}.new")
    os.replace(f"{module}.new", module)


if __name__ == "__main__":
    for name, crate in MODULES.items():
        print(f">> building {crate.relative_to(ROOT)}", flush=True)
        build(name, crate)
