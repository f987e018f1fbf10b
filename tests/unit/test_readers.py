"""`add_reader`, `add_writer` and their removal: level-triggered callbacks on descriptors.

The underscored names, which libraries with their own transports use, do the same without a check.
"""

import contextvars
import gc
import os
import socket
import weakref

import pytest
from tests.unit.connections import pair_with_number

import ferrio


async def until(condition):
    """Lets turns pass until `condition()` holds; pytest's timeout ends a wait that never does."""
    import asyncio

    while not condition():
        await asyncio.sleep(0)


async def some_turns(loop, count=10):
    """Lets `count` polls of the descriptors pass."""
    for _ in range(count):
        turn = loop.create_future()
        loop.call_later(0, turn.set_result, None)
        await turn


@pytest.mark.parametrize("prefix", ["", "_"])
@pytest.mark.parametrize("as_number", [True, False])
def test_reader_is_called_while_there_is_input(loop, run, pair, prefix, as_number):
    ours, theirs = pair
    seen = []
    given = ours.fileno() if as_number else ours

    def read(*args):
        seen.append((args, ours.recv(1)))

    async def main():
        getattr(loop, prefix + "add_reader")(given, read, 1, "two")
        await some_turns(loop)
        assert seen == []
        theirs.send(b"abc")
        await until(lambda: len(seen) == 3)
        await some_turns(loop)
        assert seen == [((1, "two"), b"a"), ((1, "two"), b"b"), ((1, "two"), b"c")]
        assert getattr(loop, prefix + "remove_reader")(given) is True
        assert getattr(loop, prefix + "remove_reader")(given) is False
        theirs.send(b"d")
        await some_turns(loop)
        assert len(seen) == 3

    run(main())


@pytest.mark.parametrize("prefix", ["", "_"])
def test_writer_is_called_while_there_is_room(loop, run, pair, prefix):
    ours, _ = pair
    seen = []

    async def main():
        getattr(loop, prefix + "add_writer")(ours, seen.append, None)
        await until(lambda: len(seen) >= 3)
        assert getattr(loop, prefix + "remove_writer")(ours) is True
        assert getattr(loop, prefix + "remove_writer")(ours) is False
        seen.clear()
        await some_turns(loop)
        assert seen == []

    run(main())


def test_both_sides_of_one_descriptor_are_independent(loop, run, pair):
    ours, theirs = pair
    seen = []

    async def main():
        loop.add_reader(ours, lambda: seen.append(ours.recv(9)))
        loop.add_writer(ours, lambda: seen.append("room") or loop.remove_writer(ours))
        await until(lambda: "room" in seen)
        await some_turns(loop)
        assert seen == ["room"]
        theirs.send(b"x")
        await until(lambda: b"x" in seen)
        loop.add_writer(ours, lambda: seen.append("more") or loop.remove_writer(ours))
        assert loop.remove_reader(ours)
        await until(lambda: "more" in seen)
        theirs.send(b"y")
        await some_turns(loop)
        assert seen == ["room", b"x", "more"]

    run(main())


def test_second_reader_replaces_and_cancels_the_first(loop, run, pair):
    ours, theirs = pair
    seen = []

    async def main():
        first = loop._add_reader(ours, seen.append, "first")
        loop.add_reader(ours, lambda: seen.append(ours.recv(9)))
        assert first.cancelled()
        theirs.send(b"x")
        await until(lambda: seen)
        loop.remove_reader(ours)
        assert seen == [b"x"]

    run(main())


def test_removal_cancels_the_queued_callback(loop, run, pair):
    # One poll reports both readers as ready; whichever runs first removes the other.
    ours, theirs = pair
    seen = []

    def read(mine, other):
        seen.append(mine)
        loop.remove_reader(other)
        loop.remove_reader(mine)

    async def main():
        loop.add_reader(ours, read, ours, theirs)
        loop.add_reader(theirs, read, theirs, ours)
        ours.send(b"x")
        theirs.send(b"y")
        await until(lambda: seen)
        await some_turns(loop)
        assert len(seen) == 1

    run(main())


def test_cancelled_handle_is_removed_at_its_next_event(loop, run, pair):
    ours, theirs = pair

    async def main():
        loop._add_reader(ours, print).cancel()
        theirs.send(b"x")
        await some_turns(loop)
        assert loop.remove_reader(ours) is False

    run(main())


def test_hang_up_wakes_reader_and_writer(loop, run, pair):
    ours, theirs = pair
    seen = []
    try:
        while True:
            ours.send(bytes(65536))
    except BlockingIOError:
        pass

    async def main():
        loop.add_reader(ours, lambda: seen.append("reader") or loop.remove_reader(ours))
        loop.add_writer(ours, lambda: seen.append("writer") or loop.remove_writer(ours))
        await some_turns(loop)
        assert seen == []
        theirs.close()
        await until(lambda: len(seen) == 2)
        assert seen == ["reader", "writer"]

    run(main())


