"""Whatever asyncio defines with `def` or `async def` looks like such a function on ferrio too.

The first tests walk asyncio's modules and classes, so no function can be forgotten.
"""

import asyncio
import asyncio.base_events
import asyncio.selector_events
import asyncio.sslproto
import asyncio.unix_events
import copy
import functools
import gc
import inspect
import pickle
import types
import weakref

import pytest

import ferrio
from ferrio import _ferrio

_CLASSES = {
    name: (getattr(asyncio, name), getattr(ferrio, name))
    for name in asyncio.__all__
    if isinstance(getattr(asyncio, name), type) and getattr(ferrio, name, None) is not getattr(asyncio, name)
}
_CLASSES |= {
    "Process": (asyncio.subprocess.Process, ferrio.subprocess.Process),
    "SubprocessStreamProtocol": (
        asyncio.subprocess.SubprocessStreamProtocol,
        ferrio.subprocess.SubprocessStreamProtocol,
    ),
    "Server": (asyncio.base_events.Server, ferrio.Server),
    "SelectorEventLoop": (asyncio.SelectorEventLoop, ferrio.EventLoop),
    "SSLProtocol": (asyncio.sslproto.SSLProtocol, _ferrio.SSLProtocol),
    "SSLTransport": (asyncio.sslproto._SSLProtocolTransport, _ferrio.SSLTransport),
    "SocketTransport": (asyncio.selector_events._SelectorSocketTransport, _ferrio.SocketTransport),
    "DatagramTransport": (asyncio.selector_events._SelectorDatagramTransport, _ferrio.DatagramTransport),
    "ReadPipeTransport": (asyncio.unix_events._UnixReadPipeTransport, _ferrio.ReadPipeTransport),
    "WritePipeTransport": (asyncio.unix_events._UnixWritePipeTransport, _ferrio.WritePipeTransport),
    "SubprocessTransport": (asyncio.unix_events._UnixSubprocessTransport, _ferrio.SubprocessTransport),
}
_FUNCTIONS = [
    name
    for name in asyncio.__all__
    if inspect.isfunction(getattr(asyncio, name)) and getattr(ferrio, name, None) is not getattr(asyncio, name)
]

# Methods that ferrio inherits from `object`, gets from the interpreter, or has in Python classes; see `tests/surface`.
_OF_NO_CLASS = {"__getattr__", "__setattr__", "__init__"}


def _methods():
    for name, (theirs, ours) in _CLASSES.items():
        for attribute in dir(theirs):
            function = inspect.getattr_static(theirs, attribute)
            offered = inspect.getattr_static(ours, attribute, None)
            if inspect.isfunction(function) and offered is not None and attribute not in _OF_NO_CLASS:
                yield pytest.param(function, offered, id=f"{name}.{attribute}")


@pytest.mark.parametrize(("theirs", "ours"), list(_methods()))
def test_method_is_a_function_of_the_same_kind(theirs, ours):
    if isinstance(ours, types.WrapperDescriptorType) and ours.__objclass__ is object:
        pytest.skip("the class inherits the method from `object`")
    assert inspect.isfunction(ours)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    assert inspect.isgeneratorfunction(ours) == inspect.isgeneratorfunction(theirs)


@pytest.mark.parametrize("name", _FUNCTIONS)
def test_function_is_of_the_same_kind(name):
    theirs, ours = getattr(asyncio, name), getattr(ferrio, name)
    assert inspect.isfunction(ours)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


def _native():
    """Returns all native functions of the extension module, with their names there."""
    for name, shown in vars(_ferrio).items():
        if inspect.isfunction(shown):
            yield name, shown
        elif isinstance(shown, type):
            yield from (
                (f"{name}.{attribute}", member)
                for attribute, member in vars(shown).items()
                if inspect.isfunction(member)
            )


NATIVE = dict(_native())


@pytest.mark.parametrize("name", list(NATIVE))
def test_attributes_agree(name):
    function = NATIVE[name]
    signature = inspect.signature(function)
    code = function.__code__
    assert function.__name__ == code.co_name == name.rpartition(".")[2]
    assert function.__qualname__ == name == getattr(code, "co_qualname", name)
    assert bool(code.co_flags & inspect.CO_COROUTINE) == inspect.iscoroutinefunction(function)
    assert [parameter.name for parameter in signature.parameters.values()] == sorted(
        code.co_varnames, key=list(signature.parameters).index
    )
    if function.__name__[0] != "_":
        assert function.__doc__, "a public function is documented"
    assert function.__doc__ is None or "code object" not in function.__doc__
    assert function.__annotations__ == {}
    assert function.__closure__ is None
    if "." in name:
        assert next(iter(signature.parameters)) == "self"


@pytest.mark.parametrize("name", list(NATIVE))
def test_copy_or_pickle_of_a_function_is_the_function(name):
    function = NATIVE[name]
    assert copy.copy(function) is copy.deepcopy(function) is function
    if function.__module__ == "ferrio.tasks" and function.__qualname__.startswith(("EagerTask", "_AsCompleted")):
        pytest.skip("asyncio has no name for the class either")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(function, protocol)) is function


