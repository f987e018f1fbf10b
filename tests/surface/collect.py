"""Collects the surface of one of three worlds as JSON: `python -m tests.surface.collect WORLD`.

The worlds are `asyncio`; `ferrio`, in its place (`import ferrio as asyncio`); and `installed`, asyncio after
`ferrio.install()`. Each is collected in its own process, so that none sees what another did.
"""

import collections.abc
import importlib
import inspect
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from tests.surface import instances, walk
from tests.surface.facts import coroutines, mocks, objects, presence, relations, signatures
from tests.surface.walk import MISSING, Subject

OF_A_SUBJECT = (
    presence.facts,
    presence.documentation,
    presence.module,
    signatures.facts,
    coroutines.facts,
    mocks.facts,
)


def collect(world: str, show: Callable[[dict[str, dict[str, str]]], None]) -> None:
    """Calls `show` with the facts about everything public in that world: a dict by path of dicts by aspect."""
    names = walk.public_names()
    others = walk.other_names(names)
    standard = _standard_classes(names)
    package = "ferrio" if world == "ferrio" else "asyncio"
    if world == "installed":
        importlib.import_module("ferrio").install()
    found: dict[str, dict[str, str]] = {}

    async def main() -> None:
        made = await instances.make(importlib.import_module(package))
        for path, module in names.items():
            value = walk.find(package, path, module)
            if value is not MISSING:
                _look_at(found, Subject(path, value))
                if path in others:
                    same = value is walk.find(package, others[path], names[others[path]])
                    found[path] = {"presence": "there", f"another name of {others[path]}": str(same)}
                elif inspect.isclass(value):
                    _look_at_class(found, path, value, made.get(path, MISSING), standard)
        for path, instance in made.items():
            if path.startswith("<"):
                _look_at_class(found, path, type(instance), instance, standard)
        for module in walk.submodules():
            if walk.find(package, "__name__", module) is not MISSING:
                found[f"{module} (module)"] = {"presence": "there"}
        show(found)

    importlib.import_module(package).run(main())


def _end_with(found: dict[str, dict[str, str]]) -> None:
    """Prints everything and ends the process at once, because nothing in it is as it was."""
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.flush()
    os._exit(0)


def _look_at(found: dict[str, dict[str, str]], subject: Subject) -> None:
    facts = found.setdefault(subject.path, {})
    for ask in OF_A_SUBJECT:
        facts.update(ask(subject))


def _look_at_class(
    found: dict[str, dict[str, str]], path: str, cls: type, instance: Any, standard: dict[str, type]
) -> None:
    facts = found.setdefault(path, {"presence": "there"})
    facts.update(relations.facts(cls, instance, standard))
    if issubclass(cls, BaseException) or inspect.getmodule(cls) is None:
        return
    public = not path.startswith("<")
    if public:
        facts.update(objects.of_class(cls))
        facts.update(mocks.of_class(cls, instance))
    # Calling abstract methods tells nothing.
    for subject in walk.attributes(path, cls, instance):
        _look_at(found, subject)
    if instance is not MISSING:
        facts.update(objects.facts(cls, instance))


def _standard_classes(names: dict[str, str]) -> dict[str, type]:
    values = {name: walk.find("asyncio", name, module) for name, module in names.items()}
    classes = {
        name: value
        for name, value in values.items()
        if isinstance(value, type) and not issubclass(value, BaseException)
    }
    for name in relations.ABSTRACT:
        classes[name] = getattr(collections.abc, name)
    return classes


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    collect(sys.argv[1], _end_with)
