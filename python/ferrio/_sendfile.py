"""`loop.sendfile`: sends a file over a transport, by the system if it can, otherwise in pieces that a thread reads.

Invariant: however it ends, the transport has its own protocol again, and reads if it did before. The file's position is
behind the last byte sent.
"""

from __future__ import annotations

import asyncio
from asyncio import constants
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from asyncio import WriteTransport

#: How many bytes a thread reads at a time.
_PIECE = constants.SENDFILE_FALLBACK_READBUFFER_SIZE

_Mode = constants._SendfileMode


class Sending:
    """The method of an event loop that sends files over transports."""

    __slots__ = ()

    async def sendfile(
        self: Any,
        transport: WriteTransport,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send `count` bytes (or all) of the binary file `file`, beginning at `offset`, and return how many were sent.

        Data written earlier goes first. The system sends the file if it can. If it can't (over TLS, for instance), the
        file is read and written in pieces, unless `fallback` is false.

        If it can't and `fallback` is false, it raises `SendfileNotAvailableError` or `RuntimeError`. It raises
        `RuntimeError` for a transport that is closing or can't send files, and `ConnectionError` if the connection is
        lost.
        """
        if transport.is_closing():
            raise RuntimeError("Transport is closing")
        mode = getattr(transport, "_sendfile_compatible", _Mode.UNSUPPORTED)
        if mode is _Mode.UNSUPPORTED:
            raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
        if mode is _Mode.TRY_NATIVE:
            try:
                sent: int = await self._sendfile_native(transport, file, offset, count)
                return sent
            except asyncio.SendfileNotAvailableError:
                if not fallback:
                    raise
            if transport.is_closing():
                raise ConnectionError("Connection closed by peer")
        if not fallback:
            raise RuntimeError(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
        return await _send_pieces(self, transport, file, offset, count)

    async def _sendfile_native(self: Any, transp: Any, file: Any, offset: int, count: int | None) -> int:
        """Let the system send the file; raise `SendfileNotAvailableError` if it can't."""
        resumes = transp.is_reading()
        transp.pause_reading()
        try:
            await transp._make_empty_waiter()
            try:
                transp._lend()
                sent: int = await self.sock_sendfile(transp._sock, file, offset, count, fallback=False)
                return sent
            except OSError:
                if transp._sock is None:
                    # The send failed because the descriptor is closed.
                    raise ConnectionError("Connection closed by peer") from None
                raise
            finally:
                transp._reset_empty_waiter()
                transp._take_back()
        finally:
            if resumes:
                transp.resume_reading()


async def _send_pieces(loop: Any, transport: Any, file: Any, offset: int, count: int | None) -> int:
    seekable = hasattr(file, "seek")
    if seekable:
        file.seek(offset)
    memory = memoryview(bytearray(min(count, _PIECE) if count else _PIECE))
    sent = 0
    stand_in = _FallbackProtocol(loop, transport)
    try:
        while not count or sent < count:
            piece = memory[: count - sent] if count else memory
            read = await loop.run_in_executor(None, file.readinto, piece)
            if not read:
                break
            transport.write(piece[:read])
            await stand_in.wait_for_room()
            sent += read
        return sent
    finally:
        if sent > 0 and seekable:
            file.seek(offset + sent)
        stand_in.restore()


class _FallbackProtocol(asyncio.Protocol):
    """Stands in for a transport's protocol: makes the sender wait while the transport has enough; nothing is read."""

    def __init__(self, loop: Any, transport: Any):
        self._loop = loop
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._resumes_reading = transport.is_reading()
        self._was_paused = getattr(transport, "_protocol_paused", False)
        #: Done when the transport wants more; `None` if it does already.
        self._waiter = loop.create_future() if self._was_paused else None
        transport.pause_reading()
        transport.set_protocol(self)

    async def wait_for_room(self) -> None:
        """Waits until the transport takes more. Raises `ConnectionError`, or the reason why the connection was lost."""
        if self._transport.is_closing():
            raise ConnectionError("Connection closed by peer")
        if self._waiter is not None:
            await self._waiter

    def restore(self) -> None:
        """Gives the transport its protocol back."""
        self._transport.set_protocol(self._protocol)
        if self._resumes_reading:
            self._transport.resume_reading()
        if self._waiter is not None:
            # Nobody will wait for it any more.
            self._waiter.cancel()
        if self._was_paused:
            self._protocol.resume_writing()

    def connection_made(self, transport: Any) -> NoReturn:
        raise RuntimeError("Invalid state: connection should have been established already.")

    def pause_writing(self) -> None:
        if self._waiter is None:
            self._waiter = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._waiter is not None:
            if not self._waiter.done():  # the sender may have been cancelled in this turn
                self._waiter.set_result(None)
            self._waiter = None

    def data_received(self, data: bytes) -> NoReturn:
        raise RuntimeError("Invalid state: reading should be paused")

    def eof_received(self) -> NoReturn:
        raise RuntimeError("Invalid state: reading should be paused")

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionError("Connection is closed by peer"))
        self._protocol.connection_lost(exc)