def test_pipe_without_a_reader_wakes_its_writer(loop, run):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken = []

    async def main():
        while True:
            try:
                os.write(writer, bytes(65536))
            except BlockingIOError:
                break
        loop.add_writer(writer, lambda: woken.append(1) or loop.remove_writer(writer))
        await some_turns(loop)
        assert not woken
        os.close(reader)
        await until(lambda: woken)

    try:
        run(main())
    finally:
        os.close(writer)


def test_callback_runs_in_the_context_of_its_registration(loop, run, pair):
    ours, theirs = pair
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    async def main():
        variable.set("inside")
        loop.add_reader(ours, lambda: seen.append(variable.get()) or loop.remove_reader(ours))
        variable.set("later")
        theirs.send(b"x")
        await until(lambda: seen)
        assert seen == ["inside"]

    run(main())


def test_exception_of_the_callback_is_reported_and_it_stays(loop, run, pair):
    ours, theirs = pair
    problems = []
    loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))

    def read():
        ours.recv(1)
        raise ValueError("in the reader")

    async def main():
        loop.add_reader(ours, read)
        theirs.send(b"ab")
        await until(lambda: len(problems) == 2)
        assert {type(problem) for problem in problems} == {ValueError}
        assert loop.remove_reader(ours)

    run(main())


@pytest.mark.parametrize("method", ["add_reader", "add_writer", "_add_reader", "_add_writer"])
def test_object_without_a_descriptor_is_refused(loop, method):
    add = getattr(loop, method)
    with pytest.raises(ValueError, match="-1"):
        add(-1, print)
    with pytest.raises(ValueError, match="no descriptor"):
        add("no descriptor", print)

    class Closed:
        def fileno(self):
            return -1

    with pytest.raises(ValueError, match="-1"):
        add(Closed(), print)


@pytest.mark.parametrize("method", ["remove_reader", "remove_writer", "_remove_reader", "_remove_writer"])
def test_removing_an_object_without_a_descriptor_is_refused(loop, method):
    with pytest.raises(ValueError, match="-1"):
        getattr(loop, method)(-1)
    with pytest.raises(ValueError):
        getattr(loop, method)(None)


def test_closed_descriptor_and_regular_file_raise_the_systems_errors(loop, pair):
    ours, _ = pair
    copy = os.dup(ours.fileno())
    os.close(copy)
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_reader(copy, print)
    with open(__file__) as file, pytest.raises(PermissionError):
        loop.add_reader(file, print)
    assert loop.remove_reader(copy) is False


def test_socket_that_was_closed_first_can_still_be_removed(loop, run, pair):
    ours, _ = pair

    async def main():
        loop.add_reader(ours, print)
        ours.close()
        assert loop.remove_reader(ours) is True
        with pytest.raises(ValueError, match="-1"):
            loop.remove_reader(ours)

    run(main())


def test_reused_descriptor_number_can_be_registered():
    # asyncio's second add_reader raises FileNotFoundError.
    loop = ferrio.new_event_loop()
    seen = []

    async def main():
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        loop.add_reader(ours, print)
        ours.close()
        theirs.close()
        again, peer = pair_with_number(number)
        with again, peer:
            loop.add_reader(again, lambda: seen.append(again.recv(9)))
            peer.send(b"x")
            await until(lambda: seen)
            assert loop.remove_reader(again)

    loop.run_until_complete(main())
    loop.close()
    assert seen == [b"x"]


def test_closed_loop(loop, pair):
    ours, _ = pair
    loop.add_reader(ours, print)
    loop.close()
    assert loop.remove_reader(ours) is False
    assert loop.remove_writer(ours) is False
    with pytest.raises(RuntimeError, match="closed"):
        loop.add_reader(ours, print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.add_writer(ours, print)


def test_busy_loop_still_polls_its_descriptors(loop, run, pair):
    ours, theirs = pair
    seen = []

    async def main():
        loop.add_reader(ours, lambda: seen.append(ours.recv(9)))
        theirs.send(b"x")

        def again():
            if not seen:
                loop.call_soon(again)

        again()
        await until(lambda: seen)
        loop.remove_reader(ours)

    run(main())


def test_interrupt_among_several_events_loses_none_of_them(pair):
    # The reader's exception leaves run_forever(); the next run handles the other events of the same poll.
    loop = ferrio.new_event_loop()
    ours, theirs = pair

    def interrupt():
        loop.remove_reader(theirs)
        raise KeyboardInterrupt

    async def receive():
        return await loop.sock_recv(ours, 9)

    receiving = loop.create_task(receive())
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.add_reader(theirs, interrupt)
    ours.send(b"x")
    theirs.send(b"y")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert loop.run_until_complete(receiving) == b"y"
    loop.close()


def test_cycle_through_a_reader_is_collected(aio, pair):
    class Witness:
        pass

    def build():
        loop = aio.new_event_loop()
        witness = Witness()
        witness.loop = loop
        loop.add_reader(pair[0], lambda: witness)
        loop.run_until_complete(aio.sleep(0))
        loop.close()
        return weakref.ref(witness)

    gone = build()
    gc.collect()
    assert gone() is None
