"""Writes the reference: expands `::: ferrio.gather` in a page of docs/reference when the site is built.

An entry's text is the object's docstring, read from the built package, because classes and functions written in Rust
have it nowhere else. The signature comes from the sources with its types: from the package and the stub of the
extension module. If neither declares it, as with a method that the stub inherits, Python is asked.

Objects of the standard library get a heading and a signature; the page explains them in our own words.

Invariant: the build fails if an object can't be found, or if one of ours has no docstring.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ferrio
import ferrio.tempfile

PACKAGE = Path(__file__).resolve().parents[1] / "python" / "ferrio"
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
# A longer signature is split, one parameter per line.
WIDTH = 88


def expand(page: str) -> str:
    """Returns a page with each directive replaced by an entry."""
    return DIRECTIVE.sub(lambda found: "\n".join(entry(found[1])), page)


def find(path: str) -> Any:
    """Returns the object with a name like `ferrio.os.listdir`. Raises `LookupError` if there is none."""
    found: Any = ferrio
    for name in path.split(".")[1:]:
        try:
            found = getattr(found, name)
        except AttributeError:
            raise LookupError(f"the reference names {path}, which doesn't exist") from None
    return found


def is_described(thing: Any, path: str) -> bool:
    """Whether an object's docstring is its entry: it must be ferrio's own, and not an alias."""
    if not (inspect.isroutine(thing) or inspect.isclass(thing)):
        return False
    module = getattr(thing, "__module__", None) or "ferrio"
    return module.split(".")[0] == "ferrio" and getattr(thing, "__name__", "") in (path.rpartition(".")[2], "")


def text_of(thing: Any, path: str) -> str:
    """Returns the docstring of one of our objects as Markdown. Raises `LookupError` if it has none."""
    docstring = inspect.getdoc(thing)
    if not docstring:
        raise LookupError(f"{path} has no docstring")
    return as_markdown(docstring)


def as_markdown(docstring: str) -> str:
    """Returns a docstring with its indented lines fenced, so that they are highlighted as Python."""
    lines: list[str] = []
    code: list[str] = []
    for line in [*docstring.splitlines(), "end"]:
        if line.startswith("    ") or (code and not line):
            code.append(line)
            continue
        if code:
            body = textwrap.dedent("\n".join(code)).strip("\n")
            lines += ["```python", body, "```", ""]
            code = []
        lines.append(line)
    return "\n".join(lines[:-1]).strip()


def entry(path: str) -> Iterator[str]:
    """Yields the lines of one object's entry, including its public members."""
    thing = find(path)
    yield f"## `{path}` {{ #{path} }}\n"
    if inspect.isclass(thing):
        if not issubclass(thing, BaseException):
            yield from code_block(constructor(thing, path))
    elif inspect.isroutine(thing):
        yield from code_block(signature(thing, path))
    if not is_described(thing, path):
        return
    yield text_of(thing, path) + "\n"
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for name, member in members(thing):
            yield from member_entry(thing, name, member, path)


def members(owner: type) -> list[tuple[str, Any]]:
    """Returns a class's public members, sorted by name.

    Its own docstring explains how to use special methods, and what a dataclass's fields are.
    """
    fields = getattr(owner, "__dataclass_fields__", {})
    names = [name for name in dir(owner) if not name.startswith("_") and name not in fields]
    return [(name, inspect.getattr_static(owner, name)) for name in names]


def member_entry(owner: type, name: str, member: Any, path: str) -> Iterator[str]:
    """Yields the lines of a method's or an attribute's entry."""
    function = getattr(owner, name)
    where = f"{path}.{name}"
    if callable(function):
        yield f"### `{name}` {{ #{where} }}\n"
        yield from code_block(signature(function, name, owner))
    else:
        yield f"### `{name}` <small>attribute</small> {{ #{where} }}\n"
    yield text_of(member if inspect.getdoc(member) else function, where) + "\n"


def code_block(text: str) -> Iterator[str]:
    """Yields a signature as Python code."""
    yield f"```python\n{text}\n```\n"


def constructor(owner: type, path: str) -> str:
    """Returns how a class is called."""
    name = path.rpartition(".")[2]
    declared = _declared(owner, "__init__", owner)
    if len(declared) == 1 and declared[0].args.vararg is None:
        return shown(name, declared[0], bound=True, result=False)
    return name + _asked(owner)


