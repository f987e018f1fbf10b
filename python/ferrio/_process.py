"""`subprocess_exec` and `subprocess_shell`: start a child and make the transport that watches it.

Invariant: a call that fails or is cancelled leaves no running child and no zombie.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ferrio import _launch
from ferrio._sockets import logger
from ferrio.tasks import shield

if TYPE_CHECKING:
    from asyncio import SubprocessProtocol, SubprocessTransport

    from ferrio._ferrio import SubprocessTransport as NativeTransport

_Protocol = TypeVar("_Protocol", bound="SubprocessProtocol")

_waiting_threads = itertools.count()


class Spawning:
    """The methods of an event loop that start child processes."""

    __slots__ = ()

    async def subprocess_shell(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        cmd: str | bytes,
        *,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = True,
        bufsize: int = 0,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        **kwargs: Any,
    ) -> tuple[SubprocessTransport, _Protocol]:
        """Run the shell command `cmd` in a child process; return its transport and protocol.

        The keywords are those of `subprocess.Popen`, except those for text and buffers. Raises `ValueError` for these
        and if the command isn't a string, `OSError` if the shell can't be started.
        """
        if not isinstance(cmd, (bytes, str)):
            raise ValueError("cmd must be a string")
        if not shell:
            raise ValueError("shell must be True")
        _require_bytes(universal_newlines, bufsize, encoding, errors, text)
        protocol = protocol_factory()
        # Arguments may contain passwords and aren't logged. As in asyncio, a shell command is.
        what = f"run shell command {cmd!r}"
        transport = await _start(self, protocol, what, cmd, True, (stdin, stdout, stderr), kwargs)
        return transport, protocol

    async def subprocess_exec(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        program: Any,
        *args: Any,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = False,
        bufsize: int = 0,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        **kwargs: Any,
    ) -> tuple[SubprocessTransport, _Protocol]:
        """Run `program` with the arguments `args` in a child process; return its transport and protocol.

        The keywords are those of `subprocess.Popen`, except those for text and buffers. Raises `ValueError` for these,
        `OSError` if the program can't be started.
        """
        if shell:
            raise ValueError("shell must be False")
        _require_bytes(universal_newlines, bufsize, encoding, errors, text)
        protocol = protocol_factory()
        what = f"execute program {program!r}"
        transport = await _start(self, protocol, what, (program, *args), False, (stdin, stdout, stderr), kwargs)
        return transport, protocol

    async def _make_subprocess_transport(
        self: Any,
        protocol: Any,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> NativeTransport:
        """Start a child and return its transport after the protocol has it; asyncio's internal name."""
        kwargs.update(shell=shell, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=bufsize)
        popen, launch = await _launch.start(self, args, kwargs)
        waiter = self.create_future()
        try:
            transport: NativeTransport = self._attach_subprocess(popen, protocol, waiter, extra, launch)
        except BaseException:
            await _give_up(self, popen)
            raise
        if transport._needs_waiting:
            wait_in_thread(self, transport)
        try:
            await waiter
        except BaseException:
            transport.close()
            await shield(transport._wait())
            raise
        return transport


def _require_bytes(universal_newlines: bool, bufsize: int, encoding: object, errors: object, text: object) -> None:
    """Raise `ValueError` for arguments about text and buffers, unless they mean bytes without a buffer."""
    if universal_newlines:
        raise ValueError("universal_newlines must be False")
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    if text:
        raise ValueError("text must be False")
    if encoding is not None:
        raise ValueError("encoding must be None")
    if errors is not None:
        raise ValueError("errors must be None")


async def _start(
    loop: Any, protocol: Any, what: str, args: Any, shell: bool, streams: tuple[Any, Any, Any], keywords: dict[str, Any]
) -> Any:
    debug = loop.get_debug()
    if debug:
        logger.debug("%s%s", what, _describe_streams(*streams))
    transport = await loop._make_subprocess_transport(protocol, args, shell, *streams, 0, **keywords)
    if debug:
        logger.info("%s: %r", what, transport)
    return transport


def _describe_streams(stdin: Any, stdout: Any, stderr: Any) -> str:
    """The three streams, as the log shows them."""
    told = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    if stdout is not None and stderr == subprocess.STDOUT:
        del told["stderr"]
        told["stdout=stderr"] = told.pop("stdout")
    words = {subprocess.PIPE: "<pipe>", subprocess.STDOUT: "<stdout>", subprocess.DEVNULL: "<devnull>"}
    return "".join(
        f" {name}={words.get(value, value) if isinstance(value, int) else value}"
        for name, value in told.items()
        if value is not None
    )


async def _give_up(loop: Any, popen: subprocess.Popen[bytes]) -> None:
    """End a child that has no transport to watch it."""
    for stream in (popen.stdin, popen.stdout, popen.stderr):
        if stream is not None:
            stream.close()
    popen.kill()
    await shield(loop.run_in_executor(None, popen.wait))


def wait_in_thread(loop: Any, transport: NativeTransport) -> None:
    """Let a thread wait for the child's end and tell the loop, because the kernel can't."""

    def wait() -> None:
        try:
            os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # something else waited for it
        try:
            loop.call_soon_threadsafe(transport._ended)
        except RuntimeError:
            logger.warning("Loop %r that handles pid %r is closed", loop, transport.get_pid())

    name = f"asyncio-waitpid-{next(_waiting_threads)}"
    threading.Thread(target=wait, name=name, daemon=True).start()
