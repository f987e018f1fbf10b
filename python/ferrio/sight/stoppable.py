"""What goes on until it is stopped, or left as a context manager."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import Self

__all__ = ("Stoppable",)


class Stoppable(abc.ABC):
    """Has a method `stop`, which is also called at the end of a `with` block."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ends it. Calling it again does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
