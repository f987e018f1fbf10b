"""Asks the kernel about this process, for the tests of this directory. Linux only, as ferrio is today."""

import os


def own_bytes() -> int:
    """Returns the memory that this process has written to, in bytes, whether it is resident or swapped out.

    Pages of files don't count, including the interpreter's own: the system evicts and reloads them at will.
    """
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return 1024 * sum(int(fields[name].split()[0]) for name in ("RssAnon", "VmSwap"))


def open_descriptors() -> set[str]:
    """Returns the numbers of this process's open files."""
    return set(os.listdir("/proc/self/fd"))