def test_functions_work_in_every_form(aio):
    class Subclass(aio.Queue):
        pass

    async def main():
        queue = Subclass()
        for function in (aio.Queue.put, queue.put, functools.partial(queue.put, 1), Subclass.put):
            assert inspect.iscoroutinefunction(function)
        assert inspect.ismethod(queue.put)
        assert queue.put.__func__ is aio.Queue.put
        assert queue.put.__self__ is queue
        assert queue.put == queue.put
        assert inspect.signature(queue.put) == inspect.signature(lambda item: None)
        await aio.Queue.put(queue, "unbound")
        await aio.Queue.put(self=queue, item="by name")
        return queue.get_nowait(), queue.get_nowait()

    assert aio.run(main()) == ("unbound", "by name")


def test_weak_method(aio, loop):
    for name in ("close", "call_soon", "create_task", "run_until_complete", "sock_recv"):
        method = weakref.WeakMethod(getattr(loop, name))
        assert method() == getattr(loop, name)
    queue = aio.Queue()
    method = weakref.WeakMethod(queue.put)
    del queue
    gc.collect()
    assert method() is None


@pytest.mark.parametrize(
    "call",
    [
        lambda aio: aio.Lock.locked(),
        lambda aio: aio.Lock().locked(1),
        lambda aio: aio.Lock().locked(spam=1),
        lambda aio: aio.Queue.put_nowait(item=1),
        lambda aio: aio.Queue().put_nowait(),
        lambda aio: aio.Queue().put_nowait(1, 2),
        lambda aio: aio.Queue().put_nowait(1, item=1),
        lambda aio: aio.Queue.__init__(),
        lambda aio: aio.isfuture(),
    ],
)
def test_wrong_calls_raise_type_error(aio, call):
    with pytest.raises(TypeError):
        call(aio)


def test_self_of_another_class():
    # asyncio's methods are written in Python: they accept any object, and fail on its attributes.
    with pytest.raises(TypeError, match="Queue"):
        ferrio.Queue.put_nowait(ferrio.Lock(), 1)
    with pytest.raises(TypeError, match="Queue"):
        ferrio.Queue.qsize(object())


def test_slots_are_also_reached_by_name(aio):
    class Quiet(aio.Event):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def __repr__(self):
            return f"<{self.name} {super().__repr__()}>"

    event = Quiet("quiet")
    assert repr(event).startswith("<quiet <")
    assert "unset" in repr(event)
    assert aio.Event.__repr__(event) in repr(event)
    with pytest.raises(TypeError):
        aio.Event(1, 2, 3)


def test_bound_methods_pickle_with_their_objects(loop):
    method = copy.copy(loop.call_soon)
    assert method == loop.call_soon
    assert method.__reduce__() == (getattr, (loop, "call_soon"))


def test_attributes_can_be_set_and_deleted(aio):
    function = aio.Queue.full
    document = function.__doc__
    function.mark = "here"
    function.__doc__ = "other"
    try:
        assert aio.Queue().full.mark == "here"
        assert aio.Queue.full.__doc__ == "other"
    finally:
        function.__doc__ = document
        del function.mark
    assert not vars(function)


def test_code_runs_in_another_function(aio):
    def copied(function):
        copied = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
        copied.__kwdefaults__ = function.__kwdefaults__
        return copied

    async def main():
        queue = aio.Queue()
        await copied(aio.Queue.put)(queue, 1)
        copied(aio.Queue.put_nowait)(queue, item=2)
        await copied(aio.sleep)(0)
        return await copied(aio.gather)(copied(aio.Queue.get)(queue), queue.get(), return_exceptions=True)

    assert aio.run(main()) == [1, 2]


def _calls_traced(self):
    return traced(self)  # noqa: F821


def test_code_can_be_replaced(aio):
    # Tracers wrap functions this way: they put new code into the function, and its old code into another.
    seen = []
    function = aio.Handle._run
    code = function.__code__
    inner = types.FunctionType(code, function.__globals__)

    def traced(self):
        seen.append(self)
        return inner(self)

    function.__globals__["traced"] = traced
    try:
        function.__code__ = _calls_traced.__code__
        loop = aio.new_event_loop()
        called = []
        handle = loop.call_later(1000, called.append, "called")
        handle._run()
        loop.close()
    finally:
        function.__code__ = code
        del function.__globals__["traced"]
    assert seen == [handle]
    assert called == ["called"]


def test_defaults_can_be_replaced(aio):
    defaults = aio.sleep.__defaults__
    assert defaults == (None,)
    aio.sleep.__defaults__ = ("other",)
    try:
        assert aio.run(aio.sleep(0)) == "other"
    finally:
        aio.sleep.__defaults__ = defaults
    assert aio.run(aio.sleep(0)) is None
