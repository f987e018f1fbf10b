"""`call_soon`, `call_later`, `call_at` and `call_soon_threadsafe`: positional and keyword arguments."""

import contextvars

import pytest


def test_callback_by_keyword(aio, loop):
    called = []
    loop.call_soon(callback=lambda: called.append("soon"))
    loop.call_soon_threadsafe(callback=lambda: called.append("threadsafe"))
    loop.call_later(delay=0, callback=lambda: called.append("later"))
    loop.call_at(when=loop.time() + 0.001, callback=loop.stop)
    loop.run_forever()
    assert called == ["soon", "threadsafe", "later"]


def test_context_by_keyword(aio, loop):
    variable = contextvars.ContextVar("variable", default="outside")
    context = contextvars.copy_context()
    context.run(variable.set, "inside")
    seen = []
    for call in (loop.call_soon, loop.call_soon_threadsafe):
        call(lambda: seen.append(variable.get()), context=context)
    loop.call_later(0, lambda: seen.append(variable.get()), context=context)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == ["inside"] * 3


@pytest.mark.parametrize("arguments", [(), (1, 2, 3)])
def test_wrong_keyword_is_refused(aio, loop, arguments):
    with pytest.raises(TypeError, match="spam"):
        loop.call_soon(print, *arguments, spam=1)


def test_missing_callback_is_named(aio, loop):
    with pytest.raises(TypeError, match="callback"):
        loop.call_soon()
    with pytest.raises(TypeError, match="callback"):
        loop.call_later(1)
