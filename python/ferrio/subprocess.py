"""Subprocesses, under asyncio's module name (`asyncio.subprocess`): children with streams.

Reading and writing is native; the code here runs once per child, or once per call that the program makes.
"""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

from ferrio import _ferrio, events, streams
from ferrio._sockets import logger
from ferrio.tasks import gather

__all__ = ("create_subprocess_exec", "create_subprocess_shell")

PIPE = subprocess.PIPE
STDOUT = subprocess.STDOUT
DEVNULL = subprocess.DEVNULL


class SubprocessStreamProtocol(streams.FlowControlMixin, asyncio.subprocess.SubprocessStreamProtocol):
    """The protocol of a child whose pipes are streams: a writer, `stdin`, and two readers, `stdout` and `stderr`."""

    _loop: Any

    def __init__(self, limit: int, loop: Any):
        super().__init__(loop=loop)  # type: ignore[call-arg]  # the native class comes first
        self._limit = limit
        self.stdin: streams.StreamWriter | None = None
        self.stdout: streams.StreamReader | None = None
        self.stderr: streams.StreamReader | None = None
        self._transport: Any = None
        self._process_exited = False
        self._pipe_fds: list[int] = []
        self._stdin_closed = loop.create_future()

    def __repr__(self) -> str:
        parts = [self.__class__.__name__]
        parts += [f"{name}={stream!r}" for name, stream in self._streams().items() if stream is not None]
        return f"<{' '.join(parts)}>"

    def _streams(self) -> dict[str, Any]:
        return {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}

    def _reader(self, fd: int) -> streams.StreamReader | None:
        return {1: self.stdout, 2: self.stderr}.get(fd)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        # Not for a subclass, which may want to see the data.
        direct = type(self) is SubprocessStreamProtocol and isinstance(transport, _ferrio.SubprocessTransport)
        for fd, name in ((1, "stdout"), (2, "stderr")):
            pipe = transport.get_pipe_transport(fd)
            if pipe is None:
                continue
            reader = streams.StreamReader(limit=self._limit, loop=self._loop)
            reader.set_transport(pipe)
            setattr(self, name, reader)
            self._pipe_fds.append(fd)
            if direct:
                transport._feed(fd, reader)
        pipe = transport.get_pipe_transport(0)
        if pipe is not None:
            self.stdin = streams.StreamWriter(pipe, protocol=self, reader=None, loop=self._loop)

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # type: ignore[override]  # no pipe gives text
        reader = self._reader(fd)
        if reader is not None:
            reader.feed_data(data)

    def pipe_connection_lost(self, fd: int, exc: Any) -> None:
        if fd == 0:
            self._stdin_lost(exc)
            return
        reader = self._reader(fd)
        if reader is not None:
            if exc is None:
                reader.feed_eof()
            else:
                reader.set_exception(exc)
        if fd in self._pipe_fds:
            self._pipe_fds.remove(fd)
        self._maybe_close_transport()

    def _stdin_lost(self, exc: Any) -> None:
        if self.stdin is not None:
            self.stdin.close()
        self.connection_lost(exc)
        if exc is None:
            self._stdin_closed.set_result(None)
        else:
            self._stdin_closed.set_exception(exc)
            # It is no error if nobody asks for the exception.
            self._stdin_closed._log_traceback = False

    def process_exited(self) -> None:
        self._process_exited = True
        self._maybe_close_transport()

    def _maybe_close_transport(self) -> None:
        if not self._pipe_fds and self._process_exited and self._transport is not None:
            self._transport.close()
            self._transport = None

    def _get_close_waiter(self, stream: Any) -> Any:
        return self._stdin_closed if stream is self.stdin else None


