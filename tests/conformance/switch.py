"""Puts an implementation in asyncio's place, before anything else binds asyncio.

* module mode: `import asyncio` gives the implementation, submodules too. What the implementation has not got under a
  public name stays missing; private names that test modules import are borrowed from the standard library, so that they
  can be imported at all.
* loop mode: the standard asyncio, and whichever way a program makes a loop it gets the implementation's.

Used by worker.py alone, in a process of its own: nothing is undone. `asyncio` itself as the implementation is the
identity in both modes, which is how the runner is checked.
"""

import importlib
import pkgutil
import sys
import types
from collections.abc import Callable

# Underscored names that count as public: documented for those who write loops, or a protocol between libraries.
_OFFERED_NAMES = frozenset({
    "_asyncio_future_blocking",
    "_enter_task",
    "_get_running_loop",
    "_is_coroutine",
    "_leave_task",
    "_log_destroy_pending",
    "_register_task",
    "_set_running_loop",
    "_swap_current_task",
    "_unregister_task",
    "_wait",
})  # fmt: skip

# CPython keeps both a C and a Python version of some things under these prefixes; we have one of each.
_TWIN_PREFIXES = ("_c_", "_py_", "_C", "_Py")


class Implementation:
    """What has been put in asyncio's place, and how many loops it made."""

    def __init__(self, name: str, module: types.ModuleType, factory: Callable, standard: types.ModuleType):
        self.name = name
        self.module = module
        #: The standard library's asyncio, whatever `import asyncio` now gives.
        self.standard = standard
        self.loops_made = 0
        self._factory = factory
        self._loop_class: type | None = None

    @property
    def is_identity(self) -> bool:
        """True where the implementation is the standard asyncio itself."""
        return self.module is self.standard

    def new_loop(self):
        """Makes a loop and counts it."""
        self.loops_made += 1
        return self._factory()

    def loop_class(self) -> type:
        """The class of the implementation's loops."""
        if self._loop_class is None:
            loop = self._factory()
            self._loop_class = type(loop)
            loop.close()
        return self._loop_class


def switch(name: str, mode: str) -> Implementation:
    """Puts the importable module `name` in asyncio's place. To be called once, first thing in the process."""
    standard = importlib.import_module("asyncio")
    module = importlib.import_module(name)
    # Not asyncio.new_event_loop for the identity: that one asks the policy, which asks us.
    factory = (
        importlib.import_module("asyncio.unix_events")._UnixSelectorEventLoop
        if module is standard
        else module.new_event_loop
    )
    implementation = Implementation(name, module, factory, standard)
    if mode == "loop":
        _switch_loops(implementation)
    elif not implementation.is_identity:
        _switch_modules(implementation)
    return implementation


# ---------------------------------------------------------------------------------------------------------- loop mode


