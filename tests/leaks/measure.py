"""What the tests of this directory read from the kernel about a process. Linux only, as ferrio is today."""

import os

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """The memory of this process that is in RAM, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE


def open_descriptors() -> set[str]:
    """The numbers of this process's open files."""
    return set(os.listdir("/proc/self/fd"))
