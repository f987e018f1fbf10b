"""Checks the crates themselves, before Python runs them: PYTHON tests/rust_async/check.py

Formatting and lints, and of ferrio-async its unit tests and the programs in its documentation.
"""

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.rust_async.build import MODULES, ROOT, environment

CRATE = ROOT / "crates/ferrio-async"


def main() -> None:
    """Runs all steps, also after a failure, so that one run shows everything."""
    crates = [CRATE, *MODULES.values()]
    steps = [(crate, ["fmt", "--check"]) for crate in crates]
    # The last has another PyO3, which would have to be checked for it alone.
    lints = ["clippy", "--quiet", "--all-features", "--all-targets", "--", "-D", "warnings"]
    steps += [(crate, lints) for crate in crates[:-1]]
    steps.append((CRATE, ["test", "--quiet", "--all-features"]))
    failed = False
    for crate, step in steps:
        print(f">> {crate.relative_to(ROOT)}: cargo {' '.join(step)}", flush=True)
        failed |= subprocess.run(["cargo", *step], cwd=crate, env=environment(), check=False).returncode != 0
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
