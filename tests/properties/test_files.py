"""Any sequence of operations on a file gives what the built-in file gives: values, exceptions, positions, content."""

import os
import tempfile

from hypothesis import given
from hypothesis import strategies as st

import ferrio

TEXT = st.text(alphabet="ab\n\r\té€𝄞", max_size=40)
LINES = st.lists(TEXT, max_size=4)
SIZES = st.one_of(st.integers(-2, 60), st.just(None), st.sampled_from([8191, 8192, 8193, 20_000, 300_000]))

# A method's name and arguments.
OPERATIONS = st.one_of(
    st.tuples(st.just("read"), st.tuples() | st.tuples(SIZES)),
    st.tuples(st.just("readline"), st.tuples() | st.tuples(st.integers(-1, 60))),
    st.tuples(st.just("readlines"), st.tuples() | st.tuples(st.integers(0, 60))),
    st.tuples(st.just("read1"), st.tuples() | st.tuples(st.integers(-1, 60))),
    st.tuples(st.just("readinto"), st.tuples(st.integers(0, 60).map(bytearray))),
    st.tuples(st.just("__next__"), st.tuples()),
    st.tuples(st.just("write"), st.tuples(TEXT)),
    st.tuples(st.just("write"), st.tuples(st.integers(1, 300_000).map(lambda count: "x" * count))),
    st.tuples(st.just("writelines"), st.tuples(LINES)),
    st.tuples(st.just("seek"), st.tuples(st.integers(-1, 100)) | st.tuples(st.integers(-5, 5), st.integers(0, 3))),
    st.tuples(st.just("truncate"), st.tuples() | st.tuples(st.integers(0, 100))),
    st.tuples(st.sampled_from(["tell", "flush", "readable", "writable", "seekable", "isatty", "close"]), st.tuples()),
)


@st.composite
def ways_to_open(draw):
    """Draws arguments of `open` after the path; `open` doesn't accept all of them."""
    mode = draw(st.sampled_from("rwxa")) + draw(st.sampled_from(["", "+"]))
    if draw(st.booleans()):
        return {"mode": mode + "b", "buffering": draw(st.sampled_from([-1, -1, 0, 16, 8192]))}
    return {
        "mode": mode,
        "buffering": draw(st.sampled_from([-1, -1, 1, 16])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "latin-1", "ascii", None])),
        "errors": draw(st.sampled_from([None, "strict", "replace"])),
        "newline": draw(st.sampled_from([None, "", "\n", "\r", "\r\n"])),
    }


def start_content():
    """Draws the file's first content: short texts, and long ones that no buffer holds."""
    short = TEXT.map(lambda text: text.encode())
    return st.one_of(st.none(), short, short, st.tuples(short, st.integers(1, 40_000)).map(lambda t: t[0] * t[1]))


def as_bytes(arguments):
    """Returns the same arguments for a binary file."""
    made = []
    for argument in arguments:
        if isinstance(argument, str):
            argument = argument.encode()
        elif isinstance(argument, list):
            argument = [line.encode() for line in argument]
        made.append(argument)
    return tuple(made)


def own(arguments):
    """Copies arguments, so that nothing else writes to them."""
    return tuple(bytearray(value) if isinstance(value, bytearray) else value for value in arguments)


def told(failure, path):
    """Returns an exception's message without the file's name."""
    return type(failure), str(failure).replace(path, "PATH")


async def ours(path, how, operations):
    seen = []
    try:
        file = await ferrio.open(path, **how)
    except Exception as failure:
        return [told(failure, path)]
    for name, arguments in operations:
        arguments = own(arguments)
        try:
            if name == "__next__":
                value = await anext(file)
            else:
                value = await getattr(file, name)(*arguments)
            seen.append((name, value, arguments, file.closed))
        except StopAsyncIteration:
            seen.append((name, "the end"))
        except Exception as failure:
            seen.append((name, told(failure, path)))
    try:
        await file.close()
    except Exception as failure:
        seen.append(told(failure, path))
    return seen


def theirs(path, how, operations):
    seen = []
    try:
        file = open(path, **how)  # noqa: SIM115  (closed below, as ours is)
    except Exception as failure:
        return [told(failure, path)]
    for name, arguments in operations:
        arguments = own(arguments)
        try:
            value = getattr(file, name)(*arguments)
            seen.append((name, value, arguments, file.closed))
        except StopIteration:
            seen.append((name, "the end"))
        except Exception as failure:
            seen.append((name, told(failure, path)))
    try:
        file.close()
    except Exception as failure:
        seen.append(told(failure, path))
    return seen


def content(path):
    """Returns the file's content, or `None` if there is no file."""
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()


@given(start_content(), ways_to_open(), st.lists(OPERATIONS, max_size=12))
def test_operations_do_what_the_built_in_files_do(start, how, operations):
    if "b" in how["mode"]:
        operations = [(name, as_bytes(arguments)) for name, arguments in operations]
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("one", "two")]
        for path in paths:
            if start is not None:
                with open(path, "wb") as file:
                    file.write(start)
        expected = theirs(paths[0], how, operations)
        assert ferrio.run(ours(paths[1], how, operations)) == expected
        assert content(paths[1]) == content(paths[0])
