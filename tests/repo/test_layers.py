"""What each layer may know: the engine no Python, the binding no kernel interface, no layer of the binding one above.

The first rules are absences, so they are checked by looking for words in the code (comments may name anything). The
binding's own layers are checked by every path that its code names. `test_package.py` has the rule of the package.
"""

import re
from collections import Counter

from tests.repo.rust_paths import arrows, circles, modules
from tests.repo.sources import ROOT, name, own_files, rust_code

ENGINE = "crates/ferrio-engine/"
BINDING = "crates/ferrio-python/"

# The height of each layer of the binding. A file imports from its own layer and from those below. Two layers of the
# same height know nothing of each other. lib.rs is above them all.
HEIGHTS = {"base": 0, "core": 1, "sync": 2, "work": 3, "net": 3, "loop_api": 4}
# What each part of net may use of the others.
USES = {
    "plain_socket": (),
    "transport": ("plain_socket",),
    "streams": ("transport",),
    "tls": ("transport",),
    "server": ("plain_socket", "tls", "transport"),
    "process": ("streams", "transport"),
}
# The largest number of files that may import one another in a circle: the kernel's, as `_asynciomodule.c` is one file.
LARGEST_CIRCLE = 30


def _code_with(pattern: str, layer: str) -> list[str]:
    return [
        f"{name(path)}:{number}: {code.strip()}"
        for path in own_files(".rs")
        if name(path).startswith(layer + "src/")
        for number, code in rust_code(path)
        if re.search(pattern, code)
    ]


def test_the_engine_never_names_python():
    found = _code_with(r"(?i)pyo3|\bpython\b|\bPy(?:Object|Any|Err|Result|_\w+)\b|\bgil\b", ENGINE)
    assert not found, found
    assert "pyo3" not in (ROOT / ENGINE / "Cargo.toml").read_text()


def test_only_the_engines_sys_makes_system_calls():
    # libc's constants and types are what the calls of sys/ take and return, so their callers may name them.
    found = [
        line
        for line in _code_with(r"\blibc::[a-z]\w*\s*\(|\buse libc\b|\brustix\b", ENGINE)
        if not line.startswith(ENGINE + "src/sys/")
    ]
    assert not found, found


def test_only_files_named_after_linux_use_what_only_linux_has():
    pattern = (
        r"(?i)\bepoll|eventfd|timerfd|pidfd|\baccept4|\bpipe_with\b|\bdup3\b|libc::clone\b|CLONE_|preadv2|\bprctl|dumpable"
        r"|MonotonicCoarse|timer_slack|sched_getcpu|gettid|NOSIGNAL|ENONET|IP_TRANSPARENT|close_range|SYS_\w+|/proc/|\"/sys/"
    )
    homes = tuple(f"{ENGINE}src/{home}" for home in ("sys/linux/", "reactor/epoll/"))
    # These choose among the systems' own: by name, or by import.
    choosing = tuple(
        f"{ENGINE}src/{file}" for file in ("sys/mod.rs", "reactor/mod.rs", "reactor/kind.rs", "reactor/set.rs")
    )
    found = [line for line in _code_with(pattern, ENGINE) if not line.startswith(homes + choosing)]
    assert not found, found


def test_the_binding_never_names_the_kernels_interface():
    found = _code_with(r"(?i)\blibc\b|\brustix\b|epoll|eventfd|timerfd|io_uring", BINDING)
    assert not found, found
    manifest = (ROOT / BINDING / "Cargo.toml").read_text()
    assert not re.search(r"^(libc|rustix|nix|mio|socket2)\b", manifest, re.MULTILINE)


def test_raw_cpython_lives_in_ffi():
    # A pointer to an object may be passed around; what can be done with it is in ffi/.
    found = [
        line
        for line in _code_with(r"\bffi::(?!PyObject\b)_?Py", BINDING)
        if not line.startswith(BINDING + "src/base/ffi/")
    ]
    assert not found, found


def _binding():
    return ROOT / BINDING / "src"


def test_every_file_of_the_binding_stands_in_a_layer():
    strays = ["/".join(module) for module in modules(_binding()) if module and module[0] not in HEIGHTS]
    assert not strays, strays


def test_no_import_points_upwards():
    found = []
    for (here, there), names in sorted(arrows(_binding()).items()):
        if here and there and here[0] != there[0] and HEIGHTS[here[0]] <= HEIGHTS[there[0]]:
            found.append(f"{'/'.join(here)} -> {'/'.join(there)}: {', '.join(sorted(names))}")
    assert not found, "\n".join(found)


def test_transports_know_nothing_of_what_uses_them():
    # A protocol says of itself how it takes bytes (net/transport/native.rs), so that `transport` names none.
    found = []
    for here, there in sorted(arrows(_binding())):
        if here[:1] != ("net",) or len(here) == 1 or there[:1] != ("net",) or len(there) == 1 or here[1] == there[1]:
            continue
        if there[1] not in USES[here[1]]:
            found.append(f"{'/'.join(here)} -> {'/'.join(there)}")
    assert not found, "\n".join(found)


def test_circles_are_small():
    files, found = modules(_binding()), circles(arrows(_binding()))
    lines = Counter(dict.fromkeys(HEIGHTS, 0))
    for module, path in files.items():
        if module:
            lines[module[0]] += path.read_text().count("\n")
    count = Counter(module[0] for module in files if module)
    print(", ".join(f"{layer}: {count[layer]} files, {lines[layer]} lines" for layer in HEIGHTS))
    largest = max(found, key=len, default=())
    print(f"the largest circle: {len(largest)} files")
    too_large = [sorted("/".join(module) for module in circle) for circle in found if len(circle) > LARGEST_CIRCLE]
    assert not too_large, too_large
