"""What every comparison prints besides its figures: the machine, the progress of a run, and the files it writes.

Shared by `run.py` and `net/run.py`. Nothing here measures.
"""

import os
import platform
import re
import sys
from pathlib import Path


def progress(text: str) -> None:
    """Show on the terminal's last line what is running; "" clears it. Silent without a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def save(path: Path, text: str) -> None:
    """Write a result file; one that can't be written ends the program."""
    try:
        path.write_text(text)
    except OSError as error:
        sys.exit(f"Can't write {path}: {error}")
    print(f"Wrote {path}")


def machine() -> dict:
    """Return what a reader must know about the machine."""
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }


def processor() -> str:
    """Return the name of the processor, according to the kernel."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def preface(facts: dict) -> str:
    """Return the lines above the tables: versions, machine, settings, and whether the machine was busy."""
    machine = facts["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["implementations"].items())
    settings = [f"{facts['rounds']} rounds"]
    settings += ["quick"] if facts["quick"] else []
    settings.append(f"pinned to CPUs {facts['pinned to CPUs']}" if facts["pinned to CPUs"] else "not pinned")
    hardware = f"{machine['processors']} x {machine['processor']}, Linux {machine['kernel']}"
    lines = [f"Python {facts['python']}: {versions}", f"{hardware}; {', '.join(settings)}"]
    if machine["load"] > 0.5:
        lines.append(f"The machine is busy (load {machine['load']}): trust the best figures more than the medians.")
    return "\n".join(lines)
