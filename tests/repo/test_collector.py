"""The binding's classes show the garbage collector every Python object that they hold, but only once it is written.

The collector may run after CPython has allocated an object and before its fields are written. 3.11 does so when it
makes an instance's dictionary. A `Guarded` field then reads as unwritten, and its `visit` looks at nothing. Any other
field is zeroed memory, and looking at it crashes. So a class must look at all its fields inside such a `visit`. This
file checks the text of the sources, as `cargo fmt` formats it.
"""

import re
from operator import attrgetter
from typing import NamedTuple

import pytest
from tests.repo.sources import ROOT, name, own_files, rust_code

BINDING = ROOT / "crates/ferrio-python/src"

# Fields that hold Python objects but are not shown, each with a reason that a stranger would accept.
NOT_SHOWN: dict[str, str] = {}

_CLASS = re.compile(
    r"#\[pyclass\((?P<options>[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))? )?struct (?P<name>\w+)"
)


class Class(NamedTuple):
    """A pyclass as written in its file."""

    file: str
    name: str
    code: str
    options: str
    fields: dict[str, str]
    """The fields' types by name."""
    traverse: str
    """The body of `__traverse__`, empty if there is none."""


def classes():
    """Returns all classes of the binding."""
    for path in own_files(".rs"):
        if BINDING not in path.parents:
            continue
        code = "".join(line + "\n" for _, line in rust_code(path))
        for found in _CLASS.finditer(code):
            struct = found["name"]
            yield Class(name(path), struct, code, found["options"], fields(code, struct), traverse_of(code, struct))


def balanced(code, begin):
    """Returns the text between the bracket at `begin` and its partner."""
    opening = code[begin]
    closing = {"(": ")", "{": "}"}[opening]
    depth = 0
    for end in range(begin, len(code)):
        depth += (code[end] == opening) - (code[end] == closing)
        if depth == 0:
            return code[begin + 1 : end]
    raise AssertionError(f"nothing closes {code[begin : begin + 40]!r}")


def fields(code, struct):
    """Returns the fields of a struct in this file by name; none if it isn't there or has no named fields."""
    found = re.search(rf"\bstruct {struct}(<[^>]*>)? \{{", code)
    if not found:
        return {}
    return dict(re.findall(r"^    (?:pub(?:\([^)]*\))? )?(\w+): (.*),$", balanced(code, found.end() - 1), re.M))


def bodies(code, function):
    """Returns the bodies of the functions with this name."""
    for found in re.finditer(rf"\bfn {function}\b[^{{;]*\{{", code):
        yield balanced(code, found.end() - 1)


def traverse_of(code, class_name):
    """Returns the body of the class's `__traverse__`."""
    for block in re.finditer(rf"#\[pymethods\]\s*impl {class_name} \{{", code):
        for body in bodies(balanced(code, block.end() - 1), "__traverse__"):
            return body
    return ""


def outside_guards(body):
    """Returns `body` without the parts inside its `.visit(...)` calls."""
    left = ""
    while found := re.search(r"\.visit\(", body):
        left += body[: found.start()]
        body = body[found.end() + len(balanced(body, found.end() - 1)) + 1 :]
    return left + body


ALL = list(classes())


def test_the_check_sees_the_classes():
    by_name = {each.name: each for each in ALL}
    assert {"Loop", "Future", "Task", "Handle", "Queue", "SocketTransport", "StreamReader"} <= by_name.keys()
    assert len(ALL) == sum(
        code.strip().startswith(("#[pyclass(", "#[pyclass]"))
        for path in BINDING.rglob("*.rs")
        for _, code in rust_code(path)
    )
    assert by_name["StreamReader"].fields["state"] == "Guarded<State>"
    assert "transport" in by_name["StreamReader"].traverse
    assert outside_guards("a.visit(&visit, |b| f(b))?; c.call(d)") == "a?; c.call(d)"


# Instances of all other classes are written before anything is allocated.
@pytest.mark.parametrize(
    "each", [each for each in ALL if re.search(r"\b(subclass|dict)\b", each.options)], ids=attrgetter("name")
)
def test_fields_are_looked_at_inside_a_guard(each):
    bare = re.findall(r"visit\.call\([^)]*\)|\.traverse\(|\btraverse\(", outside_guards(each.traverse))
    assert not bare, f"{each.file}: {each.name} may not be written yet; put {bare} into the `visit` of a Guarded field"


@pytest.mark.parametrize("each", ALL, ids=attrgetter("name"))
def test_every_python_object_is_shown(each):
    held = dict(each.fields)
    for kind in each.fields.values():
        if guarded := re.fullmatch(r"(?:Guarded|Exclusive)<(?:Option<)?(\w+)>*", kind):
            held |= fields(each.code, guarded[1])
    objects = [field for field, kind in held.items() if re.search(r"\bPy<|\bLoopRef\b", kind)]
    shown = each.traverse + "".join(bodies(each.code, "traverse"))
    hidden = [field for field in objects if not re.search(rf"\b{field}\b", shown)]
    hidden = [field for field in hidden if f"{each.name}.{field}" not in NOT_SHOWN]
    assert not hidden, f"{each.file}: {each.name} holds Python objects that its __traverse__ does not show: {hidden}"