def signature(function: Any, path: str, owner: type | None = None) -> str:
    """Returns how a function, or a method of `owner`, is called."""
    name = path.rpartition(".")[2]
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    # For an overloaded function the reader wants the one line that stands for all of them.
    declared = _declared(function, name, owner)
    if len(declared) == 1:
        return prefix + shown(name, declared[0], bound=owner is not None)
    return prefix + name + _asked(function)


def _declared(function: Any, name: str, owner: type | None) -> list[Any]:
    """Returns a function's declarations in the sources."""
    if owner is None:
        return declarations().get((function.__module__, function.__name__), [])
    # The classes of the extension module claim to be the package's.
    modules = [(module, each) for each in owner.__mro__ for module in (each.__module__, "ferrio._ferrio")]
    found = (declarations().get((module, f"{each.__name__}.{name}")) for module, each in modules)
    return next(filter(None, found), [])


def _asked(thing: Any) -> str:
    """Returns the parameters as Python reports them, without `self` or `cls`."""
    try:
        asked = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    parameters = list(asked.parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    return str(asked.replace(parameters=parameters))


def shown(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef, *, bound: bool, result: bool = True) -> str:
    """Returns a declaration as text; if `bound`, without its first parameter."""
    parts = _parameters(node.args)
    if bound and not any(_is_static(each) for each in node.decorator_list):
        parts = parts[2:] if parts[1:2] == ["/"] else parts[1:]
    if parts == ["*"]:
        parts = []
    ending = f" -> {_plain(ast.unparse(node.returns))}" if result and node.returns is not None else ""
    line = f"{name}({', '.join(parts)}){ending}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){ending}"


def _is_static(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id == "staticmethod"


def _parameters(arguments: ast.arguments) -> list[str]:
    """Returns the parameters one by one, including `/` and `*`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    parts = []
    for number, (argument, default) in enumerate(zip(positional, defaults, strict=True), 1):
        parts.append(_parameter(argument, default))
        if number == len(arguments.posonlyargs):
            parts.append("/")
    if arguments.vararg:
        parts.append("*" + _parameter(arguments.vararg, None))
    elif arguments.kwonlyargs:
        parts.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(_parameter(argument, default))
    if arguments.kwarg:
        parts.append("**" + _parameter(arguments.kwarg, None))
    return parts


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        text += f": {_plain(ast.unparse(argument.annotation))}"
    if default is not None:
        text += (" = " if argument.annotation is not None else "=") + _value(default)
    return text


def _value(default: ast.expr) -> str:
    """Returns a default as text; a private constant becomes its value."""
    text = ast.unparse(default)
    return repr(constants()[text]) if text in constants() else text


def _plain(annotation: str) -> str:
    """Returns an annotation for readers: type variables without their underscore, names without their module."""
    return re.sub(r"\b_([A-Z])", r"\1", re.sub(r"\b(?:asyncio|events|tasks|contextvars|typing)\.", "", annotation))


@functools.cache
def constants() -> dict[str, Any]:
    """Returns the package's private constants, by name."""
    modules = [module for name, module in sys.modules.items() if name.startswith("ferrio.")]
    return {name: value for module in modules for name, value in vars(module).items() if re.match(r"_[A-Z_]+$", name)}


@functools.cache
def declarations() -> dict[tuple[str, str], list[Any]]:
    """Returns the functions in the package's sources by module and qualified name; an overloaded one has several."""
    found: dict[tuple[str, str], list[Any]] = {}
    sources = {path: "ferrio" if path.stem == "__init__" else f"ferrio.{path.stem}" for path in PACKAGE.glob("*.py")}
    # The extension module is a single module, but its stub has several files.
    sources |= dict.fromkeys(PACKAGE.glob("_ferrio/*.pyi"), "ferrio._ferrio")
    for path, module in sources.items():
        for node in ast.parse(path.read_text()).body:
            _collect(found, module, node, "")
    return found


def _collect(found: dict[tuple[str, str], list[Any]], module: str, node: ast.AST, prefix: str) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        found.setdefault((module, prefix + node.name), []).append(node)
    elif isinstance(node, ast.ClassDef):
        for each in node.body:
            _collect(found, module, each, f"{prefix}{node.name}.")
