"""What the tests of this directory read from the kernel about a process. Linux only, as ferrio is today."""

import os


def own_bytes() -> int:
    """The memory that this process has written to, in bytes, wherever the system keeps it.

    Without pages of files, the interpreter's own among them: the system takes these away and brings them back at will.
    """
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return 1024 * sum(int(fields[name].split()[0]) for name in ("RssAnon", "VmSwap"))


def open_descriptors() -> set[str]:
    """The numbers of this process's open files."""
    return set(os.listdir("/proc/self/fd"))
