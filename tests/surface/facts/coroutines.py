"""Whether something is a coroutine function by every check and in every form, and whether it is a routine."""

import asyncio
import functools
import inspect
from collections.abc import Iterator

from tests.surface.facts.words import outcome
from tests.surface.walk import MISSING, Subject


def facts(subject: Subject) -> Iterator[tuple[str, str]]:
    if not subject.is_callable:
        return
    forms = {"unbound": subject.value, "bound": subject.bound, "partial": functools.partial(subject.in_use)}
    for form, function in forms.items():
        if function is MISSING:
            continue
        yield f"coroutine function, {form}", str(inspect.iscoroutinefunction(function))
        asked = outcome(lambda function=function: _asyncios_answer(function), str)
        yield f"coroutine function for asyncio, {form}", asked
    yield "a routine", str(inspect.isroutine(subject.in_use))
    yield "generator function", str(inspect.isgeneratorfunction(subject.in_use))
    yield "asynchronous generator function", str(inspect.isasyncgenfunction(subject.in_use))


def _asyncios_answer(function: object) -> bool:
    return asyncio.iscoroutinefunction(function)
