"""IPython: what `%load_ext ferrio` and `%unload_ext ferrio` do.

In a terminal, IPython keeps one loop on which it runs each cell that awaits. Loading replaces that loop with a new one
of ferrio's and puts ferrio's names into `asyncio`. Unloading removes the names, ends the loop with its tasks, and gives
IPython its old loop back. A notebook's kernel that loads the extension while it starts
(`c.InteractiveShellApp.extensions`) has no loop yet and gets ferrio's.

Invariant: a running loop is never replaced.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import ferrio
from ferrio import _install

__all__ = ("load", "unload")

# For unload(): the loop's runner, and IPython's earlier loop.
_runner: ferrio.Runner | None = None
_before: asyncio.AbstractEventLoop | None = None
_installed_here = False


def load(shell: Any) -> None:
    """Makes the cells of `shell`, an `InteractiveShell`, run on ferrio from the next one on.

    Does nothing if it is already loaded. Raises `RuntimeError` if `shell` is a notebook's and its kernel already has
    another loop.
    """
    running = asyncio._get_running_loop()
    if _runner is not None or isinstance(running, ferrio.EventLoop):
        return
    if getattr(shell, "kernel", None) is None:
        _load_in_terminal()
    elif running is None and not _tornado_has_a_loop():
        _load_in_kernel()
    else:
        raise RuntimeError(
            "this kernel already has another loop. Write c.InteractiveShellApp.extensions = "
            '["ferrio"] into ipython_config.py and restart the kernel (ipykernel 7 or newer), or choose the kernel '
            "that `python -m ferrio.integrations.jupyter install` makes"
        )


def unload(shell: Any) -> None:
    """Makes the cells of `shell` run on IPython's earlier loop. Tasks that are left on ferrio's are cancelled.

    Raises `RuntimeError` in a notebook: its kernel can't change its loop.
    """
    global _runner, _before
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("the kernel of a notebook runs on its loop until it ends: restart it without the extension")
    if _runner is None:
        return
    _helpers()._asyncio_event_loop = _before
    runner, _runner, _before = _runner, None, None
    runner.close()
    if _installed_here:
        ferrio.uninstall()


def _load_in_terminal() -> None:
    global _runner, _before, _installed_here
    _installed_here = not _install.is_installed()
    ferrio.install()
    helpers = _helpers()
    _before = helpers._asyncio_event_loop
    _runner = ferrio.Runner()
    helpers._asyncio_event_loop = _runner.get_loop()


def _load_in_kernel() -> None:
    # Only the loop: the kernel's classes were made with the standard library's names and insist on them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.14 on; threads have no other way
        asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())
    asyncio.set_event_loop(ferrio.new_event_loop())


def _tornado_has_a_loop() -> bool:
    from tornado.ioloop import IOLoop

    return IOLoop.current(instance=False) is not None


def _helpers() -> Any:
    from IPython.core import async_helpers

    return async_helpers
