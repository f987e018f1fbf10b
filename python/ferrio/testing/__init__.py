"""`ferrio.testing`: a test bench for asynchronous programs.

    from ferrio import testing

    testing.explore(main, runs=1000)

    with testing.virtual_time() as clock:
        asyncio.run(main())

    with testing.faults.disk_full("/data", after=1000):
        asyncio.run(main())

`pytest_ferrio` offers the second to pytest by a mark and settings. `bench` is one test, from its setup to its teardown,
and `loops` has the loops of that test. `clock` is their time, `wall` makes `datetime.now()` follow it, and `stuck` ends
a test that would wait for ever. `check` is what the checks of a test's end have in common; each of these has a file.
`network` is a network of the test's own.

Nothing imports this module but a program that tests, and nothing here imports pytest.
"""

from ferrio.testing import faults
from ferrio.testing.bench import Bench, current_clock, virtual_time
from ferrio.testing.cancelling import cancel_everywhere, timeout_everywhere
from ferrio.testing.clock import Clock
from ferrio.testing.exploring import Explored, explore
from ferrio.testing.network import Network
from ferrio.testing.recorded import Replayed, replay_recording
from ferrio.testing.replaying import replay
from ferrio.testing.running import Departed
from ferrio.testing.settings import Settings
from ferrio.testing.stuck import WaitsForever

__all__ = (
    "Bench",
    "Clock",
    "Departed",
    "Explored",
    "Network",
    "Replayed",
    "Settings",
    "WaitsForever",
    "cancel_everywhere",
    "current_clock",
    "explore",
    "faults",
    "replay",
    "replay_recording",
    "timeout_everywhere",
    "virtual_time",
)
