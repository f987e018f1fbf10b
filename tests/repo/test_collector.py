"""What the binding's classes show to the garbage collector: every Python object that they hold, once written.

The compiler checks that every field is named (`base/gc.rs`). There are three things that it can't see: a class without
`collected!`, an object in the part of a list that is not shown, and a class that the collector may meet too early.
An error (`PyErr`) can't be shown: its parts are out of reach without the interpreter.
"""

import re
from operator import attrgetter
from typing import NamedTuple

import pytest
from tests.repo.sources import ROOT, name, own_files, rust_code

BINDING = ROOT / "crates/ferrio-python/src"
TRAIT = "crates/ferrio-python/src/base/gc.rs"

# Where `__traverse__` is written by hand, and why.
BY_HAND = {
    "crates/ferrio-python/src/core/event_loop/mod.rs": "the engine's queues are no types of the binding",
    "crates/ferrio-python/src/net/transport/methods.rs": "a macro writes it for all transports",
}

# Classes with Python objects that are not shown, each with its reason.
NOT_SHOWN: dict[str, str] = {}

_CLASS = re.compile(
    r"#\[pyclass\((?P<options>[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*"
    r"(?:pub(?:\([^)]*\))? )?struct (?P<name>\w+)(?P<body>[^{;]*\{.*?^\})?",
    re.DOTALL | re.MULTILINE,
)
_LIST = re.compile(r"\b(?:gc|collected)!\(\s*(\w+) \{[^}]*\}(?:\s*not \{([^}]*)\})?(?P<rest>[^;]*)\);")
_HOLDS_OBJECTS = r"\bPy<|\bLoopRef\b"


class Class(NamedTuple):
    """A pyclass as its file has it."""

    file: str
    name: str
    options: str
    fields: str
    code: str


def files():
    """The binding's files and their code."""
    for path in own_files(".rs"):
        if BINDING in path.parents:
            yield name(path), "".join(line + "\n" for _, line in rust_code(path))


FILES = dict(files())
ALL = [
    Class(file, found["name"], found["options"], found["body"] or "", code)
    for file, code in FILES.items()
    for found in _CLASS.finditer(code)
]
# What `collected!` says after the list of fields, by the class's name.
COLLECTED = {
    found[1]: found[2]
    for code in FILES.values()
    for found in re.finditer(r"\bcollected!\(\s*(\w+)\b((?:[^;])*)\);", code)
}


def fields_of(code, struct):
    """The fields' types by their names; none if the struct isn't in this file."""
    found = re.search(rf"\bstruct {struct}(?:<[^>]*>)? \{{\n(.*?)\n\}}", code, re.DOTALL)
    return dict(re.findall(r"^    (?:pub(?:\([^)]*\))? )?(\w+): (.*),$", found[1], re.MULTILINE)) if found else {}


def test_the_check_sees_the_classes():
    by_name = {each.name: each for each in ALL}
    assert {"Loop", "Future", "Task", "Handle", "Queue", "SocketTransport", "StreamReader"} <= by_name.keys()
    assert len(ALL) == sum(
        line.strip().startswith(("#[pyclass(", "#[pyclass]")) for code in FILES.values() for line in code.splitlines()
    )
    assert "Leaf<State>" in by_name["Future"].fields or "Guarded<State>" in by_name["Future"].fields
    assert "written by state" in COLLECTED["Queue"]


def test_objects_are_visited_in_one_file_only():
    assert "visit.call(" in FILES[TRAIT]
    assert [file for file, code in FILES.items() if "visit.call(" in code and file != TRAIT] == []
    written = {file for file, code in FILES.items() if "fn __traverse__" in code and file != TRAIT}
    assert written == BY_HAND.keys()


@pytest.mark.parametrize("each", ALL, ids=attrgetter("name"))
def test_every_class_that_holds_objects_is_collected(each):
    by_hand = each.file in BY_HAND or re.search(r"\bcore: Core<", each.fields)
    held = re.search(_HOLDS_OBJECTS, each.fields) or any(
        re.search(_HOLDS_OBJECTS, kind)
        for state in re.findall(r"(?:Guarded|Leaf|Exclusive)<(?:Option<)?(\w+)>", each.fields)
        for kind in fields_of(each.code, state).values()
    )
    assert not held or by_hand or each.name in COLLECTED or each.name in NOT_SHOWN, f"{each.file}: {each.name}"


@pytest.mark.parametrize("file", [file for file, code in FILES.items() if _LIST.search(code)])
def test_what_is_not_shown_holds_no_objects(file):
    hidden = [
        f"{struct}.{field}"
        for struct, others, _ in (found.group(1, 2, "rest") for found in _LIST.finditer(FILES[file]))
        for field in re.findall(r"\w+", others or "")
        if re.search(_HOLDS_OBJECTS, fields_of(FILES[file], struct).get(field, ""))
    ]
    assert not hidden, f"{file}: {hidden}"


# CPython 3.11 may run the collector while it makes an instance's dictionary. An instance of any other class is written
# before anything is allocated.
@pytest.mark.parametrize(
    "each",
    [each for each in ALL if re.search(r"\b(subclass|dict)\b", each.options) and each.name in COLLECTED],
    ids=attrgetter("name"),
)
def test_class_with_a_dictionary_asks_whether_it_is_written(each):
    guard = re.search(r"written by (\w+)", COLLECTED[each.name])
    assert guard, f"{each.file}: {each.name} may not be written yet: say by which field that can be seen"
    assert re.search(rf"\b{guard[1]}: (?:Guarded|Leaf)<", each.fields), f"{each.file}: {guard[1]} can't tell"
