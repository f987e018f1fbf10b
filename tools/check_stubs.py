"""Runs mypy's stubtest: do the stubs match the built modules? Arguments are passed on to stubtest.

The extension module's stub has one file per concept. stubtest skips a name that comes from another file of a stub,
because it looks for a module with that file's name. So we give each file such a module: an object with everything that
the extension module has. Whether the files together lack a name shows at the module itself, by its `__all__`.
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
