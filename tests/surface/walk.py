"""What there is to compare: each public name of asyncio, and each attribute of each class.

asyncio and ferrio are walked in the same way. asyncio decides which names count; ferrio's additional names are walked
but never compared. Instances come from `instances.py`, private names from `private.py`.
"""

import asyncio
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

from tests.surface.private import PRIVATE

MISSING = object()

# Submodules for other systems, programs, and the parts of asyncio's own loop, which no program imports.
LEFT_OUT = {"__main__", "tools", "windows_events", "windows_utils", "proactor_events"}
LEFT_OUT |= {"base_subprocess", "selector_events", "unix_events"}
# Attributes that tell how a class was written rather than what it does, and those that the interpreter calls.
STRUCTURE = set(dir(object)) | {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__class_getitem__",
    "__conditional_annotations__",
    "__del__",
    "__dict__",
    "__final__",
    "__firstlineno__",
    "__module__",
    "__orig_bases__",
    "__parameters__",
    "__slotnames__",
    "__slots__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}


@dataclasses.dataclass
class Subject:
    """One thing on the surface: a name in a module, or an attribute of a class."""

    path: str
    #: What the class holds, found without calling anything; for a name in a module, its value.
    value: Any
    #: What an instance holds; `MISSING` where there is no instance, or where it raises.
    bound: Any = MISSING
    #: The class that has the attribute.
    owner: type | None = None

    @property
    def in_use(self) -> Any:
        """Returns what a program gets: the instance's value if there is one, otherwise the class's or the module's."""
        return self.value if self.bound is MISSING else self.bound

    @property
    def is_callable(self) -> bool:
        return callable(self.in_use) and not inspect.isclass(self.in_use)


def public_names() -> dict[str, str]:
    """Returns public names as `name` or `module.name`, each with the module it is looked up in ("" is the package).

    Call this before `install()`; the result is the same for everything that is compared.
    """
    names = dict.fromkeys(["SelectorEventLoop", *asyncio.__all__, *dir(asyncio)], "")
    names = {name: "" for name in names if not name.startswith("_") and not inspect.ismodule(_lookup(asyncio, name))}
    for module in submodules():
        standard = importlib.import_module(f"asyncio.{module}")
        listed = getattr(standard, "__all__", ())
        for name, value in vars(standard).items():
            if getattr(value, "__module__", None) != standard.__name__ or name.startswith("_") or name in names:
                continue
            # A list of public names may leave out functions on purpose, but programs derive from classes.
            if not listed or name in listed or inspect.isclass(value):
                names[f"{module}.{name}"] = module
    return names


def other_names(names: dict[str, str]) -> dict[str, str]:
    """Returns names that are only aliases of an earlier name: `EventLoop` of `SelectorEventLoop`."""
    first: dict[int, str] = {}
    found = {}
    for path, module in names.items():
        value = find("asyncio", path, module)
        if inspect.isclass(value) and first.setdefault(id(value), path) != path:
            found[path] = first[id(value)]
    return found


def submodules() -> list[str]:
    """Returns the names of asyncio's modules that a program on this system may import."""
    return sorted(found.name for found in pkgutil.iter_modules(asyncio.__path__) if found.name not in LEFT_OUT)


def find(package: str, path: str, module: str) -> Any:
    """Returns the object with that name in `package`, or `MISSING`."""
    try:
        place = importlib.import_module(f"{package}.{module}" if module else package)
    except ImportError:
        return MISSING
    return _lookup(place, path.rpartition(".")[2])


def attributes(path: str, owner: type, instance: Any = MISSING) -> Iterator[Subject]:
    """Yields a class's attributes: public ones, special ones that `object` lacks, and private ones in use."""
    listed = PRIVATE.get(path, {})
    names = set(dir(owner)) | (set() if instance is MISSING else set(dir(instance)))
    for name in sorted(names | set(listed)):
        private = name.startswith("_") and not (name.startswith("__") and name.endswith("__"))
        if name in STRUCTURE or (private and name not in listed):
            continue
        try:
            static = inspect.getattr_static(owner, name)
        except AttributeError:
            static = MISSING
        value = _lookup(owner, name)
        bound = MISSING if instance is MISSING else _lookup(instance, name)
        if static is MISSING and value is MISSING and bound is MISSING:
            continue
        yield Subject(f"{path}.{name}", static if value is MISSING else value, bound, owner)


def _lookup(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except Exception:  # deprecated names warn, which is an error in tests, and properties may raise anything
        return MISSING
