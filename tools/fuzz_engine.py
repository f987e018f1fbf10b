"""Fuzzes what the engine parses and orders, with cargo-fuzz: python tools/fuzz_engine.py --seconds 900

Each target of `fuzz/` gets an equal share of the time. It begins with the cases in `fuzz/corpus` and those of earlier
runs, which are in `target/fuzz-engine/corpus`. A case that fails is in `target/fuzz-engine/artifacts`: correct the
engine, and add the case to the corpus. `--keep` adds cases of earlier runs to `fuzz/corpus`, those that reach code
which no other reaches.

Without cargo-fuzz or a nightly compiler there is nothing to do, and it says so. The command
`cargo test --package ferrio-engine --test fuzz` needs neither.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGETS = sorted(path.stem for path in (ROOT / "fuzz/fuzz_targets").glob("*.rs"))
SEEDS = ROOT / "fuzz/corpus"
WHERE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "fuzz-engine"
# Longer cases do nothing new.
LONGEST = 2048
LONGEST_KEPT = 256


def missing():
    """Returns what is missing for fuzzing the engine, if anything is."""
    if shutil.which("cargo-fuzz") is None:
        return "there is no cargo-fuzz (cargo install cargo-fuzz)"
    if subprocess.run(["cargo", "+nightly", "--version"], capture_output=True, check=False).returncode != 0:
        return "there is no nightly Rust toolchain (rustup toolchain install nightly)"
    return None


def build():
    """Builds all targets. Returns the directory of the programs."""
    command = ["cargo", "+nightly", "fuzz", "build", "--fuzz-dir", "fuzz"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "CARGO_TARGET_DIR": str(WHERE)}, check=True)
    compiler = subprocess.check_output(["rustc", "+nightly", "-vV"], text=True)
    return WHERE / re.search(r"^host: (.*)$", compiler, re.MULTILINE)[1] / "release"


def libfuzzer(program, *arguments):
    """Runs a target. Returns its status, what it printed, and its CPU time in seconds."""
    before = os.times()
    process = subprocess.run([program, *map(str, arguments)], stderr=subprocess.PIPE, text=True, check=False)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return process.returncode, process.stderr, used


def fuzz(programs, target, seconds):
    """Runs a target for so long. Returns whether every case held."""
    corpus, artifacts = WHERE / "corpus" / target, WHERE / "artifacts" / target
    for directory in (corpus, artifacts):
        directory.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-print_final_stats=1"]
    status, text, used = libfuzzer(programs / target, *limits, f"-artifact_prefix={artifacts}/", corpus, SEEDS / target)
    count = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    reached = re.findall(r"\bcov: (\d+)", text)
    print(
        f"{target:12} {int(count[1]) if count else 0:12,} executions, {used / 60:7.2f} CPU minutes, "
        f"{reached[-1] if reached else '?'} edges{'' if status == 0 else ', FAILED:'}",
        flush=True,
    )
    if status != 0:
        print("\n".join(text.splitlines()[-40:]), flush=True)
    return status == 0


def keep(programs, target):
    """Adds what earlier runs found to the repository's corpus, as few cases as possible."""
    (SEEDS / target).mkdir(parents=True, exist_ok=True)
    found = WHERE / "corpus" / target
    status, text, _ = libfuzzer(
        programs / target, "-set_cover_merge=1", f"-max_len={LONGEST_KEPT}", SEEDS / target, found
    )
    if status != 0:
        sys.exit(text)
    print(f"{target:12} {len(list((SEEDS / target).iterdir()))} cases", flush=True)


def main():
    """Runs every target, or says what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long, for all targets together")
    parser.add_argument("--only", choices=TARGETS, action="append", help="only this target; may be repeated")
    parser.add_argument("--keep", action="store_true", help="add new cases to fuzz/corpus instead of fuzzing")
    options = parser.parse_args()
    if reason := missing():
        print(f">> the engine's fuzz targets are left out: {reason}")
        return
    targets = options.only or TARGETS
    print(f">> the engine's fuzz targets: {', '.join(targets)}", flush=True)
    programs, started = build(), time.monotonic()
    if options.keep:
        for target in targets:
            keep(programs, target)
        return
    share = max(options.seconds // len(targets), 1)
    held = [fuzz(programs, target, share) for target in targets]
    print(f">> {sum(held)} of {len(held)} targets held, in {time.monotonic() - started:.0f} s", flush=True)
    if not all(held):
        sys.exit(1)


if __name__ == "__main__":
    main()
