"""Runs mypy's stubtest: do the stubs say what the built modules have? Arguments are stubtest's.

The stub of the extension module has a file for each concept, and stubtest skips a name that comes from another file of
a stub, because it looks for a module of that name too. So each file gets one: an object that has what the extension
module has. Whether the files together lack a name is seen at the module itself, by its `__all__`.
"""

import sys
import types
from pathlib import Path

from mypy import stubtest

from ferrio import _ferrio

STUB = Path(__file__).resolve().parents[1] / "python" / "ferrio" / "_ferrio"


def main() -> int:
    names = {name: value for name, value in vars(_ferrio).items() if not name.startswith("__")}
    for path in STUB.glob("*.pyi"):
        if path.stem != "__init__":
            module = types.ModuleType(f"ferrio._ferrio.{path.stem}")
            module.__dict__.update(names)
            sys.modules[module.__name__] = module
    return stubtest.main()


if __name__ == "__main__":
    sys.exit(main())
