"""`ferrio.testing.faults`: context managers that let files and child processes fail in a test.

    with faults.disk_full("/data", after=1000):
        asyncio.run(main())

`disks` has the faults and `files` puts them between the program and its files. `processes` does the same for children,
and `waiting` is how something slow waits.
"""

from ferrio.testing.faults.disks import disk_error, disk_full, slow_disk
from ferrio.testing.faults.processes import no_processes, no_program, process_killed, slow_process

__all__ = (
    "disk_error",
    "disk_full",
    "no_processes",
    "no_program",
    "process_killed",
    "slow_disk",
    "slow_process",
)
