"""Which interpreter this is: ferrio serves the main one only.

The extension module keeps objects for the whole process. CPython doesn't let a subinterpreter with a lock of its own
load it; one that shares the main interpreter's lock could, and would leave objects of a dead interpreter behind.
"""

from __future__ import annotations

import _thread
import sys


def require_main() -> None:
    """Raises `ImportError` in a subinterpreter."""
    if not _is_main():
        raise ImportError("ferrio can't be imported in a subinterpreter: it serves the main interpreter only")


def _is_main() -> bool:
    if sys.version_info >= (3, 12):
        return _thread._is_main_interpreter()  # type: ignore[attr-defined,no-any-return]
    try:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found]
    except ImportError:  # without it nothing but an embedding program makes subinterpreters
        return True
    return interpreters.get_current() == interpreters.get_main()  # type: ignore[no-any-return]


require_main()
