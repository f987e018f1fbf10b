"""Parameters have the same names, kinds and defaults as in asyncio.

`_offers` says what may differ: ferrio has newer Pythons' parameters on every Python.
"""

import asyncio
import inspect

import pytest
from tests.unit import test_functions as functions

import ferrio


# asyncio's private methods and finalizers have parameters that save a look-up (`_warn=warnings.warn`,
# `heappop=heappop`). Constructors are checked through their classes.
def _is_public(name):
    return name[0] != "_" or (name.startswith("__") and name not in ("__del__", "__init__"))


def _is_default(parameter):
    return parameter.default is not parameter.empty or parameter.kind in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _text(parameter):
    default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
    return f"{parameter.kind.description} {parameter.name}{default}"


def _offers(theirs, ours):
    """Returns what `ours` lacks, as texts; a call must be able to omit what it adds."""
    theirs, ours = theirs.parameters, ours.parameters
    keywords = [parameter for parameter in ours.values() if parameter.kind is parameter.VAR_KEYWORD]
    missing = []
    for name, parameter in theirs.items():
        offered = ours.get(name)
        if offered is None and parameter.kind is parameter.KEYWORD_ONLY and keywords:
            continue  # from 3.14 on these are passed to a task factory unchanged
        if offered is None or _text(offered) != _text(parameter):
            missing.append(f"{_text(parameter)} (here: {offered and _text(offered)})")
    positional = [name for name, parameter in theirs.items() if parameter.kind <= parameter.POSITIONAL_OR_KEYWORD]
    if list(ours)[: len(positional)] != positional:
        missing.append(f"the order of {positional}")
    missing += [f"not {_text(ours[name])}" for name in ours if name not in theirs and not _is_default(ours[name])]
    return missing


@pytest.mark.parametrize("name", functions._FUNCTIONS)
def test_function(name):
    assert _offers(inspect.signature(getattr(asyncio, name)), inspect.signature(getattr(ferrio, name))) == []


def _methods():
    for parameter in functions._methods():
        theirs, ours = parameter.values
        if _is_public(theirs.__name__) and inspect.isfunction(ours):
            yield pytest.param(inspect.signature(theirs), inspect.signature(ours), id=parameter.id)


@pytest.mark.parametrize(("theirs", "ours"), list(_methods()))
def test_method(theirs, ours):
    assert _offers(theirs, ours) == []


# Classes that programs instantiate; loops make the transports and protocols of TLS.
_MADE = [
    name
    for name, (theirs, _) in functions._CLASSES.items()
    if theirs is getattr(asyncio, name, None) and not issubclass(theirs, asyncio.AbstractEventLoop)
]


@pytest.mark.parametrize("name", _MADE)
def test_constructor(name):
    theirs, ours = functions._CLASSES[name]
    try:
        expected = inspect.signature(theirs)
    except ValueError:
        pytest.skip("asyncio's class is written in C and has no signature")
    assert _offers(expected, inspect.signature(ours)) == []


@pytest.mark.parametrize(
    ("method", "keywords"),
    [
        ("set_debug", {"enabled": False}),
        ("set_exception_handler", {"handler": None}),
        ("set_task_factory", {"factory": None}),
        ("call_soon", {"callback": print}),
        ("call_later", {"delay": 1000, "callback": print}),
        ("remove_reader", {"fd": 0}),
        ("remove_writer", {"fd": 0}),
    ],
)
def test_by_keyword(aio, loop, method, keywords):
    getattr(loop, method)(**keywords)


def test_problems_by_keyword(aio, loop):
    told = []
    loop.set_exception_handler(handler=lambda loop, context: told.append(context["message"]))
    loop.call_exception_handler(context={"message": "by keyword"})
    assert told == ["by keyword"]


def test_end_of_a_block_by_keyword(aio):
    async def main():
        lock = aio.Lock()
        await lock.acquire()
        await lock.__aexit__(exc_type=None, exc=None, tb=None)
        async with aio.timeout(10) as timeout:
            pass
        return lock.locked(), timeout.expired()

    if not hasattr(aio, "timeout"):
        pytest.skip("asyncio has this class from 3.11 on")
    assert aio.run(main()) == (False, False)
