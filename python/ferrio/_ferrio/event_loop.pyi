# The types of the loop, its handles, and the threads and processes to which it gives calls.

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextvars import Context
from typing import Any, ClassVar, ParamSpec, Self, TypeAlias, TypeVar, final

from ferrio._ferrio.tasks import Future, Task
from ferrio._ferrio.transports import (
    DatagramTransport,
    Launch,
    ReadPipeTransport,
    SocketTransport,
    SubprocessTransport,
    WritePipeTransport,
)

_T = TypeVar("_T")
_P = ParamSpec("_P")

# For type checkers these are asyncio's, like futures and tasks.
Handle = asyncio.Handle
TimerHandle = asyncio.TimerHandle

# For type checkers, a subclass of asyncio's selector loop, which has the signatures of all methods, including those
# that
# come from `AbstractEventLoop` at run time.
class Loop(asyncio.SelectorEventLoop):
    slow_callback_duration: float
    def _make_socket_transport(
        self,
        sock: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Context | None = None,
    ) -> SocketTransport: ...
    def _make_datagram_transport(
        self,
        sock: Any,
        protocol: asyncio.BaseProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> DatagramTransport: ...
    def _attach_subprocess(
        self,
        popen: Any,
        protocol: Any,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
        launch: Launch | None = None,
    ) -> SubprocessTransport: ...
    def _launched(self, launch: Launch) -> Coroutine[Any, Any, tuple[int, int] | None]: ...
    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> ReadPipeTransport: ...
    def _make_write_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> WritePipeTransport: ...
    # A capsule; include/ferrio.h says what is in it.
    __ferrio_loop_api__: ClassVar[object]
    def __new__(cls, *args: Any, virtual_time: bool | _VirtualClock = False, **kwargs: Any) -> Self: ...
    def __init__(self, selector: Any = None, *, virtual_time: bool | _VirtualClock = False) -> None: ...
    def create_future(self) -> Future[Any]: ...
    def create_task(
        self,
        /,
        coro: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
        *,
        name: object = None,
        context: Context | None = None,
        eager_start: bool | None = None,
        **kwargs: Any,
    ) -> Task[_T]: ...
    def set_process_executor(self, executor: concurrent.futures.Executor) -> None: ...
    async def shutdown_default_executor(self, /, timeout: float | None = None) -> None: ...
    def run(self, /, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T: ...
    def _connect(self, /, sock: Any, address: Any) -> Coroutine[Any, Any, None]: ...
    def _ensure_fd_no_transport(self, /, fd: Any) -> None: ...
    def _known_address(
        self, /, address: Any, family: int, kind: int, proto: int
    ) -> tuple[int, int, int, str, tuple[Any, ...]] | None: ...
    def _virtual_clock(self, /) -> _VirtualClock | None: ...
    def _child_stands_still(self, pid: int, stands: bool) -> None: ...
    def _job_waits_for_time(self, /, waits: bool) -> None: ...
    def _ask_when_stuck(self, ask: Callable[[Loop, float, int], float] | None, /) -> None: ...

    # ---- an order that a tester chooses
    def _set_order(
        self,
        way: str,
        *,
        seed: int = 0,
        depth: int = 1,
        length: int = 1,
        choices: Sequence[int] = ...,
        relaxed: bool = False,
        tell: Callable[[Any, int, int], object] | None = None,
        ask: Callable[[list[tuple[int, Any]]], int] | None = None,
    ) -> None: ...
    def _run_in_order(
        self, main: Callable[[], Coroutine[Any, Any, Any]]
    ) -> tuple[BaseException | None, bytes, bytes, int | None]: ...
    def _end_order(self) -> tuple[bytes, bytes, int | None]: ...
    def _references(self) -> int: ...
    def _renew(self, references: int) -> bool: ...

    # ---- the order of an earlier run
    def _follow(
        self,
        recorded: _Recorded,
        number: int,
        may_come: Callable[[float, int, bool], bool],
        departs: Callable[[_Missing, list[Any], int], object],
        tell: Callable[[Any, int, int], object] | None = None,
        /,
    ) -> None: ...
    def _end_following(self) -> int: ...

@final
class _VirtualClock:
    def __new__(cls) -> Self: ...
    def time(self) -> float: ...
    def advance(self, seconds: float, /) -> None: ...

# ---- the watchdog

@final
class _Watcher:
    def __new__(cls, threshold: float, /) -> Self: ...
    def add(self, loop: Loop, /) -> None: ...
    def add_all(self) -> bool: ...
    def watch(self, report: Callable[[bool, dict[str, Any]], object], /) -> None: ...
    def stop(self) -> None: ...

# ---- the order in which loops run what is ready

# What ran next in an earlier run: the number of the step; the number, name and coroutine of a task; the task, if it is
# pending; and what it waited for, or what else ran.
_Missing: TypeAlias = tuple[int, tuple[int, str | None, str] | None, Task[Any] | None, str | None]

@final
class _Journal:
    def __new__(cls, path: str, /, *, lazy: bool = False) -> Self: ...
    def stop(self) -> None: ...

@final
class _Recorded:
    def __new__(cls, content: bytes, /) -> Self: ...
    def loops(self) -> list[tuple[int, bool]]: ...

# ---- the recorder

@final
class _Recorder:
    def __new__(cls, events: int, seconds: float | None, /) -> Self: ...
    def start(self, threads: dict[int, str], /, *, replace: bool = False) -> None: ...
    def stop(self) -> None: ...
    def picture(self) -> dict[str, Any]: ...

# ---- metrics

def _announce_closes(announced: bool, /) -> None: ...
def _every_loop() -> list[Loop]: ...
def _meter(loop: Loop, metered: bool, /) -> None: ...
def _meter_loops(metered: bool, /) -> None: ...
def _metrics(loop: Loop, /) -> dict[str, Any]: ...

# ---- samples of where the time goes

# Of a pending task: its place, number, name or the number in that, and coroutine; its state, steps, and wake-ups; its
# age, and whether that is the least; how long it ran and was ready; in how much time its sleep ends.
_Row: TypeAlias = tuple[
    tuple[int, int, str | int, str],
    tuple[str, int, int],
    tuple[float, bool],
    tuple[float, float],
    float | None,
]

@final
class _Sampler:
    def __new__(cls) -> Self: ...
    def add(self, loop: Loop, /) -> None: ...
    def loops(self) -> list[Loop]: ...
    def attach(self, attached: bool, /) -> None: ...
    def wait(self, fd: int, /) -> None: ...
    def settle(self, loop: Loop, /) -> None: ...
    def rows(self, loop: Loop, start: int, count: int, /) -> tuple[list[_Row], bool]: ...
    def task(self, loop: Loop, place: int, number: int, /) -> Task[Any] | None: ...
    def place(self, loop: Loop, task: Task[Any], /) -> tuple[int, int] | None: ...
    def numbers(self, loop: Loop, /) -> dict[str, Any]: ...

# ---- threads and processes

@final
class _Worker:
    @property
    def function(self) -> Callable[..., Any] | None: ...
    @property
    def call(self) -> tuple[Callable[..., Any], tuple[Any, ...], Any] | None: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> None: ...

class ThreadPool:
    def __new__(cls, max_workers: int, thread_name_prefix: str) -> Self: ...
    max_workers: int
    @property
    def queued(self) -> int: ...
    @property
    def running(self) -> list[Callable[..., Any]]: ...
    @property
    def _threads(self) -> set[Any]: ...
    def _close(self, cancel_jobs: bool, /) -> None: ...
    def _submit(
        self,
        future: concurrent.futures.Future[Any],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        /,
    ) -> None: ...

async def to_thread(func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T: ...
async def to_process(func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T: ...
