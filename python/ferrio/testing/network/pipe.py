"""`Pipe`: one direction of a connection. It brings what one end sends to the other end, in order and complete.

What a path loses is sent again, after the waits of TCP: 0.2 seconds or two round trips, then twice as long each time,
and two minutes at most. After 15 of these the sender gives up. A lost piece holds up those behind it.

The room in a pipe is its window: bytes that were sent and that the receiver's program hasn't read. The news that it
has read them takes the latency of the way back.

Invariants: one timer at a time moves the head of the queue, so no order of timers changes the order of bytes. Nothing
is delivered within the call that sends it.
"""

from __future__ import annotations

import collections
import enum
import math
from typing import TYPE_CHECKING, Any

from ferrio.testing.network.links import LARGEST_PIECE, Path

if TYPE_CHECKING:
    from ferrio.testing.network.connection import Endpoint

__all__ = ("Pipe", "Signal")

#: How often a lost piece is sent again, and the longest wait between two attempts, as on Linux.
_ATTEMPTS = 15
_LONGEST_WAIT = 120.0
_SHORTEST_WAIT = 0.2

#: What a packet without data takes.
HEADER = 40


class Signal(enum.Enum):
    """What travels in a pipe besides bytes."""

    ESTABLISHED = "established"
    """The client knows that the connection stands."""
    END = "end"
    """The sender sends no more."""
    RESET = "reset"
    """The sender has dropped the connection."""


