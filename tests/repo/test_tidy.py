"""The form of the repository's files: their length, their heads, notes on unsafe code, and what must not be in them.

What a linter checks already (clippy, ruff) isn't repeated here. Each list of exceptions is short and gives reasons.
"""

import re

import pytest
from tests.repo.sources import ROOT, name, own_files, rust_code

CEILING = 600
# Tests and benchmarks may be longer: they are lists of cases.
CEILING_OF_TESTS = 800

# Files over the ceiling, each with a reason that a stranger would accept.
LONG_FILES = {
    "Cargo.lock": "written by cargo",
}

# Folders whose code may be unsafe, as ARCHITECTURE.md says.
UNSAFE_FOLDERS = (
    "crates/ferrio-async/src/ffi.rs",
    "crates/ferrio-async/src/ffi/",
    "crates/ferrio-engine/src/sys/",
    "crates/ferrio-python/src/base/ffi/",
)

_IS_TEST = re.compile(r"^(tests|benches)/|/(tests|benches)/")


def test_checks_see_the_repository():
    names = {name(path) for path in own_files()}
    assert {"Makefile", "pyproject.toml", "crates/ferrio-engine/src/lib.rs", "python/ferrio/__init__.py"} <= names


def test_files_stay_below_the_ceiling():
    too_long = {}
    for path in own_files(".rs", ".py", ".pyi", ".toml", ".sh", ".md", ".json", ".lock", ""):
        length = len(path.read_text().splitlines())
        if length > (CEILING_OF_TESTS if _IS_TEST.search(name(path)) else CEILING):
            too_long[name(path)] = length
    unlisted = {file: length for file, length in too_long.items() if file not in LONG_FILES}
    assert not unlisted, f"split these, or give the reason in LONG_FILES: {unlisted}"


def test_long_files_are_still_there():
    gone = [file for file in LONG_FILES if not (ROOT / file).exists()]
    assert not gone, f"LONG_FILES names files that no longer exist: {gone}"


def test_every_rust_file_opens_with_its_head():
    bare = [name(path) for path in own_files(".rs") if not path.read_text().startswith("//! ")]
    assert not bare, f"these don't open with //! and what lives in them: {bare}"


def test_every_python_file_opens_with_its_head():
    bare = []
    for path in own_files(".py", ".pyi"):
        text = re.sub(r"\A(#!.*\n)?", "", path.read_text())
        # Docstrings have no place in stubs: a comment is their head.
        if not text.startswith("# " if path.suffix == ".pyi" else ('"""', 'r"""')):
            bare.append(name(path))
    assert not bare, f"these don't open with what lives in them: {bare}"


def test_unsafe_code_lives_in_its_folders():
    outside = [
        f"{name(path)}:{number}"
        for path in own_files(".rs")
        if "/src/" in name(path) and not name(path).startswith(UNSAFE_FOLDERS)
        for number, code in rust_code(path)
        # `unsafe_code` and `unsafe_op_in_unsafe_fn` are names of lints; allowing one outside is as bad as the code
        # itself.
        if re.search(r"\bunsafe\b|(allow|expect)\(\s*unsafe_code", code)
    ]
    assert not outside, f"unsafe code outside {UNSAFE_FOLDERS}: {outside}"


def test_every_unsafe_block_says_why_it_is_sound():
    unexplained = []
    for path in own_files(".rs"):
        lines = path.read_text().splitlines()
        for number, code in rust_code(path):
            if not re.search(r"\bunsafe\s*(\{|impl\b)", code):
                continue
            # The note is in the comment that ends where the block's statement begins, or in the line itself.
            above = number - 2
            while above >= 0 and not _ends_statement(lines[above]):
                above -= 1
            comment = above
            while comment >= 0 and lines[comment].strip().startswith(("//", "#[")):
                comment -= 1
            if not any("SAFETY:" in line for line in lines[comment + 1 : number]):
                unexplained.append(f"{name(path)}:{number}")
    assert not unexplained, f"no `// SAFETY:` at {unexplained}"


def _ends_statement(line: str) -> bool:
    """Whether a new statement begins after this line: it is a comment, an attribute, or a statement's end."""
    stripped = line.strip()
    return not stripped or stripped.startswith(("//", "#[")) or stripped.endswith((";", "{", "}", ","))


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        (r"\.unwrap\(\)", "say the invariant with `expect`"),
        (r"\b(todo|unimplemented|dbg)!", "finish it"),
        (r"\bpanic!\(\)", "say what went wrong"),
        (r"\bPySlice::new\b", "it never releases its integers (PyO3 0.30): use base::slice"),
    ],
)
def test_rust_sources_do_not_contain(pattern, advice):
    found = [
        f"{name(path)}:{number}"
        for path in own_files(".rs")
        if "/src/" in name(path)
        for number, code in rust_code(path)
        if re.search(pattern, code)
    ]
    assert not found, f"{advice}: {found}"


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        (r"/(?:root|work|home/\w+|Users/\w+|opt/wheels)/", "a path of one machine: take it from the environment"),
        (r"\b(?:TO[D]O|FIX[M]E|XX[X])\b", "do it, or open an issue"),
        (r"^(?:<{7}|>{7}|={7}$)", "a merge is not finished"),
        (r"[ \t]+$", "space at the end of a line"),
    ],
)
def test_no_file_contains(pattern, advice):
    found = [
        f"{name(path)}:{number}"
        for path in own_files()
        if path.suffix not in (".lock", ".png", ".svg") and not path.name.startswith("LICENSE")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, f"{advice}: {found}"


def test_allowed_lints_carry_a_reason():
    bare = []
    for path in own_files(".rs"):
        code = "".join(line + "\n" for _, line in rust_code(path))
        bare += [
            f"{name(path)}: {attribute}"
            for attribute in re.findall(r"#!?\[(?:allow|expect)\([^\]]*\)\]", code)
            if "reason" not in attribute
        ]
    assert not bare, f"no `reason = ...` in {bare}"


def test_skipped_and_expected_failures_carry_a_reason():
    marks = re.compile(r"@pytest\.mark\.(?:skip|xfail)\b(?!if)(?P<arguments>\(.*)?")
    bare = [
        f"{name(path)}:{number}"
        for path in own_files(".py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := marks.search(line)) and not (match["arguments"] or "").startswith("(")
    ]
    assert not bare, f"no reason: {bare}"
