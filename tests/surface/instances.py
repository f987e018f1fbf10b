"""Makes an instance of each class the way a program gets one, inside the running loop, with peers where needed.

The keys are the names under which `walk.py` finds the classes. Transports made by a loop have no public class, so
their names are in angle brackets. Nothing is closed, because what was copied and called wrongly can't be; the process
just ends.
"""

import os
import socket
from typing import Any


async def make(aio: Any) -> dict[str, Any]:
    """Returns instances by name; `aio` is asyncio, or ferrio in its place."""
    loop = aio.get_running_loop()
    forever = loop.create_future()

    async def wait_for_ever() -> None:
        await forever

    reader, writer = await aio.open_connection(sock=_one_of_a_pair())
    transport, _ = await loop.create_connection(aio.Protocol, sock=_one_of_a_pair())
    datagrams, _ = await loop.create_datagram_endpoint(aio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    reading, writing = os.pipe()
    read_pipe, _ = await loop.connect_read_pipe(aio.Protocol, os.fdopen(reading, "rb", 0))
    write_pipe, _ = await loop.connect_write_pipe(aio.BaseProtocol, os.fdopen(writing, "wb", 0))
    server = await loop.create_server(aio.Protocol, "127.0.0.1", 0)
    # It ends when its input does, together with this process.
    process = await aio.create_subprocess_exec("cat", stdin=aio.subprocess.PIPE)
    other_loop = aio.new_event_loop()
    return {
        "Future": forever,
        "Task": loop.create_task(wait_for_ever(), name="the task"),
        "Handle": loop.call_soon(len, ()),
        "TimerHandle": loop.call_later(3600, len, ()),
        "Lock": aio.Lock(),
        "Event": aio.Event(),
        "Condition": aio.Condition(),
        "Semaphore": aio.Semaphore(2),
        "BoundedSemaphore": aio.BoundedSemaphore(2),
        "Barrier": aio.Barrier(2),
        "Queue": aio.Queue(3),
        "PriorityQueue": aio.PriorityQueue(3),
        "LifoQueue": aio.LifoQueue(3),
        "Runner": aio.Runner(),
        "TaskGroup": aio.TaskGroup(),
        "Timeout": aio.timeout(None),
        "StreamReader": reader,
        "StreamWriter": writer,
        "StreamReaderProtocol": writer.transport.get_protocol(),
        "Server": server,
        "SelectorEventLoop": other_loop,
        "subprocess.Process": process,
        "<socket transport>": transport,
        "<datagram transport>": datagrams,
        "<read pipe>": read_pipe,
        "<write pipe>": write_pipe,
        "<subprocess transport>": process._transport,
        "<gathering>": aio.gather(forever),
        "<shield>": aio.shield(forever),
    }


def _one_of_a_pair() -> socket.socket:
    near, far = socket.socketpair()
    _PEERS.append(far)
    return near


_PEERS: list[socket.socket] = []
