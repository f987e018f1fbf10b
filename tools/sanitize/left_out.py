"""The tests that a checked run leaves out, each with its reason. A run fails if one of them doesn't exist any more."""

# With AddressSanitizer.
ADDRESS: dict[str, str] = {
    "tests/unit/test_launch.py::test_program_under_valgrind_starts_children_through_popen": (
        "Valgrind can't run a program that has another checker of memory"
    ),
    "tests/unit/test_memory_error.py::test_loop_goes_on_after_a_memory_error": (
        "it limits the addresses of a process, and the sanitizer needs terabytes of them"
    ),
    "tests/leaks/test_loops.py::test_memory_does_not_grow": (
        "the sanitizer keeps freed memory for a while, to notice that it is used"
    ),
}

# On a Python with assertions.
ASSERTIONS: dict[str, str] = {
    "tests/unit/test_functions.py::test_code_can_be_replaced": (
        "CPython asserts that what runs a function's code is exactly a function, not an instance of a subtype"
    ),
}