class Process(asyncio.subprocess.Process):
    """A child process with its `pid` and its streams `stdin`, `stdout` and `stderr`, each `None` unless it is a
    pipe."""

    def __init__(self, transport: Any, protocol: Any, loop: Any):
        self._transport = transport
        self._protocol = protocol
        self._loop = loop
        self.stdin: streams.StreamWriter | None = protocol.stdin
        self.stdout: streams.StreamReader | None = protocol.stdout
        self.stderr: streams.StreamReader | None = protocol.stderr
        self.pid: int = transport.get_pid()

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.pid}>"

    @property
    def returncode(self) -> int | None:
        """The child's exit status, the negative number of the signal that ended it, or `None` if it hasn't ended."""
        code: int | None = self._transport.get_returncode()
        return code

    async def wait(self) -> int:
        """Wait until the child has ended; return its `returncode`. A child that fills a pipe nobody reads never
        ends."""
        returncode: int = await self._transport._wait()
        return returncode

    def send_signal(self, signal: int) -> None:
        """Send the child a signal; raise `ProcessLookupError` if its end is known and its pipes are closed."""
        self._transport.send_signal(signal)

    def terminate(self) -> None:
        """Send the child SIGTERM; otherwise like `send_signal`."""
        self._transport.terminate()

    def kill(self) -> None:
        """Send the child SIGKILL; otherwise like `send_signal`."""
        self._transport.kill()

    async def communicate(self, input: Any = None) -> tuple[bytes, bytes]:
        """Write `input` to the child, read all its output, wait for its end; return both outputs.

        An output that isn't a pipe is `None`. It is no error if the child doesn't read its input.
        """
        work = [
            self._feed_stdin(input) if self.stdin is not None else _nothing(),
            self._read_stream(1) if self.stdout is not None else _nothing(),
            self._read_stream(2) if self.stderr is not None else _nothing(),
        ]
        outputs: Any = await gather(*work)
        await self.wait()
        # Typed like asyncio's: bytes, if the caller passed PIPE.
        return outputs[1], outputs[2]

    async def _feed_stdin(self, input: Any) -> None:
        debug = self._loop.get_debug()
        stdin: Any = self.stdin
        try:
            if input is not None:
                stdin.write(input)
                if debug:
                    logger.debug("%r communicate: feed stdin (%s bytes)", self, len(input))
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as failure:
            if debug:
                logger.debug("%r communicate: stdin got %r", self, failure)
        if debug:
            logger.debug("%r communicate: close stdin", self)
        stdin.close()

    async def _read_stream(self, fd: int) -> bytes:
        debug = self._loop.get_debug()
        stream: Any
        name, stream = ("stdout", self.stdout) if fd == 1 else ("stderr", self.stderr)
        if debug:
            logger.debug("%r communicate: read %s", self, name)
        output: bytes = await stream.read()
        if debug:
            logger.debug("%r communicate: close %s", self, name)
        self._transport.get_pipe_transport(fd).close()
        return output


async def _nothing() -> None:
    """Stands in for a stream that isn't a pipe."""


async def create_subprocess_shell(
    cmd: str | bytes,
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    limit: int = streams._DEFAULT_LIMIT,
    **kwds: Any,
) -> Process:
    """Run the shell command `cmd` in a child process; return its `Process`.

    `stdin`, `stdout` and `stderr` say what they are connected to: `PIPE` for a stream of the `Process`, `DEVNULL`, a
    file, or `None` for this program's own. `stderr` may be `STDOUT`. `limit` is the readers', in bytes; further
    keywords are those of `loop.subprocess_shell()`. Raises `OSError` if the shell can't be started.
    """
    loop = events.get_running_loop()
    transport, protocol = await loop.subprocess_shell(
        lambda: SubprocessStreamProtocol(limit=limit, loop=loop), cmd, stdin=stdin, stdout=stdout, stderr=stderr, **kwds
    )
    return Process(transport, protocol, loop)


async def create_subprocess_exec(
    program: Any,
    *args: Any,
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    limit: int = streams._DEFAULT_LIMIT,
    **kwds: Any,
) -> Process:
    """Run `program` with the arguments `args` in a child process; return its `Process`.

    `stdin`, `stdout` and `stderr` say what they are connected to: `PIPE` for a stream of the `Process`, `DEVNULL`, a
    file, or `None` for this program's own. `stderr` may be `STDOUT`. `limit` is the readers', in bytes; further
    keywords are those of `loop.subprocess_exec()`. Raises `OSError` if the program can't be started.
    """
    loop = events.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit=limit, loop=loop),
        program,
        *args,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        **kwds,
    )
    return Process(transport, protocol, loop)
