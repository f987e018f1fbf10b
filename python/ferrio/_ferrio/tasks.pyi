# The types of what a loop runs and waits for: operations, futures, tasks.

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import CellType, CodeType, FrameType, TracebackType
from typing import Any, Generic, TypeVar, final, overload

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_FutureT = TypeVar("_FutureT", bound=asyncio.Future[Any])

# ---- operations

def observe(on: bool = True) -> None: ...

@final
class Operation(Coroutine[Any, Any, _T_co], Generic[_T_co]):
    __name__: str
    __qualname__: str
    @property
    def cr_await(self) -> Any: ...
    @property
    def cr_code(self) -> CodeType: ...
    @property
    def cr_frame(self) -> FrameType | None: ...
    @property
    def cr_origin(self) -> tuple[tuple[str, int, str], ...] | None: ...
    @property
    def cr_running(self) -> bool: ...
    @property
    def cr_suspended(self) -> bool: ...
    def __await__(self) -> Generator[Any, Any, _T_co]: ...
    def __del__(self) -> None: ...
    def send(self, value: Any, /) -> Any: ...
    @overload
    def throw(
        self, typ: type[BaseException], val: BaseException | object = None, tb: TracebackType | None = None, /
    ) -> Any: ...
    @overload
    def throw(self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /) -> Any: ...
    def close(self) -> None: ...

# ---- futures and tasks

# For type checkers these are asyncio's: any loop's methods return them, and a list of ferrio's must be a list of
# asyncio's.
Future = asyncio.Future
Task = asyncio.Task

@final
class _GatheringFuture(Future[list[Any]]): ...

def isfuture(obj: object) -> bool: ...
def wrap_future(
    future: concurrent.futures.Future[_T] | asyncio.Future[_T], *, loop: asyncio.AbstractEventLoop | None = None
) -> asyncio.Future[_T]: ...
def future_add_to_awaited_by(fut: asyncio.Future[Any], waiter: asyncio.Future[Any], /) -> None: ...
def future_discard_from_awaited_by(fut: asyncio.Future[Any], waiter: asyncio.Future[Any], /) -> None: ...
def create_task(
    coro: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
    **kwargs: Any,
) -> Task[_T]: ...
def current_task(loop: asyncio.AbstractEventLoop | None = None) -> Task[Any] | None: ...
def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[Task[Any]]: ...
@overload
def ensure_future(coro_or_future: _FutureT, *, loop: asyncio.AbstractEventLoop | None = None) -> _FutureT: ...  # type: ignore[overload-overlap]
@overload
def ensure_future(
    coro_or_future: Awaitable[_T], *, loop: asyncio.AbstractEventLoop | None = None
) -> asyncio.Task[_T]: ...
def run_coroutine_threadsafe(
    coro: Coroutine[Any, Any, _T], loop: asyncio.AbstractEventLoop
) -> concurrent.futures.Future[_T]: ...

@final
class EagerTaskFactory:
    __name__: str
    __qualname__: str
    @property
    def __code__(self) -> CodeType: ...
    @property
    def __closure__(self) -> tuple[CellType]: ...
    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, _T],
        **kwargs: Any,
    ) -> Task[_T]: ...

def create_eager_task_factory(custom_task_constructor: Callable[..., asyncio.Task[Any]]) -> EagerTaskFactory: ...
