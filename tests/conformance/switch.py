"""Puts an implementation in asyncio's place, before anything else binds asyncio.

* module mode: `import asyncio` gives the implementation, and so do its submodules. Public names that the
  implementation lacks stay missing. Private names that test modules import are borrowed from the standard library,
  so that those modules can be imported at all.
* loop mode: the standard asyncio stays, but every way of making a loop gives one of the implementation's.

Only worker.py uses this, in its own process: nothing is undone. With `asyncio` itself as the implementation, both
modes change nothing, which is how we check the runner.
"""

import importlib
import pkgutil
import sys
import types
from collections.abc import Callable

# Underscored names that count as public: documented for authors of event loops, or a protocol between libraries.
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

# CPython has both a C and a Python version of the names with these prefixes; we have one of each.
_TWIN_PREFIXES = ("_c_", "_py_", "_C", "_Py")


class Implementation:
    """What was put in asyncio's place, and how many loops it made."""

    def __init__(self, name: str, module: types.ModuleType, factory: Callable, standard: types.ModuleType):
        self.name = name
        self.module = module
        #: The standard library's asyncio, whatever `import asyncio` gives now.
        self.standard = standard
        self.loops_made = 0
        self._factory = factory
        self._loop_class: type | None = None

    @property
    def is_identity(self) -> bool:
        """Whether the implementation is the standard asyncio itself."""
        return self.module is self.standard

    def new_loop(self):
        """Makes a loop and counts it."""
        self.loops_made += 1
        return self._factory()

    def loop_class(self) -> type:
        """Returns the class of the implementation's loops."""
        if self._loop_class is None:
            loop = self._factory()
            self._loop_class = type(loop)
            loop.close()
        return self._loop_class


def switch(name: str, mode: str) -> Implementation:
    """Puts the importable module `name` in asyncio's place. Call it once, first thing in the process."""
    standard = importlib.import_module("asyncio")
    module = importlib.import_module(name)
    # For the identity this can't be asyncio.new_event_loop: that asks the policy, which asks us.
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
        """Makes the implementation's loops; child watchers remain the standard policy's, for programs that set one."""

        def _loop_factory(self):
            return implementation.new_loop()

        def set_event_loop(self, loop):
            if implementation.is_identity:
                super().set_event_loop(loop)
            else:
                # Skips the standard policy's own method, which would tie its child watcher to the loop.
                super(standard_policy, self).set_event_loop(loop)

    # The names that asyncio itself returns to when a program resets the policy to None.
    for module in (asyncio, unix_events):
        for name in ("DefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
            if name in vars(module):
                setattr(module, name, Policy)
    events._event_loop_policy = Policy()
    if implementation.is_identity:
        return

    class AnyLoop(type):
        """A metaclass: calling its class makes one of the implementation's loops; all of those are instances."""

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
    # Import all standard submodules first: some import others by the name that is about to change hands.
    originals = {}
    for info in pkgutil.iter_modules(standard.__path__):
        if info.name != "__main__" and not info.name.startswith("windows"):
            originals[info.name] = importlib.import_module("asyncio." + info.name)

    # If these were imported before, they are bound to the standard asyncio; now they must bind the new one.
    for name in list(sys.modules):
        if name.startswith(("unittest.async_case", "unittest.mock", "test.")):
            del sys.modules[name]

    sys.modules["asyncio"] = module
    replaced = {}
    for name, original in originals.items():
        if name in ("proactor_events", "tools"):
            # These are not replaced: the loops for Windows, because tests check whether theirs is one of them; and the
            # inspection of other processes, because its tests check the data that it reads.
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
        if not hasattr(module, name):  # yes for `asyncio.timeouts`, but never over a function such as ferrio.timeout
            setattr(module, name, submodule)

    # Test modules reach `asyncio.tasks.events`, so link the submodules now that they all exist.
    for name, original in originals.items():
        for attribute, value in vars(original).items():
            if isinstance(value, types.ModuleType) and value.__name__.startswith("asyncio."):
                linked = replaced.get(value.__name__.partition(".")[2])
                if linked is not None and attribute not in vars(replaced[name]):
                    setattr(replaced[name], attribute, linked)


def _fill(
    submodule: types.ModuleType, original: types.ModuleType, top: types.ModuleType, exported: frozenset[str]
) -> None:
    """Adds to the implementation's version of a submodule what test modules import from it.

    `exported` is what `asyncio` offers under its own name.
    """
    # The package doesn't export everything its submodules do (such as the loop in `selector_events`).
    public = frozenset(getattr(original, "__all__", ())) & exported
    for attribute, value in vars(original).items():
        if attribute.startswith("__") or attribute in vars(submodule):
            continue
        if attribute in public or attribute in _OFFERED_NAMES:
            # Only the implementation's own: a public name that it lacks must be seen to be missing.
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
    """Returns the implementation's object for a name such as `_CTask` or `_py_current_task`, or None."""
    for prefix in _TWIN_PREFIXES:
        if attribute.startswith(prefix):
            bare = attribute.removeprefix(prefix)
            for name in (bare, "_" + bare):
                for place in (submodule, top):
                    if hasattr(place, name):
                        return getattr(place, name)
            return None
    return None
