"""Every class and every function of the binding joins the module by one line of lib.rs.

A class that isn't listed gets no finalizer and no slots, and a function that isn't can't be called; neither would fail
to compile.
"""

import re

import pytest
from tests.repo.sources import ROOT, rust_code

SOURCE = ROOT / "crates/ferrio-python/src"

CLASS = re.compile(r"#\[pyclass\([^\]]*\)\]\s*(?:#\[[^\]]*\]\s*)*pub\(crate\) struct (\w+)")
FUNCTION = re.compile(r"#\[pyfunction\b.*?\n[ ]*pub\(crate\) fn (\w+)", re.DOTALL)
DECLARED = re.compile(r"\bconst (\w+): Declared =\s*[^;]*?declared!\((\w+)\)")


def code_of(path):
    return "".join(line + "\n" for _, line in rust_code(path))


def found(pattern):
    """All that the pattern captures in the binding's files, with the module's path in front."""
    for path in sorted(SOURCE.rglob("*.rs")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        for match in pattern.finditer(code_of(path)):
            yield "::".join(parts[:-1] if parts[-1] == "mod" else parts), match


def listed():
    """The names after each heading of the list in lib.rs."""
    text = code_of(SOURCE / "lib.rs")
    body = re.search(r"surface! \{(.*?)\n\}", text, re.DOTALL)[1]
    return {heading: re.findall(r"[\w:]+", names) for heading, names in re.findall(r"([\w -]+):\n([^;]*);", body)}


LISTED = {heading.strip(): names for heading, names in listed().items()}


def test_the_check_sees_everything():
    sources = [line for path in SOURCE.rglob("*.rs") for _, line in rust_code(path)]
    assert len(list(found(CLASS))) == sum(line.lstrip().startswith("#[pyclass") for line in sources)
    assert len(list(found(FUNCTION))) == sum(line.lstrip().startswith("#[pyfunction") for line in sources)
    assert LISTED.keys() == {"classes", "internal classes", "functions", "built-in functions"}


def test_every_class_is_listed_once():
    names = [name.split("::")[-1] for name in LISTED["classes"] + LISTED["internal classes"]]
    assert sorted(names) == sorted(match[1] for _, match in found(CLASS))


def test_every_function_is_listed_once():
    declared = {f"{module}::{match[1]}": f"{module}::{match[2]}" for module, match in found(DECLARED)}
    assert sorted(declared) == sorted(LISTED["functions"])
    names = list(declared.values()) + LISTED["built-in functions"]
    assert sorted(names) == sorted(f"{module}::{match[1]}" for module, match in found(FUNCTION))


@pytest.mark.parametrize("trait", ["Finalize", "Awaitable", "Coroutine", "Recycle", "End", "Functions"])
def test_each_trait_of_a_class_has_its_step(trait):
    text = code_of(SOURCE / "base/class.rs")
    constant = re.search(rf"impl<T: {trait}\b[^>]*> Steps<T> \{{\s*pub\(crate\) const (\w+): Step", text)[1]
    assert f"Steps::{constant}," in text
    assert f"const {constant}: Step = nothing;" in text