class Pipe:
    """One direction of a connection, from the endpoint `sender` to the endpoint `receiver`."""

    def __init__(self, sender: Endpoint, receiver: Endpoint, path: Path, back: Path, window: int) -> None:
        self.network = path.network
        self._sender = sender
        self._receiver = receiver
        self._path = path
        self._back = back
        self._window = window
        # When each item arrives; infinity if the path is closed.
        self._wire: collections.deque[tuple[float, bytes | Signal]] = collections.deque()
        self._timer: Any = None
        self._stalled_at: float | None = None
        self._give_up: Any = None
        # Bytes that take room, and the news of those that have been read: when it arrives, and of how many bytes.
        self._taken = 0
        self._news: collections.deque[tuple[float, int]] = collections.deque()
        self._news_timer: Any = None
        self._has_ended = False
        path.pipes[self] = None
        back.pipes[self] = None

    @property
    def room(self) -> int:
        """How many bytes can be sent now."""
        now = self.network.time()
        while self._news and self._news[0][0] <= now:
            self._taken -= self._news.popleft()[1]
        return self._window - self._taken

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way that will arrive: what a crashed host doesn't send again won't."""
        return not self._wire or (self._sender.has_vanished and self._wire[0][0] == math.inf)

    @property
    def joins_pieces(self) -> bool:
        """Whether pieces that wait at the receiver are joined at random."""
        return self._path.conditions.segment == "random"

    def send(self, data: bytes) -> None:
        """Sends bytes, for which there is room."""
        self._taken += len(data)
        for piece in self._pieces(data):
            self._put(piece)

    def signal(self, signal: Signal) -> None:
        """Sends a signal behind the bytes."""
        if not self._has_ended:
            self._put(signal)

    def was_read(self, size: int) -> None:
        """The receiver's program has read so many bytes."""
        if self._has_ended:
            return
        arrival = self.network.time() + self._back.conditions.latency if self._back.is_open else math.inf
        self._news.append((arrival, size))
        self._watch_news()

    def wait_for_room(self) -> None:
        """Tells the sender when there is room."""
        self._watch_news()

    def path_changed(self) -> None:
        """The path or the way back was opened or closed, or has other conditions."""
        if not self._path.is_open:
            self._stall()
        elif self._wire and self._wire[-1][0] == math.inf:
            self._send_again()
        now, open_again = self.network.time(), self._back.is_open
        for at, (arrival, size) in enumerate(self._news):
            if open_again and arrival == math.inf:
                self._news[at] = (now + self._back.conditions.latency, size)
            elif not open_again and arrival > now:
                self._news[at] = (math.inf, size)
        self._watch_news()

    def end(self) -> None:
        """Drops what is on its way, and all timers."""
        self._has_ended = True
        self._wire.clear()
        self._news.clear()
        for timer in (self._timer, self._give_up, self._news_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._give_up = self._news_timer = None
        self._path.pipes.pop(self, None)
        self._back.pipes.pop(self, None)

    # ---- the way there

    def _pieces(self, data: bytes) -> list[bytes]:
        segment = self._path.conditions.segment
        pieces, at = [], 0
        while at < len(data):
            left = min(len(data) - at, LARGEST_PIECE)
            if segment == "random":
                left = self.network.random.randint(1, left)
            elif segment is not None:
                left = min(left, segment)
            pieces.append(data[at : at + left])
            at += left
        return pieces

    def _put(self, item: bytes | Signal) -> None:
        self._wire.append((math.inf, item))
        if not self._path.is_open:
            self._stall()
        elif len(self._wire) == 1 or self._wire[-2][0] < math.inf:
            self._time(len(self._wire) - 1, 0.0)
            self._arm()

    def _time(self, at: int, delay: float) -> None:
        """Says when the item arrives if it is sent after so many seconds."""
        item = self._wire[at][1]
        delay += self._lost_for()
        arrival = self._path.arrival(len(item) if isinstance(item, bytes) else HEADER) + delay
        if at:
            arrival = max(arrival, self._wire[at - 1][0])
        self._wire[at] = (arrival, item)
        if arrival == math.inf:
            self._note_stall()

    def _lost_for(self) -> float:
        """How long it takes until an item isn't lost any more; infinity if it always is."""
        delay, wait = 0.0, self._first_wait()
        for _ in range(_ATTEMPTS + 1):
            if not self._path.loses():
                return delay
            delay += wait
            wait = min(2 * wait, _LONGEST_WAIT)
        return math.inf

    def _first_wait(self) -> float:
        return max(_SHORTEST_WAIT, 2 * (self._path.conditions.latency + self._back.conditions.latency))

    def _arm(self) -> None:
        if self._timer is None and self._wire and self._wire[0][0] < math.inf:
            self._timer = self.network.call_at(self._wire[0][0], self._deliver, context=self._receiver.context)

    def _deliver(self) -> None:
        self._timer = None
        _, item = self._wire.popleft()
        self._end_stall()
        self._arm()
        self._receiver.arrived(item)

    # ---- a closed path

    def _stall(self) -> None:
        if not self._wire:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for at, (_, item) in enumerate(self._wire):
            self._wire[at] = (math.inf, item)
        self._note_stall()

    def _note_stall(self) -> None:
        # Nobody waits for an answer to the news that the connection stands.
        if self._stalled_at is None and not self._sender.has_vanished and self._wire[-1][1] is not Signal.ESTABLISHED:
            self._stalled_at = self.network.time()
            self._give_up = self.network.call_at(
                self._stalled_at + sum(self._waits()), self._sender.timed_out, context=self._sender.context
            )

    def _end_stall(self) -> None:
        self._stalled_at = None
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None

    def _waits(self) -> list[float]:
        first = self._first_wait()
        return [min(first * 2**attempt, _LONGEST_WAIT) for attempt in range(_ATTEMPTS + 1)]

    def _send_again(self) -> None:
        """The path is open again; the sender notices at its next attempt."""
        if self._sender.has_vanished:
            return
        now = self.network.time()
        attempt = now if self._stalled_at is None else self._stalled_at
        for wait in self._waits():
            attempt += wait
            if attempt >= now:
                break
        for at, (arrival, _) in enumerate(self._wire):
            if arrival == math.inf:
                self._time(at, max(0.0, attempt - now))
        self._arm()

    # ---- the way back

    def _watch_news(self) -> None:
        if self._news_timer is not None:
            self._news_timer.cancel()
            self._news_timer = None
        if self._sender.waits_for_room and self._news and self._news[0][0] < math.inf:
            self._news_timer = self.network.call_at(self._news[0][0], self._news_arrives, context=self._sender.context)

    def _news_arrives(self) -> None:
        self._news_timer = None
        if self.room > 0:
            self._sender.has_room()
        else:
            self._watch_news()
