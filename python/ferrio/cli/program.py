"""Running a program as Python does: a file, a directory or zip file, a module, or code.

`sys.argv`, `sys.path[0]`, `__main__` and its `__file__`, `__spec__` and `__package__` are those that Python itself
would set. Tracebacks begin with the program's first line, and exit codes are the program's. One thing goes beyond
Python: `await` outside functions, which makes the whole body one coroutine, run on one loop.

Invariant: the frames of this package never appear in what a failing program prints.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import inspect
import linecache
import os
import pkgutil
import sys
import types
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any, NoReturn

from ferrio import exceptions, runners
from ferrio.cli import options, shadows

# The code of the command `ferrio`, if that was called.
launcher: CodeType | None = None

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(kind: str, program: str, arguments: Iterable[str]) -> None:
    """Runs `program` with `arguments` in `sys.argv[1:]`.

    `kind`: "file", "module" or "code". Raises what the program raises, and `SystemExit` if Python would refuse to run
    it (no such file or module).
    """
    try:
        if kind == "file":
            code, main = _load_file(program, arguments)
        elif kind == "module":
            code, main = _load_module(program, arguments)
        else:
            code, main = _load_code(program, arguments)
    except SystemExit:
        raise
    except BaseException as error:
        _hide_frames(error, _of_ours)
        raise
    try:
        _execute(code, main)
    except SystemExit:
        raise
    except BaseException as error:
        _hide_frames(error, lambda frame: frame.f_code is not code)
        raise


def compile_program(source: str | bytes, filename: str) -> CodeType:
    """Returns the code object of `source` (text or bytes), in which `await` may be used outside functions.

    Raises `SyntaxError`, also for null bytes: `compile` alone doesn't say which file they are in.
    """
    null = b"\0" if isinstance(source, bytes) else "\0"
    before, found, _after = source.partition(null)  # type: ignore[arg-type]
    if found:
        lines = before.splitlines() or [before]
        place = (filename, len(lines), None, None)
        raise SyntaxError("source code cannot contain null bytes", place)
    code: CodeType = compile(source, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


def _execute(code: CodeType, main: ModuleType) -> None:
    """Runs `code` in the module `main`, on a loop if it awaits outside functions."""
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, main.__dict__)
        return
    with runners.Runner() as runner:
        try:
            runner.run(types.FunctionType(code, main.__dict__)())
        except KeyboardInterrupt as interrupt:
            # The runner raised it after it cancelled the program's body; the program's lines are in that exception.
            if isinstance(interrupt.__context__, exceptions.CancelledError):
                interrupt.__traceback__ = interrupt.__context__.__traceback__
                interrupt.__suppress_context__ = True
            raise


def _load_file(path: str, arguments: Iterable[str]) -> tuple[CodeType, ModuleType]:
    sys.argv[:] = [path, *arguments]
    if path == "-":
        _prepend_path("")
        return _compile_text(sys.stdin.read(), "<stdin>"), _new_main("<stdin>")
    full = os.path.abspath(path)
    if os.path.isdir(full) or _is_archive(full):
        return _load_container(full)
    try:
        with open(full, "rb") as file:
            source = file.read()
    except OSError as error:
        _refuse(f"can't open file {full!r}: [Errno {error.errno}] {error.strerror}", 2)
    # Python follows a link to the script, so that the script finds the modules next to it.
    _prepend_path(os.path.dirname(os.path.realpath(full) if os.path.islink(full) else full))
    main = _new_main(full, importlib.machinery.SourceFileLoader("__main__", full))
    return compile_program(source, full), main


def _load_container(full: str) -> tuple[CodeType, ModuleType]:
    """A directory or zip file: goes on `sys.path`, and its `__main__` runs."""
    _prepend_path(full)
    spec = None
    importer = pkgutil.get_importer(full)
    if importer is not None:
        spec = importer.find_spec("__main__")
    if spec is None:
        _refuse(f"can't find '__main__' module in {full!r}", 1)
    main = _new_main(spec.origin, spec.loader)
    _describe(main, spec)
    return _code_of(spec), main


def _load_module(name: str, arguments: Iterable[str]) -> tuple[CodeType, ModuleType]:
    sys.argv[:] = ["-m", *arguments]
    if not sys.flags.safe_path:
        shadows.forget(sys.path[0])
    spec = _find_module(name)
    sys.argv[0] = spec.origin
    main = _new_main(spec.origin, spec.loader)
    _describe(main, spec)
    return _code_of(spec), main


def _load_code(source: str, arguments: Iterable[str]) -> tuple[CodeType, ModuleType]:
    sys.argv[:] = ["-c", *arguments]
    _prepend_path("")
    return _compile_text(source, "<string>"), _new_main()


def _find_module(name: str) -> Any:
    """Returns the spec of the module that `-m name` runs: the module, or the package's `__main__`."""
    if name.startswith("."):
        _refuse("Relative module names not supported", 1)
    hint = f" (-m takes a module's name: try {name[:-3]!r})" if name.endswith(".py") else ""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # a parent package failed to import something else: its error says more
        _refuse(
            f"Error while finding module specification for {name!r} ({type(error).__name__}: {error}){hint}",
            1,
        )
    if spec is None:
        _refuse(f"No module named {name}{hint}", 1)
    if spec.submodule_search_locations is not None:
        inside = importlib.util.find_spec(f"{name}.__main__")
        if inside is None:
            reason = f"{name!r} is a package and cannot be directly executed"
            _refuse(f"No module named {name}.__main__; {reason}", 1)
        spec = inside
    if spec.loader is None or not hasattr(spec.loader, "get_code"):
        _refuse(f"No code object available for {name}", 1)
    return spec


