"""`ferrio.sight`: what a loop is doing, while it does it.

    from ferrio import sight

    with sight.watch(0.1):
        ferrio.run(main())

Everything here is off until a program, the command line or the environment turns it on. Nothing here runs per callback.
"""

from ferrio.sight.ledger import all_metrics
from ferrio.sight.metrics import Histogram, Metering, Metrics, meter, metrics
from ferrio.sight.recorder import Recording, record, trace
from ferrio.sight.watchdog import Block, Watch, watch

__all__ = (
    "Block",
    "Histogram",
    "Metering",
    "Metrics",
    "Recording",
    "Watch",
    "all_metrics",
    "meter",
    "metrics",
    "record",
    "serve",
    "trace",
    "watch",
)


def serve() -> str:
    """Lets `ferrio top`, `ferrio ps` and `ferrio tree` of the same user look at this program from now on.

    Returns the path of the socket where it listens. Child processes that use ferrio follow. Calling it again does
    nothing. Raises `OSError` if there is no directory that only this user can enter.
    """
    from ferrio.sight import agent

    return agent.serve()
