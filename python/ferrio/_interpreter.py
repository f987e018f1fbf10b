"""Which interpreter this is: ferrio serves only the main one.

The extension module keeps objects for the whole process. CPython doesn't load it in a subinterpreter that has its own
lock. One that shares the main interpreter's lock could load it, and would leave objects of a dead interpreter behind.
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
    except ImportError:  # without this module, only an embedding program makes subinterpreters
        return True
    return interpreters.get_current() == interpreters.get_main()  # type: ignore[no-any-return]


require_main()