def _code_of(spec: Any) -> CodeType:
    """The code of the module: its cached code, or compiled here if it awaits outside functions."""
    try:
        code: CodeType | None = spec.loader.get_code(spec.name)
    except SyntaxError:
        source = spec.loader.get_source(spec.name)
        code = compile_program(source, spec.origin)
    if code is None:
        _refuse(f"No code object available for {spec.name}", 1)
    return code


def _compile_text(source: str, filename: str) -> CodeType:
    code = compile_program(source, filename)
    # As in Python: from 3.13 on, tracebacks show the lines of code that isn't in a file.
    if sys.version_info >= (3, 14):
        linecache._register_code(code, source, filename)
    elif sys.version_info >= (3, 13):
        lines = [f"{line}\n" for line in source.splitlines()]
        linecache.cache[filename] = (len(source), None, lines, filename)
    return code


def _new_main(filename: str | None = None, loader: Any = None) -> Any:
    """Puts a fresh `__main__` into `sys.modules` and returns it."""
    main: Any = types.ModuleType("__main__")
    main.__builtins__ = sys.modules["builtins"]
    main.__loader__ = importlib.machinery.BuiltinImporter if loader is None else loader
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    if filename is not None:
        main.__file__ = filename
        if sys.version_info < (3, 15):
            main.__cached__ = None
    # The old one, of this command line, must stay alive: its globals are cleared when it dies.
    main_before.append(sys.modules["__main__"])
    sys.modules["__main__"] = main
    return main


main_before: list[ModuleType] = []


def _describe(main: Any, spec: ModuleSpec) -> None:
    """Gives `main` the attributes of the module that was found."""
    main.__spec__, main.__package__ = spec, spec.parent
    if sys.version_info < (3, 15):
        main.__cached__ = spec.cached


def _prepend_path(directory: str) -> None:
    """Puts `directory` where Python put the current one for `-m ferrio`; with -P, neither Python nor this adds one."""
    if not sys.flags.safe_path:
        sys.path[0] = directory
        shadows.forget(directory)


def _is_archive(path: str) -> bool:
    importer = pkgutil.get_importer(path)
    return importer is not None and not isinstance(importer, importlib.machinery.FileFinder)


def _refuse(problem: str, status: int) -> NoReturn:
    options.complain(f"{sys.executable}: {problem}")
    raise SystemExit(status)


def _hide_frames(error: BaseException, hidden: Callable[[FrameType], bool]) -> None:
    """Makes the traceback that `sys.excepthook` gets begin with the first frame that isn't `hidden`.

    The exception goes on to the interpreter, which knows `-i` and the exit status (a KeyboardInterrupt ends the process
    by SIGINT). On its way it collects our frames again, so the hook is replaced at this last moment.
    """
    first = error.__traceback__
    while first is not None and hidden(first.tb_frame):
        first = first.tb_next
    hook = sys.excepthook

    def show(kind: type[BaseException], raised: BaseException, traceback: TracebackType | None) -> None:
        # Nothing of ours keeps the exception: what its frames hold ends when it does in Python.
        if sys.excepthook is show:
            sys.excepthook = hook
        if raised is error:
            traceback = first
            raised.__traceback__ = first
        hook(kind, raised, traceback)

    sys.excepthook = show


def _of_ours(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    return frame.f_code is launcher or filename.startswith((_PACKAGE + os.sep, "<frozen "))