def _switch_loops(implementation: Implementation) -> None:
    import asyncio
    from asyncio import events, unix_events

    standard_policy = getattr(unix_events, "_UnixDefaultEventLoopPolicy", None) or unix_events.DefaultEventLoopPolicy

    class Policy(standard_policy):
        """Makes the implementation's loops; child watchers stay the standard policy's, for programs that set one."""

        def _loop_factory(self):
            return implementation.new_loop()

        def set_event_loop(self, loop):
            if implementation.is_identity:
                super().set_event_loop(loop)
            else:
                # Past the standard policy's own method, which would tie its child watcher to the loop.
                super(standard_policy, self).set_event_loop(loop)

    # The names that asyncio itself goes back to when a program resets the policy to None.
    for module in (asyncio, unix_events):
        for name in ("DefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
            if name in vars(module):
                setattr(module, name, Policy)
    events._event_loop_policy = Policy()
    if implementation.is_identity:
        return

    class AnyLoop(type):
        """Makes a class whose calls give the implementation's loop and whose instances are all of those."""

        def __call__(cls, selector=None):
            return implementation.new_loop()

        def __instancecheck__(cls, instance):
            return isinstance(instance, implementation.loop_class())

    stand_in = AnyLoop("SelectorEventLoop", (), {})
    for name in ("SelectorEventLoop", "EventLoop"):
        if hasattr(asyncio, name):
            setattr(asyncio, name, stand_in)


# -------------------------------------------------------------------------------------------------------- module mode


def _switch_modules(implementation: Implementation) -> None:
    standard, module = implementation.standard, implementation.module
    # All of the standard submodules first: some import others by the name that is about to change hands.
    originals = {}
    for info in pkgutil.iter_modules(standard.__path__):
        if info.name != "__main__" and not info.name.startswith("windows"):
            originals[info.name] = importlib.import_module("asyncio." + info.name)

    # These bound the standard asyncio if they were imported before; they are to bind the new one.
    for name in list(sys.modules):
        if name.startswith(("unittest.async_case", "unittest.mock", "test.")):
            del sys.modules[name]

    sys.modules["asyncio"] = module
    replaced = {}
    for name, original in originals.items():
        if name in ("proactor_events", "tools"):
            # Not replaced: the loops of Windows (tests ask whether theirs is one of them), and the look at another
            # process, whose tests are about what it makes of what it saw.
            replaced[name] = original
            setattr(module, name, original)
            continue
        try:
            submodule = importlib.import_module(f"{implementation.name}.{name}")
        except ImportError:
            submodule = types.ModuleType("asyncio." + name)
        replaced[name] = submodule
        _fill(submodule, original, module, frozenset(standard.__all__))
        sys.modules["asyncio." + name] = submodule
        if not hasattr(module, name):  # `asyncio.timeouts` yes, but never over a function such as ferrio.timeout
            setattr(module, name, submodule)

    # Test modules reach `asyncio.tasks.events`: links between submodules, now that all of them exist.
    for name, original in originals.items():
        for attribute, value in vars(original).items():
            if isinstance(value, types.ModuleType) and value.__name__.startswith("asyncio."):
                linked = replaced.get(value.__name__.partition(".")[2])
                if linked is not None and attribute not in vars(replaced[name]):
                    setattr(replaced[name], attribute, linked)


def _fill(
    submodule: types.ModuleType, original: types.ModuleType, top: types.ModuleType, exported: frozenset[str]
) -> None:
    """Completes the implementation's version of a submodule with what test modules import from it.

    `exported`: what `asyncio` offers under its own name.
    """
    # The package does not export all that its submodules do (`selector_events` its loop).
    public = frozenset(getattr(original, "__all__", ())) & exported
    for attribute, value in vars(original).items():
        if attribute.startswith("__") or attribute in vars(submodule):
            continue
        if attribute in public or attribute in _OFFERED_NAMES:
            # Only the implementation's own: a public name that it has not got must be seen to be missing.
            if hasattr(top, attribute):
                setattr(submodule, attribute, getattr(top, attribute))
            continue
        twin = _twin(attribute, submodule, top)
        if twin is not None:
            setattr(submodule, attribute, twin)
        elif isinstance(value, types.ModuleType) and value.__name__.startswith("asyncio."):
            continue  # linked afterwards
        elif not attribute.startswith(("_C", "_c_")):
            setattr(submodule, attribute, value)
    if public and not hasattr(submodule, "__all__"):
        submodule.__all__ = tuple(name for name in public if hasattr(submodule, name))


def _twin(attribute: str, submodule: types.ModuleType, top: types.ModuleType):
    """The implementation's object for a name such as `_CTask` or `_py_current_task`, or None."""
    for prefix in _TWIN_PREFIXES:
        if attribute.startswith(prefix):
            bare = attribute.removeprefix(prefix)
            for name in (bare, "_" + bare):
                for place in (submodule, top):
                    if hasattr(place, name):
                        return getattr(place, name)
            return None
    return None
