"""`tempfile`'s files and folders, asynchronous: `async with ferrio.tempfile.TemporaryFile() as file`.

They take the standard library's arguments. Closing a file removes it; leaving the `async with` removes a folder.
"""

import tempfile
from types import TracebackType
from typing import Any

from ferrio._ferrio import Opening, call_in_file_thread, open_with

__all__ = ("NamedTemporaryFile", "SpooledTemporaryFile", "TemporaryDirectory", "TemporaryFile")


def TemporaryFile(*args: Any, **kwargs: Any) -> Opening[Any]:
    """Return a file without a name, as `tempfile.TemporaryFile` does; await it or use it with `async with`."""
    return open_with(tempfile.TemporaryFile, *args, **kwargs)


def NamedTemporaryFile(*args: Any, **kwargs: Any) -> Opening[Any]:
    """Return a file with a name, as `tempfile.NamedTemporaryFile` does; await it or use it with `async with`."""
    return open_with(tempfile.NamedTemporaryFile, *args, **kwargs)


def SpooledTemporaryFile(*args: Any, **kwargs: Any) -> Opening[Any]:
    """Return a file that stays in memory while it is small, as `tempfile.SpooledTemporaryFile` does."""
    return open_with(tempfile.SpooledTemporaryFile, *args, **kwargs)


class TemporaryDirectory:
    """A folder that exists inside its `async with`, which returns its path."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of `tempfile.TemporaryDirectory`; entering the block makes the folder."""
        self._arguments = args, kwargs

    async def __aenter__(self) -> Any:
        """Make the folder, return its path."""
        args, kwargs = self._arguments
        self._folder = await call_in_file_thread(tempfile.TemporaryDirectory, *args, **kwargs)
        return self._folder.name

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the folder with everything in it."""
        await call_in_file_thread(self._folder.cleanup)
